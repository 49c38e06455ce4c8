// The work page: one task on the screen, the next one loaded behind it, answers handed in while the next is shown.

const frames = byId('frames');
const DRAFT_EVERY = 2000;

let current = null;   // { assignment, frame, clock, ... }: what is on the screen
let ahead = null;     // the next task, or a promise of it while it is fetched
let aside = null;     // the task that waits while an earlier answer is edited
let made = [];        // all tasks that have a frame
let done = Number(root.dataset.done);
let left = Number(root.dataset.left);
let handedIn = Promise.resolve();   // what was answered or given back is with the service
let leaving = false;
let unsaved = 0;      // answers on their way to the service
let elsewhere = false;   // nothing is left here but what other tabs hold

// ---- getting tasks

function makeTask(assignment, { draft = null, editing = false } = {}) {
  const frame = document.createElement('iframe');
  // No allow-same-origin: the template must not reach this page, its cookies or another task.
  frame.setAttribute('sandbox', root.dataset.sandbox);
  frame.title = 'Task';
  frame.className = 'ahead';
  frame.src = assignment.frameUrl;
  frames.append(frame);
  const expires = assignment.expiresAt ? Date.parse(assignment.expiresAt) : Infinity;
  const task = {
    assignment, frame, editing, expires,
    wholeTime: expires - serviceNow(),
    clock: new Clock(draft?.secondsActive ?? 0),
    restore: draft?.answerContent ?? null,
    draft: null,          // what was typed or chosen since it was shown
    blocked: new Set(),   // what its page wanted to load and may not
    kept: Boolean(draft), // whether the service has a draft of it
  };
  made = made.filter((item) => item.frame.isConnected);
  made.push(task);
  return task;
}

// The next task. What the worker held before, in a page that was closed or crashed, comes first, as it was left.
async function fetchTask() {
  const known = [...holding.keys(), ...heldElsewhere()].slice(0, 20);
  const { content } = await callUntilAnswered('POST', '/api/work/next', { job, page, holding: known });
  const assignment = content.assignment;
  if (!assignment || holding.has(assignment.id)) return null;
  hold(assignment.id);
  const draft = assignment.again ? await draftOf(assignment.id) : null;
  // Another tab may have taken it meanwhile.
  return holding.has(assignment.id) ? makeTask(assignment, { draft }) : fetchTask();
}

async function draftOf(id) {
  const begun = takeBegun(id);
  if (begun) return begun;
  const { status, content } = await callUntilAnswered('GET', `/api/assignments/${id}/draft`);
  return status === 200 ? content.draft : null;
}

// What this worker held when the last page was closed, reloaded or crashed; not what their other tabs hold.
async function heldTasks(tabsAnswered) {
  const { status, content } = await callUntilAnswered('GET', `/api/work/held?job=${encodeURIComponent(job)}`);
  if (status !== 200 || !content.assignments.length) return [];
  await tabsAnswered;
  const others = heldElsewhere();
  const left = content.assignments.filter(({ id }) => !others.has(id));
  const found = [];
  for (let count = Math.min(2, left.length); count > 0; count -= 1) {
    const task = await fetchTask();
    if (task) found.push(task);
  }
  // What they had begun to fill in before what was only fetched.
  return found.filter((task) => holding.has(task.assignment.id)).sort((one, other) => Number(Boolean(other.restore)) - Number(Boolean(one.restore)));
}

async function resumedTask(id) {
  const { status, content } = await callUntilAnswered('POST', `/api/assignments/${id}/resume`, { page });
  history.replaceState(null, '', location.pathname);
  if (status === 200) {
    hold(id);
    return makeTask(content.assignment, { draft: content.assignment.draft });
  }
  say(content.message || 'The task could not be taken up again.');
  return null;
}

// Not before: the service would count the task that is being handed in as still held, and give it out again.
function fetchWhenHandedIn() { return handedIn.then(fetchTask); }

// ---- showing them

