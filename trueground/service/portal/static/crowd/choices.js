// crowd-radio-group, crowd-radio-button, crowd-toggle-button, crowd-slider: values that are chosen, not typed.

class CrowdRadioButton extends CrowdTicked {
  build() {
    super.build();
    const group = this.closest('crowd-radio-group');
    // Not part of the form, which would add the field to the answer a second time. And not the buttons' own names: those
    // may differ, and only the group makes them one choice.
    this.field.setAttribute('form', 'none');
    this.field.name = group ? group.choiceName : `alone-${this.name}`;
  }

  get fieldKind() { return { type: 'radio' }; }
  get isDisabled() { return this.disabled || this.closest('crowd-radio-group')?.disabled === true; }

  // One that is chosen takes the choice from the others, which hear nothing of it.
  took() { radioButtons(this.field.name).forEach((button) => { button.checked = button.field.checked; }); }
  refresh(name) { super.refresh(name); if (name === 'checked' && this.checked) this.took(); }
}

function radioButtons(name) { return [...document.querySelectorAll('crowd-radio-button')].filter((button) => button.field?.name === name); }

let groups = 0;
class CrowdRadioGroup extends CrowdElement {
  get choiceName() { this.ownName ??= `radio-group-${groups += 1}`; return this.ownName; }
  get buttons() { return [...this.querySelectorAll('crowd-radio-button')]; }
  build() { this.setAttribute('role', 'radiogroup'); }
  refresh(name) { if (name === 'disabled') this.buttons.forEach((button) => { if (button.ready) button.refresh('disabled'); }); }

  // The value of the button that is chosen.
  get value() { return this.buttons.find((button) => button.checked)?.value ?? null; }
  set value(text) { this.buttons.forEach((button) => { button.checked = button.value === text; }); }
}

class CrowdToggle extends CrowdTicked {
  get fieldKind() { return { type: 'checkbox', role: 'switch' }; }
  get missing() { return this.required && !this.field.checked ? 'This has to be switched on.' : null; }
}

class CrowdSlider extends CrowdInput {
  build() {
    const name = this.getAttribute('label') || this.name;
    this.field = element('input', { type: 'range', 'aria-label': name });
    this.field.style.cssText = 'flex: 1; min-width: 0;';
    this.shown = this.hasAttribute('editable') ? element('input', { type: 'number', 'aria-label': name }) : element('output', {});
    for (const limit of Object.keys(SLIDER_LIMITS)) this.refresh(limit);
    this.firstValue = this.number('value', this.number('min', 0));
    this.field.value = this.firstValue;
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

  number(name, otherwise) { return this.hasAttribute(name) ? Number(this.getAttribute(name)) : otherwise; }

  refresh(name) {
    if (name in SLIDER_LIMITS) for (const field of [this.field, this.shown]) field[name] = this.number(name, SLIDER_LIMITS[name]);
    if (name === 'disabled') for (const field of [this.field, this.shown]) field.disabled = this.disabled;
    if (name === 'value') { this.touched = true; this.field.value = this.getAttribute('value'); }
    this.show();
  }

  show() {
    if (this.shown.localName === 'input') this.shown.value = this.field.value;
    else if (this.hasAttribute('pin')) this.shown.textContent = this.field.value;
  }

  get value() { return this.field ? Number(this.field.value) : this.number('value', this.number('min', 0)); }
  set value(number) { this.setAttribute('value', number); }
  get output() { return this.field ? Number(this.field.value) : null; }
  get missing() { return this.required && !this.touched ? 'Move the slider first.' : null; }
  restore(value) { if (typeof value === 'number') { this.touched = true; this.field.value = value; this.show(); } }
  reset() { this.field.value = this.firstValue; this.touched = this.hasAttribute('value'); this.show(); }
}
const SLIDER_LIMITS = { min: 0, max: 100, step: 1 };

class CrowdSliderLabel extends CrowdElement {}

// A label with the field in it, and what the element held as its text.
function optionLabel(field, host) {
  const label = element('label', {}, field);
  label.style.cssText = 'display: inline-flex; align-items: center; gap: 8px; padding: 4px 0; cursor: pointer;';
  label.append(...host.childNodes);
  return label;
}

reflect(CrowdRadioButton, ['checked', 'disabled'], ['value']);
reflect(CrowdRadioGroup, ['disabled']);
reflect(CrowdToggle, ['checked', 'disabled', 'required', 'invalid'], ['value']);
reflect(CrowdSlider, ['disabled', 'required'], ['min', 'max', 'step', 'value']);

customElements.define('crowd-radio-group', CrowdRadioGroup);
customElements.define('crowd-radio-button', CrowdRadioButton);
customElements.define('crowd-toggle-button', CrowdToggle);
customElements.define('crowd-slider', CrowdSlider);
customElements.define('crowd-slider-label', CrowdSliderLabel);
