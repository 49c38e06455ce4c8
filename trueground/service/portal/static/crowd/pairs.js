// The key-value pairs in Textract's blocks, and the answer about them. Blocks come in A2I's camelCase or as Textract's
// API gives them.

const KINDS = { yes: 'A pair', no: 'Not a pair', blank: 'Value is blank', absent: 'Key not found', cannot: 'Cannot tell' };

function member(block, name) { return block?.[name] ?? block?.[name[0].toUpperCase() + name.slice(1)]; }

function pairsOf(blocks, keys, readOnlyKeys) {
  const byId = new Map(blocks.map((block) => [member(block, 'id'), block]));
  const related = (block, kind) => (member(block, 'relationships') || [])
    .filter((relation) => member(relation, 'type') === kind)
    .flatMap((relation) => member(relation, 'ids') || []);
  const found = blocks.filter((block) => member(block, 'blockType') === 'KEY_VALUE_SET' && (member(block, 'entityTypes') || []).includes('KEY'))
    .map((key) => {
      const valueIds = related(key, 'VALUE');
      const value = byId.get(valueIds[0]);
      const words = [key, value].map((block) => related(block, 'CHILD').map((id) => byId.get(id)).filter(Boolean));
      const text = (block, own) => member(block, 'text') ?? own.map((word) => member(word, 'text') || '').join(' ');
      const all = [key, value, ...words.flat()].map((block) => member(block, 'confidence')).filter((share) => typeof share === 'number');
      return {
        id: member(key, 'id'), key: text(key, words[0]), value: text(value, words[1]), verdict: null,
        confidence: all.length ? Math.min(...all) : null, fixedKey: readOnlyKeys,
        keyBlock: key, valueBlock: value, valueId: valueIds[0] ?? newId(),
        places: [pointsOf(key), pointsOf(value)],
      };
    });
  const missing = keys.map((item) => (typeof item === 'string' ? { importantFormKey: item } : item))
    .filter(({ importantFormKey: key }) => key && key !== '*')
    .map(({ importantFormKey: key, importantFormKeyAliases: aliases }) => ({
      id: newId(), key, names: [key, ...(aliases || [])].map(plainKey), value: '', verdict: null, confidence: null,
      fixedKey: true, missing: true, valueId: newId(), places: [[], []],
    }))
    .filter((wanted) => !isAmong(wanted, found));
  const pairs = [...found, ...missing];
  for (const pair of pairs) Object.assign(pair, { firstKey: pair.key, firstValue: pair.value });
  return pairs;
}

// What an answer calls a pair that nobody could read. A key that is missing has no block: it goes by its name.
function unknownName(pair) { return pair.missing ? pair.key : pair.id; }

// Whether one of the pairs has the key of one that was missing, as it may after a key was corrected.
function isAmong(wanted, pairs) {
  return pairs.some((pair) => !pair.missing && pair.verdict !== 'no' && wanted.names.includes(plainKey(pair.key)));
}

// The blocks of the answer: each pair's key, with what it says, and its value. What is no pair is not among them.
function blocksOf(pairs) {
  return pairs.filter((pair) => pair.verdict !== 'no' && pair.verdict !== 'absent' && !(pair.missing && pair.verdict !== 'blank' && !pair.value.trim()))
    .flatMap((pair) => {
      const block = (own, id, entity, text, more) => ({
        blockType: 'KEY_VALUE_SET', id,
        relationships: [...childrenOf(own), ...more], entityTypes: [entity], text,
      });
      const value = pair.verdict === 'blank' ? '' : pair.value.trim();
      return [
        block(pair.keyBlock, pair.id, 'KEY', pair.key.trim(), [{ type: 'VALUE', ids: [pair.valueId] }]),
        block(pair.valueBlock, pair.valueId, 'VALUE', value, []),
      ];
    });
}

function childrenOf(block) {
  return (member(block, 'relationships') || []).filter((relation) => member(relation, 'type') === 'CHILD')
    .map((relation) => ({ type: 'CHILD', ids: member(relation, 'ids') || [] }));
}

function pointsOf(block) {
  const geometry = member(block, 'geometry');
  const polygon = (member(geometry, 'polygon') || []).map((point) => ({ x: Number(member(point, 'x')), y: Number(member(point, 'y')) }));
  if (polygon.length > 2) return polygon;
  const box = member(geometry, 'boundingBox');
  if (!box) return [];
  const [left, top, width, height] = ['left', 'top', 'width', 'height'].map((side) => Number(member(box, side)));
  return [{ x: left, y: top }, { x: left + width, y: top }, { x: left + width, y: top + height }, { x: left, y: top + height }];
}

function plainKey(text) { return String(text).toLowerCase().replace(/[\s:.#*]+/g, ' ').trim(); }

// crypto.randomUUID is only there over https.
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
