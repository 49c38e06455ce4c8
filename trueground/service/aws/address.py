"""Where the client that is being answered reached the service: some responses hold addresses of it."""

from __future__ import annotations

from contextvars import ContextVar

from fastapi import Request

from trueground.service.settings import ServiceSettings

_ADDRESS: ContextVar[str] = ContextVar("address")


def remember(request: Request) -> None:
    """Note the address for the operation that this request asks for. The signature covers its host."""
    prefix = str(request.scope.get("root_path", "")).rstrip("/")
    _ADDRESS.set(f"{request.url.scheme}://{request.url.netloc}{prefix}")


def service_url() -> str:
    """The service's address, with the prefix it is mounted below, without a closing slash."""
    return _ADDRESS.get()


def sub_domain(settings: ServiceSettings) -> str:
    """The portal's address in AWS's form: without its scheme."""
    return (settings.public_url or service_url()).partition("://")[2]
