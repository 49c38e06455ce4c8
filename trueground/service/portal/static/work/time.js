// The time that is left for a task, and the time that somebody was at it.

const WARN_SECONDS = 60;

function noteInput() {
  if (root.hasAttribute('data-idle')) byId('draft').textContent = '';
  current?.clock.touch();
}

document.addEventListener('visibilitychange', () => {
  if (document.hidden) current?.clock.stop(); else current?.clock.start();
});
for (const type of ['pointerdown', 'pointermove', 'keydown', 'wheel']) {
  document.addEventListener(type, noteInput, { capture: true, passive: true });
}

function tick() {
  const time = byId('time');
  const seconds = current ? (current.expires - serviceNow()) / 1000 : Infinity;
  time.hidden = !Number.isFinite(seconds);
  if (root.toggleAttribute('data-idle', Boolean(current?.clock.idle))) byId('draft').textContent = 'Your time stands still';
  if (time.hidden) return;
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const shown = parts[0] ? parts : parts.slice(1);
  time.textContent = `${shown[0]}:${shown.slice(1).map((part) => String(part).padStart(2, '0')).join(':')} left`;
  time.classList.toggle('soon', seconds < WARN_SECONDS);
  if (seconds < WARN_SECONDS && !current.warned && current.wholeTime > 2000 * WARN_SECONDS) {
    current.warned = true;
    say('Less than a minute is left for this task. Submit it, or pause to keep what you have filled in.');
  }
  if (seconds <= 0) runOut();
}
setInterval(tick, 1000);

// Nobody seems to be there: no further task is taken until somebody asks for one.
async function runOut() {
  const task = current;
  current = null;
  letGo(task.assignment.id);
  task.frame.remove();
  byId('empty-title').textContent = 'The time for this task is over';
  byId('empty-text').textContent = 'It went back to the others, and was not handed in.';
  byId('go-on').hidden = false;
  byId('empty').hidden = false;
  frames.hidden = true;
  for (const button of document.querySelectorAll('[data-needs-task]')) button.disabled = true;
  byId('time').hidden = true;
  say('');
  const next = await ahead;
  ahead = null;
  if (next) { next.frame.remove(); letGo(next.assignment.id); call('POST', `/api/assignments/${next.assignment.id}/release`, {}).catch(() => {}); }
}
