"""The local reader on generated pages: what it finds, the shape it gives, what it refuses."""

from __future__ import annotations

import io
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from PIL import Image, ImageDraw

from demo.invoices import font, invoice
from tests.pictures import blank_png
from trueground.documents import read_document
from trueground.errors import InputError
from trueground.review.textract import form_fields

CLEAN = (3, 2, 4)
"""Seeds of an invoice of each layout: key and value in a line, in two columns, in boxes."""


def page(text: str, *, turned: float = 0.0, mode: str = "RGB") -> Image.Image:
    image = Image.new(mode, (900, 500), "white")
    ImageDraw.Draw(image).text((80, 200), text, font=font("DejaVuSans.ttf", 26), fill="black")
    return image.rotate(turned, Image.Resampling.BICUBIC, fillcolor="white") if turned else image


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def response() -> dict[str, Any]:
    return read_document(invoice(f"0/{CLEAN[0]}", wear=0)[0])


@pytest.mark.parametrize("seed", CLEAN)
def test_every_field_of_a_clean_invoice_is_found_with_its_value(seed: int) -> None:
    image, truth = invoice(f"0/{seed}", wear=0)
    found = {field.key.rstrip(":"): field.value for field in form_fields(read_document(image))}
    assert truth.items() <= found.items()


def test_the_response_has_the_shape_of_textracts(response: dict[str, Any]) -> None:
    model = botocore.session.get_session().get_service_model("textract").operation_model("AnalyzeDocument")
    assert ParamValidator().validate(response, model.output_shape).generate_report() == ""
    assert {block["BlockType"] for block in response["Blocks"]} == {"PAGE", "LINE", "WORD", "KEY_VALUE_SET"}
    assert response["DocumentMetadata"] == {"Pages": 1}


def test_every_relationship_leads_to_a_block_of_the_right_type(response: dict[str, Any]) -> None:
    blocks = {block["Id"]: block for block in response["Blocks"]}
    assert len(blocks) == len(response["Blocks"])
    kinds = {"PAGE": {"LINE", "KEY_VALUE_SET"}, "LINE": {"WORD"}, "KEY_VALUE_SET": {"WORD"}}
    for block in blocks.values():
        for relation in block.get("Relationships", []):
            wanted = {"KEY_VALUE_SET"} if relation["Type"] == "VALUE" else kinds[block["BlockType"]]
            assert {blocks[found]["BlockType"] for found in relation["Ids"]} <= wanted
    words = [found for block in blocks.values() if block["BlockType"] == "LINE"
             for found in block["Relationships"][0]["Ids"]]  # fmt: skip
    assert len(words) == len(set(words)) == sum(block["BlockType"] == "WORD" for block in blocks.values())


def test_confidences_are_percentages_and_places_lie_on_the_page(response: dict[str, Any]) -> None:
    for block in response["Blocks"]:
        if block["BlockType"] != "PAGE":
            assert 0 <= block["Confidence"] <= 100
        box, polygon = block["Geometry"]["BoundingBox"], block["Geometry"]["Polygon"]
        assert len(polygon) == 4
        assert all(0 <= point[axis] <= 1 for point in polygon for axis in "XY")
        assert box["Left"] + box["Width"] <= 1.000001 and box["Top"] + box["Height"] <= 1.000001
        assert box["Left"] == min(point["X"] for point in polygon)


@pytest.mark.parametrize("turned", [0.0, -4.0, 4.0])
def test_words_are_where_they_were_printed_also_on_a_page_that_is_askew(turned: float) -> None:
    blocks = read_document(file_of(page("Total: 12.50", turned=turned)))["Blocks"]
    word = next(block for block in blocks if block["BlockType"] == "WORD" and block["Text"] == "12.50")
    box = word["Geometry"]["BoundingBox"]
    # Where its middle is printed, turned about the middle of the page.
    start = 80 + font("DejaVuSans.ttf", 26).getlength("Total: ")
    x, y = start + font("DejaVuSans.ttf", 26).getlength("12.50") / 2 - 450, 217 - 250
    tilt = -turned * 3.14159 / 180
    assert box["Left"] + box["Width"] / 2 == pytest.approx((450 + x - y * tilt) / 900, abs=0.02)
    assert box["Top"] + box["Height"] / 2 == pytest.approx((250 + y + x * tilt) / 500, abs=0.03)


def test_a_page_of_a_telephone_is_read_upright_and_measured_as_browsers_show_it() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    content = file_of(page("Total: 12.50").rotate(90, expand=True), "JPEG", exif=exif, quality=95)
    assert [(field.key, field.value) for field in form_fields(read_document(content))] == [("Total:", "12.50")]


def test_what_is_transparent_is_paper() -> None:
    image = page("Total: 12.50", mode="RGBA")
    image.putdata([(0, 0, 0, 255 - value) for value in image.convert("L").getdata()])
    assert [field.value for field in form_fields(read_document(file_of(image)))] == ["12.50"]


def test_the_same_page_gives_the_same_response() -> None:
    content = file_of(page("Total: 12.50"))
    assert read_document(content) == read_document(content)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty"),
        (b"%PDF-1.7 a document, but no image", "an image of the format PDF, which browsers do not show"),
        (blank_png(60_000, 60_000, rows=1), "more than 100,000,000 pixels"),
        (blank_png(12_000, 9_000, rows=1), "12000 x 9000 pixels"),
        (file_of(page("Total: 12.50"))[:2000], "the image is broken"),
        (file_of(page("Total: 12.50"), "TIFF"), "an image of the format TIFF, which browsers do not show"),
        (file_of(page("")), "there is no text on the page"),
        (file_of(Image.new("RGB", (5_000, 3), "white")), "there is no text on the page"),
    ],
    ids=["nothing", "pdf", "bomb", "too large", "cut off", "tiff", "empty page", "strip"],
)
def test_a_document_that_cannot_be_read_is_refused_by_name(content: bytes, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        read_document(content)
