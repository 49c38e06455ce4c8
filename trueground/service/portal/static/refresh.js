// Keeps a part of a page fresh: the element with data-refresh="seconds" takes its content from a new copy of the page.
'use strict';
const part = document.querySelector('[data-refresh]');

async function refresh() {
  if (!document.hidden) {
    try {
      const answer = await fetch(location.href, { headers: { Accept: 'text/html' } });
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      const fresh = page.querySelector('[data-refresh]');
      if (!answer.ok || !fresh) { location.reload(); return; }
      if (fresh.innerHTML !== part.innerHTML) part.innerHTML = fresh.innerHTML;
      part.dataset.refresh = fresh.dataset.refresh;
    } catch { /* The service is away for a moment: the page stays as it is. */ }
  }
  plan();
}

function plan() {
  const seconds = Number(part.dataset.refresh);
  if (seconds > 0) setTimeout(refresh, seconds * 1000);
}

if (part) plan();
