// Coming and going. Leaving gives back what was fetched: nobody should wait for a lease of someone who has gone. What
// somebody has begun to fill in stays theirs, and is there when they come back.

window.addEventListener('pagehide', async () => {
  if (leaving) return;
  leaving = true;
  const giveBack = (task) => task && !task.kept && call('POST', `/api/assignments/${task.assignment.id}/release`, {}).catch(() => {});
  for (const task of [current, aside]) {
    if (!task || task.editing) continue;
    if (task.draft) {
      keep(BEGUN, { id: task.assignment.id, draft: { answerContent: task.draft, secondsActive: task.clock.seconds } });
      saveDraft(task);
    } else giveBack(task);
  }
  giveBack(await ahead);
});
window.addEventListener('beforeunload', (event) => { if (unsaved) event.preventDefault(); });
window.addEventListener('pageshow', (event) => { if (event.persisted) location.reload(); });

async function begin() {
  await sendKept();
  const wanted = new URLSearchParams(location.search).get('resume');
  const resumed = wanted ? await resumedTask(wanted) : null;
  const [first, second] = resumed ? [resumed] : await begunTasks();   // nobody holds more than two
  if (second) ahead = second;
  show(first ?? await fetchTask());
}
