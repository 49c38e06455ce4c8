// The task page in Mechanical Turk's frame: our service keeps the answer first, then Mechanical Turk is told.
'use strict';

const root = document.getElementById('turk');
const notice = document.getElementById('notice');
const form = document.getElementById('external');
const task = document.querySelector('iframe');
const RETRY = 2000;

let seconds = 0;
let since = document.hidden ? null : performance.now();
let sending = false;

// Time is work time only while the page can be seen.
document.addEventListener('visibilitychange', () => {
  if (document.hidden) { if (since !== null) seconds += (performance.now() - since) / 1000; since = null; }
  else since = performance.now();
});

function say(text) {
  notice.hidden = !text;
  notice.textContent = text;
}

async function messageOf(answer) {
  try { return (await answer.json()).message; } catch { return 'The answer was not taken.'; }
}

async function handIn(answerContent) {
  if (sending) return;
  sending = true;
  const secondsActive = seconds + (since === null ? 0 : (performance.now() - since) / 1000);
  const body = JSON.stringify({ place: root.dataset.place, answerContent, secondsActive });
  for (;;) {
    try {
      const answer = await fetch(root.dataset.answer, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
      if (answer.ok) break;
      if (answer.status === 409) { say('The time for this task is over. Please return the HIT.'); return; }
      if (answer.status < 500) { sending = false; say(`${await messageOf(answer)} Please return the HIT if you cannot answer it.`); return; }
    } catch (error) { /* No connection: the answer is still here, so try again. */ }
    say('Your answer is not saved yet. Trying again …');
    await new Promise((resolve) => setTimeout(resolve, RETRY));
  }
  say('Saved. Handing in the HIT …');
  form.hidden = false;
  form.submit();
}

window.addEventListener('message', (event) => {
  // Only the task in the frame is listened to.
  if (!task || event.source !== task.contentWindow) return;
  const message = event.data;
  if (message?.trueground === 'blocked') document.getElementById('blocked').hidden = false;
  if (form && message?.trueground === 'submit' && message.answer && typeof message.answer === 'object') handIn(message.answer);
});
