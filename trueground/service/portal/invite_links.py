"""How an invitation reaches the person it is for."""

from __future__ import annotations

import logging
import smtplib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import Request

from trueground.errors import InputError
from trueground.service.engine import letters
from trueground.service.engine.invitations import Invitation
from trueground.service.portal.session import prefix_of, service_of

if TYPE_CHECKING:
    from trueground.service.context import Service

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Told:
    """What became of the letter with the link."""

    sent: bool
    message: str


def link_of(request: Request, token: str) -> str:
    """The address on which an invited person makes their account."""
    public = service_of(request).settings.public_url
    base = public or f"{request.url.scheme}://{request.url.netloc}{prefix_of(request)}"
    return f"{base}/join/{token}"


def deliver(service: Service, invitation: Invitation, link: str) -> Told | None:
    """Send the link, where an address is known and the service can send; ``None`` where not."""
    if not invitation.email or not letters.can_write(service.settings):
        return None
    text = (
        "Hello,\n\nyou are invited to label with Trueground. Choose your name and password here:\n\n"
        f"{link}\n\nThe link works once, until {invitation.expires_at:%d %B %Y %H:%M} UTC.\n"
    )
    try:
        letters.send(service.settings, invitation.email, "", "Your invitation to label", text)
    except (OSError, smtplib.SMTPException, InputError) as error:
        log.warning("an invitation could not be sent: %s", type(error).__name__)
        return Told(False, "The letter could not be sent. Hand the link over yourself.")
    return Told(True, f"The link was sent to {invitation.email}.")
