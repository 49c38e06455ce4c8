// crowd-radio-group, crowd-radio-button, crowd-toggle-button, crowd-slider: values that are chosen, not typed.

class CrowdRadioButton extends CrowdInput {
  build() {
    const group = this.closest('crowd-radio-group');
    this.field = element('input', { type: 'radio', checked: this.hasAttribute('checked'), disabled: this.hasAttribute('disabled') });
    // Not the buttons' own names: those may differ, and only the group makes them one choice. And not part of the
    // form, which would add the field to the answer a second time.
    this.field.setAttribute('form', 'none');
    this.field.name = group ? group.choiceName : `alone-${this.name}`;
    this.append(optionLabel(this.field, this));
  }

  get choice() { return this.getAttribute('value') || 'on'; }
  get value() { return this.field ? { [this.choice]: this.field.checked } : null; }
  restore(value) { this.field.checked = Boolean(value?.[this.choice]); }
}

let groups = 0;
class CrowdRadioGroup extends CrowdElement {
  get choiceName() { this.ownName ??= `radio-group-${groups += 1}`; return this.ownName; }
  build() {
    this.setAttribute('role', 'radiogroup');
    if (this.hasAttribute('disabled')) this.querySelectorAll('crowd-radio-button').forEach((button) => button.setAttribute('disabled', ''));
  }
}

class CrowdToggle extends CrowdInput {
  build() {
    this.field = element('input', { type: 'checkbox', role: 'switch', checked: this.hasAttribute('checked'), disabled: this.hasAttribute('disabled') });
    this.append(optionLabel(this.field, this));
    if (this.hasAttribute('invalid')) this.field.setAttribute('aria-invalid', 'true');
  }

  get choice() { return this.getAttribute('value') || 'on'; }
  get value() { return this.field ? { [this.choice]: this.field.checked } : null; }
  get missing() { return this.hasAttribute('required') && !this.field.checked ? 'This has to be switched on.' : null; }
  restore(value) { this.field.checked = Boolean(value?.[this.choice]); }
}

class CrowdSlider extends CrowdInput {
  build() {
    const number = (name, otherwise) => (this.hasAttribute(name) ? Number(this.getAttribute(name)) : otherwise);
    const limits = { min: number('min', 0), max: number('max', 100), step: number('step', 1) };
    const common = { ...limits, disabled: this.hasAttribute('disabled'), 'aria-label': this.getAttribute('label') || this.name };
    this.field = element('input', { type: 'range', ...common });
    this.field.value = number('value', limits.min);
    this.field.style.cssText = 'flex: 1; min-width: 0;';
    this.shown = this.hasAttribute('editable') ? element('input', { type: 'number', ...common }) : element('output', {});
    this.touched = this.hasAttribute('value');
    this.field.addEventListener('input', () => { this.touched = true; this.show(); });
    this.shown.addEventListener('input', () => { this.touched = true; this.field.value = this.shown.value; });
    const row = element('div', {}, this.field, this.shown);
    row.style.cssText = 'display: flex; align-items: center; gap: 12px; margin: 4px 0;';
    const labels = element('div', {}, ...this.childNodes);
    labels.style.cssText = 'display: flex; justify-content: space-between; font-size: 0.9rem; color: var(--faint);';
    this.append(row, labels);
    this.show();
  }

  show() {
    if (this.shown.localName === 'input') this.shown.value = this.field.value;
    else if (this.hasAttribute('pin')) this.shown.textContent = this.field.value;
  }

  get value() { return this.field ? Number(this.field.value) : null; }
  set value(number) { this.field.value = number; this.show(); }
  get missing() { return this.hasAttribute('required') && !this.touched ? 'Move the slider first.' : null; }
  restore(value) { if (typeof value === 'number') { this.touched = true; this.value = value; } }
}

// A label with the field in it, and what the element held as its text.
function optionLabel(field, host) {
  const label = element('label', {}, field);
  label.style.cssText = 'display: inline-flex; align-items: center; gap: 8px; padding: 4px 0; cursor: pointer;';
  label.append(...host.childNodes);
  return label;
}

customElements.define('crowd-radio-group', CrowdRadioGroup);
customElements.define('crowd-radio-button', CrowdRadioButton);
customElements.define('crowd-toggle-button', CrowdToggle);
customElements.define('crowd-slider', CrowdSlider);
