"""Files that requests and manifests name: only the data root and S3, no other address, and no picture that explodes."""

from __future__ import annotations

import io
import json
import os
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.service.running import RunningService, _job_request, _running_service
from trueground.autolabel import features
from trueground.errors import InputError
from trueground.manifests.images import image_problem
from trueground.reports.images import data_uri
from trueground.service.settings import ServiceSettings
from trueground.storage import Storage, file_uri

MakeRequest = Callable[..., dict[str, Any]]


class Server:
    """An HTTP server that notes every connection and has nothing."""

    def __init__(self) -> None:
        asked: list[str] = []

        class Nothing(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(f"{self.headers.get('Host')}{self.path}")
                self.send_error(404)

            do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.asked = asked
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def inside() -> Iterator[Server]:
    """Something in the network of the service that a client must not reach through it."""
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="module")
def s3() -> Iterator[Server]:
    """Where the service was told S3 is."""
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, s3: Server) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("files").resolve()
    (folder / "data").mkdir()
    options = {
        "key": "x",
        "secret": "y",
        "endpoint_url": f"http://127.0.0.1:{s3.port}",
        "config_kwargs": {"retries": {"total_max_attempts": 1}},
    }
    settings = ServiceSettings(home=folder / "home", data_root=folder / "data")
    with _running_service(replace(settings, s3_options=options)) as running:
        yield running


@pytest.fixture(scope="module")
def client(service: RunningService) -> Any:
    return service.client(config=Config(parameter_validation=False, retries={"total_max_attempts": 1}))


def addresses(port: int, data_root: Path) -> list[str]:
    """Addresses that must not be fetched, however they are spelled."""
    inside = f"127.0.0.1:{port}"
    return [
        f"http://{inside}/x", f"https://{inside}/x", f"HTTP://{inside}/x", f"ftp://{inside}/x", f"gopher://{inside}/x",
        f"s3://{inside}/x", f"s3://user@{inside}/x", f"s3://user:word@{inside}/x", f"s3://x@{inside}#/x",
        f"s3://{inside}?/x", f"s3://[::1]:{port}/x", f"s3://http://{inside}/x", f"s3:http://{inside}/x",
        f"s3://..{inside}/x", f"s3://arn:aws:s3:us-east-1:000000000000:accesspoint%2f{inside}/x",
        f"file://{inside}/x", f"file:http://{inside}/x", f"file:///http://{inside}/x", f"simplecache::http://{inside}/x",
        f"filecache::s3://{inside}/x", f"zip://x::http://{inside}/x", f"github://{inside}/x", f"data:,{inside}",
        "http://169.254.169.254/latest/meta-data/", "s3://169.254.169.254/latest", "http://[fd00:ec2::254]/latest",
        "http://metadata.google.internal/", "http://2852039166/latest", "http://0x7f000001/", "dict://127.0.0.1:6379/",
        "file:///etc/passwd", "file://localhost/etc/passwd", "file:///proc/self/environ", "/etc/passwd", "etc/passwd",
        f"file://{data_root}/../home/secret.key", f"file://{data_root}/%2e%2e/home/secret.key",
        f"file://{data_root}/x/../../home/secret.key", f"file://{data_root}//..//home//secret.key",
        f"file://{data_root}%2f..%2fhome%2fsecret.key", "file:///dev/zero", "file:///dev/stdin", "file://", "s3://", "",
        f"file://{data_root}/link/passwd", f"file://{data_root}/deep/link", f"file://{data_root}/secret-link",
    ]  # fmt: skip


MEMBERS = {
    "manifest": lambda uri: {"InputConfig": {"DataSource": {"S3DataSource": {"ManifestS3Uri": uri}}}},
    "template": lambda uri: {"UiConfig": {"UiTemplateS3Uri": uri}},
    "labels": lambda uri: {"LabelCategoryConfigS3Uri": uri},
}


@pytest.fixture(scope="module")
def linked(service: RunningService) -> Path:
    """The data root, with links in it that lead out."""
    root = service.data_root
    (root / "link").symlink_to("/etc")
    (root / "deep").mkdir()
    (root / "deep/link").symlink_to("/etc/passwd")
    (root / "secret-link").symlink_to(service.settings.home / "secret.key")
    return root


@pytest.mark.parametrize("member", MEMBERS)
def test_no_member_of_a_request_makes_the_service_fetch_another_address(
    service: RunningService, client: Any, inside: Server, linked: Path, member: str
) -> None:
    secret = (service.settings.home / "secret.key").read_text().strip()
    for number, uri in enumerate(addresses(inside.port, linked)):
        request = _job_request(service.data_root, f"fetch-{member}-{number}", **MEMBERS[member](uri))
        begin = time.monotonic()
        with pytest.raises(ClientError) as caught:
            client.create_labeling_job(**request)
        error = caught.value.response
        assert error["Error"]["Code"] == "ValidationException", uri
        assert secret not in str(error) and "root:" not in str(error), uri
        assert time.monotonic() - begin < 10, uri
    assert inside.asked == []


def test_no_line_of_a_manifest_makes_the_service_fetch_another_address(
    service: RunningService, client: Any, inside: Server, linked: Path
) -> None:
    for number, uri in enumerate(addresses(inside.port, linked)):
        if uri.startswith("s3://") and len(uri) > 5:
            continue  # taken as an object's name, and only ever looked for at the S3 that the service knows
        request = _job_request(service.data_root, f"line-{number}", objects=[{"source-ref": uri}])
        with pytest.raises(ClientError) as caught:
            client.create_labeling_job(**request)
        assert "input.manifest:1" in str(caught.value), uri
    assert inside.asked == []


