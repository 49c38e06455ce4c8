"""An OpenID Connect provider as a workforce's OidcConfig names it: what is asked of it, and what is believed of it.

Specifications: OpenID Connect Core 1.0 (section 3.1, the authorization code flow), RFC 7636 (PKCE), RFC 9207.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet

from trueground.service.engine.errors import Invalid, ProviderFailed, SignInRefused

log = logging.getLogger(__name__)

SECONDS_AT_MOST = 10.0
BYTES_AT_MOST = 256 * 1024
KEYS_SECONDS = 3600.0
LEEWAY_SECONDS = 60
# Signatures of a private key only. Neither "none" nor HMAC, which a public key taken for a secret would fit.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
ENDPOINTS = ("Issuer", "AuthorizationEndpoint", "TokenEndpoint", "UserInfoEndpoint", "LogoutEndpoint", "JwksUri")
DEFAULT_SCOPE = "openid"


@dataclass(frozen=True, slots=True)
class Provider:
    """What a workforce's OidcConfig says."""

    workforce: str
    config: Mapping[str, Any]
    """OidcConfig without its ClientSecret."""
    client_secret: str = field(repr=False)

    @property
    def issuer(self) -> str:
        """Who vouches for people."""
        return str(self.config["Issuer"])

    @property
    def client_id(self) -> str:
        """As whom the provider knows us."""
        return str(self.config["ClientId"])


def check_address(url: str, member: str) -> None:
    """Raises :class:`Invalid` where the provider must not be asked at this address.

    Only https, so that nobody on the way reads or changes what is said; http for this machine only.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        host = None
    local = host in ("127.0.0.1", "localhost")
    if not host or parts.username is not None or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
        raise Invalid(
            f"{member}: {url!r} is not an https:// address (http:// is taken for 127.0.0.1 and localhost only)"
        )


def authorization_url(provider: Provider, redirect_uri: str, *, state: str, nonce: str, verifier: str) -> str:
    """Where a person signs in with the provider."""
    endpoint = provider.config["AuthorizationEndpoint"]
    check_address(endpoint, "OidcConfig.AuthorizationEndpoint")
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        # First, so that what the flow rests on cannot be replaced by them.
        **provider.config.get("AuthenticationRequestExtraParams", {}),
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": redirect_uri,
        "scope": provider.config.get("Scope") or DEFAULT_SCOPE,
        "state": state,
        "nonce": nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"


def claims_for_code(provider: Provider, code: str, redirect_uri: str, *, nonce: str, verifier: str) -> dict[str, Any]:
    """What the provider says of the person whose sign-in gave this code.

    AWS takes the claims from the ID token or from the UserInfoEndpoint; so they are put together here.

    Raises:
        SignInRefused: the provider takes the code back, or what it says cannot be believed.
        ProviderFailed: it cannot be reached, or does not speak OpenID Connect.
    """
    tokens = _redeem(provider, code, redirect_uri, verifier)
    claims = _verified(provider, tokens["id_token"], nonce)
    access_token = tokens.get("access_token")
    if isinstance(access_token, str) and provider.config.get("UserInfoEndpoint"):
        said = _fetch(
            "GET",
            provider.config["UserInfoEndpoint"],
            "UserInfoEndpoint",
            headers={"Authorization": f"Bearer {access_token}"},
        )
        # Section 5.3.2: an answer about somebody else must not be used.
        if said.get("sub") != claims["sub"]:
            raise SignInRefused("the provider's UserInfoEndpoint speaks of somebody else than its ID token")
        claims = {**said, **claims}
    return claims


def logout_url(provider: Provider, back: str) -> str:
    """Where a person's session with the provider ends (OpenID Connect RP-Initiated Logout 1.0)."""
    endpoint = provider.config["LogoutEndpoint"]
    check_address(endpoint, "OidcConfig.LogoutEndpoint")
    asked = {"client_id": provider.client_id, "post_logout_redirect_uri": back}
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"


