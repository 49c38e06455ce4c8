"""Letters to people: plain e-mail over SMTP."""

from __future__ import annotations

import smtplib
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

from trueground.errors import InputError
from trueground.service.settings import ServiceSettings

SECONDS = 20.0
_HERE = ("localhost", "127.0.0.1", "::1")


def can_write(settings: ServiceSettings) -> bool:
    """Whether the service was told how to send letters."""
    return bool(settings.smtp and settings.mail_from and settings.public_url)


def send(
    settings: ServiceSettings, email: str, name: str, subject: str, text: str, *, stop_link: str | None = None
) -> None:
    """Send one letter.

    Args:
        settings: how, and from which address.
        email: to whom.
        name: what that person is called; whatever it holds, it becomes no other header line.
        subject: one line.
        text: the letter.
        stop_link: an address that, posted to, stops letters of this kind; mail programs show it as a button.

    Raises:
        OSError, smtplib.SMTPException: it could not be handed over.
    """
    assert settings.smtp and settings.mail_from
    letter = EmailMessage()
    local, _, domain = settings.mail_from.rpartition("@")
    letter["From"] = Address("Trueground", local, domain)
    local, _, domain = email.rpartition("@")
    letter["To"] = Address(_one_line(name), local, domain)
    letter["Subject"] = _one_line(subject)
    letter["Date"] = formatdate()
    letter["Message-ID"] = make_msgid(domain=settings.mail_from.rpartition("@")[2])
    letter["Auto-Submitted"] = "auto-generated"
    if stop_link is not None:
        letter["List-Unsubscribe"] = f"<{stop_link}>"
        letter["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    letter.set_content(text)
    with _connect(settings.smtp) as server:
        server.send_message(letter)


def _connect(url: str) -> smtplib.SMTP:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in ("smtp", "smtps") or not host:
        # Without the value: it holds a password.
        raise InputError("not the address of a mail server", field="TRUEGROUND_SMTP", hint="Use smtp://host:587")
    context = ssl.create_default_context()
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=SECONDS, context=context)
    else:
        server = smtplib.SMTP(host, parts.port or 587, timeout=SECONDS)
    try:
        server.ehlo()
        encrypted = parts.scheme == "smtps"
        if not encrypted and server.has_extn("starttls"):
            server.starttls(context=context)
            server.ehlo()
            encrypted = True
        if parts.username:
            if not encrypted and host not in _HERE:
                raise smtplib.SMTPNotSupportedError("the mail server offers no TLS; the password stays here")
            server.login(unquote(parts.username), unquote(parts.password or ""))
    except BaseException:
        server.close()
        raise
    return server


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
