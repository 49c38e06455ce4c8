// crowd-form: collects what is named inside it, and hands the answer to the page around the frame.

class CrowdForm extends CrowdElement {
  build() {
    this.form = element('form', { noValidate: false });
    this.form.append(...this.childNodes);
    this.append(this.form);
    if (this.hasAttribute('onsubmit')) {
      this.form.setAttribute('onsubmit', this.getAttribute('onsubmit'));
      this.removeAttribute('onsubmit');
    }
    if (!this.form.querySelector('button[type=submit], input[type=submit], crowd-button[form-action=submit]')
        && !this.form.querySelector('[data-brings-submit]')) {
      const own = this.querySelector('crowd-classifier, crowd-image-classifier, crowd-textract-analyze-document, crowd-rekognition-detect-moderation-labels');
      if (!own) this.form.append(element('crowd-button', { 'form-action': 'submit', textContent: 'Submit' }));
    }
    this.form.addEventListener('submit', (event) => {
      if (event.defaultPrevented) return;
      event.preventDefault();
      // A template's own listener may be added later than this one, and may still say no.
      queueMicrotask(() => { if (!this.refused) this.send(); this.refused = false; });
    });
    // On release: submitting takes this frame away, and a key that is still down would be lost with it.
    document.addEventListener('keydown', (event) => {
      const typing = event.target.closest?.('input, textarea, select');
      const own = event.target.closest?.('button, a, dialog');
      this.entering = event.key === 'Enter' && !own && (!typing || event.ctrlKey || event.metaKey);
      if (this.entering) event.preventDefault();
    });
    document.addEventListener('keyup', (event) => {
      if (event.key === 'Enter' && this.entering) { this.entering = false; this.submit(); }
    });
  }

  // Both names occur in templates.
  submit() { this.form.requestSubmit(); }
  requestSubmit() { this.submit(); }

  addEventListener(type, listener, options) {
    if (type !== 'submit') { super.addEventListener(type, listener, options); return; }
    super.addEventListener(type, (event) => { listener.call(this, event); if (event.defaultPrevented) this.refused = true; }, { ...options, capture: true });
  }

  collect() {
    const answer = {};
    for (const field of new FormData(this.form)) {
      const [name, value] = field;
      if (name && typeof value === 'string') answer[name] = value;
    }
    for (const item of submittable) {
      if (!this.contains(item)) continue;
      const value = item.value;
      if (value === null || value === undefined) continue;
      const both = typeof value === 'object' && typeof answer[item.name] === 'object';
      answer[item.name] = both ? { ...answer[item.name], ...value } : value;
    }
    return answer;
  }

  send() {
    if (this.sent) return;
    for (const item of submittable) {
      if (this.contains(item) && item.missing) { item.hint(item.missing); return; }
    }
    this.sent = true;
    const answer = this.collect();
    this.dispatchEvent(new CustomEvent('crowd-submit', { detail: answer }));
    tellPage({ trueground: 'submit', answer });
  }

  // Shows an earlier answer, or a draft, in the fields that gave it.
  restore(answer) {
    for (const item of submittable) {
      if (this.contains(item) && item.name in answer) item.restore(answer[item.name]);
    }
    for (const field of this.form.elements) {
      if (field.name && (typeof answer[field.name] === 'string' || field.type === 'checkbox')) restoreField(field, answer[field.name]);
    }
  }
}

function restoreField(field, value) {
  if (field.type === 'file') return;
  if (field.type === 'radio' || field.type === 'checkbox') field.checked = field.value === value;
  else field.value = value;
  // The template's own scripts may draw from it.
  for (const type of ['input', 'change']) field.dispatchEvent(new Event(type, { bubbles: true }));
}

// What is typed and chosen goes to the page, which keeps it: shortly after the last change, or at once when it asks.
let draftTimer = 0;
function sendDraft(asked = false) {
  clearTimeout(draftTimer);
  const form = document.querySelector('crowd-form');
  if (form?.form && !form.sent) tellPage({ trueground: 'draft', answer: form.collect(), asked });
}
for (const type of ['input', 'change']) {
  document.addEventListener(type, (event) => {
    if (restoring) return;
    clearTimeout(draftTimer);
    draftTimer = setTimeout(sendDraft, 400);
  });
}

let restoring = false;
window.addEventListener('message', (event) => {
  if (event.source !== window.parent) return;
  if (event.data?.trueground === 'collect') sendDraft(true);
  if (event.data?.trueground === 'restore' && event.data.answer && typeof event.data.answer === 'object') {
    restoring = true;
    document.querySelector('crowd-form')?.restore(event.data.answer);
    restoring = false;
  }
});

class CrowdButton extends CrowdElement {
  build() {
    const action = this.getAttribute('form-action') || 'submit';
    this.button = element('button', { type: action === 'none' ? 'button' : action, disabled: this.hasAttribute('disabled') });
    this.button.append(...this.childNodes);
    this.button.style.cssText = 'font: inherit; font-weight: 600; padding: 10px 22px; border: 0; border-radius: 8px;'
      + 'background: var(--accent); color: var(--on-accent); cursor: pointer; margin-top: 14px;';
    this.append(this.button);
  }
}

customElements.define('crowd-form', CrowdForm);
customElements.define('crowd-button', CrowdButton);
