"""Files by URI. The only module that knows ``file://`` from ``s3://``."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import posixpath
import resource
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, unquote_to_bytes, urlsplit

from trueground.errors import InputError, OutsideDataRootError

SCHEMES = ("file", "s3")
WRITERS = 8
"""Files sent to S3 at the same time: each waits for the network."""
LOCAL_AT_ONCE = 500
"""Local files that are brought to disk together."""
WRITERS_OF_A_FILE = 16
"""Of one file at the same time; what more of them leave when they are killed stays."""


def join(base: str, *parts: str) -> str:
    """Append path parts to a URI: ``join("s3://b/a/", "x", "y.json")`` is ``s3://b/a/x/y.json``."""
    scheme, mark, path = base.rpartition("://")
    return scheme + mark + "/".join([path.rstrip("/"), *(part.strip("/") for part in parts)])


def name(uri: str) -> str:
    """The last part of a URI's path."""
    return posixpath.basename(uri.rstrip("/"))


def parent(uri: str) -> str:
    """The folder a URI lies in, without a closing slash."""
    return uri.rstrip("/").rsplit("/", 1)[0]


def bucket_and_key(uri: str) -> tuple[str, str] | None:
    """The bucket and the key of an ``s3://`` URI; ``None`` for any other. A key may hold ``?`` and ``#``."""
    if not uri.startswith("s3://"):
        return None
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def file_uri(path: str | os.PathLike[str]) -> str:
    """The ``file://`` URI of a path on this machine. Names that are not UTF-8 keep their bytes."""
    return "file://" + quote(os.fsencode(Path(path).expanduser().absolute()))


def as_uri(text: str) -> str:
    """What people type: a URI as it is, a path as its ``file://`` URI."""
    return text if "://" in text else file_uri(text)


def _local_path(uri: str) -> str:
    return os.fsdecode(unquote_to_bytes(urlsplit(uri).path))


