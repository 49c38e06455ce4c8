"""``trueground serve``: the labeling service by itself."""

from __future__ import annotations

import logging
import socket
from typing import Annotated

import typer

from trueground.cli.options import DataRootOption, HomeOption, StoreOption
from trueground.errors import InputError


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any free one.")] = 8700,
    store: StoreOption = None,
    data_root: DataRootOption = None,
    home: HomeOption = None,
) -> None:
    """Run the labeling service: the API of Ground Truth, and the portal where people label.

    The first start makes the store, a secret key and an access key. Programs find the access key in the AWS credentials
    file that is printed; people get accounts with `trueground worker add`.
    """
    import uvicorn

    from trueground.service.app import create_app
    from trueground.service.settings import ServiceSettings

    settings = ServiceSettings.from_environment(home=home, store_url=store, data_root=data_root)
    listener = _listen(host, port)
    address = f"http://{_shown(host)}:{listener.getsockname()[1]}"
    app = create_app(settings)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=5,
        # Not even those of this machine by default: any program on it could make up where a request comes from.
        forwarded_allow_ips=list(settings.trusted_proxies),
    )
    typer.echo(
        f"""Trueground labeling service at {address}

  portal        {address}/  (add people: trueground team add TEAM --worker NAME, after trueground worker add NAME)
  API           --endpoint-url {address}, region {settings.region}
  access key    AWS_SHARED_CREDENTIALS_FILE={settings.credentials_file} AWS_PROFILE=trueground
  data          {settings.data_root}

Stop it with Ctrl-C."""
    )
    uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    """The listening socket, taken first so that a taken port is met before anything else is done."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InputError(
            f"cannot listen on {host} port {port}: {error.strerror}",
            field="--port",
            hint="Give another --port, or 0 for any that is free.",
        ) from None
    return listener


def _shown(host: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host
