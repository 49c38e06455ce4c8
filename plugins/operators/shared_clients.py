"""One AWS client for all triggers of a process that use the same connection: a client takes megabytes, and a tenth of a
second to make, and a thousand runs may wait at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook


class SharedClient:
    """A client and how many use it.

    Attributes:
        client: aiobotocore's client.
        users: how many triggers use it now.
    """

    client: Any = None

    def __init__(self) -> None:
        self.users = 0
        self._opening = asyncio.Lock()
        self._stack = AsyncExitStack()

    async def open(self, hook_class: type[AwsBaseHook], connection: str) -> None:
        """Make the client, unless somebody has."""
        async with self._opening:
            if self.client is None:
                made = await hook_class(aws_conn_id=connection).get_async_conn()
                self.client = await self._stack.enter_async_context(made)

    async def close(self) -> None:
        """Close it; nobody uses it any more."""
        await self._stack.aclose()


_Key = tuple[asyncio.AbstractEventLoop, type[AwsBaseHook], str]
_clients: dict[_Key, SharedClient] = {}


@asynccontextmanager
async def shared_client(hook_class: type[AwsBaseHook], connection: str) -> AsyncIterator[SharedClient]:
    """The client of a connection, made for the first and closed after the last who uses it.

    Whoever leaves the block with an error takes the client out of use: the next get a new one, with the connection as
    it is then.
    """
    key = (asyncio.get_running_loop(), hook_class, connection)
    shared = _clients.setdefault(key, SharedClient())
    shared.users += 1
    try:
        await shared.open(hook_class, connection)
        yield shared
    except Exception:
        if _clients.get(key) is shared:
            del _clients[key]
        raise
    finally:
        shared.users -= 1
        if not shared.users:
            if _clients.get(key) is shared:
                del _clients[key]
            await shared.close()
