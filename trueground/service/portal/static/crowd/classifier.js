// crowd-classifier and crowd-image-classifier: one category for what is shown.

class CrowdClassifier extends CrowdInput {
  build() {
    this.names = this.readCategories();
    this.comment = takePart(this, 'worker-comment');
    const work = buildLayout(this);
    this.showTarget(work);
    this.choices = element('div', { role: 'radiogroup', 'aria-label': this.getAttribute('header') || 'Category' });
    this.showChoices();
    this.hintBox = element('p', { className: 'hint', role: 'status' });
    const submit = element('button', { type: 'button', className: 'submit', textContent: 'Submit', onclick: () => this.closest('crowd-form')?.submit() });
    if (this.comment) work.append(this.choices, this.commentBox(), element('div', { className: 'foot' }, submit, this.hintBox));
    else work.append(this.choices, element('div', { className: 'foot' }, submit, this.hintBox));
    document.addEventListener('keydown', (event) => this.onKey(event));
  }

  showTarget(work) {
    // Text in a language that is written from right to left begins at the right.
    for (const target of this.querySelectorAll('classification-target:not([dir])')) target.dir = 'auto';
    work.append(element('div', { className: 'target' }, element('slot')));
  }

  readCategories() {
    const given = this.relaxed('categories', []);
    return (Array.isArray(given) ? given : []).map((item) => String(item?.label ?? item));
  }

  showChoices() {
    this.choices.className = `choices category-picker-wrapper${this.names.every((name) => name.length <= 4) ? ' short' : ''}`;
    this.choices.replaceChildren(...this.names.map((name, index) => {
      const key = this.keyOf(index);
      const choice = element('button', { type: 'button', className: 'choice', role: 'radio', 'aria-checked': String(this.chosen === name), onclick: () => this.choose(index) });
      if (key && key !== name) choice.append(element('kbd', { textContent: key, 'aria-hidden': 'true' }));
      choice.append(element('span', { textContent: name, dir: 'auto' }));
      return choice;
    }));
  }

  // Templates set them when their own scripts know more than their text.
  get categories() { return this.names ?? this.readCategories(); }
  set categories(names) { this.setAttribute('categories', typeof names === 'string' ? names : JSON.stringify(names)); }

  refresh(name) {
    if (name === 'header') this.heading.textContent = this.getAttribute('header') || '';
    if (name !== 'categories') return;
    this.names = this.readCategories();
    if (!this.names.includes(this.chosen)) this.chosen = undefined;
    this.showChoices();
  }

  commentBox() {
    this.commentText = element('textarea', { rows: 2, placeholder: this.comment.getAttribute('placeholder') || '' });
    return element('details', {}, element('summary', { textContent: this.comment.getAttribute('link-text') || this.comment.getAttribute('header') || 'Comment' }), this.commentText);
  }

  // Digits that are categories themselves are their own keys; else 1 to 9, then 0.
  keyOf(index) {
    if (this.names.every((name) => /^\d$/.test(name))) return this.names[index];
    return index < 9 ? String(index + 1) : index === 9 ? '0' : null;
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.composedPath()[0]?.matches?.('input, textarea, select')) return;
    const index = this.names.findIndex((_, number) => this.keyOf(number) === event.key);
    if (index >= 0) { event.preventDefault(); this.choose(index); }
  }

  choose(index) {
    this.chosen = this.names[index];
    [...this.choices.children].forEach((choice, number) => choice.setAttribute('aria-checked', String(number === index)));
    this.hint('');
    this.dispatchEvent(new Event('change', { bubbles: true }));
  }

  hint(text) { this.hintBox.textContent = text; }

  get missing() { return this.chosen === undefined ? 'Choose a category first.' : null; }

  // What is chosen, as scripts of templates know it.
  get value() { return this.chosen ?? null; }
  set value(name) {
    const index = this.names.indexOf(name?.label ?? name);
    if (index >= 0) this.choose(index);
    else this.reset();
  }

  reset() { this.chosen = undefined; this.showChoices(); }

  restore(output) {
    const index = this.names.indexOf(output?.label);
    if (index >= 0) this.choose(index);
    if (this.commentText && typeof output?.workerComment === 'string') {
      this.commentText.value = output.workerComment;
      this.commentText.closest('details').open = true;
    }
  }

  get output() {
    if (this.chosen === undefined) return null;
    const comment = this.commentText?.value.trim();
    return comment ? { label: this.chosen, workerComment: comment } : { label: this.chosen };
  }
}

class CrowdImageClassifier extends CrowdClassifier {
  showTarget(work) {
    const picture = element('div', { className: 'picture' });
    const image = this.image = element('img', { alt: 'The image to classify', src: this.getAttribute('src') || '' });
    image.addEventListener('load', () => picture.classList.toggle('small', image.naturalHeight < 200));
    image.addEventListener('error', () => picture.replaceChildren('The image cannot be shown. Give the task back.'));
    picture.append(image);
    work.append(picture);
  }

  refresh(name) {
    if (name === 'src' && this.image.getAttribute('src') !== this.getAttribute('src')) this.image.src = this.getAttribute('src');
    super.refresh(name);
  }
}

reflect(CrowdClassifier, [], ['header', 'categories']);
reflect(CrowdImageClassifier, [], ['header', 'categories', 'src']);

customElements.define('crowd-classifier', CrowdClassifier);
customElements.define('crowd-image-classifier', CrowdImageClassifier);
