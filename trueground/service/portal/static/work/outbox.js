// Answers on their way, kept in the browser until the service has taken or refused them: a page that is closed, a
// browser that crashes and a session that runs out lose none.

const OUTBOX = `trueground-answer ${prefix} ${worker} `;
const BEGUN = `trueground-begun ${prefix} ${worker} `;

function keep(key, value) {
  // Without storage (switched off, or full) it still lives in this page.
  try { localStorage.setItem(key, JSON.stringify(value)); } catch { /* nothing to keep it in */ }
}

function forget(key) {
  try { localStorage.removeItem(key); } catch { /* nothing was kept */ }
}

// A task that was left half done, whose draft may still be on its way to the service when the next page asks for it.
function takeBegun(id) {
  try {
    const begun = JSON.parse(localStorage.getItem(BEGUN + id));
    localStorage.removeItem(BEGUN + id);
    return begun;
  } catch { return null; }
}

const BEGUN_DAYS = 30;
try {
  for (const key of Object.keys(localStorage).filter((name) => name.startsWith(BEGUN))) {
    if (!(JSON.parse(localStorage.getItem(key)).at > Date.now() - BEGUN_DAYS * 86_400_000)) forget(key);
  }
} catch { /* no storage */ }

// What an earlier page of this worker could not hand in.
function keptAnswers() {
  try {
    return Object.keys(localStorage).filter((key) => key.startsWith(OUTBOX)).map((key) => JSON.parse(localStorage.getItem(key)));
  } catch { return []; }
}
