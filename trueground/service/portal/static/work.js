// The work page: one task on the screen, the next one loaded behind it, answers handed in while the next is shown.
'use strict';

const root = document.getElementById('work');
const frames = document.getElementById('frames');
const notice = document.getElementById('notice');
const { prefix, job, csrf } = root.dataset;
const RETRY = 2000;
const KEEPALIVE_BYTES = 60000;   // what browsers let outlive a page

let current = null;   // { assignment, frame, seconds, since }
let ahead = null;     // the next task, or a promise of it while it is fetched
let done = Number(root.dataset.done);
let left = Number(root.dataset.left);
let handedIn = Promise.resolve();   // what was answered or given back is with the service
let leaving = false;
let unsaved = 0;      // answers on their way to the service

async function call(path, body) {
  const text = JSON.stringify(body);
  const answer = await fetch(prefix + path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-CSRF-Token': csrf },
    body: text,
    // Somebody who submits and leaves at once must not take the answer along.
    keepalive: text.length < KEEPALIVE_BYTES,
  });
  if (answer.status === 401) { location.href = `${prefix}/signin?next=${encodeURIComponent(location.pathname)}`; throw new Error('signed out'); }
  const content = answer.status === 204 ? {} : await answer.json().catch(() => ({}));
  return { status: answer.status, content };
}

function say(text) {
  notice.hidden = !text;
  notice.textContent = text || '';
}

const wait = (time) => new Promise((resolve) => setTimeout(resolve, time));

// Ask until there is an answer: a service that is restarted must not lose a worker's place.
async function callUntilAnswered(path, body, trouble) {
  for (;;) {
    try {
      const result = await call(path, body);
      if (result.status < 500) { if (notice.textContent === trouble) say(''); return result; }
    } catch (error) { if (error.message === 'signed out') throw error; }
    say(trouble);
    await wait(RETRY);
  }
}

async function fetchTask() {
  const { content } = await callUntilAnswered('/api/work/next', { job }, 'No connection. Trying again …');
  const assignment = content.assignment;
  if (!assignment || (current && current.assignment.id === assignment.id)) return null;
  const frame = document.createElement('iframe');
  // No allow-same-origin: the template must not reach this page, its cookies or another task.
  frame.setAttribute('sandbox', 'allow-scripts allow-forms');
  frame.title = 'Task';
  frame.className = 'ahead';
  frame.src = assignment.frameUrl;
  frames.append(frame);
  return { assignment, frame, seconds: 0, since: null };
}

function show(task) {
  current = task;
  document.getElementById('empty').hidden = Boolean(task);
  frames.hidden = !task;
  document.getElementById('release').disabled = !task;
  frames.querySelector('.loading')?.remove();
  if (!task) { left = 0; count(); return; }
  task.frame.className = '';
  performance.mark('revealed');
  task.since = document.hidden ? null : performance.now();
  ahead = fetchWhenHandedIn();
}

// Not before: the service would count the task that is being handed in as still held, and give it out again.
function fetchWhenHandedIn() { return handedIn.then(fetchTask); }

async function showNext() {
  const task = await ahead ?? await fetchWhenHandedIn();
  show(task);
}

function count() {
  document.getElementById('done').textContent = done;
  document.getElementById('left').textContent = Math.max(0, left);
  root.dataset.unsaved = unsaved;
}

// Time is work time only while the page can be seen.
function pauseClock(task) {
  if (task?.since != null) { task.seconds += (performance.now() - task.since) / 1000; task.since = null; }
}
document.addEventListener('visibilitychange', () => {
  if (document.hidden) pauseClock(current);
  else if (current) current.since = performance.now();
});

// One after the other, each until the service has taken or refused it.
function handIn(task, path, body, trouble) {
  current = null;
  task.frame.remove();
  const answered = handedIn.then(() => callUntilAnswered(`/api/assignments/${task.assignment.id}/${path}`, body, trouble));
  handedIn = answered.catch(() => {});
  showNext();
  return answered;
}

async function submit(task, answerContent) {
  pauseClock(task);
  done += 1; left -= 1; unsaved += 1; count();
  performance.mark('submitted');
  const body = { answerContent, secondsActive: task.seconds };
  const { status, content } = await handIn(task, 'answer', body, 'Your answer is not saved yet. Trying again …');
  unsaved -= 1;
  if (status === 200) { done = content.answeredByMe + unsaved; say(''); } else { done -= 1; say(content.message || 'The answer was not taken.'); }
  count();
}

window.addEventListener('message', (event) => {
  // Any frame on earth may send messages; only the task on the screen is listened to.
  if (!current || event.source !== current.frame.contentWindow) return;
  const message = event.data;
  if (message && message.trueground === 'submit' && message.answer && typeof message.answer === 'object') {
    submit(current, message.answer);
  }
});

document.getElementById('release').addEventListener('click', () => {
  if (current) handIn(current, 'release', {}, 'No connection. Trying again …');
});

// The focus stays on this page, and the keys that tasks use go on to the task on the screen. Moving the focus from frame
// to frame instead takes the browser a moment, in which keys of somebody quick reach the task that is gone.
document.addEventListener('keydown', (event) => {
  if (!current || event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.closest('a, button')) return;
  if (/^[0-9]$|^Enter$/.test(event.key)) {
    event.preventDefault();
    current.frame.contentWindow.postMessage({ trueground: 'key', key: event.key }, '*');
  }
});

// Leaving gives back what was fetched: nobody should wait for a lease of someone who has gone.
window.addEventListener('pagehide', async () => {
  if (leaving) return;
  leaving = true;
  const giveBack = (task) => task && call(`/api/assignments/${task.assignment.id}/release`, {}).catch(() => {});
  giveBack(current);
  giveBack(await ahead);
});
window.addEventListener('beforeunload', (event) => { if (unsaved) event.preventDefault(); });
window.addEventListener('pageshow', (event) => { if (event.persisted) location.reload(); });

fetchTask().then(show);