function show(task) {
  current = task;
  byId('empty').hidden = Boolean(task);
  if (!task) byId('empty-title').textContent = 'All done here';
  if (!task) byId('empty-text').textContent = 'There is no task left for you in this job. Thank you!';
  frames.hidden = !task;
  for (const button of document.querySelectorAll('[data-needs-task]')) button.disabled = !task || task.editing;
  document.body.classList.toggle('editing', Boolean(task?.editing));
  frames.querySelector('.loading')?.remove();
  byId('draft').textContent = '';
  showBlocked(task);
  tick();
  if (task && current !== task) return;   // its time ran out while it waited
  if (!task) { left = 0; count(); explainEmpty(); return; }
  task.frame.className = '';
  performance.mark('revealed');
  task.clock.start();
  if (!task.editing) ahead ??= fetchWhenHandedIn();
}

async function showNext() {
  let task = await ahead;
  ahead = null;
  if (task && !holding.has(task.assignment.id)) task = null;   // another tab took it
  // Fetched long ago, while the one before took its time: better a fresh one than one that soon runs out.
  if (task && task.expires - serviceNow() < task.wholeTime / 2) {
    const { id } = task.assignment;
    task.frame.remove();
    handedIn = handedIn.then(() => callUntilAnswered('POST', `/api/assignments/${id}/release`, {})).then(() => letGo(id));
    task = null;
  }
  show(task ?? await fetchWhenHandedIn());
}

// Another tab has taken a task that is here.
async function drop(id) {
  letGo(id);
  call('POST', `/api/assignments/${id}/release`, { page }).catch(() => {});
  const task = made.find((item) => item.assignment.id === id && !item.editing && item.frame.isConnected);
  task?.frame.remove();
  if (aside === task) aside = null;
  if (!task || current !== task) return;
  current = null;
  task.clock.stop();
  say('The task that was here is open in another tab now. Here is another one.', 'info');
  await showNext();
}

// Another tab was closed: what it gives back may be for this one, which has nothing else to do.
async function othersChanged() {
  if (!elsewhere || current || leaving) return;
  elsewhere = false;
  await wait(ANSWERS_TAKE);
  if (!current) show(await fetchTask());
}

function count() {
  byId('done').textContent = done;
  byId('left').textContent = Math.max(0, left);
  root.dataset.unsaved = unsaved;
}

// Why there is nothing more here, and what there is elsewhere.
async function explainEmpty() {
  const { status, content } = await callUntilAnswered('GET', '/api/work');
  if (status !== 200) return;
  const here = content.jobs.find((item) => item.name === job);
  // Of what is available, all is held by the worker's own tabs.
  elsewhere = Boolean(here && !here.paused && here.held > 0 && heldElsewhere().size);
  if (elsewhere) {
    byId('empty-title').textContent = 'The rest is open in another tab';
    byId('empty-text').textContent = 'Your other tabs hold the tasks that are left for you in this job. Go on there, or close them.';
    left = here.held;
    count();
  }
  const other = content.jobs.find((item) => item.name !== job && item.available > 0 && !item.paused);
  if (here?.paused) {
    byId('empty-title').textContent = 'You are paused in this job';
    byId('empty-text').textContent = here.paused;
  }
  const link = byId('other-work');
  link.hidden = !other;
  if (other) {
    link.href = `${prefix}/work/${encodeURIComponent(other.name)}`;
    link.textContent = `Go on with “${other.title}”`;
  }
}

// ---- handing in

// One after the other, each until the service has taken or refused it.
function handIn(task, method, path, body, trouble) {
  current = null;
  task.clock.stop();
  task.frame.remove();
  const { id } = task.assignment;
  const answered = handedIn.then(() => callUntilAnswered(method, `/api/assignments/${id}/${path}`, body, trouble))
    .then((result) => { if (!task.editing) letGo(id); return result; });
  handedIn = answered.catch(() => {});
  if (task.editing) { const back = aside; aside = null; show(back); } else showNext();
  return answered;
}

const NOT_SAVED = 'Your answer is not saved yet. Trying again …';

async function submit(task, answerContent) {
  const entry = {
    id: task.assignment.id,
    method: task.editing ? 'PUT' : 'POST',
    body: { answerContent, secondsActive: task.clock.seconds, ...(task.editing ? { revision: task.assignment.revision } : {}) },
  };
  keep(OUTBOX + entry.id, entry);
  if (!task.editing) { done += 1; left -= 1; }
  unsaved += 1;
  count();
  performance.mark('submitted');
  const { status, content } = await handIn(task, entry.method, 'answer', entry.body, NOT_SAVED);
  unsaved -= 1;
  if (status < 300) {
    if (!task.editing) done = content.answeredByMe + unsaved;
    say('');
  } else {
    if (!task.editing) done -= 1;
    if (!content.stored) say(content.message || 'The answer was not taken.');
  }
  count();
  await settle(entry, content);
}