def _redeem(provider: Provider, code: str, redirect_uri: str, verifier: str) -> dict[str, Any]:
    """The tokens for a code. The secret goes into the form first, as AWS sends it, else into the header."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
    }
    endpoint = provider.config["TokenEndpoint"]
    secret = {"client_id": provider.client_id, "client_secret": provider.client_secret}
    try:
        tokens = _fetch("POST", endpoint, "TokenEndpoint", data=form | secret)
    except _Refused as refused:
        if refused.status != 401 and refused.error != "invalid_client":
            raise
        # RFC 6749, section 2.3.1: both are form-encoded before they are put together.
        pair = (quote_plus(provider.client_id), quote_plus(provider.client_secret))
        tokens = _fetch("POST", endpoint, "TokenEndpoint", data=form, auth=pair)
    if not isinstance(tokens.get("id_token"), str):
        raise ProviderFailed("the provider's TokenEndpoint gave no ID token; OidcConfig.Scope must contain openid")
    return tokens


def _verified(provider: Provider, token: str, nonce: str) -> dict[str, Any]:
    """The claims of an ID token that this provider made for us, now, for this very sign-in."""
    claims = _signed_claims(provider, token)
    registry = jwt.JWTClaimsRegistry(
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": provider.issuer},
        aud={"essential": True, "value": provider.client_id},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
    )
    try:
        registry.validate(claims)
    except JoseError as error:
        raise SignInRefused(f"the provider's ID token is not valid here: {error}") from error
    party = claims.get("azp")
    if (isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and party is None) or (
        party is not None and party != provider.client_id
    ):
        raise SignInRefused("the provider's ID token was made for another client")
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise SignInRefused("the provider's ID token belongs to another sign-in")
    return claims


def _signed_claims(provider: Provider, token: str) -> dict[str, Any]:
    """The claims of a token with a signature by one of the provider's keys."""
    uri = provider.config["JwksUri"]
    for fresh in (False, True):
        keys, kept = _keys(uri, fresh=fresh)
        try:
            return dict(jwt.decode(token, keys, algorithms=ALGORITHMS).claims)
        except (JoseError, ValueError) as error:
            # The provider may have changed its keys since they were fetched.
            if not kept:
                raise SignInRefused(f"the signature of the provider's ID token is not valid: {error}") from error
    raise AssertionError("keys just fetched are not kept ones")


_kept_keys: dict[str, tuple[KeySet, float]] = {}


def _keys(uri: str, *, fresh: bool) -> tuple[KeySet, bool]:
    """The provider's public keys, and whether they were kept from an earlier sign-in."""
    kept = _kept_keys.get(uri)
    if kept is not None and not fresh and time.monotonic() < kept[1]:
        return kept[0], True
    entries = _fetch("GET", uri, "JwksUri").get("keys")
    keys: list[Key] = []
    for entry in entries if isinstance(entries, list) else []:
        # "oct" is a shared secret: what is published is none.
        if not isinstance(entry, dict) or entry.get("kty") == "oct" or entry.get("use", "sig") != "sig":
            continue
        try:
            keys.append(JWKRegistry.import_key(entry))
        except (JoseError, ValueError, TypeError, KeyError) as error:
            log.warning("a key at %s cannot be used: %s", uri, error)
    if not keys:
        raise ProviderFailed("the provider's JwksUri names no public key that could be used")
    _kept_keys[uri] = (KeySet(keys), time.monotonic() + KEYS_SECONDS)
    return _kept_keys[uri][0], False


class _Refused(SignInRefused):
    """The provider answered with an error of OAuth 2.0."""

    def __init__(self, status: int, error: str, message: str) -> None:
        self.status, self.error = status, error
        super().__init__(message)


def _fetch(method: str, url: str, member: str, **options: Any) -> dict[str, Any]:
    """A JSON object from the provider, within limits of time and size."""
    check_address(url, f"OidcConfig.{member}")
    try:
        # In a loop of its own, because only so does the limit cover all of it: names, connection, head and body.
        status, body = asyncio.run(asyncio.wait_for(_read(method, url, **options), SECONDS_AT_MOST))
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
        log.warning("the OIDC provider's %s cannot be reached: %r", member, error)
        raise ProviderFailed(f"the sign-in provider cannot be reached (its {member}); try again later") from error
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise ProviderFailed(f"the sign-in provider's {member} answered {status} without a JSON object")
    if status != 200:
        said = _short(answer.get("error", status))
        log.warning("the OIDC provider's %s answered %s: %s", member, status, said)
        raise _Refused(status, said, f"the sign-in provider refused ({said}); sign in again")
    return answer


async def _read(method: str, url: str, **options: Any) -> tuple[int, bytes]:
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", **options.pop("headers", {})}
    async with (
        # No redirects: they could lead to where check_address would not.
        httpx.AsyncClient(follow_redirects=False, timeout=SECONDS_AT_MOST) as client,
        client.stream(method, url, headers=headers, **options) as response,
    ):
        body = bytearray()
        # Raw, because a small compressed answer could become a large one.
        async for part in response.aiter_raw():
            body += part
            if len(body) > BYTES_AT_MOST:
                raise ProviderFailed("the sign-in provider's answer is too long")
        return response.status_code, bytes(body)


def _short(value: object) -> str:
    """What a stranger says, fit to be shown: one line, and not long."""
    return "".join(character if character.isprintable() else " " for character in str(value))[:200]
