"""`python -m demo.component scheduler`: a component of Airflow that listens on this machine only.

Airflow's log servers listen on every address, and no setting says otherwise.
"""

from __future__ import annotations

import uvicorn

LOCAL = "127.0.0.1"


def hostname() -> str:
    """Where a component says that it runs, so that its log server is found: Airflow's ``hostname_callable``."""
    return LOCAL


def _listen_here(run: object) -> object:
    def listen(app: object, **options: object) -> None:
        run(app, **{**options, "host": options.get("host") or LOCAL})  # type: ignore[operator]

    return listen


# At import, because a log server is a process of its own, which may import this anew.
uvicorn.run = _listen_here(uvicorn.run)  # type: ignore[assignment]

if __name__ == "__main__":
    from airflow.__main__ import main

    main()
