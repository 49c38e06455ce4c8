"""Files on S3. Only :mod:`trueground.storage` uses this module."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import IO, Any

from trueground.s3_errors import s3_errors

WRITERS = 8
"""Files that are sent at the same time: each waits for the network."""
BUFFER = 256 * 1024
"""What is taken at once of the block that was fetched."""
CONNECT_SECONDS, READ_SECONDS = 10, 30
TRIES = 4
"""Of each request: botocore repeats what a 500, a 503 or a time-out ended, after a pause."""
BODY_TRIES = 2
"""Of an answer that breaks off in the middle, which botocore no longer sees; each with all tries of the request."""

Options = Mapping[str, Any]


class S3Files:
    """Reads and writes objects, named ``bucket/key``. Every error is one of :func:`~trueground.s3_errors.s3_errors`.

    Args:
        options: keyword arguments of :class:`s3fs.S3FileSystem`, or what gives them when S3 is first used.
    """

    def __init__(self, options: Options | Callable[[], Options]) -> None:
        self._options = options
        self._made: tuple[int, Any] | None = None

    def _files(self) -> Any:
        # One for all threads, whose requests run in one event loop; a forked process cannot use its parent's.
        if self._made is None or self._made[0] != os.getpid():
            import fsspec
            from botocore.handlers import add_expect_header

            given = self._options() if callable(self._options) else self._options
            config = {
                "connect_timeout": CONNECT_SECONDS,
                "read_timeout": READ_SECONDS,
                "retries": {"mode": "standard", "total_max_attempts": TRIES},
                **given.get("config_kwargs", {}),
            }
            # Listings are never kept: other processes write while this one looks.
            files = fsspec.filesystem("s3", use_listings_cache=False, **{**given, "config_kwargs": config})
            files.retries = BODY_TRIES
            # Before each upload botocore waits for the server's consent, and then for its answer, with no time limit.
            files.s3.meta.events.unregister("before-call.s3", add_expect_header)
            self._made = os.getpid(), files
        return self._made[1]

    def open(self, path: str, block_size: int | None) -> io.BufferedReader:
        """Read an object, streaming."""
        uri = f"s3://{path}"
        with s3_errors(uri):
            handle = self._files().open(path, "rb", block_size=block_size)
            if handle.details["type"] != "file":
                raise FileNotFoundError(path)
            return io.BufferedReader(_Reader(handle, uri), BUFFER)

    def read_bytes(self, path: str) -> bytes:
        """A whole object."""
        with s3_errors(f"s3://{path}"):
            content: bytes = self._files().cat_file(path)
            return content

    def size(self, path: str) -> int:
        """The bytes of an object. A prefix is no object."""
        with s3_errors(f"s3://{path}"):
            found = self._files().info(path)
            if found["type"] != "file":
                raise FileNotFoundError(path)
            return int(found["size"])

    def exists(self, path: str) -> bool:
        """Whether there is such an object, or one below such a prefix."""
        # Not exists() of s3fs, for which a bucket that is not there is a file that is not there.
        with suppress(FileNotFoundError), s3_errors(f"s3://{path}"):
            self._files().info(path)
            return True
        return False

    def find(self, path: str) -> list[str]:
        """All objects below a prefix."""
        with s3_errors(f"s3://{path}"):
            found = self._files().find(path)
            # Names that end in a slash are made by consoles, to show a folder.
            return [f"s3://{name}" for name in found if not name.endswith("/")]

    def delete(self, path: str) -> None:
        """Remove an object, if there is one."""
        # Not rm(), which takes '*' and '[' in a name as a pattern.
        with suppress(FileNotFoundError), s3_errors(f"s3://{path}"):
            self._files().rm_file(path)

    @contextmanager
    def writer(self, path: str) -> Iterator[IO[bytes]]:
        """Write an object. It appears when its upload completes, at the end of the block."""
        uri = f"s3://{path}"
        with s3_errors(uri):
            handle = self._files().open(path, "wb")
        try:
            yield _Errors(handle, uri)  # type: ignore[misc]
        except BaseException:
            with suppress(Exception):
                handle.discard()
            # Left open, the handle would try to upload what it has when it is collected.
            handle.closed = True
            raise
        try:
            with s3_errors(uri):
                handle.close()
        finally:
            handle.closed = True

    def write_all(self, contents: Mapping[str, bytes]) -> None:
        """Write many small objects by their paths, several at a time."""

        def write(path: str, content: bytes) -> None:
            with self.writer(path) as handle:
                handle.write(content)

        with ThreadPoolExecutor(WRITERS) as pool:
            sent = [pool.submit(write, path, content) for path, content in contents.items()]
            for future in sent:
                future.result()


class _Errors:
    """A handle that writes, whose errors are ours."""

    def __init__(self, handle: Any, uri: str) -> None:
        self._handle, self._uri = handle, uri

    def write(self, data: Any) -> int:
        with s3_errors(self._uri):
            count: int = self._handle.write(data)
            return count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)


class _Reader(io.RawIOBase):
    """An object as Python's buffered readers want it: those of s3fs cannot read a part of a line."""

    def __init__(self, handle: Any, uri: str) -> None:
        self._handle, self._uri = handle, uri

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; returns how far."""
        with s3_errors(self._uri):
            content = self._handle.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def readall(self) -> bytes:
        """All that is left."""
        with s3_errors(self._uri):
            content: bytes = self._handle.read()
            return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; returns where that is."""
        place: int = self._handle.seek(offset, whence)
        return place

    def tell(self) -> int:
        """The place."""
        place: int = self._handle.tell()
        return place

    def close(self) -> None:
        """Let go of what was fetched."""
        self._handle.close()
        super().close()
