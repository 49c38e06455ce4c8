"""Styles and scripts. Their addresses carry a digest of their content, so browsers may keep them for ever."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import Response

FOLDER = Path(__file__).parent / "static"
BUNDLES = {
    "crowd-html-elements.js": (
        "crowd",
        (
            *("values", "base", "form", "layout", "classifier", "inputs", "choices", "panels"),
            *("page", "pairs", "textract", "moderation"),
        ),
    ),
    "work.js": ("work", ("net", "outbox", "tabs", "clock", "tasks", "time", "coming", "acts")),
}
"""Scripts that are put together of the files in a folder, in the order they need each other."""
KINDS = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}


@cache
def content(name: str) -> bytes:
    """A static file by name. Raises ``FileNotFoundError``."""
    if name in BUNDLES:
        # One classic script, as templates expect; each bundle keeps its names to itself.
        folder, files = BUNDLES[name]
        parts = (f"// {file}.js\n{(FOLDER / folder / file).with_suffix('.js').read_text('utf-8')}" for file in files)
        return ("(() => {\n'use strict';\n" + "\n".join(parts) + "\n})();\n").encode("utf-8")
    return (FOLDER / name).read_bytes()


@cache
def _digest(name: str) -> str:
    return hashlib.sha256(content(name)).hexdigest()[:12]


def asset(prefix: str, name: str) -> str:
    """The address of a static file."""
    return f"{prefix}/static/{name}?{_digest(name)}"


def install(app: FastAPI) -> None:
    """Add the route that serves them."""

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        kind = KINDS.get(Path(name).suffix)
        if kind is None or "/" in name or name.startswith("."):
            raise HTTPException(404, "There is no such file.")
        try:
            data = content(name)
        except OSError:
            raise HTTPException(404, "There is no such file.") from None
        headers = {
            "Cache-Control": "public, max-age=31536000, immutable",
            # Task frames have an opaque origin: to them, this is another site.
            "Access-Control-Allow-Origin": "*",
            "Cross-Origin-Resource-Policy": "cross-origin",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(data, media_type=kind, headers=headers)
