// The worker's other tabs: which tasks they hold, so that no two of them show the same one. A task belongs to the tab
// that took it last; any other drops it. Tabs of another browser are not known here: what both answer, the service
// tells as a conflict.

const ANSWERS_TAKE = 400;        // what a tab may need to answer, in milliseconds
const page = [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
const holding = new Map();       // what this tab holds: the assignment's id, and when it took it
const tabs = new Map();          // what other tabs hold: the tab's page, and its ids
const channel = 'BroadcastChannel' in window ? new BroadcastChannel(`trueground ${prefix} ${worker}`) : null;

function announce() { channel?.postMessage({ page, holding: [...holding] }); }

function hold(id) { holding.set(id, Date.now()); announce(); }

function letGo(id) { if (holding.delete(id)) announce(); }

const heldElsewhere = () => new Set([...tabs.values()].flat());

// Resolved when every tab that can has said what it holds.
function askTabs() {
  channel?.postMessage({ page, asks: true });
  return channel ? wait(ANSWERS_TAKE) : Promise.resolve();
}

channel?.addEventListener('message', ({ data }) => {
  if (data.asks) { announce(); return; }
  if (data.gone) { if (tabs.delete(data.page)) othersChanged(); return; }
  tabs.set(data.page, data.holding.map(([id]) => id));
  for (const [id, since] of data.holding) {
    const mine = holding.get(id);
    if (mine === undefined) continue;
    if (since > mine || (since === mine && data.page > page)) drop(id);
    else announce();
  }
});