// An answer that the service has seen leaves the outbox. One that contradicts what is stored stays in it until the
// worker has chosen: the page may be closed before.
async function settle(entry, content) {
  if (content.stored && await chooseAnswer(entry, content.stored)) {
    const body = { answerContent: entry.body.answerContent, secondsActive: entry.body.secondsActive };
    const { status, content: changed } = await callUntilAnswered('PUT', `/api/assignments/${entry.id}/answer`, body, NOT_SAVED);
    if (status >= 300) say(changed.message || 'The answer was not taken.');
  }
  forget(OUTBOX + entry.id);
}

// What an earlier page kept because it could not hand it in.
async function sendKept() {
  for (const entry of keptAnswers()) {
    const { status, content } = await callUntilAnswered(entry.method, `/api/assignments/${entry.id}/answer`, entry.body, NOT_SAVED);
    if (!content.stored) forget(OUTBOX + entry.id);
    if (content.stored) settle(entry, content);
    else if (status >= 300) say(`An answer from before: ${content.message || 'it was not taken.'}`);
    else if (typeof content.answeredByMe === 'number') { done = Math.max(done, content.answeredByMe); count(); }
  }
}

// ---- drafts

let draftTimer = 0;
function noteDraft(task, answer) {
  task.draft = answer;
  if (!task.editing) draftTimer ||= setTimeout(() => { draftTimer = 0; if (current?.draft) saveDraft(current); }, DRAFT_EVERY);
}

async function saveDraft(task) {
  const body = { answerContent: task.draft, secondsActive: task.clock.seconds };
  try {
    const { status } = await call('PUT', `/api/assignments/${task.assignment.id}/draft`, body);
    if (status >= 300) return;
    task.kept = true;
    byId('draft').textContent = 'Draft saved';
  } catch { /* the next change tries again */ }
}

// What is filled in right now, also if it was typed a moment ago.
function contentOf(task) {
  return new Promise((resolve) => {
    task.asked = resolve;
    task.frame.contentWindow.postMessage({ trueground: 'collect' }, '*');
    setTimeout(() => resolve(task.draft), 500);
  });
}

// ---- what frames say

// What the browser kept a task from loading: the worker sees it, and can skip a task that lacks something.
function showBlocked(task) {
  const box = byId('blocked');
  box.hidden = !task?.blocked.size;
  box.querySelector('ul').replaceChildren(...[...(task?.blocked || [])].map((what) => {
    const item = document.createElement('li');
    item.textContent = what;
    return item;
  }));
}

const BLOCKED_AT_MOST = 20;
function noteBlocked(source, what) {
  const task = made.find((item) => item.frame.contentWindow === source);
  if (!task || task.blocked.size >= BLOCKED_AT_MOST) return;
  task.blocked.add(what.slice(0, 300));
  if (task === current) showBlocked(task);
}

window.addEventListener('message', (event) => {
  // Any frame on earth may send messages; only our tasks are listened to.
  const message = event.data;
  if (!message || typeof message !== 'object') return;
  if (message.trueground === 'ready') {
    const task = made.find((item) => item.frame.contentWindow === event.source);
    if (task?.restore) event.source.postMessage({ trueground: 'restore', answer: task.restore }, '*');
    return;
  }
  if (message.trueground === 'blocked' && typeof message.what === 'string') { noteBlocked(event.source, message.what); return; }
  if (!current || event.source !== current.frame.contentWindow) return;
  const answer = message.answer && typeof message.answer === 'object' ? message.answer : null;
  if (message.trueground === 'submit' && answer) submit(current, answer);
  if (message.trueground === 'draft' && answer) {
    noteDraft(current, answer);
    if (message.asked) current.asked?.(answer);
  }
  if (message.trueground === 'active') noteInput();
  if (message.trueground === 'pressed' && typeof message.key === 'string') press(message.key);
});
