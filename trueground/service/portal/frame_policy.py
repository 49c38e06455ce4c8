"""What a task's frame may load and do: the Content-Security-Policy that travels with it.

A template is a stranger's HTML, so its origin is opaque and it reaches nothing but what its task needs: our own scripts
and styles, the files it was given links to (also in frames of its own: videos, documents), and images of other hosts
that its page names. What is blocked is told to the page around it, which tells the worker.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

SANDBOX = "allow-scripts allow-forms allow-modals allow-popups allow-popups-to-escape-sandbox"
"""No ``allow-same-origin`` (its origin would be the portal's), and no navigation of the page around it.

Popups, so that links open in a new tab; without the sandbox, so that what they lead to works. Modals, because templates
ask with ``confirm`` and tell with ``alert``.
"""
_IMAGE = re.compile(r"""https://[^\\\s"'<>{}|^`;,]+""")
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?")
ADDRESS_CHARACTERS = 2000
"""Of the images' addresses together in the policy's header; where they are longer, their hosts stand for them."""
HOSTS = 40


def named_images(page: str) -> list[str]:
    """The sources that let a page load the images of other hosts that it names, by its template or its data.

    Each is an address without what follows a question mark, which a policy cannot hold; its host alone, where they
    are many.
    """
    addresses: dict[str, str] = {}
    for found in _IMAGE.findall(html.unescape(page)):
        if "(" not in found:
            found = found.rstrip(")")  # of url(…) in a style
        try:
            parts = urlsplit(found)
        except ValueError:
            continue
        if _HOST.fullmatch(parts.netloc):
            address = f"https://{parts.netloc}{parts.path}"
            if address.isascii() and address.isprintable():
                addresses[address] = parts.netloc
    if sum(map(len, addresses)) <= ADDRESS_CHARACTERS:
        return list(addresses)
    return [f"https://{host}" for host in list(dict.fromkeys(addresses.values()))[:HOSTS]]


def frame_policy(here: str, images: Iterable[str], around: Iterable[str]) -> str:
    """The policy of one frame.

    Args:
        here: host and path of our service, without a scheme: a proxy may have taken TLS away. Not ``'self'``, which an
            opaque origin is not.
        images: what :func:`named_images` found.
        around: origins that may show our page, which shows this frame.
    """
    policy = {
        "sandbox": SANDBOX,
        "default-src": "'none'",
        "script-src": f"{here}/static/ 'unsafe-inline'",
        "style-src": f"{here}/static/ 'unsafe-inline'",
        "img-src": " ".join([f"{here}/media/ {here}/static/ data: blob:", *images]),
        "media-src": f"{here}/media/ data: blob:",
        "frame-src": f"{here}/media/",
        "font-src": f"{here}/static/ data:",
        "connect-src": "'none'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": " ".join(["'self'", *around]),
    }
    return "; ".join(f"{name} {value}" for name, value in policy.items())
