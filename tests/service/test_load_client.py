"""The client of the load benchmark: what it does when a server closes its connection."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from benchmarks.service_load import Connection

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"done": true}'
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def request_of(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def close(writer: asyncio.StreamWriter, how: str) -> None:
    if how == "reset":
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.close()


async def send(handler: Handler, times: int) -> list[Any]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server:
        connection = Connection(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        return [(await connection.send("GET", "/"))[:2] for _ in range(times)]


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("when", ["idle", "at the next request"])
def test_a_connection_that_was_idle_and_is_closed_is_opened_anew(how: str, when: str) -> None:
    connections = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await request_of(reader)
        writer.write(ANSWER)
        await writer.drain()
        if when != "idle":
            await request_of(reader)
        await close(writer, how)

    assert asyncio.run(send(handler, 3)) == [(200, {"done": True})] * 3
    assert len(connections) == 3


def test_a_server_that_answers_nobody_is_named() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        await close(writer, "close")

    with pytest.raises(RuntimeError, match=r"GET /: the server closed the connection"):
        asyncio.run(send(handler, 1))
