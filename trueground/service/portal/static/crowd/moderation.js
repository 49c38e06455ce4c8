// crowd-rekognition-detect-moderation-labels: which of the labels that a machine gave an image apply.

const MODERATION_STYLE = `
  .picture { height: 42vh; }
  .choices { grid-template-columns: repeat(auto-fill, minmax(min(100%, 200px), 1fr)); }
  .picture.blurred img { filter: blur(24px); }
  .picture .reveal { position: absolute; right: 10px; top: 10px; padding: 6px 12px; background: var(--card); border: 1px solid var(--line); border-radius: 8px; cursor: pointer; }
  .family { margin: 16px 0 0; font-size: 0.95rem; color: var(--faint); font-weight: 600; }
  .family + .choices { margin: 6px 0 0; }
  .choice[aria-checked=true] .tick, .choice[aria-pressed=true] .tick { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
  .choice[aria-pressed=true] { background: var(--soft); border-color: var(--accent); font-weight: 600; }
  .choice:disabled { opacity: 0.5; cursor: not-allowed; }
  .tick { width: 20px; height: 20px; border: 1.5px solid var(--line); border-radius: 5px; display: grid; place-items: center; color: transparent; font-size: 14px; flex: none; }
  .choice kbd { margin-left: auto; }
  .others { margin-top: 16px; }
  .foot { margin-top: 16px; }
`;

class CrowdModeration extends CrowdInput {
  get name() { return 'AWS/Rekognition/DetectModerationLabels/Image/V3'; }

  build() {
    const given = this.relaxed('categories', []);
    this.categories = (Array.isArray(given) ? given : []).filter((item) => nameOf(item));
    this.chosen = new Set();
    const work = buildLayout(this);
    this.shadowRoot.append(element('style', { textContent: MODERATION_STYLE }));
    this.showImage(work);
    this.buttons = this.categories.map((category, index) => this.choice(nameOf(category), index < 9 ? String(index + 1) : null, { role: 'checkbox', onclick: () => this.toggle(index) }));
    for (const [family, members] of this.families()) {
      if (family) work.append(element('p', { className: 'family', textContent: family }));
      work.append(element('div', { className: 'choices', role: 'group', 'aria-label': family || 'Categories' }, ...members.map((index) => this.buttons[index])));
    }
    if (!this.categories.length) work.append(element('p', { textContent: 'The machine gave this image no label.' }));
    const none = this.relaxed('exclusion-category', null);
    this.noneButton = this.choice((none?.text ?? none) || 'None of these', '0', { onclick: () => this.toggleNone() });
    this.cannotButton = this.choice('Cannot tell', 'U', { onclick: () => this.toggleCannot() });
    this.hintBox = element('p', { className: 'hint', role: 'status' });
    const submit = element('button', { type: 'button', className: 'submit', textContent: 'Submit', onclick: () => this.closest('crowd-form')?.submit() });
    work.append(element('div', { className: 'choices others' }, this.noneButton, this.cannotButton), element('div', { className: 'foot' }, submit, this.hintBox));
    document.addEventListener('keydown', (event) => this.onKey(event));
    this.show();
  }

  showImage(work) {
    const picture = element('div', { className: 'picture' });
    const image = element('img', { alt: 'The image to review', src: this.getAttribute('src') || '' });
    this.veil = element('button', { type: 'button', className: 'reveal', onclick: () => this.toggleBlur() });
    this.toggleBlur = () => {
      const blurred = picture.classList.toggle('blurred');
      this.veil.textContent = blurred ? 'Show (V)' : 'Blur (V)';
    };
    this.veil.textContent = 'Blur (V)';
    image.addEventListener('error', () => picture.replaceChildren('The image cannot be shown. Give the task back, or skip it.'));
    picture.append(image, this.veil);
    work.append(picture);
  }

  choice(text, key, properties) {
    const made = element('button', { type: 'button', className: 'choice', ...properties },
      element('span', { className: 'tick', textContent: '✓', 'aria-hidden': 'true' }), element('span', { textContent: text }));
    if (key) made.append(element('kbd', { textContent: key, 'aria-hidden': 'true' }));
    return made;
  }

  families() {
    const found = new Map();
    this.categories.forEach((category, index) => {
      const family = (typeof category === 'object' && member(category, 'parentName')) || '';
      found.set(family, [...(found.get(family) || []), index]);
    });
    return found;
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.composedPath()[0]?.matches?.('input, textarea, select')) return;
    const act = { 0: () => this.toggleNone(), u: () => this.toggleCannot(), v: () => this.toggleBlur() }[event.key]
      ?? (/^[1-9]$/.test(event.key) && this.buttons[event.key - 1] ? () => this.toggle(event.key - 1) : null);
    if (act) { event.preventDefault(); act(); }
  }

  toggle(index) {
    if (this.none || this.cannot) return;
    if (!this.chosen.delete(index)) this.chosen.add(index);
    this.changed();
  }

  toggleNone() { this.none = !this.none; this.cannot = false; this.chosen.clear(); this.changed(); }
  toggleCannot() { this.cannot = !this.cannot; this.none = false; this.chosen.clear(); this.changed(); }

  changed() {
    this.hint('');
    this.show();
    this.dispatchEvent(new Event('change', { bubbles: true }));
  }

  show() {
    this.buttons.forEach((button, index) => {
      button.setAttribute('aria-checked', String(this.chosen.has(index)));
      button.disabled = Boolean(this.none || this.cannot);
    });
    this.noneButton.setAttribute('aria-pressed', String(Boolean(this.none)));
    this.cannotButton.setAttribute('aria-pressed', String(Boolean(this.cannot)));
  }

  hint(text) { this.hintBox.textContent = text; }

  get missing() {
    return this.chosen.size || this.none || this.cannot ? null : `Choose what applies, or ${this.noneButton.children[1].textContent}.`;
  }

  // As scripts of templates know it.
  get value() { return this.output; }
  set value(output) { this.restore(output); }

  get output() {
    if (!this.buttons) return null;
    const labels = this.categories.filter((_, index) => this.chosen.has(index));
    return { ModerationLabels: labels, ...(this.cannot ? { cannotTell: true } : {}) };
  }

  restore(value) {
    const names = (value?.ModerationLabels || []).map(nameOf);
    this.chosen = new Set(this.categories.flatMap((category, index) => (names.includes(nameOf(category)) ? [index] : [])));
    this.cannot = value?.cannotTell === true;
    this.show();
  }
}

function nameOf(category) { return typeof category === 'object' ? member(category, 'name') : String(category ?? ''); }

customElements.define('crowd-rekognition-detect-moderation-labels', CrowdModeration);
