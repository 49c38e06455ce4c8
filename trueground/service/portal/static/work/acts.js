// What a worker can do besides answering: skip, give back, pause, look back, get help.

function close(id) { byId(id).close(); }
for (const button of document.querySelectorAll('dialog [data-close]')) button.addEventListener('click', () => button.closest('dialog').close());

function giveBack() {
  if (current && !current.editing) handIn(current, 'POST', 'release', {});
}

function askWhy() {
  if (!current || current.editing) return;
  byId('decline-form').reset();
  byId('decline-dialog').showModal();
}

byId('decline-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const form = event.target;
  const words = form.words.value.trim();
  const chosen = form.reason.value;
  if (chosen === 'Other' && !words) { form.words.focus(); return; }
  close('decline-dialog');
  if (!current) return;
  left -= 1;
  count();
  handIn(current, 'POST', 'decline', { reason: words ? `${chosen}: ${words}` : chosen })
    .then(({ status, content }) => say(status < 300 ? '' : content.message));
});

async function pause() {
  const task = current;
  if (!task || task.editing) return;
  const draft = await contentOf(task);
  if (draft) { task.draft = draft; await saveDraft(task); }
  task.clock.stop();
  const { status, content } = await callUntilAnswered('POST', `/api/assignments/${task.assignment.id}/pause`, {});
  if (status >= 300) { task.clock.start(); say(content.message || 'The task could not be paused.'); return; }
  current = null;
  location.href = `${prefix}/`;
}

// ---- one's own last answers

function inWords(content) {
  const found = [];
  const walk = (value) => {
    if (value && typeof value === 'object') Object.values(value).forEach(walk);
    else if (value !== null && value !== '') found.push(String(value));
  };
  walk(content);
  const text = found.join(', ');
  return text.length > 120 ? `${text.slice(0, 120)} …` : text || 'nothing';
}

async function lookBack() {
  const { status, content } = await callUntilAnswered('GET', `/api/work/answers?job=${encodeURIComponent(job)}`);
  if (status !== 200) { say(content.message); return; }
  const list = byId('answers-list');
  list.replaceChildren(...content.answers.map((given) => {
    const item = document.createElement('li');
    const text = document.createElement('span');
    text.textContent = inWords(given.answerContent);
    const when = document.createElement('time');
    when.dateTime = given.submittedAt;
    when.className = 'faint';
    when.textContent = new Date(given.submittedAt).toLocaleTimeString();
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = given.editable ? 'Change' : 'Final';
    button.disabled = !given.editable;
    button.addEventListener('click', () => edit(given));
    item.append(text, when, button);
    return item;
  }));
  byId('no-answers').hidden = content.answers.length > 0;
  if (!byId('answers-dialog').open) byId('answers-dialog').showModal();
}

function edit(given) {
  close('answers-dialog');
  if (current?.editing) stopEditing();
  aside = current;
  if (aside) { aside.clock.stop(); aside.frame.className = 'ahead'; }
  // The seconds of now only: the service adds them to those of the first time.
  const draft = { answerContent: given.answerContent, secondsActive: 0 };
  show(makeTask({ id: given.assignmentId, frameUrl: given.frameUrl, revision: given.revision }, { draft, editing: true }));
}

function stopEditing() {
  if (!current?.editing) return;
  current.frame.remove();
  const back = aside;
  aside = null;
  show(back);
}

// ---- two answers to one task

let choosing = Promise.resolve();

// Whether the worker wants this answer instead of the one that is stored. One question after the other.
function chooseAnswer(entry, stored) {
  choosing = choosing.then(() => askWhich(entry, stored));
  return choosing;
}

function askWhich(entry, stored) {
  const dialog = byId('conflict-dialog');
  byId('conflict-stored').textContent = inWords(stored.answerContent);
  byId('conflict-when').textContent = new Date(stored.submittedAt).toLocaleString();
  byId('conflict-when').dateTime = stored.submittedAt;
  byId('conflict-given').textContent = inWords(entry.body.answerContent);
  byId('conflict-replace').hidden = !stored.editable;
  byId('conflict-final').hidden = stored.editable;
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'replace'), { once: true });
  });
}
byId('conflict-dialog').addEventListener('cancel', (event) => event.preventDefault());

// ---- buttons and keys

const ACTS = { giveBack, askWhy, pause, lookBack, stopEditing, help: () => byId('help-dialog').showModal(), again: () => location.reload() };
for (const button of document.querySelectorAll('[data-act]')) button.addEventListener('click', () => ACTS[button.dataset.act]());

const KEYS = { '?': 'help', D: 'askWhy', R: 'giveBack', P: 'pause', L: 'lookBack' };
function press(key) {
  if (KEYS[key] && !document.querySelector('dialog[open]')) ACTS[KEYS[key]]();
}

// The focus stays on this page, and the keys that tasks use go on to the task on the screen. Moving the focus from frame
// to frame instead takes the browser a moment, in which keys of somebody quick reach the task that is gone.
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.closest('a, button, input, textarea, dialog')) return;
  if (KEYS[event.key] && (event.shiftKey || event.key === '?')) { event.preventDefault(); press(event.key); return; }
  if (current && /^[0-9a-z]$|^Enter$/.test(event.key)) {
    event.preventDefault();
    current.frame.contentWindow.postMessage({ trueground: 'key', key: event.key }, '*');
  }
});

begin();
