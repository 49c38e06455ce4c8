"""Files on this machine. Only :mod:`trueground.storage` uses this module."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import resource
import stat
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO

from trueground.errors import AccessError

AT_ONCE = 500
"""Files that are brought to disk together."""
WRITERS_OF_A_FILE = 16
"""Of one file at the same time; what more of them leave when they are killed stays."""


@contextlib.contextmanager
def local_errors(path: str) -> Iterator[None]:
    """Turn an error that trying again does not help into one line about this file.

    Raises:
        FileNotFoundError, IsADirectoryError: there is no such file.
        AccessError: it may not be read or written, or its name cannot be used.
    """
    try:
        yield
    except PermissionError as error:
        hint = "Give the user of this process the right to read and write it."
        raise AccessError("access is denied", file=error.filename or path, hint=hint) from error
    except NotADirectoryError as error:
        raise FileNotFoundError(errno.ENOENT, "there is no such file", path) from error
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS):
            raise
        raise AccessError(os.strerror(error.errno).lower(), file=path) from error


class LocalFiles:
    """Reads and writes files by their paths."""

    def open(self, path: str) -> IO[bytes]:
        """Read a file, streaming."""
        with local_errors(path):
            return open(path, "rb")

    def read_bytes(self, path: str) -> bytes:
        """A whole file."""
        with self.open(path) as handle:
            return handle.read()

    def size(self, path: str) -> int:
        """The bytes of a file. A folder is no file."""
        with local_errors(path):
            found = os.stat(path)
            if stat.S_ISDIR(found.st_mode):
                raise IsADirectoryError(errno.EISDIR, "this is a folder", path)
            return found.st_size

    def exists(self, path: str) -> bool:
        """Whether there is such a file or folder."""
        with local_errors(path):
            return os.path.exists(path)

    def find(self, path: str) -> list[str]:
        """All files below a folder."""
        import fsspec

        with local_errors(path):
            found: list[str] = fsspec.filesystem("file").find(path)
            return found

    def delete(self, path: str) -> None:
        """Remove a file, if there is one."""
        with contextlib.suppress(FileNotFoundError), local_errors(path):
            os.remove(path)

    @contextlib.contextmanager
    def writer(self, path: str) -> Iterator[IO[bytes]]:
        """Write a file. It appears under its name when it is complete, at the end of the block."""
        with local_errors(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            draft = _Draft(path)
        with contextlib.closing(draft):
            yield draft.handle
            with local_errors(path):
                draft.handle.flush()
                os.fsync(draft.handle.fileno())
                draft.publish()

    def write_all(self, contents: Sequence[tuple[str, bytes]]) -> None:
        """Write whole files, each under another name first, so that a reader never sees a part."""
        # Each is open until it has its name; a process may have so many files open, and has others.
        at_once = max(1, min(AT_ONCE, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))
        for start in range(0, len(contents), at_once):
            some = contents[start : start + at_once]
            with contextlib.ExitStack() as drafts, local_errors(some[0][0]):
                written = []
                for path, data in some:
                    draft = drafts.enter_context(contextlib.closing(_Draft(path)))
                    draft.handle.write(data)
                    draft.handle.flush()
                    written.append(draft)
                # All at once: one by one, each would wait for the disk.
                os.sync()
                for draft in written:
                    draft.publish()


class _Draft:
    """A local file under a name that nobody reads, until it is published or closed.

    The name follows from the file's, and its writer holds a lock on it: so what a killed writer left is used again by
    the next writer of the same file, and never that of a living one, which makes the next look for another name.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        descriptor, self._draft = _claim(*os.path.split(path))
        self.handle: IO[bytes] = os.fdopen(descriptor, "wb")

    def publish(self) -> None:
        """Give the file its name. What it holds must be on disk."""
        # Other services read what is written here.
        os.chmod(self._draft, 0o644)
        os.replace(self._draft, self._path)
        self._draft = ""

    def close(self) -> None:
        """Remove it, if it was not published."""
        try:
            if self._draft:
                os.unlink(self._draft)
        finally:
            self.handle.close()


def _claim(folder: str, name: str) -> tuple[int, str]:
    """A locked, empty file for a draft of this file: its descriptor and path."""
    digest = hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()
    for slot in range(WRITERS_OF_A_FILE):
        path = os.path.join(folder, f".writing-{digest}-{slot}")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except PermissionError:
            continue  # another user's
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between the two its writer may have published it: then this is no draft any more.
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                os.ftruncate(descriptor, 0)
                return descriptor, path
        except (BlockingIOError, FileNotFoundError):
            pass
        except OSError as error:
            os.close(descriptor)
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            break  # a file system without locks
        os.close(descriptor)
    return tempfile.mkstemp(prefix=".writing-", dir=folder)
