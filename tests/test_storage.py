from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.moto_server import MotoServer, serve_s3
from trueground import storage as paths
from trueground.errors import InputError, OutsideDataRootError
from trueground.storage import Storage, file_uri


@pytest.fixture(scope="module")
def s3() -> Iterator[tuple[Storage, Any]]:
    """Storage at a real S3 server on this machine with the bucket ``data``, and boto3's client for it."""
    with serve_s3("data") as server:
        yield Storage(s3_options=server.options), server.client()


@pytest.fixture(params=["file", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Storage, str]:
    """Storage and a folder in it, on this machine and on S3."""
    if request.param == "file":
        return Storage(tmp_path), file_uri(tmp_path / "folder")
    storage, _ = request.getfixturevalue("s3")
    return storage, f"s3://data/{tmp_path.name}"


def test_a_file_is_read_as_it_was_written(place: tuple[Storage, str]) -> None:
    storage, folder = place
    uri = paths.join(folder, "deep/er", "é #?%20.bin") if folder.startswith("s3") else f"{folder}/deep/%C3%A9%20%23.bin"
    storage.write_bytes(uri, b"\x00\xff")
    assert storage.read_bytes(uri) == b"\x00\xff" and storage.size(uri) == 2 and storage.exists(uri)
    storage.write_text(uri, "grüße\r\n")
    assert storage.read_text(uri) == "grüße\r\n"
    with storage.open(uri, "r") as handle:
        assert handle.read() == "grüße\r\n"


def test_what_is_not_there_is_said_so(place: tuple[Storage, str]) -> None:
    storage, folder = place
    assert not storage.exists(f"{folder}/none")
    storage.delete(f"{folder}/none")
    for look in (storage.read_bytes, storage.size, storage.open):
        with pytest.raises(FileNotFoundError):
            look(f"{folder}/none")
    assert list(storage.list(f"{folder}/none")) == []


def test_files_are_listed_by_the_bytes_of_their_names(place: tuple[Storage, str]) -> None:
    storage, folder = place
    names = ["B.png", "a/10.png", "a/9.png", "b.png", "é.png", "z [1].png"]
    uris = [f"{folder}/{name}" if folder.startswith("s3") else f"{folder}/{_quoted(name)}" for name in names]
    for uri in reversed(uris):
        storage.write_bytes(uri, b"x")
    listed = list(storage.list(folder))
    assert listed == [uris[0], uris[1], uris[2], uris[3], uris[5], uris[4]]
    assert all(storage.read_bytes(uri) == b"x" for uri in listed)


def test_a_listing_is_never_stale(place: tuple[Storage, str]) -> None:
    storage, folder = place
    storage.write_bytes(f"{folder}/1", b"")
    assert len(list(storage.list(folder))) == 1 and not storage.exists(f"{folder}/2")
    _write_by_another_process(storage, f"{folder}/2")
    assert storage.exists(f"{folder}/2") and len(list(storage.list(folder))) == 2


def test_deleting_takes_the_one_file_whatever_its_name(place: tuple[Storage, str]) -> None:
    storage, folder = place
    for name in ("a1", "a2", "a*"):
        storage.write_bytes(f"{folder}/{name}", b"")
    storage.delete(f"{folder}/a*")
    assert [paths.name(uri) for uri in storage.list(folder)] == ["a1", "a2"]


@pytest.mark.parametrize("size", [10, 60 * 1024 * 1024], ids=["small", "multipart"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(place: tuple[Storage, str], size: int) -> None:
    storage, folder = place
    storage.write_bytes(f"{folder}/f", b"old")

    def fail() -> None:
        with storage.writer(f"{folder}/f") as handle:
            handle.write(b"n" * size)
            raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="fire"):
        fail()
    assert storage.read_bytes(f"{folder}/f") == b"old"
    assert [paths.name(uri) for uri in storage.list(folder)] == ["f"]


def test_nothing_is_seen_of_a_file_before_it_is_whole(place: tuple[Storage, str]) -> None:
    storage, folder = place
    with storage.writer(f"{folder}/f") as handle:
        handle.write(b"half")
        assert not storage.exists(f"{folder}/f")
        handle.write(b" whole")
    assert storage.read_bytes(f"{folder}/f") == b"half whole"


def test_a_file_that_cannot_take_its_place_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError):
        Storage(tmp_path).write_bytes(file_uri(tmp_path / "taken"), b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_written_files_can_be_read_by_other_users(tmp_path: Path) -> None:
    Storage().write_bytes(file_uri(tmp_path / "f"), b"")
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o644


def test_links_and_dots_do_not_lead_out_of_the_data_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_text("s")
    (root / "link").symlink_to(tmp_path)
    (root / "inside").symlink_to(root)
    storage = Storage(root)
    ways = ["/etc/passwd", "../secret", "link/secret", "%2e%2e/secret", "a/../../secret", "../root-other/x"]
    for way in ways:
        uri = "file://" + (way if way.startswith("/") else f"{root}/{way}")
        for touch in (storage.check, storage.read_bytes, storage.exists, storage.list, storage.writer, storage.delete):
            with pytest.raises(OutsideDataRootError, match="outside the data root"):
                touch(uri)
    storage.write_text(f"file://{root}/inside/a/../b", "ok")
    assert (root / "b").read_text() == "ok" and (tmp_path / "secret").read_text() == "s"


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("data/x.png", "this is a path, not a URI"),
        ("/data/x.png", "this is a path, not a URI"),
        ("https://example.org/x.png", "cannot read the scheme 'https'"),
        ("s3://", "needs a bucket"),
        ("s3:///key", "needs a bucket"),
        ("s3:key", "needs a bucket"),
        ("s3://[bucket/key", "not a URI"),
        ("file://host/x", "cannot name another machine"),
        ("file:///a%00b", "null character"),
    ],
)
def test_a_uri_that_cannot_be_used_is_refused_with_its_name(uri: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        Storage().check(uri)
    assert caught.value.file == uri


def test_a_link_in_a_circle_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(InputError, match="leads nowhere"):
        Storage(tmp_path).check(file_uri(tmp_path / "a"))


def test_open_only_reads(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="writer"):
        Storage().open(file_uri(tmp_path / "f"), "wb")


def test_the_data_root_may_be_a_uri(tmp_path: Path) -> None:
    folder = tmp_path / "my data"
    folder.mkdir()
    assert Storage(file_uri(folder)).data_root == folder


@given(
    st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1).filter(lambda t: t not in (".", ".."))
)
def test_every_file_name_has_a_uri_that_leads_back(name: str) -> None:
    uri = file_uri(f"/folder/{name}")
    assert uri.isascii() and Storage()._path(uri) == ("file", f"/folder/{name}")


