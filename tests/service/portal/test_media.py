"""Files that tasks show: in parts, of the right kind, not larger than a browser bears, and only those a task names."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.service.running import PIXEL, RunningService
from trueground.errors import InputError
from trueground.images import seen
from trueground.service.portal.named_files import NamedFiles
from trueground.service.portal.pictures import kind_and_pixels
from trueground.service.security import SecretBox
from trueground.storage import Storage, file_uri

VIDEO = bytes(range(256)) * 40


@pytest.fixture
def ada(service: RunningService) -> httpx.Client:
    service.add_worker("ada")
    client = httpx.Client(base_url=service.url)
    answer = client.post("/api/session", json={"username": "ada", "password": "secret"})
    client.headers["X-CSRF-Token"] = answer.json()["csrfToken"]
    return client


def link_to(service: RunningService, name: str, content: bytes, seconds: float = 60) -> str:
    """The address of a file as a template gets it."""
    path = service.data_root / name
    path.write_bytes(content)
    token = SecretBox.load(service.settings.home).signer().sign("media", {"u": file_uri(path), "w": None}, seconds)
    return f"{service.url}/media/{token}"


def png(width: int, height: int) -> bytes:
    """A tiny file that says it is a picture of this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-", 0, 10240),
        ("bytes=100-199", 100, 200),
        ("bytes=-40", 10200, 10240),
        ("bytes=10000-99999", 10000, 10240),
    ],
)
def test_a_player_gets_the_part_it_asks_for(service: RunningService, wanted: str, start: int, end: int) -> None:
    link = link_to(service, "film.mp4", VIDEO)
    answer = httpx.get(link, headers={"Range": wanted})
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/10240"
    assert answer.content == VIDEO[start:end]
    assert answer.headers["content-type"] == "video/mp4"


@pytest.mark.parametrize("wanted", ["bytes=10240-", "bytes=5-2", "bytes=-0", "bytes=0-1,4-5", "bytes=x-", "bytes=-"])
def test_a_part_that_is_not_there_and_several_parts_are_refused(service: RunningService, wanted: str) -> None:
    answer = httpx.get(link_to(service, "film.mp4", VIDEO), headers={"Range": wanted})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */10240")


def test_the_whole_file_comes_where_no_part_is_asked_for_or_a_condition_cannot_hold(service: RunningService) -> None:
    link = link_to(service, "film.mp4", VIDEO)
    for headers in ({}, {"Range": "lines=1-2"}, {"Range": "bytes=1-2", "If-Range": '"x"'}):
        answer = httpx.get(link, headers=headers)
        assert (answer.status_code, answer.content) == (200, VIDEO)
        assert answer.headers["accept-ranges"] == "bytes"


def test_head_says_the_same_without_the_file(service: RunningService) -> None:
    link = link_to(service, "film.mp4", VIDEO)
    whole, part = httpx.head(link), httpx.head(link, headers={"Range": "bytes=0-9"})
    assert (whole.status_code, whole.headers["content-length"], whole.content) == (200, "10240", b"")
    assert (part.status_code, part.headers["content-length"]) == (206, "10")


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("no-ending", PIXEL, "image/png"),
        ("wrong.jpg", PIXEL, "image/png"),
        ("page.png", b"<html><script>alert(1)</script>", "application/octet-stream"),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "application/octet-stream"),
        ("page.html", b"<html>", "application/octet-stream"),
        ("broken.png", b"\x89PNG\r\n\x1a\nnothing", "application/octet-stream"),
        ("form.bin", b"%PDF-1.7 and so on", "application/pdf"),
        ("page.pdf", b"<html>", "application/octet-stream"),
        ("words.txt", b"hello", "text/plain; charset=utf-8"),
    ],
)
def test_the_type_is_what_the_file_is_whatever_its_name(
    service: RunningService, name: str, content: bytes, kind: str
) -> None:
    answer = httpx.get(link_to(service, name, content))
    assert (answer.headers["content-type"], answer.content) == (kind, content)
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_people_are_shown_what_models_see(service: RunningService) -> None:
    """Deep grey, a transparent drawing and an animation come as another picture, whole and in parts; MPO as JPEG."""

    def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
        out = BytesIO()
        image.save(out, kind, **options)
        return out.getvalue()

    plain = Image.new("RGB", (6, 4), "red")
    deep = saved(Image.frombytes("I;16", (6, 4), struct.pack("<24H", *range(0, 4080, 170))), "PNG")
    drawing = saved(Image.new("RGBA", (6, 4), (255, 0, 0, 0)), "PNG")
    moving = saved(plain, "GIF", save_all=True, append_images=[Image.new("RGB", (6, 4), "blue")])
    for name, content in (("deep.png", deep), ("drawing.png", drawing), ("moving.gif", moving)):
        link = link_to(service, name, content)
        answer = httpx.get(link)
        assert answer.headers["content-type"] == "image/png" and answer.content != content
        assert Image.open(BytesIO(answer.content)).convert("RGB").tobytes() == seen(content).tobytes()
        part = httpx.get(link, headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, answer.content[10:20])
        assert httpx.head(link).headers["content-length"] == str(len(answer.content))
    camera = saved(plain, "MPO", save_all=True, append_images=[plain])
    for name, content, kind in (("camera.jpg", camera, "image/jpeg"), ("a.avif", saved(plain, "AVIF"), "image/avif")):
        answer = httpx.get(link_to(service, name, content))
        assert (answer.headers["content-type"], answer.content) == (kind, content)


