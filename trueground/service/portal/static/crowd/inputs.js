// crowd-input, crowd-text-area and crowd-checkbox: single values of a form.

class CrowdText extends CrowdInput {
  build() {
    const id = `field-${this.name}`;
    this.field = this.makeField();
    Object.assign(this.field, { id, value: this.getAttribute('value') || '', placeholder: this.getAttribute('placeholder') || '' });
    for (const attribute of ['required', 'disabled']) this.field.toggleAttribute(attribute, this.hasAttribute(attribute));
    for (const attribute of ['maxlength', 'minlength', 'pattern']) {
      const own = { maxlength: 'max-length', minlength: 'min-length', pattern: 'allowed-pattern' }[attribute];
      if (this.hasAttribute(own)) this.field.setAttribute(attribute, this.getAttribute(own));
    }
    this.field.style.cssText = 'display: block; width: 100%; box-sizing: border-box; font: inherit; padding: 8px; margin: 4px 0 12px;';
    this.append(element('label', { htmlFor: id, textContent: this.getAttribute('label') || '' }), this.field);
  }

  makeField() { return element('input', { type: this.getAttribute('type') || 'text' }); }

  get value() { return this.field?.value || null; }
  set value(text) { this.field.value = text; }
  restore(value) { if (typeof value === 'string') this.field.value = value; }
}

class CrowdTextArea extends CrowdText {
  makeField() { return element('textarea', { rows: Number(this.getAttribute('rows')) || 3 }); }
}

class CrowdCheckbox extends CrowdInput {
  build() {
    this.field = element('input', { type: 'checkbox', checked: this.hasAttribute('checked'), disabled: this.hasAttribute('disabled') });
    const label = element('label', {}, this.field, ' ');
    label.append(...this.childNodes);
    this.append(label);
  }

  get missing() { return this.hasAttribute('required') && !this.field.checked ? 'This has to be ticked.' : null; }
  restore(value) { this.field.checked = Boolean(value?.[this.getAttribute('value') || 'on']); }
  get value() { return this.field ? { [this.getAttribute('value') || 'on']: this.field.checked } : null; }
}

customElements.define('crowd-input', CrowdText);
customElements.define('crowd-text-area', CrowdTextArea);
customElements.define('crowd-checkbox', CrowdCheckbox);
