// The work page: one task on the screen, the next one loaded behind it, answers handed in while the next is shown.
'use strict';

const root = document.getElementById('work');
const frames = document.getElementById('frames');
const notice = document.getElementById('notice');
const { prefix, job, csrf } = root.dataset;
const RETRY = 2000;

let current = null;   // { assignment, frame, seconds, since }
let ahead = null;     // the next task, or a promise of it while it is fetched
let done = Number(root.dataset.done);
let left = Number(root.dataset.left);
let leaving = false;

async function call(path, body, options = {}) {
  const answer = await fetch(prefix + path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-CSRF-Token': csrf },
    body: JSON.stringify(body),
    ...options,
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
  // A frame that is still empty loses the focus it was given when its document arrives.
  frame.addEventListener('load', () => { if (current?.frame === frame) frame.focus(); });
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
  task.frame.focus();
  performance.mark('revealed');
  task.since = document.hidden ? null : performance.now();
  ahead = fetchTask();
}

async function showNext() {
  const task = await ahead ?? await fetchTask();
  show(task);
}

function count() {
  document.getElementById('done').textContent = done;
  document.getElementById('left').textContent = Math.max(0, left);
}

// Time is work time only while the page can be seen.
function pauseClock(task) {
  if (task?.since != null) { task.seconds += (performance.now() - task.since) / 1000; task.since = null; }
}
document.addEventListener('visibilitychange', () => {
  if (document.hidden) pauseClock(current);
  else if (current) current.since = performance.now();
});

async function submit(task, answerContent) {
  pauseClock(task);
  current = null;
  task.frame.remove();
  done += 1; left -= 1; count();
  performance.mark('submitted');
  const shown = showNext();
  const path = `/api/assignments/${task.assignment.id}/answer`;
  const { status, content } = await callUntilAnswered(
    path, { answerContent, secondsActive: task.seconds }, 'Your answer is not saved yet. Trying again …');
  if (status === 200) { done = content.answeredByMe; say(''); } else { done -= 1; say(content.message || 'The answer was not taken.'); }
  count();
  await shown;
}

window.addEventListener('message', (event) => {
  // Any frame on earth may send messages; only the task on the screen is listened to.
  if (!current || event.source !== current.frame.contentWindow) return;
  const message = event.data;
  if (message && message.trueground === 'submit' && message.answer && typeof message.answer === 'object') {
    submit(current, message.answer);
  }
});

document.getElementById('release').addEventListener('click', async () => {
  const task = current;
  if (!task) return;
  current = null;
  task.frame.remove();
  // Fetched before the release, so that the same task does not come straight back.
  const shown = showNext();
  await callUntilAnswered(`/api/assignments/${task.assignment.id}/release`, {}, 'No connection. Trying again …');
  await shown;
});

// Keys work wherever the focus is: those that this page does not use itself go on to the task.
document.addEventListener('keydown', (event) => {
  if (!current || event.ctrlKey || event.metaKey || event.altKey || event.target.closest('a, button')) return;
  if (/^[0-9]$|^Enter$/.test(event.key)) {
    event.preventDefault();
    current.frame.contentWindow.postMessage({ trueground: 'key', key: event.key }, '*');
    current.frame.focus();
  }
});

// Leaving gives back what was fetched: nobody should wait for a lease of someone who has gone.
window.addEventListener('pagehide', async () => {
  if (leaving) return;
  leaving = true;
  const giveBack = (task) => task && call(`/api/assignments/${task.assignment.id}/release`, {}, { keepalive: true }).catch(() => {});
  giveBack(current);
  giveBack(await ahead);
});
window.addEventListener('pageshow', (event) => { if (event.persisted) location.reload(); });

fetchTask().then(show);
