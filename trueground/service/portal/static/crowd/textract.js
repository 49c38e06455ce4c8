// crowd-textract-analyze-document: the key-value pairs that were read from a page, one after the other.

const REVIEW_STYLE = `
  .review { display: grid; grid-template-columns: minmax(0, 1.45fr) minmax(340px, 1fr); gap: 16px; height: max(420px, calc(100vh - 134px)); }
  .review .page { height: 100%; }
  .side { display: flex; flex-direction: column; min-height: 0; }
  .tally { margin: 0 0 8px; color: var(--faint); }
  .tally strong { color: var(--text); }
  .pairs { list-style: none; margin: 0; padding: 2px; overflow-y: auto; flex: 1; min-height: 0; scroll-padding: 60px 0; }
  .pair { background: var(--card); border: 1.5px solid var(--line); border-left-width: 5px; border-radius: 10px; padding: 8px 12px; margin: 0 0 8px; scroll-margin: 8px; }
  .pair.unsure { border-left-color: #c2580c; }
  .pair.done { border-left-color: var(--accent); }
  .pair.here { border-color: var(--accent); box-shadow: 0 0 0 1px var(--accent); }
  .pair header { display: flex; align-items: baseline; justify-content: space-between; gap: 8px; }
  .pair label { font-weight: 600; overflow-wrap: anywhere; }
  .pair .state { font-size: 0.85rem; color: var(--faint); flex: none; }
  .pair.unsure .state { color: #b04c06; }
  .pair input { display: block; width: 100%; box-sizing: border-box; font: inherit; color: inherit; background: var(--page); border: 1px solid var(--line); border-radius: 8px; padding: 7px 10px; margin-top: 4px; }
  .pair input:focus { outline: 3px solid var(--accent); outline-offset: 0; border-color: transparent; }
  .pair input.key { font-weight: 600; background: none; border-color: transparent; margin: -4px 0 -4px -10px; padding: 4px 10px; }
  .pair input.key:hover { border-color: var(--line); }
  .pair input:read-only { text-decoration: line-through; opacity: 0.6; }
  .pair .verdicts { display: none; flex-wrap: wrap; gap: 6px; margin-top: 8px; }
  .pair.here .verdicts { display: flex; }
  .verdicts button { padding: 4px 10px; min-height: 34px; font-size: 0.9rem; background: none; border: 1px solid var(--line); border-radius: 8px; cursor: pointer; }
  .verdicts button[aria-pressed=true] { background: var(--soft); border-color: var(--accent); font-weight: 600; }
  .verdicts button.yes { background: var(--accent); border-color: var(--accent); color: var(--on-accent); font-weight: 600; }
  .verdicts kbd { margin-left: 6px; }
  .verdicts .yes kbd { color: inherit; border-color: currentColor; }
  .side .foot { padding-top: 10px; }
  .none { padding: 24px; text-align: center; color: var(--faint); }
  @media (prefers-color-scheme: dark) { .pair.unsure .state { color: #f0a36b; } }
  @media (max-width: 720px) {
    .review { display: block; height: auto; }
    .review .page { height: 40vh; position: sticky; top: 0; z-index: 1; margin-bottom: 10px; }
    .pairs { overflow: visible; }
    .pair { scroll-margin-top: calc(40vh + 20px); }
    .verdicts kbd, .tally .keys { display: none; }
  }
`;
const VERDICT_KEYS = { no: 'N', blank: 'B', absent: 'K', cannot: 'U' };

class CrowdTextract extends CrowdInput {
  get name() { return 'AWS/Textract/AnalyzeDocument/Forms/V1'; }

  build() {
    const blocks = this.relaxed('initial-value', []);
    const keys = this.relaxed('keys', []);
    const lists = [blocks, keys].map((value) => (Array.isArray(value) ? value.filter((item) => item) : []));
    this.pairs = pairsOf(...lists, this.hasAttribute('no-key-edit'));
    const below = this.hasAttribute('unsure-below') ? Number(this.getAttribute('unsure-below')) : Infinity;
    for (const pair of this.pairs) pair.unsure = pair.confidence === null || pair.confidence < below;
    const work = buildLayout(this, { folded: true });
    this.shadowRoot.append(element('style', { textContent: PAGE_STYLE + REVIEW_STYLE }));
    const boxes = this.pairs.flatMap((pair) => pair.places.filter((points) => points.length).map((points) => ({ pair, points, chosen: () => this.go(pair) })));
    this.page = new PageView(this.getAttribute('src') || '', boxes);
    boxes.forEach((box, number) => { (box.pair.polygons ??= []).push(this.page.polygons[number]); });
    this.tally = element('p', { className: 'tally', 'aria-live': 'polite' });
    this.list = element('ol', { className: 'pairs', 'aria-label': 'Key-value pairs' }, ...this.pairs.map((pair) => this.row(pair)));
    this.hintBox = element('p', { className: 'hint', role: 'status' });
    this.submitButton = element('button', { type: 'button', className: 'submit', textContent: 'Submit', onclick: () => this.closest('crowd-form')?.submit() });
    const none = element('p', { className: 'none', textContent: 'No key-value pair was found on this page. If there is one, skip the task and say so.' });
    const side = element('div', { className: 'side' }, this.tally, this.pairs.length ? this.list : none, element('div', { className: 'foot' }, this.submitButton, this.hintBox));
    work.append(element('div', { className: 'review' }, this.page.box, side));
    this.shadowRoot.addEventListener('keydown', (event) => this.onKey(event));
    document.addEventListener('keydown', (event) => { if (event.target !== this) this.onKey(event); });
    this.pairs.forEach((pair) => this.show(pair));
    this.tell();
    const first = this.pairs.find((pair) => pair.unsure);
    if (first) this.go(first);
  }

