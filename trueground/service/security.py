"""Keys, passwords and signed tokens. Nothing here knows the store or HTTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.fernet import Fernet, InvalidToken

from trueground.errors import InputError
from trueground.service import rights
from trueground.service.rights import Right, Role

Source = Literal["local", "airflow"]
AIRFLOW_PREFIX = "airflow:"
"""What the user names of accounts begin with that users of Airflow work with. No other account has a colon there."""

_passwords = PasswordHasher()
# Checked for an unknown user name too, so that the time of an answer does not tell which names exist.
_NOBODY = _passwords.hash(secrets.token_urlsafe(16))


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking: a local account, or a user that Airflow's auth manager vouches for.

    ``worker_id`` is ``None`` for a manager without an account that could answer tasks. ``vendor`` is the work team
    of the vendor that the person belongs to: they see nothing else.
    """

    kind: Role
    username: str
    name: str
    worker_id: str | None
    source: Source = "local"
    vendor: str | None = None

    @property
    def works_from_airflow(self) -> bool:
        """Whether this is the account with which somebody who is signed in to Airflow works."""
        return self.worker_id is not None and self.username.startswith(AIRFLOW_PREFIX)

    def may(self, right: Right) -> bool:
        """Whether the person's role includes a right; a vendor's people administer nothing."""
        return rights.may(self.kind, right) and (self.vendor is None or right != "administer")


def hash_password(password: str) -> str:
    """The argon2id hash of a password."""
    return _passwords.hash(password)


def verify_password(password: str, hashed: str | None) -> bool:
    """Whether a password belongs to a hash. ``None`` (no such user) takes as long and is ``False``."""
    try:
        return _passwords.verify(hashed or _NOBODY, password) and hashed is not None
    except (VerificationError, InvalidHashError):
        return False


def token_hash(token: str) -> str:
    """What the store keeps of a random token. The token has 256 random bits, so a plain hash is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


class SecretBox:
    """Encrypts what the store must not hold in the clear, with a key that lies outside the store.

    Args:
        key: a Fernet key (32 bytes, URL-safe base64).
    """

    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(key)
        self._key = key

    @classmethod
    def load(cls, home: Path) -> SecretBox:
        """The key of an installation.

        It is ``TRUEGROUND_SECRET_KEY``, or stands in ``<home>/secret.key``, which is made at first use (mode 0600).
        """
        if value := os.environ.get("TRUEGROUND_SECRET_KEY"):
            return cls(_checked(value.encode(), "TRUEGROUND_SECRET_KEY"))
        path = home / "secret.key"
        if not path.exists():
            write_private(path, Fernet.generate_key(), keep_existing=True)
        return cls(_checked(path.read_bytes().strip(), str(path)))

    def encrypt(self, text: str) -> str:
        """Encrypted text, safe to store."""
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, token: str) -> str:
        """The text. Raises :class:`InputError` if it was encrypted with another key."""
        try:
            return self._fernet.decrypt(token.encode()).decode()
        except InvalidToken:
            raise InputError(
                "the store was made with another secret key",
                field="secret.key",
                hint="Put back the key file that lay beside the store, or start with a new store.",
            ) from None

    def pseudonym(self, purpose: str, name: str) -> str:
        """64 hex digits that stand for a name: always the same ones, and without the key nobody finds the name."""
        return hmac.new(self._key, f"pseudonym {purpose}\n{name}".encode(), "sha256").hexdigest()

    def signer(self) -> Signer:
        """Signs short-lived tokens, with a key derived from this one."""
        return Signer(hmac.digest(self._key, b"trueground signed tokens", "sha256"))


class Signer:
    """Short-lived signed tokens for links, so that a link is a permission and needs no session.

    A token is bound to a purpose: one for a media file opens no task page.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, purpose: str, claims: dict[str, Any], seconds: float) -> str:
        """A URL-safe token of JSON ``claims`` that :meth:`read` accepts for ``seconds`` from now."""
        body = _encode(json.dumps([claims, int(time.time() + seconds)], separators=(",", ":")).encode())
        return f"{body}.{self._mac(purpose, body)}"

    def read(self, purpose: str, token: str) -> dict[str, Any] | None:
        """The claims of a token made for this purpose, or ``None``: forged, for something else, or expired."""
        body, _, mac = token.partition(".")
        if not hmac.compare_digest(mac.encode(), self._mac(purpose, body).encode()):
            return None
        claims, expires = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return claims if expires > time.time() else None

    def _mac(self, purpose: str, body: str) -> str:
        return _encode(hmac.digest(self._key, f"{purpose}\n{body}".encode(), "sha256"))


def write_private(path: Path, content: bytes, *, keep_existing: bool = False) -> None:
    """Write a file that only its owner reads (mode 0600), whole or not at all.

    ``keep_existing`` leaves a file alone that another process wrote first.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    try:
        if keep_existing:
            os.link(temporary, path)
        else:
            os.replace(temporary, path)
            return
    except FileExistsError:
        pass
    os.unlink(temporary)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _checked(key: bytes, place: str) -> bytes:
    try:
        Fernet(key)
    except ValueError:
        raise InputError(
            "not a secret key of the labeling service",
            file=place,
            hint="It is 32 random bytes in URL-safe base64, as the first start writes it.",
        ) from None
    return key
