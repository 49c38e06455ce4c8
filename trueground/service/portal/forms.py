"""Forms that change something: proof that a page of the portal sent them."""

from __future__ import annotations

import hmac

from fastapi import Request

from trueground.service.portal.errors import Forbidden
from trueground.service.portal.session import CSRF_HEADER, service_of
from trueground.service.security import Identity

FORM_SECONDS = 12 * 3600
WORK = "work as a worker"
"""The act of the button in the bar of each page, for users of Airflow."""


def form_token(request: Request, who: Identity, act: str) -> str:
    """What a page puts into its form. It is of use to this person, for this act, today."""
    return service_of(request).signer.sign("form", _claims(who, act), FORM_SECONDS)


def check_form(request: Request, who: Identity, act: str, token: str) -> None:
    """Raise :class:`Forbidden` for a form that no page of ours made for this person."""
    if service_of(request).signer.read("form", token) != _claims(who, act):
        raise Forbidden("the form does not come from the portal's own page, or is too old; load the page again")


def check_sent_by_page(request: Request) -> None:
    """Raise :class:`Forbidden` for a request of a session of ours without the page's token.

    Who comes through the service around us has none; other sites cannot send such requests with JSON or ``PUT``.
    """
    expected = getattr(request.state, "csrf_token", None)
    if expected is not None and not hmac.compare_digest(
        request.headers.get(CSRF_HEADER, "").encode(), expected.encode()
    ):
        raise Forbidden("the request does not come from the portal's own page; load the page again")


def _claims(who: Identity, act: str) -> dict[str, str]:
    return {"who": f"{who.source}/{who.username}", "act": act}
