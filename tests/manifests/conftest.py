"""A folder of files and a manifest in it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from trueground.manifests import ManifestReport, check_manifest
from trueground.storage import Storage, file_uri

Check = Callable[..., ManifestReport]


def encoded(kind: str = "PNG", size: tuple[int, int] = (9, 7), mode: str = "L", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.effect_noise(size, 40).convert(mode).save(out, kind, **options)
    return out.getvalue()


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, bytes | str], str]:
    """Write a file below the data root and return its URI."""

    def write(name: str, content: bytes | str) -> str:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file_uri(file)

    return write


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Check a manifest that has these lines: dicts, or bytes as they stand."""

    def run(lines: Iterable[dict[str, Any] | bytes], *, text: bool = True, **options: Any) -> ManifestReport:
        file = tmp_path / "m.manifest"
        with file.open("wb") as out:
            for line in lines:
                out.write(line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode() + b"\n")
        key, media = ("source", "text") if text else ("source-ref", "image")
        return check_manifest(Storage(tmp_path), file_uri(file), source_key=key, media=media, **options)

    return run


@pytest.fixture
def image() -> Callable[..., bytes]:
    """Makes the bytes of an image."""
    return encoded
