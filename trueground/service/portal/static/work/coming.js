// Coming and going. Leaving gives back what was fetched: nobody should wait for a lease of someone who has gone. What
// somebody has begun to fill in stays theirs, and is there when they come back.

window.addEventListener('pagehide', async () => {
  if (leaving) return;
  leaving = true;
  channel?.postMessage({ page, gone: true });
  // Only what no other page of the worker shows: the service knows them all.
  const leave = (task) => {
    if (!task || task.editing || !holding.has(task.assignment.id)) return;
    const { id } = task.assignment;
    if (task.draft) keep(BEGUN + id, { answerContent: task.draft, secondsActive: task.clock.seconds, at: Date.now() });
    if (task.draft) saveDraft(task);
    call('POST', `/api/assignments/${id}/release`, { page, keep: Boolean(task.draft || task.kept) }).catch(() => {});
  };
  leave(current);
  leave(aside);
  leave(await ahead);
});
window.addEventListener('beforeunload', (event) => { if (unsaved) event.preventDefault(); });
window.addEventListener('pageshow', (event) => { if (event.persisted) location.reload(); });

const BACK = 'Go on where you were: this task was still open.';
const BACK_AND_ELSEWHERE = `${BACK} If it is open in another browser too, only one answer counts.`;

async function begin() {
  const tabsAnswered = askTabs();
  await sendKept();
  const wanted = new URLSearchParams(location.search).get('resume');
  const resumed = wanted ? await resumedTask(wanted) : null;
  const [first, second] = resumed ? [resumed] : await heldTasks(tabsAnswered);
  if (second) ahead = second;
  show(first ?? await fetchTask());
  if (first?.assignment.again) say(first.assignment.openElsewhere ? BACK_AND_ELSEWHERE : BACK, 'info');
}
