// How long somebody is really at a task: the page can be seen, and there was input in the last minute.

const IDLE = 60_000;

class Clock {
  constructor(seconds = 0) {
    this.before = seconds;
    this.since = null;       // null while it stands
    this.lastInput = null;
  }

  start() {
    if (this.since !== null || document.hidden) return;
    this.since = performance.now();
    this.lastInput = this.since;
  }

  stop() { this.settle(); this.since = null; }

  // Input: what lies between the minute after the last one and now was idle.
  touch() {
    if (this.since === null) return;
    this.settle();
    this.lastInput = performance.now();
  }

  settle() {
    if (this.since === null) return;
    const now = performance.now();
    this.before += Math.max(0, Math.min(now, this.lastInput + IDLE) - this.since) / 1000;
    this.since = now;
  }

  get seconds() { this.settle(); return this.before; }
  get idle() { return this.since !== null && performance.now() > this.lastInput + IDLE; }
}