def test_a_task_shows_no_file_of_another_address(
    service: RunningService, inside: Server, s3: Server, linked: Path
) -> None:
    """A human loop's input comes from far away, so each of its addresses is tried where a template uses it."""
    for uri in addresses(inside.port, linked):
        with pytest.raises(ClientError) as caught:
            template = '<crowd-form><img src="{{ task.input.file | grant_read_access }}"></crowd-form>'
            found = service.client().render_ui_template(
                UiTemplate={"Content": template},
                Task={"Input": json.dumps({"file": uri})},
                RoleArn="arn:aws:iam::000000000000:role/labeling",
            )
            # A link may be made, or the address left as it is; the browser's policy and the route see to the rest.
            assert "secret" not in found["RenderedContent"].replace(uri, "")
            raise ClientError({"Error": {"Code": "ValidationException", "Message": ""}}, "RenderUiTemplate")
        assert caught.value.response["Error"]["Code"] == "ValidationException", uri
    assert inside.asked == []


def test_output_is_written_nowhere_else(
    service: RunningService, client: Any, inside: Server, s3: Server, linked: Path
) -> None:
    for number, uri in enumerate(addresses(inside.port, linked)):
        if uri.startswith("s3://") and len(uri) > 5:
            continue
        request = _job_request(service.data_root, f"out-{number}", OutputConfig={"S3OutputPath": uri})
        with pytest.raises(ClientError) as caught:
            client.create_labeling_job(**request)
        assert caught.value.response["Error"]["Code"] == "ValidationException", uri
    assert inside.asked == []


def test_what_is_asked_of_s3_goes_to_the_s3_that_the_service_knows(
    service: RunningService, client: Any, s3: Server
) -> None:
    before = len(s3.asked)
    request = _job_request(service.data_root, "s3-job", **MEMBERS["manifest"]("s3://bucket/a/../../x?y#z"))
    with pytest.raises(ClientError):
        client.create_labeling_job(**request)
    new = s3.asked[before:]
    assert new and all(asked.startswith(f"127.0.0.1:{s3.port}/bucket") for asked in new), new


# -- things that are larger than they look -------------------------------------------------------------------------


def png(width: int, height: int, *, extra: bytes = b"", bits: int = 1, colour: int = 0) -> bytes:
    """A black PNG; without a whole copy of what it decodes to."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" * (1 + (width * bits * (3 if colour == 2 else 1) + 7) // 8)
    packer = zlib.compressobj(9)
    rows = max(1, 2**20 // len(row))
    packed = b"".join(packer.compress(row * min(rows, height - done)) for done in range(0, height, rows))
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + (chunk(b"zTXt", extra) if extra else b"")
    return start + chunk(b"IDAT", packed + packer.flush()) + chunk(b"IEND", b"")


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/tmp/evil) (w) file closefile\nshowpage\n%%EOF\n"
BOMBS = {
    "more pixels than the limit": png(30_000, 30_000),
    "one endless row": png(2**31 - 1, 1) if os.environ.get("TRUEGROUND_HUGE") else png(200_000_000, 1),
    "text that unpacks to 200 MB": png(8, 8, extra=b"k\0\0" + zlib.compress(b"\0" * 200_000_000, 9)),
    "a size that lies": png(8, 8).replace(struct.pack(">II", 8, 8), struct.pack(">II", 2**31 - 1, 2**31 - 1)),
    "cut": png(5000, 5000)[:200],
    "a program": POSTSCRIPT,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_picture_that_unpacks_to_more_than_there_is_costs_nothing(name: str, tmp_path: Path) -> None:
    content = BOMBS[name]
    assert len(content) < 1_000_000
    path = tmp_path / "bomb.png"
    path.write_bytes(content)
    process = psutil.Process()
    before, begin = process.memory_info().rss, time.monotonic()
    assert image_problem(Storage(tmp_path), file_uri(path)) is not None
    assert data_uri(content) is None
    with pytest.raises(InputError):
        features._raster(content)
    assert time.monotonic() - begin < 5
    assert process.memory_info().rss - before < 150_000_000


def test_a_picture_of_a_rare_format_is_not_decoded() -> None:
    """Pillow has Ghostscript run PostScript, and its rarer readers are the less tried ones."""
    from PIL import Image

    for kind in ("TGA", "PCX", "SGI", "ICNS", "PPM"):
        content = io.BytesIO()
        Image.new("RGB", (16, 16)).save(content, kind)
        assert data_uri(content.getvalue()) is None, kind
        with pytest.raises(InputError):
            features._raster(content.getvalue())


def test_a_manifest_line_that_never_ends_is_refused_without_reading_it_whole(
    service: RunningService, client: Any
) -> None:
    request = _job_request(service.data_root, "endless")
    path = service.data_root / "in/endless/input.manifest"
    with path.open("wb") as handle:
        handle.truncate(2 * 1024**3)  # sparse: two gigabytes of nulls and no end of line
    process = psutil.Process()
    before = process.memory_info().rss
    with pytest.raises(ClientError) as caught:
        client.create_labeling_job(**request)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert process.memory_info().rss - before < 300_000_000
    path.unlink()


@pytest.mark.parametrize("file", ["template.html", "labels.json"])
def test_a_file_of_gigabytes_is_not_read_into_memory(service: RunningService, client: Any, file: str) -> None:
    request = _job_request(service.data_root, "gigabytes")
    path = service.data_root / "in/gigabytes" / file
    with path.open("r+b") as handle:
        handle.truncate(2 * 1024**3)
    process = psutil.Process()
    before = process.memory_info().rss
    with pytest.raises(ClientError) as caught:
        client.create_labeling_job(**request)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert process.memory_info().rss - before < 300_000_000
    path.unlink()
