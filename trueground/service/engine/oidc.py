"""Signing in to an OIDC workforce: authorization code flow with PKCE, and the accounts of those who do.

An account is known by its issuer and its subject. The name a provider gives somebody never leads to another account.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from trueground.service.engine.errors import NotFound, ProviderFailed, SignInRefused
from trueground.service.engine.oidc_provider import Provider, authorization_url, claims_for_code, logout_url
from trueground.service.engine.output_rows import OIDC
from trueground.service.engine.workforces import oidc_group
from trueground.service.security import SecretBox
from trueground.service.store.database import Database, now
from trueground.service.store.tables import worker_groups, workers, workforces

GROUPS_AT_MOST = 10
GROUP_LENGTH = 63
NAME_LENGTH = 200
_SEPARATORS = (":", "-")
"""AWS writes the claims as ``sagemaker:groups``; Cognito's and others' names may hold no colon."""


@dataclass(frozen=True, slots=True)
class Person:
    """What a provider says of somebody. ``problem``: why they cannot sign in, although they are known."""

    subject: str
    name: str
    groups: tuple[str, ...]
    email: str | None = None
    problem: str | None = None


def oidc_workforces(db: Database) -> list[str]:
    """The names of the workforces whose people sign in with a provider of their own."""
    with db.read() as connection:
        rows = connection.execute(select(workforces).order_by(workforces.c.name)).all()
    return [row.name for row in rows if "OidcConfig" in row.request]


def begin(db: Database, box: SecretBox, workforce: str, redirect_uri: str) -> tuple[str, dict[str, Any]]:
    """Where to send somebody who wants to sign in, and what must be known again when they come back.

    Raises:
        NotFound: there is no such OIDC workforce.
        Invalid: its AuthorizationEndpoint must not be used.
    """
    provider = _provider(db, box, workforce)
    kept = {
        "workforce": workforce,
        "state": secrets.token_urlsafe(32),
        "nonce": secrets.token_urlsafe(32),
        "verifier": secrets.token_urlsafe(48),
    }
    url = authorization_url(provider, redirect_uri, state=kept["state"], nonce=kept["nonce"], verifier=kept["verifier"])
    return url, kept


def finish(
    db: Database, box: SecretBox, kept: Mapping[str, Any] | None, answer: Mapping[str, str], redirect_uri: str
) -> str:
    """The worker id of the person whom the provider sent back; their account is made, or brought up to date.

    Args:
        db: the store.
        box: decrypts the client's secret.
        kept: what :func:`begin` gave, from the same browser; ``None`` where it has none, or it ran out.
        answer: the query that the provider sent the browser back with.
        redirect_uri: the same as at the begin.

    Raises:
        NotFound, SignInRefused, ProviderFailed: nobody is signed in; the message says why.
    """
    if kept is None or not hmac.compare_digest(str(kept["state"]).encode(), answer.get("state", "").encode()):
        raise SignInRefused("this sign-in was not begun in this browser, or took too long; begin again")
    provider = _provider(db, box, kept["workforce"])
    # RFC 9207: a code of another provider, sent to this one, would be given away.
    if answer.get("iss", provider.issuer) != provider.issuer:
        raise SignInRefused("the answer comes from another sign-in provider than was asked")
    if "error" in answer or not answer.get("code"):
        said = "".join(c for c in answer.get("error", "no code") if c.isprintable())[:100]
        raise SignInRefused(f"the sign-in provider refused ({said}); begin again")
    claims = claims_for_code(
        provider, answer["code"], redirect_uri, nonce=str(kept["nonce"]), verifier=str(kept["verifier"])
    )
    person = person_of(claims, provider.client_id)
    try:
        worker_id = _keep_account(db, provider, person)
    except IntegrityError:
        # Two first sign-ins of one person at once, on PostgreSQL: the other one has made the account.
        worker_id = _keep_account(db, provider, person)
    if person.problem is not None:
        raise SignInRefused(person.problem)
    return worker_id


def person_of(claims: Mapping[str, Any], client_id: str) -> Person:
    """The person that claims of AWS's form speak of.

    Raises:
        SignInRefused: they do not say who it is.
    """
    subject, name = _claim(claims, "sub"), _claim(claims, "name")
    if not isinstance(subject, str) or not 1 <= len(subject) <= 255 or not subject.isprintable():
        raise SignInRefused("the sign-in provider does not say who you are: the claim sagemaker:sub is missing")
    problem = None
    if _claim(claims, "client_id") != client_id:
        problem = "the claim sagemaker:client_id is not the ClientId of this workforce"
    if not isinstance(name, str) or not name.strip():
        problem, name = "the claim sagemaker:name is missing", subject
    groups = _claim(claims, "groups")
    groups = [groups] if isinstance(groups, str) else groups
    if groups is None:
        problem = "the sign-in provider says of no group that you are in it: the claim sagemaker:groups is missing"
    elif not isinstance(groups, list) or not all(
        isinstance(group, str) and 1 <= len(group) <= GROUP_LENGTH for group in groups
    ):
        problem = f"the claim sagemaker:groups must be a list of names of at most {GROUP_LENGTH} characters"
    elif len(groups) > GROUPS_AT_MOST:
        problem = f"the claim sagemaker:groups names more than {GROUPS_AT_MOST} groups"
    email = claims.get("email")
    return Person(
        subject=subject,
        name=" ".join(name.split())[:NAME_LENGTH],
        # What cannot be understood gives no access, and takes away what there was.
        groups=() if problem or groups is None else tuple(dict.fromkeys(groups)),
        # An address that the provider has not checked could be anybody's.
        email=email if isinstance(email, str) and len(email) <= 254 and claims.get("email_verified") is True else None,
        problem=problem,
    )


def logout_address(db: Database, box: SecretBox, worker_id: str, back: str) -> str | None:
    """Where the session with the person's provider ends; ``None`` for somebody who signed in without one."""
    with db.read() as connection:
        issuer = connection.scalar(select(workers.c.issuer).where(workers.c.id == worker_id))
        rows = connection.execute(select(workforces)).all() if issuer is not None else []
    for row in rows:
        if row.request.get("OidcConfig", {}).get("Issuer") == issuer:
            return logout_url(_provider_of(row, box), back)
    return None


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    return next((claims[key] for mark in _SEPARATORS if (key := f"sagemaker{mark}{name}") in claims), None)


