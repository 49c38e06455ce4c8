// The image of a page that can be moved and magnified, with boxes on it. Places are shares of its width and height.

const PAGE_STYLE = `
  .page { position: relative; overflow: hidden; touch-action: none; cursor: grab; background: var(--line); border: 1px solid var(--line); border-radius: 12px; }
  .page:active { cursor: grabbing; }
  .sheet { position: absolute; left: 0; top: 0; transform-origin: 0 0; transition: transform 0.2s ease-out; }
  .page.still .sheet { transition: none; }
  .sheet img { display: block; width: 100%; height: 100%; background: #fff; }
  .sheet svg { position: absolute; inset: 0; width: 100%; height: 100%; }
  .sheet polygon { fill: transparent; stroke: #7a8a86; stroke-width: calc(1.5px * var(--shrunk, 1)); vector-effect: non-scaling-stroke; cursor: pointer; }
  .sheet polygon.unsure { stroke: #c2580c; }
  .sheet polygon.done { stroke: #1f6f5c; }
  .sheet polygon.here { stroke-width: calc(3px * var(--shrunk, 1)); fill: rgb(31 111 92 / 12%); stroke: #1f6f5c; }
  .page .tools { position: absolute; right: 10px; top: 10px; display: flex; gap: 6px; }
  .page .tools button { min-width: 36px; height: 36px; padding: 0 10px; background: var(--card); border: 1px solid var(--line); border-radius: 8px; cursor: pointer; }
  .page .tools button:hover { border-color: var(--accent); }
  .page .broken { position: absolute; inset: 0; display: grid; place-items: center; padding: 24px; margin: 0; text-align: center; }
  @media (prefers-reduced-motion: reduce) { .sheet { transition: none; } }
`;
const CLOSEST = 3;   // screen pixels for a pixel of the image

class PageView {
  // boxes: [{ points: [{ x, y }], chosen: () => … }]
  constructor(src, boxes) {
    this.image = element('img', { alt: 'The page to review', draggable: false });
    this.overlay = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    this.overlay.setAttribute('viewBox', '0 0 1 1');
    this.overlay.setAttribute('preserveAspectRatio', 'none');
    this.overlay.setAttribute('aria-hidden', 'true');
    this.polygons = boxes.map((box) => this.draw(box));
    this.sheet = element('div', { className: 'sheet' }, this.image, this.overlay);
    const tool = (text, label, act) => element('button', { type: 'button', textContent: text, 'aria-label': label, title: label, onclick: act });
    this.tools = element('div', { className: 'tools' },
      tool('−', 'Smaller', () => this.zoomBy(1 / 1.4)), tool('+', 'Larger', () => this.zoomBy(1.4)),
      tool('Whole page', 'Whole page (Z)', () => this.showAll()));
    this.box = element('div', { className: 'page' }, this.sheet, this.tools);
    this.image.addEventListener('load', () => this.showAgain());
    this.image.addEventListener('error', () => this.tellBroken());
    this.image.src = src;
    new ResizeObserver(() => this.showAgain()).observe(this.box);
    this.listen();
  }

  draw(box) {
    const polygon = document.createElementNS('http://www.w3.org/2000/svg', 'polygon');
    polygon.setAttribute('points', box.points.map((point) => `${point.x},${point.y}`).join(' '));
    polygon.addEventListener('click', () => { if (!this.moved) box.chosen(); });
    this.overlay.append(polygon);
    return polygon;
  }

  tellBroken() {
    this.broken = true;
    this.sheet.hidden = true;
    this.tools.remove();
    this.box.append(element('p', { className: 'broken', role: 'alert', textContent: 'The page cannot be shown. Give the task back, or skip it.' }));
  }

  get ready() { return this.image.naturalWidth > 0 && this.box.clientWidth > 0; }

  // What was asked for before the image, or the room for it, was there.
  showAgain() {
    if (!this.ready) return;
    this.sheet.style.width = `${this.image.naturalWidth}px`;
    this.sheet.style.height = `${this.image.naturalHeight}px`;
    this.box.classList.add('still');
    if (this.near) this.showNear(this.near); else this.showAll();
    requestAnimationFrame(() => requestAnimationFrame(() => this.box.classList.remove('still')));
  }

  get fitting() {
    return Math.min(this.box.clientWidth / this.image.naturalWidth, this.box.clientHeight / this.image.naturalHeight);
  }

  showAll() {
    this.near = null;
    if (!this.ready) return;
    this.place(this.fitting, 0.5, 0.5);
  }

  // Some points, with enough around them to see where they are.
  showNear(points) {
    this.near = points;
    if (!this.ready || !points.length) return;
    const [xs, ys] = [points.map((point) => point.x), points.map((point) => point.y)];
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const wide = this.box.clientWidth / (Math.max(right - left, 0.02) * 1.25 * this.image.naturalWidth);
    const high = this.box.clientHeight / (Math.max(bottom - top, 0.01) * 5 * this.image.naturalHeight);
    this.place(Math.max(this.fitting, Math.min(wide, high, CLOSEST)), (left + right) / 2, (top + bottom) / 2);
  }

  zoomBy(factor) {
    const { width, height } = this.shown();
    const [x, y] = [(this.box.clientWidth / 2 - this.left) / width, (this.box.clientHeight / 2 - this.top) / height];
    this.place(Math.min(Math.max(this.scale * factor, this.fitting), CLOSEST * 2), x, y);
  }

  // The image at a scale, with the point (x, y) in the middle as far as its edges allow.
  place(scale, x, y) {
    this.scale = scale;
    const { width, height } = this.shown();
    this.left = kept(this.box.clientWidth / 2 - x * width, this.box.clientWidth - width);
    this.top = kept(this.box.clientHeight / 2 - y * height, this.box.clientHeight - height);
    // Lines are drawn before the image is magnified.
    this.sheet.style.setProperty('--shrunk', 1 / scale);
    this.sheet.style.transform = `translate(${this.left}px, ${this.top}px) scale(${scale})`;
  }

  shown() { return { width: this.image.naturalWidth * this.scale, height: this.image.naturalHeight * this.scale }; }

  listen() {
    this.box.addEventListener('pointerdown', (event) => {
      if (!this.ready || this.broken || event.target.closest('.tools')) return;
      this.held = { x: event.clientX, y: event.clientY, left: this.left, top: this.top };
      this.moved = false;
    });
    this.box.addEventListener('pointermove', (event) => {
      if (!this.held) return;
      const [dx, dy] = [event.clientX - this.held.x, event.clientY - this.held.y];
      if (!this.moved && Math.hypot(dx, dy) < 5) return;
      if (!this.moved) { this.moved = true; this.box.classList.add('still'); this.box.setPointerCapture(event.pointerId); }
      const { width, height } = this.shown();
      const half = [this.box.clientWidth / 2, this.box.clientHeight / 2];
      this.place(this.scale, (half[0] - this.held.left - dx) / width, (half[1] - this.held.top - dy) / height);
    });
    for (const type of ['pointerup', 'pointercancel']) {
      this.box.addEventListener(type, () => { this.held = null; this.box.classList.remove('still'); });
    }
    this.box.addEventListener('wheel', (event) => {
      if (!this.ready || this.broken) return;
      event.preventDefault();
      this.zoomBy(event.deltaY < 0 ? 1.15 : 1 / 1.15);
    }, { passive: false });
  }
}

// An image that is larger than its frame covers it; a smaller one is in its middle.
function kept(offset, room) { return room > 0 ? room / 2 : Math.min(0, Math.max(room, offset)); }