class Storage:
    """Read and write files at ``file://`` and ``s3://`` URIs.

    Args:
        data_root: the folder (or ``file://`` URI) that local paths must stay inside; ``None`` allows any local path.
            Links are followed before the check, so a link cannot lead out.
        s3_options: keyword arguments of :class:`s3fs.S3FileSystem` (``key``, ``secret``, ``endpoint_url``,
            ``client_kwargs``). Without them boto's usual chain of credentials applies.
    """

    def __init__(
        self, data_root: str | os.PathLike[str] | None = None, s3_options: Mapping[str, Any] | None = None
    ) -> None:
        if isinstance(data_root, str) and data_root.startswith("file://"):
            data_root = _local_path(data_root)
        self.data_root = Path(data_root).expanduser().resolve() if data_root is not None else None
        self.s3_options = dict(s3_options or {})

    def _locate(self, uri: str) -> tuple[Any, str]:
        """The file system of a URI and the path in it, checked."""
        # Not at the top: DAG files import this module and only check URIs.
        import fsspec

        scheme, path = self._path(uri)
        if scheme == "s3":
            # Listings are never kept: other processes write while this one looks.
            return fsspec.filesystem("s3", use_listings_cache=False, **self.s3_options), path
        return fsspec.filesystem("file"), path

    def _path(self, uri: str) -> tuple[str, str]:
        """The scheme of a URI and the path in it, checked.

        Raises:
            InputError: the URI has another scheme, or no path.
            OutsideDataRootError: the path leaves the data root.
        """
        try:
            parts = urlsplit(uri)
        except ValueError as error:
            raise InputError(f"not a URI: {error}", file=uri, hint="Write s3://bucket/key or file:///path.") from None
        if parts.scheme == "s3":
            # Not urlsplit's path: an S3 key may hold '?' and '#'.
            path = uri.partition("://")[2]
            if uri[:5].lower() != "s3://" or not path.partition("/")[0]:
                raise InputError("an s3:// URI needs a bucket", file=uri, hint="Write s3://bucket/key.")
            return "s3", path
        if parts.scheme == "file":
            if parts.netloc not in ("", "localhost"):
                raise InputError("a file:// URI cannot name another machine", file=uri, hint="Write file:///path.")
            local = _local_path(uri)
            if "\0" in local:
                raise InputError("a path cannot hold a null character", file=uri)
            try:
                resolved = Path(local).resolve()
            except (OSError, RuntimeError) as error:
                raise InputError(f"the path leads nowhere: {error}", file=uri) from None
            if self.data_root is not None and not resolved.is_relative_to(self.data_root):
                raise OutsideDataRootError(
                    "the path lies outside the data root",
                    file=uri,
                    hint=f"Move the data below {self.data_root}, or start the service with another --data-root.",
                )
            return "file", str(resolved)
        raise InputError(
            f"cannot read the scheme {parts.scheme!r}" if parts.scheme else "this is a path, not a URI",
            file=uri,
            hint="Use file:///path/to/file or s3://bucket/key.",
        )

    def check(self, uri: str) -> None:
        """Raise what any use of this URI would raise, without touching the file."""
        self._path(uri)

    def place(self, uri: str) -> str:
        """The one spelling of a URI: ``..`` and links are followed, so two URIs of one file have the same.

        Raises what any use of the URI would raise, without touching the file.
        """
        return "://".join(self._path(uri))

    def open(self, uri: str, mode: str = "rb", *, block_size: int | None = None) -> IO[Any]:
        """Open for reading (``r``, ``rb``), streaming. To write, use :meth:`write_bytes` or :meth:`writer`.

        ``block_size``: how much of an S3 object is fetched at once; by default a lot, as for reading it to its end.
        """
        if mode not in ("r", "rb"):
            raise ValueError("Storage.open only reads; use Storage.writer to write")
        files, path = self._locate(uri)
        options: dict[str, Any] = {"encoding": "utf-8", "newline": ""} if mode == "r" else {}
        handle: IO[Any] = files.open(path, mode, block_size=block_size, **options)
        return handle

    def read_bytes(self, uri: str) -> bytes:
        """The whole file. Raises ``FileNotFoundError`` where there is none."""
        files, path = self._locate(uri)
        data: bytes = files.cat_file(path)
        return data

    def read_small(self, uri: str, most: int) -> bytes:
        """The whole file, if it has ``most`` bytes at most; no more than that is ever read.

        Raises:
            InputError: it is larger.
        """
        with self.open(uri) as handle:
            data: bytes = handle.read(most + 1)
        if len(data) > most:
            raise InputError(f"the file is larger than {most:,} bytes", file=uri)
        return data

    def read_text(self, uri: str) -> str:
        """The whole file as UTF-8."""
        return self.read_bytes(uri).decode("utf-8")

    def writer(self, uri: str) -> AtomicWriter:
        """A context manager that gives a binary handle; the file appears whole when the block ends, or not at all."""
        files, path = self._locate(uri)
        return AtomicWriter(files, path, local=self._path(uri)[0] == "file")

    def write_bytes(self, uri: str, data: bytes) -> None:
        """Write a whole file. A reader sees the old content or the new, never a part."""
        with self.writer(uri) as handle:
            handle.write(data)

    def write_text(self, uri: str, text: str) -> None:
        """Write a whole file as UTF-8."""
        self.write_bytes(uri, text.encode("utf-8"))

    def write_all(self, contents: Mapping[str, bytes]) -> None:
        """Write many small files. When this returns, all of them are on disk.

        Much faster than one by one: local files are brought to disk together, those on S3 are sent at the same time.
        """
        local: list[tuple[str, bytes]] = []
        bases: dict[str, str] = {}
        with ThreadPoolExecutor(WRITERS) as pool:
            sent = []
            for uri, data in contents.items():
                if urlsplit(uri).scheme == "file":
                    local.append((self._make_folder(uri, bases), data))
                else:
                    sent.append(pool.submit(self.write_bytes, uri, data))
            _write_local(local)
            for future in sent:
                future.result()

    def _make_folder(self, uri: str, bases: dict[str, str]) -> str:
        """The local path of a file, checked, its folder made.

        To follow the links of a long path costs more than to write a small file. A folder that was not there before
        is no link; so only the folder it lies in is checked, once.
        """
        above = parent(parent(uri))
        if above not in bases:
            try:
                bases[above] = self._path(above)[1]
            except OutsideDataRootError:
                # The file lies in the data root itself, or the next line refuses it.
                return self._path(uri)[1]
            os.makedirs(bases[above], exist_ok=True)
        folder = os.path.join(bases[above], os.path.basename(_local_path(parent(uri))))
        try:
            os.mkdir(folder)
        except FileExistsError:
            return self._path(uri)[1]
        return os.path.join(folder, os.path.basename(_local_path(uri)))

    def with_kms_key(self, key: str | None) -> Storage:
        """The same files, but what is written to S3 is encrypted with this KMS key; ``None`` changes nothing."""
        if not key:
            return self
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
        return Storage(self.data_root, {**self.s3_options, "s3_additional_kwargs": encryption})

    def exists(self, uri: str) -> bool:
        """Whether a file, or a prefix with files below it, is there."""
        files, path = self._locate(uri)
        return bool(files.exists(path))

    def size(self, uri: str) -> int:
        """The size of a file in bytes. Raises ``FileNotFoundError`` where there is none."""
        files, path = self._locate(uri)
        return int(files.size(path))

    def list(self, prefix: str) -> Iterator[str]:
        """The URIs of all files below a prefix, in UTF-8 binary order."""
        files, path = self._locate(prefix)
        found = sorted(files.find(path), key=os.fsencode)
        if self._path(prefix)[0] == "s3":
            return (f"s3://{item}" for item in found)
        return (file_uri(item) for item in found)

    def delete(self, uri: str) -> None:
        """Remove a file; nothing happens where there is none."""
        files, path = self._locate(uri)
        # Not rm(), which takes '*' and '[' in a name as a pattern.
        with contextlib.suppress(FileNotFoundError):
            files.rm_file(path)


def _write_local(files: Sequence[tuple[str, bytes]]) -> None:
    """Write whole files, each under another name first, so that a reader never sees a part."""
    # Each is open until it has its name; a process may have so many files open, and has others.
    at_once = max(1, min(LOCAL_AT_ONCE, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))
    for start in range(0, len(files), at_once):
        with contextlib.ExitStack() as drafts:
            written = []
            for path, data in files[start : start + at_once]:
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


class AtomicWriter:
    """A file that appears under its name only when it is complete."""

    def __init__(self, files: Any, path: str, *, local: bool) -> None:
        self._files, self._path, self._local = files, path, local
        self._handle: IO[bytes] | None = None
        self._draft: _Draft | None = None

    def __enter__(self) -> IO[bytes]:
        if self._local:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            self._draft = _Draft(self._path)
            return self._draft.handle
        # An S3 object appears when its upload completes.
        self._handle = self._files.open(self._path, "wb")
        assert self._handle is not None
        return self._handle

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self._draft is not None:
            with contextlib.closing(self._draft):
                if kind is None:
                    self._draft.handle.flush()
                    os.fsync(self._draft.handle.fileno())
                    self._draft.publish()
            return
        assert self._handle is not None
        if kind is None:
            self._handle.close()
        else:
            self._discard(self._handle)

    @staticmethod
    def _discard(handle: Any) -> None:
        handle.discard()
        # Left open, the handle would try to upload what it has when it is collected.
        handle.closed = True
