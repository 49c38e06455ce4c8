"""What the values of each key look like: learned from reviewed documents, used to check and mend what was read."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher, get_close_matches
from typing import Any

LOOK_ALIKE = {
    "O": "0", "D": "0", "Q": "0", "o": "0", "I": "1", "l": "1", "|": "1", "i": "1", "Z": "2", "S": "5", "G": "6",
    "B": "8", "0": "O", "1": "I", "2": "Z", "5": "S", "6": "G", "8": "B", ".": ",-", ",": ".", "-": ".", "_": "-",
}  # fmt: skip
"""What a character may have been, before any review has shown it."""
SAME_KEY, SAME_WORD = 0.75, 0.72
"""How alike two keys, or two words, are at least where one is the other misread (difflib's ratio)."""
MOST_MENDED = 4
"""Characters of a value that are mended; with more, it is a guess."""
FEWEST_VALUES = 5
"""Values of a key that show what its values look like."""
LETTERS_ONLY = 0.9
"""Share of a key's values without digits, from which on its values are words."""

_WORD = re.compile(r"[^\W\d_]{3,}")


def plain(key: str) -> str:
    """A key without what differs between prints of it: its case, colons and spaces."""
    return re.sub(r"[\W_]+", " ", key.lower()).strip()


def shape(value: str) -> str:
    """A value's characters by their kind: ``INV-4711`` is ``AAA-9999``."""
    return "".join(
        "9" if letter.isdigit() else "A" if letter.isupper() else "a" if letter.islower() else letter
        for letter in value
    )


def outline(value: str) -> str:
    """A value's shape whatever its length: ``INV-4711`` is ``A-9``."""
    return re.sub(r"(.)\1+", r"\1", shape(value))


class KnownValues:
    """The keys that documents have, and the values that people confirmed or wrote for each.

    Attributes:
        keys: how often each key was seen, as it is printed.
        values: by plain key, how often each value was.
        misread: by character as read, what it really was.
    """

    def __init__(self) -> None:
        self.keys: Counter[str] = Counter()
        self.values: dict[str, Counter[str]] = defaultdict(Counter)
        self.misread: dict[str, set[str]] = defaultdict(set, {read: set(real) for read, real in LOOK_ALIKE.items()})
        self._shapes: dict[str, Counter[str]] = {}
        self._words: dict[str, list[str]] = {}

    def learn(self, pairs: Iterable[tuple[str, str, str]]) -> KnownValues:
        """Learn from ``(key, value as read, value)``, and return itself."""
        for key, read, value in pairs:
            self.keys[key] += 1
            self.values[plain(key)][value] += 1
            if len(read) == len(value):
                for one, other in zip(read, value, strict=True):
                    if one != other:
                        self.misread[one].add(other)
        self._shapes.clear()
        self._words.clear()
        return self

    def mend_key(self, key: str, *, surely: bool = False) -> tuple[str, float]:
        """The known key that a key is likely to be, else the key itself; and how alike they are, from 0 to 1.

        ``surely``: it was read so, and stays.
        """
        if key in self.keys:
            return key, 1.0
        wanted = plain(key)
        alike = [(SequenceMatcher(None, wanted, plain(known)).ratio(), known) for known in self.keys]
        best, known = max(alike, default=(0.0, key))
        return (known, best) if best >= SAME_KEY and not surely else (key, best)

    def mend_value(self, key: str, value: str, *, surely: bool = False) -> str:
        """The value with what was misread put right, as far as it follows from other values of its key.

        ``surely``: it was read so. Then no word of it is taken for another; a character that looks like another may
        be read surely and wrongly all the same.
        """
        known = self.values.get(plain(key))
        if not known or value in known:
            return value
        if not surely:
            value = _WORD.sub(lambda word: self._mend_word(key, word[0]), value)
        shapes = self.shapes(key)
        if self._is_words(key) or shape(value) in shapes or shapes.total() < FEWEST_VALUES:
            return value
        for wanted, _ in shapes.most_common():
            if len(wanted) == len(value) and (mended := self._mend_shape(value, wanted)) is not None:
                return mended
        return value

    def usual(self, key: str, value: str) -> tuple[float, float]:
        """Of the key's values, the share with this value's shape, and that with its outline."""
        shapes = self.shapes(key)
        total = shapes.total()
        if not total:
            return 0.0, 0.0
        outlines = sum(count for known, count in shapes.items() if outline(known) == outline(value))
        return shapes[shape(value)] / total, outlines / total

    def known_words(self, key: str, value: str) -> float:
        """Of the value's words, the share that other values of the key have; 1 for a value without words."""
        words = _WORD.findall(value)
        return sum(word in self._vocabulary(key) for word in words) / len(words) if words else 1.0

    def shapes(self, key: str) -> Counter[str]:
        """How often the key's values have each shape."""
        name = plain(key)
        if name not in self._shapes:
            found: Counter[str] = Counter()
            for value, count in self.values.get(name, {}).items():
                found[shape(value)] += count
            self._shapes[name] = found
        return self._shapes[name]

    def state(self) -> dict[str, Any]:
        """All of it, as plain data."""
        return {
            "keys": dict(self.keys),
            "values": {key: dict(values) for key, values in self.values.items()},
            "misread": {read: sorted(real) for read, real in self.misread.items()},
        }

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> KnownValues:
        """What :meth:`state` gave."""
        known = cls()
        known.keys.update(state["keys"])
        for key, values in state["values"].items():
            known.values[key].update(values)
        for read, real in state["misread"].items():
            known.misread[read] |= set(real)
        return known

    def _is_words(self, key: str) -> bool:
        values = self.values.get(plain(key), Counter())
        letters = sum(count for value, count in values.items() if not re.search(r"\d", value))
        return letters >= LETTERS_ONLY * max(values.total(), 1)

    def _vocabulary(self, key: str) -> list[str]:
        name = plain(key)
        if name not in self._words:
            self._words[name] = sorted({word for value in self.values.get(name, ()) for word in _WORD.findall(value)})
        return self._words[name]

    def _mend_word(self, key: str, word: str) -> str:
        words = self._vocabulary(key)
        return word if word in words else next(iter(get_close_matches(word, words, n=1, cutoff=SAME_WORD)), word)

    def _mend_shape(self, value: str, wanted: str) -> str | None:
        """The value in a wanted shape of its length, by what its characters may have been; ``None``: it cannot be."""
        mended, count = [], 0
        for letter, kind in zip(value, wanted, strict=True):
            if shape(letter) == kind:
                mended.append(letter)
                continue
            real = next((other for other in sorted(self.misread.get(letter, ())) if shape(other) == kind), None)
            count += 1
            if real is None or count > MOST_MENDED:
                return None
            mended.append(real)
        return "".join(mended)
