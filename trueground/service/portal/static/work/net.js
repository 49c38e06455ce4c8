// Talking to the service: again until it answers, and signing in again where the session has run out.

const root = document.getElementById('work');
const { prefix, job, worker } = root.dataset;
let { csrf } = root.dataset;
let clockSkew = 0;               // the service's clock minus ours, in milliseconds
const RETRY = 2000;
const KEEPALIVE_BYTES = 60000;   // what browsers let outlive a page

const byId = (id) => document.getElementById(id);
const wait = (time) => new Promise((resolve) => setTimeout(resolve, time));
const serviceNow = () => Date.now() + clockSkew;

function say(text, kind = 'alert') {
  const notice = byId('notice');
  notice.className = kind;
  notice.hidden = !text;
  notice.textContent = text || '';
}

async function call(method, path, body) {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const answer = await fetch(prefix + path, {
    method,
    headers: { 'Content-Type': 'application/json', 'X-CSRF-Token': csrf },
    body: text,
    // Somebody who submits and leaves at once must not take the answer along.
    keepalive: text !== undefined && text.length < KEEPALIVE_BYTES,
  });
  const date = Date.parse(answer.headers.get('Date'));
  // The header has whole seconds: clocks that differ by less agree.
  if (date) clockSkew = Math.abs(date - Date.now()) < 2000 ? 0 : date - Date.now();
  const content = answer.status === 204 ? {} : await answer.json().catch(() => ({}));
  return { status: answer.status, content };
}

// Ask until there is an answer: a service that is restarted must not lose a worker's place, nor a session that ends.
async function callUntilAnswered(method, path, body, trouble = 'No connection. Trying again …') {
  let renewed = false;
  for (;;) {
    try {
      const result = await call(method, path, body);
      if (result.status === 401) { await signInAgain(); continue; }
      if (result.status === 403 && !renewed) {
        // Signing in again in another tab made the page's token old.
        renewed = true;
        if (!await sessionIsOurs()) await signInAgain();
        continue;
      }
      if (result.status < 500 && result.status !== 429) {
        if (byId('notice').textContent === trouble) say('');
        return result;
      }
    } catch { /* no connection */ }
    say(trouble);
    await wait(RETRY);
  }
}

// Whether the browser has a session of this page's worker; takes its token.
async function sessionIsOurs() {
  const { status, content } = await call('GET', '/api/session');
  if (status !== 200) return false;
  if (content.worker.username !== worker) {
    byId('signin-problem').textContent = `This browser is now signed in as ${content.worker.username}. Sign in as ${worker} to hand in what this page keeps.`;
    byId('signin-problem').hidden = false;
    return false;
  }
  if (content.csrfToken) csrf = content.csrfToken;
  return true;
}

let signingIn = null;
function signInAgain() {
  signingIn ??= askToSignIn().finally(() => { signingIn = null; });
  return signingIn;
}

function askToSignIn() {
  const dialog = byId('signin-dialog');
  const form = dialog.querySelector('form');
  const problem = byId('signin-problem');
  problem.hidden = true;
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => {
    const finish = () => {
      clearInterval(timer);
      form.removeEventListener('submit', submit);
      form.reset();
      dialog.close();
      resolve();
    };
    const look = async () => {
      try { if (await sessionIsOurs()) finish(); } catch { /* no connection: look again later */ }
    };
    // They may sign in in another tab as well.
    const timer = setInterval(() => { if (!document.hidden) look(); }, 3000);
    const submit = async (event) => {
      event.preventDefault();
      problem.hidden = true;
      try {
        const { status, content } = await call('POST', '/api/session', { username: worker, password: form.password.value });
        if (status === 200) { await look(); return; }
        problem.textContent = content.message || 'Signing in did not work.';
      } catch { problem.textContent = 'No connection. Try again.'; }
      problem.hidden = false;
      form.password.select();
    };
    form.addEventListener('submit', submit);
  });
}
byId('signin-dialog').addEventListener('cancel', (event) => event.preventDefault());