@pytest.mark.parametrize("size", [(10_001, 10_000), (60_000, 60_000)])
def test_a_picture_that_decodes_to_too_much_is_not_served(service: RunningService, size: tuple[int, int]) -> None:
    for name in ("bomb.png", "bomb.txt", "bomb.mp4"):
        assert httpx.get(link_to(service, name, png(*size))).status_code == 413


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "AVIF"])
def test_the_size_of_a_picture_is_read_from_its_header(kind: str) -> None:
    file = BytesIO()
    Image.new("RGB", (321, 123)).save(file, kind)
    assert kind_and_pixels(file.getvalue()[:2000]) == (f"image/{kind.lower()}", 321 * 123)
    lossless = BytesIO()
    Image.new("RGBA", (321, 123), (1, 2, 3, 4)).save(lossless, "WEBP", lossless=True)
    assert kind_and_pixels(lossless.getvalue()) == ("image/webp", 321 * 123)


def test_a_text_that_is_too_long_for_a_browser_is_not_served(service: RunningService) -> None:
    assert httpx.get(link_to(service, "long.txt", b"x" * (16 * 2**20 + 1))).status_code == 413


def test_a_link_runs_out(service: RunningService) -> None:
    assert httpx.get(link_to(service, "film.mp4", VIDEO, seconds=-1)).status_code == 404


def test_a_task_shows_the_files_it_names_and_what_lies_below_a_folder_it_names(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "scene").mkdir()
    (tmp_path / "scene" / "out").symlink_to(tmp_path / "other")
    storage, here = Storage(tmp_path), file_uri(tmp_path)
    line = {
        "source-ref": f"{here}/a.png",
        "frames": [{"prefix": f"{here}/scene/"}],
        "mask": "see s3://b/m.png here s3://b/c/",
        "document": {"s3Object": {"bucket": "forms", "name": "a/1.jpg"}},
    }
    named = NamedFiles(storage, line, f'<img src="{{{{ "{here}/logo.png" | grant_read_access }}}}">')
    for uri in (
        f"{here}/a.png",
        f"{here}/scene/7.jpg",
        f"{here}/logo.png",
        "s3://b/m.png",
        "s3://b/c/1.png",
        "s3://forms/a/1.jpg",
        f"{here}/x/../a.png",
    ):
        named.check(uri)
    for uri in (
        f"{here}/b.png",
        f"{here}/a.png2",
        f"{here}/scene2/7.jpg",
        f"{here}/scene/../b.png",
        f"{here}/scene/%2e%2e/b.png",
        f"{here}/scene/out/b.png",
        "s3://b/n.png",
        "s3://forms/a/2.jpg",
        "s3://b/c/../n.png",
    ):
        with pytest.raises(InputError, match="neither its task nor itself names"):
            named.check(uri)


CLASSIFIER = "<crowd-image-classifier categories='{{ task.input.labels | to_json }}'></crowd-image-classifier>"


def test_a_template_cannot_show_a_file_that_its_task_does_not_name(
    service: RunningService, ada: httpx.Client, make_job: Callable[..., Any]
) -> None:
    (service.data_root / "secret.png").write_bytes(PIXEL)
    # The address is put together, so that it stands nowhere as a whole.
    folder, name = file_uri(service.data_root), "secret.png"
    template = f"{{{{ '{folder[:-2]}' | append: '{folder[-2:]}' | append: '/{name}' | grant_read_access }}}}"
    (service.data_root / "sly.html").write_text(f"<crowd-form>{template}{CLASSIFIER}</crowd-form>")
    make_job("sly", objects=1, UiConfig={"UiTemplateS3Uri": file_uri(service.data_root / "sly.html")})
    task = ada.post("/api/work/next", json={"job": "sly"}).json()["assignment"]
    answer = httpx.get(service.url + task["frameUrl"])
    assert answer.status_code == 422
    assert "neither its task nor itself names" in answer.text
    assert "Sign out" not in answer.text


def test_a_failure_inside_is_a_page_for_people_and_json_for_scripts(
    service: RunningService, ada: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trueground.service.engine import progress

    def fail(*_: Any) -> Any:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(progress, "work_for", fail)
    page, answer = ada.get("/"), ada.get("/api/work")
    assert (page.status_code, answer.status_code) == (500, 500)
    assert page.headers["content-type"].startswith("text/html")
    assert answer.json()["error"] == "failed"
    assert "secret inside" not in page.text + answer.text