def test_a_name_that_is_not_utf8_keeps_its_bytes(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff.png", "wb") as file:
        file.write(b"x")
    (uri,) = Storage(tmp_path).list(file_uri(tmp_path))
    assert uri.endswith("/%FF.png") and Storage(tmp_path).read_bytes(uri) == b"x"


def test_parts_of_uris() -> None:
    assert paths.join("s3://data/a/", "/x/", "y.json") == "s3://data/a/x/y.json"
    assert paths.join("file:///", "x") == "file:///x"
    assert paths.parent("s3://data/a/x/") == "s3://data/a" and paths.name("s3://data/a/x/") == "x"


def _quoted(name: str) -> str:
    return file_uri(f"/{name}").removeprefix("file:///")


def _write_by_another_process(storage: Storage, uri: str) -> None:
    if uri.startswith("file:"):
        Path(uri.removeprefix("file://")).write_bytes(b"")
        return
    client = MotoServer(storage.s3_options["endpoint_url"]).client()
    client.put_object(Bucket="data", Key=uri.removeprefix("s3://data/"), Body=b"")


def test_many_small_files_are_written_at_once_and_replace_what_was_there(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    first = {file_uri(tmp_path / f"out/{number}/a:b.json"): b"1" for number in range(3)}
    storage.write_all(first)
    storage.write_all({**first, file_uri(tmp_path / "out/3/deep/er.json"): b"2", file_uri(tmp_path / "top.json"): b"3"})
    storage.write_all({uri: b"4" for uri in first})
    found = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {
        "out/0/a:b.json": b"4", "out/1/a:b.json": b"4", "out/2/a:b.json": b"4", "out/3/deep/er.json": b"2",
        "top.json": b"3",
    }  # fmt: skip
    assert (tmp_path / "out/0/a:b.json").stat().st_mode & 0o777 == 0o644


def test_no_link_leads_many_small_files_out_of_the_data_root(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "out").mkdir(parents=True)
    outside.mkdir()
    (root / "out/1").symlink_to(outside)
    (root / "link").symlink_to(outside)
    for uri in ("out/1/a.json", "link/1/a.json", "out/../../outside/2/a.json"):
        with pytest.raises(OutsideDataRootError):
            Storage(root).write_all({file_uri(root) + "/" + uri: b"x"})
    assert list(outside.iterdir()) == []


def drafts(folder: Path) -> list[Path]:
    return sorted(folder.rglob(".writing-*"))


def half_a_file(uri: str) -> None:
    """What a writer leaves that is killed in the middle."""
    code = """
import os, signal, sys
from trueground.storage import Storage
with Storage().writer(sys.argv[1]) as handle:
    handle.write(b"half")
    handle.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code, uri], check=False)
    assert killed.returncode == -signal.SIGKILL


@pytest.mark.parametrize("write", ["one", "many"])
def test_what_a_killed_writer_left_goes_with_the_next_write_of_the_same_file(tmp_path: Path, write: str) -> None:
    uri, storage = file_uri(tmp_path / "out/a.json"), Storage()
    half_a_file(uri)
    assert len(drafts(tmp_path)) == 1 and not storage.exists(uri)
    if write == "one":
        storage.write_bytes(uri, b"whole")
    else:
        storage.write_all({uri: b"whole", file_uri(tmp_path / "out/b.json"): b"b"})
    assert drafts(tmp_path) == [] and storage.read_bytes(uri) == b"whole"


def test_a_living_writer_keeps_its_half_file_when_another_writes_the_same(tmp_path: Path) -> None:
    uri, storage = file_uri(tmp_path / "a.json"), Storage()
    with storage.writer(uri) as slow:
        slow.write(b"slow, ")
        slow.flush()
        storage.write_bytes(uri, b"quick")
        storage.write_all({uri: b"quicker"})
        assert storage.read_bytes(uri) == b"quicker"
        slow.write(b"and whole")
    assert storage.read_bytes(uri) == b"slow, and whole" and drafts(tmp_path) == []


def test_many_writers_of_one_file_never_show_a_part_of_it(tmp_path: Path) -> None:
    uri, storage = file_uri(tmp_path / "a.json"), Storage()
    wholes = {bytes([65 + number]) * 50_000 for number in range(24)}
    storage.write_bytes(uri, min(wholes))

    def write(content: bytes) -> None:
        for _ in range(5):
            storage.write_bytes(uri, content)
            assert storage.read_bytes(uri) in wholes

    with ThreadPoolExecutor(24) as pool:
        list(pool.map(write, wholes))
    assert drafts(tmp_path) == []


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    uri, storage = file_uri(tmp_path / "a.json"), Storage()
    storage.write_bytes(uri, b"old")
    with pytest.raises(RuntimeError), storage.writer(uri) as handle:
        handle.write(b"new")
        raise RuntimeError
    assert storage.read_bytes(uri) == b"old" and drafts(tmp_path) == []