  row(pair) {
    const id = `value-${pair.id}`;
    pair.field = element('input', { id, type: 'text', value: pair.value, autocomplete: 'off', spellcheck: false });
    pair.field.addEventListener('input', () => this.edit(pair));
    pair.state = element('span', { className: 'state' });
    const name = pair.fixedKey
      ? element('label', { htmlFor: id, textContent: pair.key || '(no key)' })
      : element('input', { type: 'text', className: 'key', value: pair.key, 'aria-label': 'Key' });
    if (!pair.fixedKey) {
      const tellKey = () => pair.field.setAttribute('aria-label', `Value of ${pair.key}`);
      name.addEventListener('input', () => { pair.key = name.value; tellKey(); this.edit(pair); });
      tellKey();
      pair.keyField = name;
    }
    const kinds = pair.missing ? ['absent', 'blank', 'cannot'] : ['no', 'blank', 'cannot'];
    pair.buttons = kinds.map((kind) => element('button', { type: 'button', 'data-verdict': kind, onclick: () => this.judge(pair, kind) },
      KINDS[kind], element('kbd', { textContent: `Alt ${VERDICT_KEYS[kind]}`, 'aria-hidden': 'true' })));
    const yes = element('button', { type: 'button', className: 'yes', onclick: () => this.confirm(pair) }, 'Right', element('kbd', { textContent: '↵', 'aria-hidden': 'true' }));
    pair.row = element('li', { className: 'pair' }, element('header', {}, name, pair.state), pair.field,
      element('div', { className: 'verdicts' }, yes, ...pair.buttons));
    pair.row.addEventListener('focusin', () => this.enter(pair));
    pair.row.addEventListener('pointerdown', () => this.enter(pair));
    return pair.row;
  }

