"""Files by URI. With the modules it alone uses, the only one to know ``file://`` from ``s3://``."""

from __future__ import annotations

import io
import os
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, unquote_to_bytes, urlsplit

from trueground.errors import InputError, OutsideDataRootError
from trueground.local_files import LocalFiles
from trueground.s3_errors import bad_bucket_name
from trueground.s3_files import Options, S3Files

SCHEMES = ("file", "s3")
_BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}|arn:[a-z-]+:s3[a-z-]*:\S+")
"""What AWS's clients send at all: buckets of earlier years have capitals and underscores, access points have an ARN."""


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
    """Read and write files at ``file://`` and ``s3://`` URIs. Both work the same, and fail the same.

    A file that is not there raises ``FileNotFoundError``; one that may not be used, or whose bucket is not there,
    :class:`AccessError`; a server that does not work at the moment, :class:`UnavailableError`.

    Args:
        data_root: the folder (or ``file://`` URI) that local paths must stay inside; ``None`` allows any local path.
            Links are followed before the check, so a link cannot lead out.
        s3_options: keyword arguments of :class:`s3fs.S3FileSystem` (``key``, ``secret``, ``endpoint_url``,
            ``client_kwargs``), or a function that gives them when S3 is first used. Without them boto's usual chain of
            credentials applies.
    """

    def __init__(
        self,
        data_root: str | os.PathLike[str] | None = None,
        s3_options: Options | Callable[[], Options] | None = None,
    ) -> None:
        if isinstance(data_root, str) and data_root.startswith("file://"):
            data_root = _local_path(data_root)
        self.data_root = Path(data_root).expanduser().resolve() if data_root is not None else None
        self.s3_options = s3_options or {}
        self._local, self._s3 = LocalFiles(), S3Files(self.s3_options)

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
            bucket = path.partition("/")[0]
            if uri[:5].lower() != "s3://" or not bucket:
                raise InputError("an s3:// URI needs a bucket", file=uri, hint="Write s3://bucket/key.")
            if not _BUCKET.fullmatch(bucket):
                raise bad_bucket_name(uri, bucket)
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
        scheme, path = self._path(uri)
        handle: IO[Any] = self._s3.open(path, block_size) if scheme == "s3" else self._local.open(path)
        return io.TextIOWrapper(handle, encoding="utf-8", newline="") if mode == "r" else handle

    def read_bytes(self, uri: str) -> bytes:
        """The whole file. Raises ``FileNotFoundError`` where there is none."""
        files, path = self._locate(uri)
        return files.read_bytes(path)

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

    def writer(self, uri: str) -> AbstractContextManager[IO[bytes]]:
        """A context manager that gives a binary handle; the file appears whole when the block ends, or not at all."""
        files, path = self._locate(uri)
        return files.writer(path)

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
        sent: dict[str, bytes] = {}
        bases: dict[str, str] = {}
        for uri, data in contents.items():
            if urlsplit(uri).scheme == "file":
                local.append((self._make_folder(uri, bases), data))
            else:
                sent[self._path(uri)[1]] = data
        self._local.write_all(local)
        self._s3.write_all(sent)

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

        def options() -> Options:
            given = self.s3_options() if callable(self.s3_options) else self.s3_options
            return {**given, "s3_additional_kwargs": encryption}

        return Storage(self.data_root, options)

    def exists(self, uri: str) -> bool:
        """Whether a file, or a prefix with files below it, is there."""
        files, path = self._locate(uri)
        return files.exists(path)

    def size(self, uri: str) -> int:
        """The size of a file in bytes. Raises ``FileNotFoundError`` or ``IsADirectoryError`` where there is none."""
        files, path = self._locate(uri)
        return files.size(path)

    def list(self, prefix: str) -> Iterator[str]:
        """The URIs of all files below a prefix, in UTF-8 binary order."""
        scheme, path = self._path(prefix)
        if scheme == "s3":
            return iter(sorted(self._s3.find(path), key=os.fsencode))
        return map(file_uri, sorted(self._local.find(path), key=os.fsencode))

    def delete(self, uri: str) -> None:
        """Remove a file; nothing happens where there is none."""
        files, path = self._locate(uri)
        files.delete(path)

    def _locate(self, uri: str) -> tuple[LocalFiles | S3Files, str]:
        """What reads and writes the files of a URI's scheme, and the path in it, checked."""
        scheme, path = self._path(uri)
        return (self._s3 if scheme == "s3" else self._local), path
