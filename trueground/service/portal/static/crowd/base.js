// What every crowd element shares.

const submittable = new Set();

// Each brings its own Submit button; as on AWS it makes a form around itself where the template has none.
const WHOLE_TASKS = [
  'crowd-classifier', 'crowd-image-classifier', 'crowd-rekognition-detect-moderation-labels', 'crowd-textract-analyze-document',
];

class CrowdElement extends HTMLElement {
  // Children are parsed after the opening tag: build once the whole document is there.
  connectedCallback() {
    if (this.built) return;
    this.built = true;
    if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', () => this.make());
    else this.make();
  }

  make() {
    this.build();
    this.ready = true;
    for (const name of this.constructor.observedAttributes || []) if (this.hasAttribute(name)) this.refresh(name);
  }

  build() {}

  // Attributes may change at any time; what they say is shown again.
  attributeChangedCallback(name) { if (this.ready) this.refresh(name); }
  refresh(name) {}

  get name() { return this.getAttribute('name') || this.localName; }
  set name(text) { this.setAttribute('name', text); }

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

// Attributes that are properties too, whichever of the two is set. A class may have an accessor of its own.
function reflect(kind, flags, texts = []) {
  kind.observedAttributes = [...flags, ...texts];
  const define = (name, accessor) => {
    if (!(name in kind.prototype)) Object.defineProperty(kind.prototype, name, { ...accessor, configurable: true });
  };
  for (const name of flags) {
    define(name, { get() { return this.hasAttribute(name); }, set(on) { this.toggleAttribute(name, Boolean(on)); } });
  }
  for (const name of texts) {
    const property = name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
    define(property, { get() { return this.getAttribute(name) ?? ''; }, set(text) { this.setAttribute(name, text ?? ''); } });
  }
}

// An element whose output becomes part of the answer. Subclasses have `output`; null leaves it out. What scripts of
// templates know as its `value` may be something else.
class CrowdInput extends CrowdElement {
  connectedCallback() { submittable.add(this); super.connectedCallback(); }
  disconnectedCallback() { submittable.delete(this); }
  get output() { return null; }
  get _submittableValue() { return this.output; }
  get missing() { return null; }   // what the worker still has to do, or null
  restore(output) {}               // shows what `output` gave before
  reset() {}                       // as it was when the page was loaded
  focus(options) { if (this.field) this.field.focus(options); else super.focus(options); }
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

// Before anything is built: the form is there when its element looks for it.
document.addEventListener('DOMContentLoaded', () => {
  const task = document.querySelector('crowd-form') ? null : document.querySelector(WHOLE_TASKS.join());
  if (!task) return;
  const [form, place] = [document.createElement('crowd-form'), document.createComment('')];
  task.replaceWith(place);
  form.append(task);
  place.replaceWith(form);
});

// After everything is built, tell the template's own scripts, and the page, which may have an earlier answer to show.
document.addEventListener('DOMContentLoaded', () => setTimeout(() => {
  document.dispatchEvent(new CustomEvent('all-crowd-elements-ready'));
  tellPage({ trueground: 'ready' });
}));

// What the browser does not let the template do is not silent: the page around it shows it.
const DIRECTIVES = {
  'img-src': 'an image', 'media-src': 'a video or sound', 'script-src-elem': 'a script', 'style-src-elem': 'a style', 'font-src': 'a font',
  'frame-src': 'a page in a frame', 'object-src': 'an embedded document', 'connect-src': 'a request', 'form-action': 'a form to another page',
};
document.addEventListener('securitypolicyviolation', (event) => {
  const kind = DIRECTIVES[event.effectiveDirective] || event.effectiveDirective;
  tellPage({ trueground: 'blocked', what: `${kind}: ${event.blockedURI}` });
});

// A link that would take the task away opens a new tab.
window.addEventListener('click', (event) => {
  const link = event.composedPath().find((item) => item.localName === 'a' && item.href);
  if (link && !link.getAttribute('href').startsWith('#') && link.protocol !== 'javascript:') {
    if (!link.target || ['_self', '_parent', '_top'].includes(link.target)) link.target = '_blank';
    link.relList.add('noopener');
  }
}, { capture: true });

// Some browsers show no documents within a sandbox: each that a frame shows can be opened by itself.
document.addEventListener('DOMContentLoaded', () => {
  for (const frame of document.querySelectorAll('iframe[src*="/media/"]')) {
    const link = element('a', { href: frame.src, target: '_blank', rel: 'noopener', textContent: 'Open in a new tab' });
    link.style.cssText = 'display: block; margin: 4px 0 12px; color: var(--accent);';
    frame.after(link);
  }
});

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
