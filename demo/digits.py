"""Scikit-learn's handwritten digits as picture files, and their truth, which only the simulated people get to see."""

from __future__ import annotations

import csv
from pathlib import Path

SCALE = 20
"""Pixels of a picture for each pixel of the original's 8 x 8."""


def write_digits(images: Path, truth: Path, limit: int | None = None) -> int:
    """Write the digits as PNG files, and ``truth`` as CSV with the columns object, label.

    Files that are there already stay. Returns how many digits there are.
    """
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    count = len(digits.images) if limit is None else min(limit, len(digits.images))
    images.mkdir(parents=True, exist_ok=True)
    truth.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        file = images / f"digit-{number:04d}.png"
        if not file.exists():
            # 0 is paper and 16 is ink; people read dark ink on light paper.
            pixels = (255 - digits.images[number] * (255 / 16)).astype("uint8")
            small = Image.fromarray(pixels, mode="L")
            small.resize((small.width * SCALE, small.height * SCALE), Image.Resampling.BICUBIC).save(file)
        rows.append((file.name, str(digits.target[number])))
    with truth.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(("object", "label"))
        writer.writerows(rows)
    return count


def read_truth(truth: Path) -> dict[str, str]:
    """File name to digit."""
    with truth.open(encoding="utf-8") as handle:
        return {row["object"]: row["label"] for row in csv.DictReader(handle)}
