// What every crowd element shares.

const submittable = new Set();

class CrowdElement extends HTMLElement {
  // Children are parsed after the opening tag: build once the whole document is there.
  connectedCallback() {
    if (this.built) return;
    this.built = true;
    if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', () => this.build());
    else this.build();
  }

  build() {}

  get name() { return this.getAttribute('name') || this.localName; }

  relaxed(attribute, otherwise) {
    const text = this.getAttribute(attribute);
    if (!text) return otherwise;
    try { return parseRelaxed(text); } catch (error) {
      this.complain(`The attribute ${attribute} cannot be read: ${error.message}`);
      return otherwise;
    }
  }

  complain(message) {
    const box = element('p', { role: 'alert', textContent: `${this.localName}: ${message}` });
    box.style.cssText = 'color: var(--bad); font-weight: 600;';
    this.prepend(box);
  }
}

// An element whose output becomes part of the answer. Subclasses have `value`; null leaves it out.
class CrowdInput extends CrowdElement {
  connectedCallback() { submittable.add(this); super.connectedCallback(); }
  disconnectedCallback() { submittable.delete(this); }
  get value() { return null; }
  get missing() { return null; }   // what the worker still has to do, or null
  restore(value) {}                // shows what `value` gave before
  hint(text) {
    if (!this.hintBox) {
      this.hintBox = this.appendChild(element('p', { role: 'status' }));
      this.hintBox.style.cssText = 'color: var(--bad); margin: 4px 0;';
      this.addEventListener('input', () => { this.hintBox.textContent = ''; });
    }
    this.hintBox.textContent = text;
    this.scrollIntoView({ block: 'nearest' });
  }
}

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made && key !== 'role') made[key] = value; else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// The page around the frame; a frame that stands alone has none.
function tellPage(message) { if (window.parent !== window) window.parent.postMessage(message, '*'); }

// After everything is built, tell the template's own scripts, and the page, which may have an earlier answer to show.
document.addEventListener('DOMContentLoaded', () => setTimeout(() => {
  document.dispatchEvent(new CustomEvent('all-crowd-elements-ready'));
  tellPage({ trueground: 'ready' });
}));

// Keys that the page around the frame passes on.
window.addEventListener('message', (event) => {
  if (event.source === window.parent && event.data?.trueground === 'key') {
    for (const type of ['keydown', 'keyup']) {
      document.body.dispatchEvent(new KeyboardEvent(type, { key: event.data.key, bubbles: true, cancelable: true }));
    }
  }
});

// And those of the page itself, pressed while the focus is in here.
document.addEventListener('keydown', (event) => {
  const typing = event.composedPath()[0].matches?.('input, textarea, select, [contenteditable]');
  if (!event.isTrusted || event.defaultPrevented || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === '?' || (event.shiftKey && /^[A-Z]$/.test(event.key))) tellPage({ trueground: 'pressed', key: event.key });
});

// Somebody is at work here: moving, typing, or watching something that plays.
let lastActivity = -Infinity;
function noteActivity() {
  if (performance.now() - lastActivity < 1000) return;
  lastActivity = performance.now();
  tellPage({ trueground: 'active' });
}
for (const type of ['pointerdown', 'pointermove', 'keydown', 'wheel', 'scroll', 'timeupdate']) {
  document.addEventListener(type, (event) => { if (event.isTrusted) noteActivity(); }, { capture: true, passive: true });
}