def _provider(db: Database, box: SecretBox, workforce: str) -> Provider:
    with db.read() as connection:
        row = connection.execute(select(workforces).where(workforces.c.name == workforce)).first()
    if row is None or "OidcConfig" not in row.request:
        raise NotFound(f"there is no workforce {workforce!r} with a sign-in provider")
    return _provider_of(row, box)


def _provider_of(row: Row[Any], box: SecretBox) -> Provider:
    if row.client_secret is None:
        raise ProviderFailed(f"the ClientSecret of the workforce {row.name!r} is not known; UpdateWorkforce sets it")
    return Provider(row.name, row.request["OidcConfig"], box.decrypt(row.client_secret))


def _keep_account(db: Database, provider: Provider, person: Person) -> str:
    """Make the account, or bring its name and groups to what the provider says now. Returns the worker id."""
    with db.write() as connection:
        known = (workers.c.issuer == provider.issuer) & (workers.c.subject == person.subject)
        row = connection.execute(select(workers).where(known).with_for_update()).first()
        if row is not None and row.disabled_at is not None:
            raise SignInRefused("this account is closed; ask whoever runs the labeling")
        values = {"name": person.name, "email": person.email}
        if row is None:
            worker_id = secrets.token_hex(8)
            connection.execute(
                insert(workers).values(
                    id=worker_id,
                    username=_username(provider.issuer, person.subject),
                    role="worker",
                    source=OIDC,
                    subject=person.subject,
                    issuer=provider.issuer,
                    created_at=now(),
                    **values,
                )
            )
        else:
            worker_id = row.id
            connection.execute(update(workers).where(workers.c.id == worker_id).values(**values))
        _replace_groups(connection, worker_id, {oidc_group(provider.workforce, group) for group in person.groups})
        return str(worker_id)


def _username(issuer: str, subject: str) -> str:
    """A user name that no local account can have, because of its colon."""
    return f"oidc:{hashlib.sha256(issuer.encode()).hexdigest()[:8]}:{subject}"


def _replace_groups(connection: Connection, worker_id: str, groups: set[str]) -> None:
    mine = worker_groups.c.worker_id == worker_id
    before = set(connection.scalars(select(worker_groups.c.group_name).where(mine)))
    if before - groups:
        connection.execute(delete(worker_groups).where(mine, worker_groups.c.group_name.in_(before - groups)))
    if groups - before:
        rows = [{"worker_id": worker_id, "group_name": group} for group in sorted(groups - before)]
        connection.execute(insert(worker_groups), rows)
