// crowd-classifier and crowd-image-classifier: one category for what is shown.

class CrowdClassifier extends CrowdInput {
  build() {
    this.categories = this.relaxed('categories', []).map((item) => (typeof item === 'object' ? item.label : String(item)));
    this.comment = takePart(this, 'worker-comment');
    const work = buildLayout(this);
    this.showTarget(work);
    const short = this.categories.every((category) => category.length <= 4);
    this.choices = element('div', { className: `choices${short ? ' short' : ''}`, role: 'radiogroup', 'aria-label': this.getAttribute('header') || 'Category' });
    this.categories.forEach((category, index) => {
      const key = this.keyOf(index);
      const choice = element('button', { type: 'button', className: 'choice', role: 'radio', 'aria-checked': 'false', onclick: () => this.choose(index) });
      if (key && key !== category) choice.append(element('kbd', { textContent: key, 'aria-hidden': 'true' }));
      choice.append(element('span', { textContent: category }));
      this.choices.append(choice);
    });
    this.hintBox = element('p', { className: 'hint', role: 'status' });
    const submit = element('button', { type: 'button', className: 'submit', textContent: 'Submit', onclick: () => this.closest('crowd-form')?.submit() });
    if (this.comment) work.append(this.choices, this.commentBox(), element('div', { className: 'foot' }, submit, this.hintBox));
    else work.append(this.choices, element('div', { className: 'foot' }, submit, this.hintBox));
    document.addEventListener('keydown', (event) => this.onKey(event));
  }

  showTarget(work) {
    work.append(element('div', { className: 'target' }, element('slot')));
  }

  commentBox() {
    this.commentText = element('textarea', { rows: 2, placeholder: this.comment.getAttribute('placeholder') || '' });
    return element('details', {}, element('summary', { textContent: this.comment.getAttribute('link-text') || this.comment.getAttribute('header') || 'Comment' }), this.commentText);
  }

  // Digits that are categories themselves are their own keys; else 1 to 9, then 0.
  keyOf(index) {
    if (this.categories.every((category) => /^\d$/.test(category))) return this.categories[index];
    return index < 9 ? String(index + 1) : index === 9 ? '0' : null;
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.composedPath()[0]?.matches?.('input, textarea, select')) return;
    const index = this.categories.findIndex((_, number) => this.keyOf(number) === event.key);
    if (index >= 0) { event.preventDefault(); this.choose(index); }
  }

  choose(index) {
    this.chosen = this.categories[index];
    [...this.choices.children].forEach((choice, number) => choice.setAttribute('aria-checked', String(number === index)));
    this.hint('');
    this.dispatchEvent(new Event('change', { bubbles: true }));
  }

  hint(text) { this.hintBox.textContent = text; }

  get missing() { return this.chosen === undefined ? 'Choose a category first.' : null; }

  restore(value) {
    const index = this.categories.indexOf(value?.label);
    if (index >= 0) this.choose(index);
    if (this.commentText && typeof value?.workerComment === 'string') {
      this.commentText.value = value.workerComment;
      this.commentText.closest('details').open = true;
    }
  }

  get value() {
    if (this.chosen === undefined) return null;
    const comment = this.commentText?.value.trim();
    return comment ? { label: this.chosen, workerComment: comment } : { label: this.chosen };
  }
}

class CrowdImageClassifier extends CrowdClassifier {
  showTarget(work) {
    const picture = element('div', { className: 'picture' });
    const image = element('img', { alt: 'The image to classify', src: this.getAttribute('src') || '' });
    image.addEventListener('load', () => picture.classList.toggle('small', image.naturalHeight < 200));
    image.addEventListener('error', () => picture.replaceChildren('The image cannot be shown. Give the task back.'));
    picture.append(image);
    work.append(picture);
  }
}

customElements.define('crowd-classifier', CrowdClassifier);
customElements.define('crowd-image-classifier', CrowdImageClassifier);
