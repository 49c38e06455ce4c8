// crowd-form: collects what is named inside it, and hands the answer to the page around the frame.

const SUBMITS = 'button[type=submit], button[name]:not([type]), input[type=submit], input[type=image], crowd-button[form-action=submit]';
// A button that says nothing of submitting, such as "Add", is for the template's own script.
const PLAIN_BUTTON = 'button:not([type]):not([name])';

class CrowdForm extends CrowdElement {
  build() {
    this.form = element('form');
    this.form.append(...this.childNodes);
    this.append(this.form);
    this.form.querySelectorAll(PLAIN_BUTTON).forEach((button) => { button.type = 'button'; });
    for (const form of this.forms) form.submit = () => this.submit();
    if (!this.form.querySelector(`${SUBMITS}, ${WHOLE_TASKS.join()}`)) {
      this.form.append(element('crowd-button', { 'form-action': 'submit', textContent: 'Submit' }));
    }
    this.form.addEventListener('reset', () => setTimeout(() => this.items.forEach((item) => item.reset())));
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

  // A template may have forms of its own inside this one; their fields are part of the answer too.
  get forms() { return [this.form, ...this.form.querySelectorAll('form')]; }
  get items() { return [...submittable].filter((item) => this.contains(item)); }

  // Both names occur in templates. A handler of `submit` that calls it means that the answer shall go.
  submit() { if (this.asking) this.agreed = true; else this.form.requestSubmit(); }
  requestSubmit() { this.submit(); }

  reset() { this.forms.forEach((form) => form.reset()); }

  // The template's handlers come first, wherever they are (on this element, its form or the document): they may fill in
  // fields, or say no. Only then the answer is collected.
  ask(submitter) {
    if (this.sent || this.asking) return;
    if (!submitter?.formNoValidate && !this.forms.every((form) => form.noValidate || form.reportValidity())) return;
    this.asking = true;
    this.agreed = false;
    const goes = this.form.dispatchEvent(new SubmitEvent('submit', { bubbles: true, cancelable: true, submitter }));
    this.asking = false;
    if (goes || this.agreed) this.send(submitter);
  }

  send(submitter) {
    for (const item of this.items) {
      if (item.missing) { item.hint(item.missing); return; }
    }
    const answer = this.collect(submitter);
    if (!Object.keys(answer).length) { this.hint('Nothing is filled in yet. Fill in the form, or skip the task.'); return; }
    this.sent = true;
    this.dispatchEvent(new CustomEvent('crowd-submit', { detail: answer }));
    tellPage({ trueground: 'submit', answer });
  }

  hint(text) {
    if (!this.hintBox) {
      this.hintBox = this.form.appendChild(element('p', { role: 'alert' }));
      this.hintBox.style.cssText = 'color: var(--bad); margin: 8px 0;';
      this.addEventListener('input', () => { this.hintBox.textContent = ''; });
    }
    this.hintBox.textContent = text;
  }

  collect(submitter = null) {
    const entries = [];
    for (const [name, parts] of this.parts(submitter)) {
      const value = together(parts.map((part) => outputOf(part)));
      if (value !== null) entries.push([name, value]);
    }
    return Object.fromEntries(entries);
  }

  // Fields and crowd elements by name, in the order of the page.
  parts(submitter = null) {
    const fields = this.forms.flatMap((form) => [...form.elements]).filter((field) => isPart(field, submitter));
    const all = [...new Set([...fields, ...this.items])];
    all.sort((one, other) => (one.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1));
    const named = new Map();
    for (const part of all) named.set(part.name, [...(named.get(part.name) || []), part]);
    return named;
  }

  // Shows an earlier answer, or a draft, in the fields that gave it.
  restore(answer) {
    for (const [name, parts] of this.parts()) {
      if (!Object.hasOwn(answer, name)) continue;
      const each = Array.isArray(answer[name]) && parts.length > 1 ? answer[name] : parts.map(() => answer[name]);
      parts.forEach((part, index) => { if (part instanceof CrowdInput) part.restore(each[index]); else restoreField(part, each[index]); });
    }
  }
}

// Whether a field of a form is part of the answer, as the browser would send it; but boxes that are not ticked too.
function isPart(field, submitter) {
  if (!field.name || !field.matches('input, select, textarea, button') || field.matches(':disabled')) return false;
  if (field.matches('button, input[type=submit], input[type=image]')) return field === submitter;
  return !['button', 'reset', 'file'].includes(field.type);
}

function outputOf(part) {
  if (part instanceof CrowdInput) return part.output ?? null;
  if (part.type === 'checkbox' || part.type === 'radio') return { [part.value]: part.checked };
  if (part.type === 'select-multiple') return [...part.selectedOptions].map((option) => option.value);
  return part.value;
}

// What elements of one name give: boxes and radio buttons one object, others a list with a place for each.
function together(outputs) {
  if (outputs.length === 1) return outputs[0];
  if (outputs.every(isTicks)) {
    const ticked = new Map();
    for (const [value, on] of outputs.flatMap(Object.entries)) ticked.set(value, ticked.get(value) || on);
    return Object.fromEntries(ticked);
  }
  return outputs.every((output) => output === null) ? null : outputs.map((output) => output ?? '');
}

function isTicks(output) {
  return output !== null && typeof output === 'object' && !Array.isArray(output)
    && Object.values(output).every((value) => typeof value === 'boolean');
}

function restoreField(field, value) {
  if (value === undefined || value === null) return;
  if (field.type === 'radio' || field.type === 'checkbox') field.checked = typeof value === 'object' ? value[field.value] === true : field.value === value;
  else if (field.type === 'select-multiple') for (const option of field.options) option.selected = [value].flat().includes(option.value);
  else if (typeof value === 'string') field.value = value;
  // The template's own scripts may draw from it.
  for (const type of ['input', 'change']) field.dispatchEvent(new Event(type, { bubbles: true }));
}

// The browser's own events of submitting end here, and CrowdForm.ask takes their place. This is the first listener.
window.addEventListener('submit', (event) => {
  const form = event.isTrusted && event.target.closest?.('crowd-form');
  if (!form?.ready) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  form.ask(event.submitter);
}, { capture: true });

// Those that a script makes later.
window.addEventListener('click', (event) => {
  const button = event.target.closest?.(PLAIN_BUTTON);
  if (button?.closest('crowd-form') && !button.closest('crowd-button')) button.type = 'button';
}, { capture: true });

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

// A button of the form. As on AWS it submits or resets only where form-action says so.
class CrowdButton extends CrowdElement {
  build() {
    this.button = element('button', { type: 'button' });
    this.button.append(...this.childNodes);
    this.append(this.button);
    this.button.addEventListener('click', () => { if (this.hasAttribute('href')) window.open(this.getAttribute('href'), this.getAttribute('target') || '_blank', 'noopener'); });
    this.refresh('variant');
  }

  refresh(name) {
    const action = this.getAttribute('form-action');
    this.button.type = ['submit', 'reset'].includes(action) ? action : 'button';
    this.button.disabled = this.hasAttribute('disabled') || this.hasAttribute('loading');
    const variant = this.getAttribute('variant') || (action === 'submit' ? 'primary' : 'normal');
    this.button.style.cssText = `font: inherit; margin-top: 14px; cursor: pointer; ${BUTTON_STYLES[variant] || BUTTON_STYLES.normal}`;
    if (this.button.disabled) this.button.style.opacity = '0.5';
  }

  focus(options) { if (this.button) this.button.focus(options); }
}
const BUTTON_STYLES = {
  primary: 'font-weight: 600; padding: 10px 22px; border: 0; border-radius: 8px; background: var(--accent); color: var(--on-accent);',
  normal: 'padding: 9px 18px; border: 1px solid var(--line); border-radius: 8px; background: var(--card); color: inherit;',
  link: 'color: var(--accent); background: none; border: 0; padding: 0; text-decoration: underline;',
};
reflect(CrowdButton, ['disabled', 'loading'], ['form-action', 'variant', 'href', 'target']);

customElements.define('crowd-form', CrowdForm);
customElements.define('crowd-button', CrowdButton);