  // In a field, letters are typed: there the keys go with Alt, or after Escape.
  onKey(event) {
    const typing = event.composedPath()[0].matches?.('input, textarea');
    const onButton = event.composedPath()[0].matches?.('button, summary');
    if (event.ctrlKey || event.metaKey || !this.pairs.length) return;
    const act = this.actOf(event, typing, onButton);
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  actOf(event, typing, onButton) {
    const { current } = this;
    if (event.key === 'Enter' && !onButton && current && this.left.length) return event.shiftKey ? () => this.step(-1) : () => this.confirm(current);
    if (event.key === 'Escape' && typing) return () => event.composedPath()[0].blur();
    if (event.key === 'ArrowDown') return () => this.step(1);
    if (event.key === 'ArrowUp') return () => this.step(-1);
    if (typing && !event.altKey) return null;
    if (event.shiftKey) return null;
    // With Alt some keyboards write another letter than the one on the key.
    const letter = /^Key([A-Z])$/.exec(event.code)?.[1] ?? event.key.toUpperCase();
    if (letter === 'Z') return () => this.toggleZoom();
    if (letter === 'E' && current) return () => this.go(current);
    const button = current?.buttons.find((item) => VERDICT_KEYS[item.dataset.verdict] === letter);
    return button ? () => this.judge(current, button.dataset.verdict) : null;
  }

  get left() { return this.pairs.filter((pair) => pair.unsure && !this.isSettled(pair)); }

  isSettled(pair) { return Boolean(pair.verdict || (pair.missing && isAmong(pair, this.pairs))); }

  enter(pair) {
    if (this.current === pair) return;
    const before = this.current;
    this.current = pair;
    if (before) this.show(before);
    this.show(pair);
    this.page.showNear(pair.places.flat());
    if (pair.missing) this.page.showAll();
  }

  // The row comes into sight in its own list; on a small screen the list is the page.
  go(pair) {
    this.enter(pair);
    pair.field.focus({ preventScroll: true });
    pair.row.scrollIntoView({ block: 'nearest' });
  }

  step(by) {
    const at = this.pairs.indexOf(this.current) + by;
    if (this.pairs[at]) this.go(this.pairs[at]);
  }

  goToNextUnsure() {
    const at = this.pairs.indexOf(this.current);
    const next = [...this.pairs.slice(at + 1), ...this.pairs.slice(0, at + 1)].find((pair) => this.left.includes(pair));
    if (next) this.go(next); else this.submitButton.focus();
  }

  edit(pair) {
    pair.value = pair.field.value;
    if (pair.verdict && pair.verdict !== 'yes') pair.verdict = null;
    this.changed(pair);
  }

  confirm(pair) {
    if (pair.missing && !pair.value.trim()) { this.hint('Type what it says, or choose Key not found.'); return; }
    pair.verdict = 'yes';
    this.changed(pair);
    this.goToNextUnsure();
  }

  judge(pair, kind) {
    pair.verdict = pair.verdict === kind ? null : kind;
    this.changed(pair);
    if (pair.verdict) this.goToNextUnsure();
  }

  changed(pair) {
    this.hint('');
    for (const shown of [pair, ...this.pairs.filter((other) => other.missing)]) this.show(shown);
    this.tell();
    this.dispatchEvent(new Event('change', { bubbles: true }));
  }

  show(pair) {
    const here = pair === this.current;
    const settled = this.isSettled(pair);
    for (const shape of [pair.row, ...(pair.polygons || [])]) {
      shape.classList.toggle('here', here);
      shape.classList.toggle('unsure', pair.unsure && !settled);
      shape.classList.toggle('done', settled);
    }
    if (here) pair.row.setAttribute('aria-current', 'true'); else pair.row.removeAttribute('aria-current');
    for (const button of pair.buttons) button.setAttribute('aria-pressed', String(button.dataset.verdict === pair.verdict));
    // Not disabled: what cannot have the focus would leave it, and what is typed, to another field.
    pair.field.readOnly = ['no', 'blank', 'absent'].includes(pair.verdict);
    pair.state.textContent = this.stateOf(pair);
  }

  stateOf(pair) {
    const changed = pair.value.trim() !== pair.firstValue || pair.key.trim() !== pair.firstKey;
    if (pair.verdict === 'yes') return changed ? '✓ corrected' : '✓ right';
    if (pair.verdict) return KINDS[pair.verdict].toLowerCase();
    if (pair.missing) return this.isSettled(pair) ? '✓ found' : 'not found by the reader';
    if (changed) return 'changed';
    return pair.confidence === null ? '' : `${Math.floor(pair.confidence)} % sure`;
  }

  tell() {
    const asked = this.pairs.filter((pair) => pair.unsure).length;
    const done = asked - this.left.length;
    this.tally.replaceChildren(element('strong', { textContent: `${done} of ${asked}` }), ' looked at',
      element('span', { className: 'keys' }, ' · ', element('kbd', { textContent: 'Enter' }), ' right, next · ',
        element('kbd', { textContent: 'Alt Z' }), ' whole page'));
    this.tally.hidden = !this.pairs.length;
  }

  toggleZoom() {
    if (this.page.near) this.page.showAll(); else if (this.current) this.page.showNear(this.current.places.flat());
  }

  hint(text) { this.hintBox.textContent = text; if (text) this.goToFirstLeft(); }

  goToFirstLeft() { if (this.left.length && !this.left.includes(this.current)) this.go(this.left[0]); }

  get missing() {
    const count = this.left.length;
    return count ? `Look at the ${count === 1 ? 'field' : `${count} fields`} still marked first.` : null;
  }

  // As scripts of templates know it.
  get value() { return this.output; }
  set value(output) { this.restore(output); }

  get output() {
    if (!this.pairs) return null;
    const unknown = this.pairs.filter((pair) => pair.verdict === 'cannot').map(unknownName);
    return { blocks: blocksOf(this.pairs), ...(unknown.length ? { cannotTell: unknown } : {}) };
  }

  // What was changed shows again; whether the rest was looked at is not in an answer, so it is asked again.
  restore(value) {
    const texts = new Map((value?.blocks || []).map((block) => [member(block, 'id'), member(block, 'text')]));
    for (const pair of this.pairs) {
      // A missing key has a new id each time; its text finds it.
      const own = texts.has(pair.id) ? pair.valueId : this.valueIdOf(value, pair);
      if (own === undefined) { if (!pair.missing && value?.blocks) pair.verdict = 'no'; } else {
        pair.value = pair.field.value = texts.get(own) ?? '';
        if (texts.has(pair.id) && !pair.fixedKey) pair.key = pair.keyField.value = texts.get(pair.id);
        if (pair.value !== pair.firstValue) pair.verdict = pair.value ? 'yes' : 'blank';
      }
      if (value?.cannotTell?.includes(unknownName(pair))) pair.verdict = 'cannot';
      this.show(pair);
    }
    this.tell();
  }

  valueIdOf(value, pair) {
    const key = pair.missing && (value?.blocks || []).find((block) => member(block, 'text') === pair.key && (member(block, 'entityTypes') || []).includes('KEY'));
    return key ? (member(key, 'relationships') || []).flatMap((relation) => (member(relation, 'type') === 'VALUE' ? member(relation, 'ids') : []))[0] : undefined;
  }
}

customElements.define('crowd-textract-analyze-document', CrowdTextract);
