// crowd-alert, crowd-card, crowd-instructions, crowd-modal, crowd-tabs: what surrounds a question. They give no output.

const BOX = 'background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px 16px; margin: 0 0 14px;';
const LINK = 'font: inherit; color: var(--accent); background: none; border: 0; padding: 0; text-decoration: underline; cursor: pointer;';
const BUTTON = 'font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 8px 16px; cursor: pointer;';

class CrowdAlert extends CrowdElement {
  build() {
    const bad = ['error', 'warning'].includes(this.getAttribute('type'));
    this.setAttribute('role', bad ? 'alert' : 'status');
    this.style.cssText = `${BOX} display: flex; gap: 12px; justify-content: space-between; border-left: 4px solid ${bad ? 'var(--bad)' : 'var(--accent)'};`;
    const text = element('div', {}, ...this.childNodes);
    this.append(text);
    if (this.hasAttribute('dismissible')) {
      const away = element('button', { type: 'button', 'aria-label': 'Dismiss', textContent: '×', onclick: () => this.remove() });
      away.style.cssText = `${LINK} text-decoration: none; font-size: 1.2rem; line-height: 1;`;
      this.append(away);
    }
  }
}

class CrowdCard extends CrowdElement {
  build() {
    this.style.cssText = BOX;
    const image = this.getAttribute('image');
    if (this.hasAttribute('heading')) this.prepend(element('h2', { textContent: this.getAttribute('heading') }));
    if (image) {
      const picture = element('img', { src: image, alt: '' });
      picture.style.cssText = 'max-width: 100%; border-radius: 8px; display: block;';
      this.prepend(picture);
    }
  }
}

// A link or button that opens what the element holds.
class CrowdModal extends CrowdElement {
  build() {
    const content = this.content();
    this.dialog = element('dialog', {}, content, element('p', {}, closer(this)));
    this.dialog.style.cssText = `${BOX} color: inherit; max-width: 680px; width: calc(100% - 32px); box-sizing: border-box; padding: 24px; margin: auto;`;
    const text = this.getAttribute('link-text') || this.linkText;
    this.opener = element('button', { type: 'button', textContent: text, onclick: () => this.open() });
    this.opener.style.cssText = this.getAttribute('link-type') === 'button' ? BUTTON : LINK;
    this.append(this.opener, this.dialog);
  }

  get linkText() { return 'Open'; }
  content() { return element('div', {}, ...this.childNodes); }
  open() { this.dialog.showModal(); this.dispatchEvent(new CustomEvent('open')); }
  close() { this.dialog.close(); this.dispatchEvent(new CustomEvent('close')); }
}

function closer(modal) {
  const button = element('button', { type: 'button', textContent: 'Close', onclick: () => modal.close() });
  button.style.cssText = BUTTON;
  return button;
}

const SECTIONS = {
  'short-summary': '', 'detailed-instructions': 'Instructions', 'positive-example': 'Good examples', 'negative-example': 'Bad examples',
};

class CrowdInstructions extends CrowdModal {
  get linkText() { return 'View instructions'; }
  content() {
    const shown = element('div', {});
    for (const [tag, title] of Object.entries(SECTIONS)) {
      const parts = [...this.querySelectorAll(`:scope > ${tag}`)];
      if (parts.length && title) shown.append(element('h2', { textContent: title }));
      for (const part of parts) { part.style.display = 'block'; shown.append(part); }
    }
    return shown;
  }
}

class CrowdTabs extends CrowdElement {
  build() {
    const tabs = [...this.querySelectorAll(':scope > crowd-tab')];
    const row = element('div', { role: 'tablist' });
    row.style.cssText = 'display: flex; flex-wrap: wrap; gap: 4px; border-bottom: 1px solid var(--line); margin-bottom: 12px;';
    this.buttons = tabs.map((tab, index) => {
      const button = element('button', { type: 'button', role: 'tab', textContent: tab.getAttribute('header') || `${index + 1}`, onclick: () => this.show(index) });
      button.style.cssText = 'font: inherit; color: inherit; background: none; border: 0; border-bottom: 3px solid transparent; padding: 8px 12px; cursor: pointer;';
      tab.setAttribute('role', 'tabpanel');
      tab.button = button;
      return button;
    });
    row.append(...this.buttons);
    row.addEventListener('keydown', (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = (this.shown + step + tabs.length) % tabs.length;
      this.show(next);
      this.buttons[next].focus();
    });
    this.tabs = tabs;
    this.prepend(row);
    if (tabs.length) this.show(0);
  }

  show(chosen) {
    this.shown = chosen;
    this.tabs.forEach((tab, index) => {
      tab.style.display = index === chosen ? 'block' : 'none';
      this.buttons[index].setAttribute('aria-selected', String(index === chosen));
      this.buttons[index].tabIndex = index === chosen ? 0 : -1;
      this.buttons[index].style.borderBottomColor = index === chosen ? 'var(--accent)' : 'transparent';
    });
  }
}

class CrowdTab extends CrowdElement {
  refresh() { if (this.button) this.button.textContent = this.header; }
}
reflect(CrowdTab, [], ['header']);

customElements.define('crowd-alert', CrowdAlert);
customElements.define('crowd-card', CrowdCard);
customElements.define('crowd-modal', CrowdModal);
customElements.define('crowd-instructions', CrowdInstructions);
customElements.define('crowd-tabs', CrowdTabs);
customElements.define('crowd-tab', CrowdTab);
