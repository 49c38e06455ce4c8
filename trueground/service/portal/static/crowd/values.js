// Templates load this script as well as the page around them does; the second time there is nothing left to do.
if (customElements.get('crowd-form')) return;

// Attributes of crowd elements hold relaxed JSON: single quotes, bare keys, trailing commas, comments. Never evaluated.

function parseRelaxed(text) {
  let at = 0;
  const fail = (what) => { throw new SyntaxError(`${what} at character ${at + 1} of ${JSON.stringify(text.slice(0, 80))}`); };
  const skip = () => {
    for (;;) {
      const rest = /^(?:\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/)/.exec(text.slice(at));
      if (!rest) return;
      at += rest[0].length;
    }
  };
  const string = (quote) => {
    let value = '';
    for (at += 1; text[at] !== quote; at += 1) {
      if (at >= text.length) fail('unfinished text');
      if (text[at] !== '\\') { value += text[at]; continue; }
      at += 1;
      if (text[at] === 'u') { value += String.fromCharCode(parseInt(text.slice(at + 1, at + 5), 16)); at += 4; continue; }
      value += { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f' }[text[at]] ?? text[at];
    }
    at += 1;
    return value;
  };
  const list = (close, item) => {
    at += 1;
    for (skip(); text[at] !== close; skip()) {
      item();
      skip();
      if (text[at] === ',') at += 1;
      else if (text[at] !== close) fail(`expected , or ${close}`);
    }
    at += 1;
  };
  const value = () => {
    skip();
    const start = text[at];
    if (start === '[') { const items = []; list(']', () => items.push(value())); return items; }
    if (start === '{') {
      const entries = [];
      list('}', () => {
        const key = value();
        skip();
        if (text[at] !== ':') fail('expected :');
        at += 1;
        entries.push([String(key), value()]);
      });
      return Object.fromEntries(entries);
    }
    if (start === '"' || start === "'") return string(start);
    const word = /^[^\s,:\]}[{'"]+/.exec(text.slice(at));
    if (!word) fail('expected a value');
    at += word[0].length;
    if (/^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(word[0])) return Number(word[0]);
    return { true: true, false: false, null: null }[word[0]] ?? word[0];
  };
  const result = value();
  skip();
  if (at < text.length) fail('unexpected text');
  return result;
}
