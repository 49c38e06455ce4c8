"""The files that tasks show: by links that are permissions by themselves and run out soon, in parts where asked."""

from __future__ import annotations

import io
import mimetypes
import re
from collections.abc import Iterator
from datetime import datetime
from typing import IO

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from trueground.errors import InputError, UnavailableError
from trueground.images import may_need_another, shown_otherwise
from trueground.manifests.images import DECODED_PIXELS, IMAGE_BYTES
from trueground.service.engine import visibility
from trueground.service.portal import pictures
from trueground.service.portal.session import address_of, check_range, prefix_of, service_of
from trueground.service.store.database import now

router = APIRouter()

LINK_SECONDS = (300, 3600)
"""A link lives as long as its task may still be answered, within these bounds."""
CHUNK = 256 * 1024
BLOCK = 4 * 1024 * 1024
"""What is fetched from an object store at once."""
TEXT_BYTES_AT_MOST = 16 * 1024 * 1024
"""A longer text is not handed to a browser that would try to lay it out."""
PLAYABLE = ("video/", "audio/")
RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def media_link(
    request: Request,
    uri: str,
    assignment_id: str | None,
    worker_id: str,
    expires_at: datetime,
    only_from: str | None = None,
) -> str:
    """The short-lived address of a file, for one task of one worker; or without, for a look before it is taken.

    ``only_from``: the IP address that may open it.
    """
    least, most = LINK_SECONDS
    seconds = min(max((expires_at - now()).total_seconds(), least), most)
    path = service_of(request).media_path(
        uri, seconds, worker_id=worker_id, assignment_id=assignment_id, address=only_from
    )
    return prefix_of(request) + path


@router.head("/media/{token}")
@router.get("/media/{token}")
def media(request: Request, token: str) -> Response:
    """A file that a template was given a link to: whole, or one range of it."""
    service = service_of(request)
    claims = service.signer.read("media", token)
    if claims is None:
        raise HTTPException(404, "The link to this file has run out.")
    # Nobody is named where a requester, or somebody who has not taken the task, looks at it.
    if claims["w"]:
        check_range(request, claims["w"])
        visibility.check_link(service.db, claims.get("a", ""), claims["w"])
    if claims.get("from") not in (None, address_of(request)):
        raise HTTPException(403, "The link to this file was given to another address.")
    uri = claims["u"]
    try:
        size = service.storage.size(uri)
        handle = service.storage.open(uri, block_size=BLOCK)
    except UnavailableError:
        raise HTTPException(503, "The file cannot be read at the moment.") from None
    except (OSError, InputError):
        raise HTTPException(404, "The file is not there.") from None
    headers = {
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Accept-Ranges": "bytes",
        "Cache-Control": f"private, max-age={LINK_SECONDS[1]}",
        # Templates draw pictures on canvases; the frame's opaque origin needs this to read them back.
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    try:
        handle, size, kind = _as_seen(handle, size, _kind(handle, uri, size))
        if kind.startswith(PLAYABLE):
            # In a frame of its own the browser makes a page around it, which has to load it.
            here = f"{request.url.netloc}{prefix_of(request)}"
            headers["Content-Security-Policy"] += f"; media-src {here}/media/; style-src 'unsafe-inline'"
        start, end, status = _wanted_range(request, size)
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        headers["Content-Length"] = str(end - start)
        if request.method == "HEAD":
            handle.close()
            return Response(None, status, headers, kind)
        handle.seek(start)
    except BaseException:
        handle.close()
        raise
    return StreamingResponse(_chunks(handle, end - start), status, headers, kind)


def _as_seen(handle: IO[bytes], size: int, kind: str) -> tuple[IO[bytes], int, str]:
    """The file; or another in its place, where a browser would show it otherwise than models see it."""
    if not kind.startswith("image/") or size > IMAGE_BYTES:
        return handle, size, kind
    handle.seek(0)
    head = handle.read(pictures.HEAD)
    if not may_need_another(head):
        return handle, size, kind
    known = pictures.kind_and_pixels(head)
    if known is None or known[1] > DECODED_PIXELS:
        return handle, size, kind
    try:
        other = shown_otherwise(head + handle.read())
    except InputError:
        other = None
    if other is None:
        return handle, size, kind
    handle.close()
    return io.BytesIO(other), len(other), "image/png"


def _kind(handle: IO[bytes], uri: str, size: int) -> str:
    """The type that a browser is told. A picture is what its own bytes say, whatever its name."""
    head = handle.read(pictures.HEAD)
    if pictures.looks_like_a_picture(head):
        known = pictures.kind_and_pixels(head)
        if known is None and size > len(head):
            known = pictures.kind_and_pixels(head + handle.read(pictures.HEAD_AT_MOST - len(head)))
        if known is not None and known[1] > pictures.PIXELS_AT_MOST:
            raise HTTPException(413, f"The picture has more than {pictures.PIXELS_AT_MOST:,} pixels.")
        # What starts as a picture and then is none must not reach a decoder that is less careful.
        return known[0] if known else "application/octet-stream"
    # A browser's own viewer shows it, in which nothing of ours can be reached.
    if head.startswith(b"%PDF-"):
        return "application/pdf"
    guessed = mimetypes.guess_type(uri)[0] or ""
    if guessed == "text/plain":
        if size > TEXT_BYTES_AT_MOST:
            raise HTTPException(413, f"The text has more than {TEXT_BYTES_AT_MOST:,} bytes.")
        return guessed
    # Anything else is a download without meaning: an SVG runs scripts, and so does a page that is called .png.
    return guessed if guessed.startswith(PLAYABLE) else "application/octet-stream"


def _wanted_range(request: Request, size: int) -> tuple[int, int, int]:
    """From where to where, and the status. A range that cannot be given is refused with 416."""
    text = request.headers.get("range", "").replace(" ", "").lower()
    # Without a validator of ours, a condition on one never holds; then the whole file is the right answer.
    if not text.startswith("bytes=") or "if-range" in request.headers:
        return 0, size, 200
    found = RANGE.fullmatch(text)
    if found is None or found[0] == "bytes=-" or len(text) > 64:
        raise _not_satisfiable(size)  # several ranges too: they are cheap to ask for and dear to answer
    first, last = found[1], found[2]
    if not first:
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
    if start >= end:
        raise _not_satisfiable(size)
    return start, end, 206


def _not_satisfiable(size: int) -> HTTPException:
    return HTTPException(416, "This file has no such part.", {"Content-Range": f"bytes */{size}"})


def _chunks(handle: IO[bytes], left: int) -> Iterator[bytes]:
    with handle:
        while left > 0 and (chunk := handle.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
