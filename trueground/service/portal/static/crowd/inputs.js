// crowd-input, crowd-text-area and crowd-checkbox: single values of a form.

const NATIVE = {
  placeholder: 'placeholder', required: 'required', disabled: 'disabled', type: 'type', rows: 'rows', 'max-length': 'maxlength',
  'min-length': 'minlength', 'allowed-pattern': 'pattern', 'auto-focus': 'autofocus',
};
let fields = 0;

class CrowdText extends CrowdInput {
  build() {
    // Not from its name, which others may have too.
    const id = `crowd-field-${fields += 1}`;
    this.field = this.makeField();
    Object.assign(this.field, { id, dir: 'auto', value: this.getAttribute('value') || '' });
    this.firstValue = this.field.value;
    this.field.style.cssText = 'display: block; width: 100%; box-sizing: border-box; font: inherit; padding: 8px; margin: 4px 0 12px;';
    this.caption = element('label', { htmlFor: id });
    this.append(this.caption, this.field);
    this.field.addEventListener('input', () => this.checkPattern());
    if (this.hasAttribute('auto-focus')) this.field.focus();
  }

  makeField() { return element('input', { type: 'text' }); }

  refresh(name) {
    const value = this.getAttribute(name);
    if (name === 'value') this.field.value = value ?? '';
    if (name === 'label') this.caption.textContent = value ?? '';
    if (NATIVE[name]) {
      if (value === null) this.field.removeAttribute(NATIVE[name]); else this.field.setAttribute(NATIVE[name], value);
    }
    this.checkPattern();
  }

  // A textarea knows no pattern of its own, and an input no message of its own.
  checkPattern() {
    const pattern = this.getAttribute('allowed-pattern');
    let fits = true;
    try { fits = !pattern || !this.field.value || new RegExp(`^(?:${pattern})$`, 'u').test(this.field.value); } catch { /* not a pattern: anything fits */ }
    this.field.setCustomValidity(fits ? '' : this.getAttribute('error-message') || 'This is not in the form that is asked for.');
  }

  get value() { return this.field ? this.field.value : this.getAttribute('value') ?? ''; }
  set value(text) { this.setAttribute('value', text ?? ''); }
  get output() { return this.field?.value || null; }
  restore(value) { if (typeof value === 'string') { this.field.value = value; this.checkPattern(); } }
  reset() { this.field.value = this.firstValue; }
}

class CrowdTextArea extends CrowdText {
  makeField() { return element('textarea', { rows: 3 }); }
}

// What is ticked or not. The attribute `checked` says so all the time, also after a click.
class CrowdTicked extends CrowdInput {
  build() {
    this.firstChecked = this.checked;
    this.field = element('input', this.fieldKind);
    this.field.addEventListener('change', () => this.took());
    this.append(optionLabel(this.field, this));
  }

  took() { this.checked = this.field.checked; }

  refresh(name) {
    if (name === 'checked') this.field.checked = this.checked;
    if (name === 'disabled') this.field.disabled = this.isDisabled;
    if (name === 'invalid') this.field.setAttribute('aria-invalid', String(this.invalid));
  }

  get isDisabled() { return this.disabled; }
  get value() { return this.getAttribute('value') || 'on'; }
  set value(text) { this.setAttribute('value', text ?? ''); }
  get output() { return this.field ? { [this.value]: this.field.checked } : null; }
  restore(output) { this.checked = output?.[this.value] === true; }
  reset() { this.checked = this.firstChecked; }
}

class CrowdCheckbox extends CrowdTicked {
  get fieldKind() { return { type: 'checkbox' }; }
  get missing() { return this.required && !this.field.checked ? 'This has to be ticked.' : null; }
}

const TEXTS = ['value', 'label', 'placeholder', 'max-length', 'min-length', 'allowed-pattern', 'error-message'];
reflect(CrowdText, ['disabled', 'required'], [...TEXTS, 'type']);
reflect(CrowdTextArea, ['disabled', 'required'], [...TEXTS, 'rows']);
reflect(CrowdCheckbox, ['checked', 'disabled', 'required'], ['value']);

customElements.define('crowd-input', CrowdText);
customElements.define('crowd-text-area', CrowdTextArea);
customElements.define('crowd-checkbox', CrowdCheckbox);
