"""Invoices as scanners and telephones see them: generated, so what they say is known."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE = (1000, 1300)
"""Pixels of a page before it is turned and made small."""
KEYS = {
    "Invoice number": ("Invoice number:", "Invoice no.:", "Invoice #:"),
    "Invoice date": ("Invoice date:", "Date:", "Date of issue:"),
    "Due date": ("Due date:", "Payment due:", "Pay by:"),
    "Customer": ("Customer:", "Bill to:", "Client:"),
    "Order number": ("Order number:", "Order no.:", "PO number:"),
    "VAT ID": ("VAT ID:", "VAT no.:", "Tax ID:"),
    "IBAN": ("IBAN:", "Account:", "Pay to:"),
    "Subtotal": ("Subtotal:", "Net amount:", "Net:"),
    "Tax": ("Tax:", "VAT amount:", "VAT:"),
    "Total": ("Total due:", "Amount due:", "Total:"),
}
"""The fields of an invoice, and how companies print their names."""
LETTERS = "ABCDEKLMOPRSTX"
FIRST = (
    "Hollis",
    "Brandt",
    "Okafor",
    "Lindqvist",
    "Moreau",
    "Tanaka",
    "Quill",
    "Ibarra",
    "Novak",
    "Sella",
    "Oduya",
    "Ryan",
)
SECOND = (
    "& Sons Ltd",
    "Logistics GmbH",
    "Instruments Inc",
    "Foods SA",
    "Textiles BV",
    "Partners LLP",
    "Glass Co",
    "Tools AG",
)
GOODS = (
    "Ball bearing",
    "Steel bracket",
    "Copper wire",
    "Hex bolt",
    "Drive belt",
    "Pump seal",
    "Glass pane",
    "Filter",
    "Valve",
)


def write_invoices(images: Path, truth: Path, count: int, *, seed: int = 0, start: int = 0) -> None:
    """Write ``count`` invoices as JPEG files, and ``truth`` as JSON: file name to field to what is printed there.

    Args:
        images: a folder.
        truth: a file; what it says of other invoices is kept.
        count: how many.
        seed: decides what they say and how they are worn.
        start: the number of the first.
    """
    images.mkdir(parents=True, exist_ok=True)
    truth.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(truth.read_text("utf-8")) if truth.exists() else {}
    for number in range(start, start + count):
        file = images / f"invoice-{number:04d}.jpg"
        content, fields = invoice(f"{seed}/{number}")
        file.write_bytes(content)
        known[file.name] = fields
    truth.write_text(json.dumps(known, indent=1), "utf-8")


def invoice(seed: str, *, wear: float | None = None) -> tuple[bytes, dict[str, str]]:
    """One invoice as a JPEG file, and its fields: name as printed, without the colon, to value.

    Args:
        seed: the same gives the same invoice.
        wear: 0 is a clean print, 1 the worst scan; drawn where it is not given.
    """
    chance = random.Random(seed)
    content = _content(chance)
    page = _printed(content, chance)
    wear = chance.random() if wear is None else wear
    quality = int(88 - 55 * wear)
    file = io.BytesIO()
    _worn(page, chance, wear).save(file, "JPEG", quality=quality)
    return file.getvalue(), {key.rstrip(":"): value for key, value in content["fields"].values()}


def _content(chance: random.Random) -> dict[str, Any]:
    lines = [
        (chance.choice(GOODS), chance.randint(1, 40), chance.randint(50, 90_000) / 100)
        for _ in range(chance.randint(2, 5))
    ]
    net = sum(count * price for _, count, price in lines)
    tax = round(net * chance.choice((0.07, 0.19, 0.2, 0.21)), 2)
    day, month, year = chance.randint(1, 28), chance.randint(1, 11), chance.choice((2023, 2024, 2025))
    values = {
        "Invoice number": f"INV-{chance.randint(10_000, 99_999)}",
        "Invoice date": f"{year}-{month:02d}-{day:02d}",
        "Due date": f"{year}-{month + 1:02d}-{day:02d}",
        "Customer": f"{chance.choice(FIRST)} {chance.choice(SECOND)}",
        "Order number": f"{''.join(chance.choices(LETTERS, k=2))}{chance.randint(0, 999_999):06d}",
        "VAT ID": f"DE{chance.randint(0, 999_999_999):09d}",
        "IBAN": f"DE{chance.randint(10, 99)} " + " ".join(f"{chance.randint(0, 9999):04d}" for _ in range(4)),
        "Subtotal": f"{net:,.2f} EUR",
        "Tax": f"{tax:,.2f} EUR",
        "Total": f"{net + tax:,.2f} EUR",
    }
    house = chance.randrange(3)
    return {"fields": {name: (KEYS[name][house], value) for name, value in values.items()}, "lines": lines}


def _printed(content: Mapping[str, Any], chance: random.Random) -> Image:
    from PIL import Image, ImageDraw

    page = Image.new("L", SIZE, 255)
    draw = ImageDraw.Draw(page)
    face = chance.choice(("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf"))
    plain, bold, large = font(face, 21), font(face.replace(".ttf", "-Bold.ttf"), 21), font(face, 40)
    sender = f"{chance.choice(FIRST)} {chance.choice(SECOND)}"
    draw.text((70, 60), sender, font=large, fill=20)
    draw.text((70, 130), f"{chance.randint(1, 99)} Harbour Street", font=plain, fill=60)
    fields = dict(content["fields"])
    amounts = [fields.pop(name) for name in ("Subtotal", "Tax", "Total")]
    layout = chance.randrange(3)
    top = 220
    for number, (key, value) in enumerate(fields.values()):
        if layout == 0:  # key: value
            draw.text((70, top), key, font=bold, fill=20)
            draw.text((70 + bold.getlength(key + " "), top), value, font=plain, fill=20)
            top += 52
        elif layout == 1:  # a column of keys, a column of values
            draw.text((70, top), key, font=plain, fill=40)
            draw.text((400, top), value, font=plain, fill=20)
            top += 50
        else:  # boxes: key above its value, two in a row
            left = 70 + 440 * (number % 2)
            draw.rectangle((left - 12, top - 8, left + 410, top + 64), outline=150)
            draw.text((left, top), key, font=font(face, 16), fill=70)
            draw.text((left, top + 28), value, font=plain, fill=20)
            top += 82 * (number % 2)
    top += 82 if layout == 2 else 30
    for text, left in (("Description", 70), ("Quantity", 480), ("Price", 700)):
        draw.text((left, top), text, font=bold, fill=20)
    for name, count, price in content["lines"]:
        top += 44
        for text, left in ((name, 70), (str(count), 480), (f"{price:,.2f}", 700)):
            draw.text((left, top), text, font=plain, fill=20)
    top += 40
    draw.line((70, top, 930, top), fill=100, width=2)
    for key, value in amounts:
        top += 48
        draw.text((480, top), key, font=bold, fill=20)
        draw.text((700, top), value, font=bold, fill=20)
    return page


def _worn(page: Image, chance: random.Random, wear: float) -> Image:
    """Stamped, printed thin, crooked, small, out of focus, unevenly lit and noisy, the more the higher ``wear``."""
    from PIL import Image, ImageFilter

    noise = np.random.default_rng(chance.randrange(2**32))
    picture = page.convert("RGB")
    if chance.random() < 0.75 * wear**0.5:
        _stamp(picture, chance)
    if chance.random() < 0.6 * wear:
        # A worn toner: lines across the page in which the print is faint.
        for _ in range(chance.randint(1, 3)):
            top = chance.randrange(200, SIZE[1] - 250)
            strip = picture.crop((0, top, SIZE[0], top + 7))
            picture.paste(Image.blend(strip, Image.new("RGB", strip.size, "white"), 0.8), (0, top))
    picture = picture.rotate(
        chance.uniform(-1, 1) * 4 * wear, Image.Resampling.BICUBIC, expand=True, fillcolor=(255, 255, 255)
    )
    scale = 1 - 0.5 * wear * chance.random()
    picture = picture.resize((int(picture.width * scale), int(picture.height * scale)), Image.Resampling.LANCZOS)
    picture = picture.filter(ImageFilter.GaussianBlur(1.1 * wear * chance.random()))
    pixels = np.asarray(picture, dtype=np.float32)
    height, width = pixels.shape[:2]
    slope = np.linspace(0, 1, width)[None, :] * chance.uniform(-1, 1) + np.linspace(0, 1, height)[
        :, None
    ] * chance.uniform(-1, 1)
    pixels = pixels + (35 * wear * slope)[:, :, None] - 20 * wear
    pixels = pixels + noise.normal(0, 4 + 26 * wear * chance.random(), pixels.shape[:2])[:, :, None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _stamp(page: Image, chance: random.Random) -> None:
    from PIL import Image, ImageDraw

    stamp = Image.new("RGBA", (340, 130), (0, 0, 0, 0))
    colour = (*chance.choice(((190, 30, 40), (30, 60, 170))), 170)
    draw = ImageDraw.Draw(stamp)
    draw.rounded_rectangle((6, 6, 333, 123), 18, outline=colour, width=7)
    text = chance.choice(("RECEIVED", "COPY", "PAID", "APPROVED"))
    draw.text((170, 65), text, font=font("DejaVuSans-Bold.ttf", 50), fill=colour, anchor="mm")
    stamp = stamp.rotate(chance.uniform(-25, 25), Image.Resampling.BICUBIC, expand=True)
    page.paste(stamp, (chance.randrange(60, 560), chance.randrange(200, 950)), stamp)


def font(name: str, size: int) -> Any:
    """One of the fonts that are part of Matplotlib."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)
