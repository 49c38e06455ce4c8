// The layout of every task: instructions at the side, the heading above the work, full instructions on demand.

const LAYOUT = `
  :host { display: block; }
  .layout { display: grid; grid-template-columns: minmax(0, 1fr) 280px; gap: 20px; max-width: 1200px; margin: 0 auto; }
  .layout.folded { grid-template-columns: minmax(0, 1fr); max-width: none; }
  .instructions { margin: -6px 0 12px; overflow-wrap: anywhere; max-width: 80ch; }
  .instructions summary { cursor: pointer; color: var(--faint); width: fit-content; }
  h1 { font-size: 1.3rem; margin: 0 0 12px; }
  aside { font-size: 0.95rem; background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 16px; align-self: start; overflow-wrap: anywhere; }
  aside h2 { font-size: 0.95rem; margin: 0 0 8px; }
  .link { font: inherit; color: var(--accent); background: none; border: 0; padding: 0; text-decoration: underline; cursor: pointer; }
  dialog { color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: 12px; max-width: 680px; width: calc(100% - 32px); box-sizing: border-box; padding: 24px; }
  dialog::backdrop { background: rgb(0 0 0 / 45%); }
  dialog .close { float: right; }
  button { font: inherit; color: inherit; }
  button:focus-visible, .link:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
  .choices { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 150px), 1fr)); gap: 8px; margin: 16px 0; }
  .choices.short { display: flex; flex-wrap: wrap; }
  .choice { display: flex; align-items: center; gap: 10px; text-align: left; padding: 10px 12px; background: var(--card); border: 1.5px solid var(--line); border-radius: 10px; cursor: pointer; min-height: 46px; overflow-wrap: anywhere; }
  .choices.short .choice { justify-content: center; font-size: 1.1rem; flex: 1 0 auto; min-width: 64px; white-space: nowrap; overflow-wrap: normal; }
  .choice:hover { border-color: var(--accent); }
  .choice[aria-checked=true] { background: var(--soft); border-color: var(--accent); box-shadow: inset 0 0 0 1px var(--accent); font-weight: 600; }
  kbd { font: 600 0.75rem ui-monospace, monospace; color: var(--faint); border: 1px solid var(--line); border-bottom-width: 2px; border-radius: 5px; padding: 0 6px; flex: none; }
  .submit { padding: 11px 26px; font-weight: 600; border: 0; border-radius: 8px; background: var(--accent); color: var(--on-accent); cursor: pointer; }
  .submit:hover { background: var(--accent-strong); }
  .foot { display: flex; align-items: center; gap: 14px; flex-wrap: wrap; }
  .hint { color: var(--bad); margin: 0; }
  .target { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 16px; overflow-wrap: anywhere; }
  .picture { display: flex; align-items: center; justify-content: center; height: min(52vh, 560px); background: var(--card); border: 1px solid var(--line); border-radius: 12px; overflow: hidden; position: relative; }
  .picture img { max-width: 100%; max-height: 100%; }
  .picture.small img { height: 100%; image-rendering: pixelated; }
  textarea { display: block; width: 100%; box-sizing: border-box; font: inherit; color: inherit; background: var(--page); border: 1px solid var(--line); border-radius: 8px; padding: 8px; margin-top: 6px; }
  @media (max-width: 720px) {
    .layout { grid-template-columns: 1fr; gap: 14px; }
    .picture { height: 38vh; }
    h1 { font-size: 1.1rem; }
  }
`;

// Moves a child such as <short-instructions> out of the element and returns it, or null.
function takePart(host, tag) {
  const part = host.querySelector(`:scope > ${tag}`);
  part?.remove();
  return part;
}

// Builds the layout in the host's shadow root and returns the part for the work. Folded, the instructions stand above it,
// to be opened, and the work has the whole width.
function buildLayout(host, { folded = false } = {}) {
  const short = takePart(host, 'short-instructions');
  const given = takePart(host, 'full-instructions');
  // AWS's templates have the element where they have nothing to say in it.
  const full = given?.textContent.trim() || given?.firstElementChild ? given : null;
  const shadow = host.attachShadow({ mode: 'open' });
  host.heading = element('h1', { textContent: host.getAttribute('header') || '', dir: 'auto' });
  // These class names are those of AWS's parts that published templates look for.
  const work = element('section', { className: 'annotation-area' }, host.heading);
  const layout = element('div', { className: 'layout' }, work);
  shadow.append(element('style', { textContent: LAYOUT }), layout);
  layout.classList.toggle('folded', folded);
  if (short || full) {
    const aside = folded
      ? element('details', { className: 'instructions' }, element('summary', { textContent: 'Instructions' }))
      : element('aside', { className: 'awsui-app-layout__navigation' }, element('h2', { textContent: 'Instructions' }));
    if (short) aside.append(element('div', {}, ...short.childNodes));
    if (full) {
      const dialog = element('dialog', { className: 'awsui-modal-dialog' },
        element('button', { className: 'close', textContent: 'Close', onclick: () => dialog.close() }),
        element('h2', { textContent: full.getAttribute('header') || 'Instructions' }), element('div', {}, ...full.childNodes));
      aside.append(element('button', { type: 'button', className: 'link', textContent: 'View full instructions', onclick: () => dialog.showModal() }));
      shadow.append(dialog);
    }
    if (folded) work.firstChild.after(aside); else layout.append(aside);
  }
  return work;
}
