"""Sign-in providers to test against.

``mock_provider``: oidc-provider-mock, an independent provider with a login form, on a port of its own.
``strict_provider``: a small one that insists on PKCE, and that a test can make lie in one thing at a time.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

import httpx
import oidc_provider_mock
import uvicorn
from fastapi import FastAPI, Request
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.responses import JSONResponse, RedirectResponse, Response

SECRET = "a secret of the client, & more"


def aws_claims(client_id: str, subject: str, *groups: str, name: str = "Ada Lovelace") -> dict[str, Any]:
    """The claims that AWS asks of an OIDC workforce's provider."""
    return {
        "sagemaker:sub": subject,
        "sagemaker:client_id": client_id,
        "sagemaker:name": name,
        "sagemaker:groups": list(groups),
    }


@dataclass
class MockProvider:
    """oidc-provider-mock, with one client of ours."""

    url: str
    client_id: str
    client_secret: str

    @property
    def config(self) -> dict[str, Any]:
        """OidcConfig of a CreateWorkforce request."""
        return {
            "ClientId": self.client_id,
            "ClientSecret": self.client_secret,
            "Issuer": self.url,
            "AuthorizationEndpoint": f"{self.url}/oauth2/authorize",
            "TokenEndpoint": f"{self.url}/oauth2/token",
            "UserInfoEndpoint": f"{self.url}/userinfo",
            "LogoutEndpoint": f"{self.url}/oauth2/end_session",
            "JwksUri": f"{self.url}/jwks",
            "Scope": "openid profile email",
        }

    def set_user(self, subject: str, *groups: str, **claims: Any) -> None:
        """What the provider says of somebody from now on."""
        body = {**aws_claims(self.client_id, subject, *groups), **claims}
        httpx.put(f"{self.url}/users/{subject}", json=body).raise_for_status()


@contextmanager
def mock_provider(callback: str) -> Iterator[MockProvider]:
    """The provider, with a client that may send people back to ``callback`` only."""
    with oidc_provider_mock.run_server_in_thread(require_client_registration=True, require_nonce=True) as server:
        url = f"http://localhost:{server.server_port}"
        client = httpx.post(f"{url}/oauth2/clients", json={"redirect_uris": [callback]}).raise_for_status().json()
        yield MockProvider(url, client["client_id"], client["client_secret"])


@dataclass
class StrictProvider:
    """A provider that signs whom it is told to in, and that lies where it is told to."""

    url: str = ""
    client_id: str = "trueground-portal"
    key: Any = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "first"}))
    signing_key: Any = None
    """Signs in place of the key that is published."""
    claims: dict[str, Any] = field(default_factory=dict)
    """Replace those of the ID token; ``None`` leaves one out."""
    userinfo: dict[str, Any] = field(default_factory=dict)
    token_response: Response | None = None
    """Sent by the token endpoint in place of tokens."""
    forge: str | None = None
    """How the ID token is signed: ``none``, or ``public`` for HMAC with the published key."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    jwks_fetched: int = 0
    token_requests: list[dict[str, str]] = field(default_factory=list)
    logins: list[dict[str, str]] = field(default_factory=list)

    @property
    def config(self) -> dict[str, Any]:
        """OidcConfig of a CreateWorkforce request."""
        return {
            "ClientId": self.client_id,
            "ClientSecret": SECRET,
            "Issuer": self.url,
            "AuthorizationEndpoint": f"{self.url}/authorize",
            "TokenEndpoint": f"{self.url}/token",
            "UserInfoEndpoint": f"{self.url}/userinfo",
            "LogoutEndpoint": f"{self.url}/logout",
            "JwksUri": f"{self.url}/jwks",
            "AuthenticationRequestExtraParams": {"prompt": "login", "state": "fixed"},
        }

    def id_token(self, request: dict[str, str]) -> str:
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": self.client_id,
            "sub": "u-1",
            "iat": now,
            "exp": now + 300,
            "nonce": request["nonce"],
            **aws_claims(self.client_id, "u-1", "labelers"),
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.forge == "none":
            parts = [json.dumps(part).encode() for part in ({"alg": "none", "kid": self.key.kid}, claims)]
            return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."
        if self.forge == "public":
            secret = OctKey.import_key(base64.b64encode(self.key.as_pem(private=False)))
            return jwt.encode({"alg": "HS256", "kid": self.key.kid}, claims, secret, algorithms=["HS256"])
        key = self.signing_key or self.key
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, key, algorithms=["RS256"])

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/authorize")
        def authorize(request: Request) -> Response:
            asked = dict(request.query_params)
            assert len(request.query_params.multi_items()) == len(asked), "a parameter came twice"
            assert asked["response_type"] == "code" and asked["code_challenge_method"] == "S256"
            assert asked["client_id"] == self.client_id and "openid" in asked["scope"].split()
            self.logins.append(asked)
            code = secrets.token_urlsafe(16)
            self.codes[code] = asked
            answer = {"code": code, "state": asked["state"], "iss": self.url}
            return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(answer)}", 303)

        @app.post("/token")
        async def token(request: Request) -> Response:
            if self.token_response is not None:
                return self.token_response
            form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
            self.token_requests.append(form)
            asked = self.codes.pop(form.get("code", ""), None)  # once only
            digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if (form.get("client_id"), form.get("client_secret")) != (self.client_id, SECRET):
                return JSONResponse({"error": "invalid_client"}, 401)
            if (
                asked is None
                or challenge != asked["code_challenge"]
                or form.get("redirect_uri") != asked["redirect_uri"]
            ):
                return JSONResponse({"error": "invalid_grant"}, 400)
            return JSONResponse({"access_token": "a", "token_type": "Bearer", "id_token": self.id_token(asked)})

        @app.get("/userinfo")
        def userinfo(request: Request) -> Response:
            assert request.headers["authorization"] == "Bearer a"
            return JSONResponse({"sub": "u-1", **self.userinfo})

        @app.get("/jwks")
        def jwks() -> Response:
            self.jwks_fetched += 1
            unknown = {"kty": "lattice", "kid": "new", "x": "AA"}
            return JSONResponse({"keys": [unknown, self.key.as_dict(private=False)]})

        return app


@contextmanager
def strict_provider() -> Iterator[StrictProvider]:
    """The provider, on a free port."""
    provider = StrictProvider()
    server = uvicorn.Server(uvicorn.Config(provider.app(), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    provider.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield provider
    finally:
        server.should_exit = True
        thread.join(10)
