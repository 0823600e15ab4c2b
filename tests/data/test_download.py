"""Downloads against a server on this machine: in turn, resumed, checked, unpacked safely."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lab.data import download
from lab.data.base import Card, Source
from lab.errors import DataError

CONTENT = bytes(range(256)) * 2000


class Server:
    """Files by path; what was asked for, with its Range header; and how many bytes to send before hanging up."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.ranges = True
        self.hang_up_after: int | None = None
        self.url = ""


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            content = state.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.ranges else 0
            if wanted and state.ranges and start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if wanted and state.ranges else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start:][: state.hang_up_after])

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{httpd.server_port}/"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield state
    httpd.shutdown()
    httpd.server_close()


def card(*sources: Source) -> Card:
    return Card("birds", "Birds", "free", "none", "metadata.csv and folders", sources, "birds_1.0")


def archive(members: dict[str, bytes], kind: str = "tar") -> bytes:
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as bundle:
            for name, content in members.items():
                bundle.writestr(name, content)
    else:
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            for name, content in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def md5(content: bytes) -> str:
    return f"md5:{hashlib.md5(content).hexdigest()}"


def fetch(server: Server, path: Path, expected: str | None = None) -> Path:
    return download.download(server.url + "a", path, expected, lambda _: None)


def test_a_file_comes_whole(server, tmp_path):
    server.files["/a"] = CONTENT
    assert fetch(server, tmp_path / "a.part", md5(CONTENT)).read_bytes() == CONTENT
    assert server.asked == [("/a", None)]


def test_a_broken_connection_is_gone_on_with(server, tmp_path):
    server.files["/a"], server.hang_up_after = CONTENT, 100_000
    with pytest.raises(DataError, match="connection ended after 100,000 of 512,000 bytes"):
        fetch(server, tmp_path / "a.part")
    server.hang_up_after = None
    assert fetch(server, tmp_path / "a.part", md5(CONTENT)).read_bytes() == CONTENT
    assert server.asked[-1] == ("/a", "bytes=100000-")


def test_a_server_without_ranges_starts_again(server, tmp_path):
    (tmp_path / "a.part").write_bytes(b"other")
    server.files["/a"], server.ranges = CONTENT, False
    assert fetch(server, tmp_path / "a.part").read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_thrown_away(server, tmp_path):
    (tmp_path / "a.part").write_bytes(CONTENT + b"more")
    server.files["/a"] = CONTENT
    assert fetch(server, tmp_path / "a.part").read_bytes() == CONTENT


def test_another_hash_keeps_nothing(server, tmp_path):
    server.files["/a"] = CONTENT
    with pytest.raises(DataError, match=r"md5 is .*, published is .*: the file was not kept"):
        fetch(server, tmp_path / "a.part", md5(b"other"))
    assert not (tmp_path / "a.part").exists()


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("inside", ["any_folder/", ""])
def test_the_next_source_is_tried_and_unpacked(server, tmp_path, kind, inside):
    members = {f"{inside}metadata.csv": b"y", f"{inside}001.Bird/a.jpg": b"jpg"}
    server.files["/good/birds.archive"] = archive(members, kind)
    told: list[str] = []
    sources = (
        Source("https://example.invalid/", {}, unpack=True, manual=True, note="needs an account"),
        Source(server.url + "gone/", {"birds.archive": None}, unpack=True),
        Source(server.url + "good/", {"birds.archive": None}, unpack=True),
    )
    target = download.get(card(*sources), tmp_path, told.append)
    assert target == tmp_path / "birds_1.0"
    assert (target / "metadata.csv").read_bytes() == b"y" and (target / "001.Bird" / "a.jpg").read_bytes() == b"jpg"
    assert list(tmp_path.iterdir()) == [target], "neither archive nor temporary folder is left"
    assert any("unpacking" in line for line in told)


def test_no_source_works(server, tmp_path):
    sources = (
        Source(server.url, {"a": None}, unpack=True),
        Source("https://example.invalid/", {}, unpack=True, manual=True, note="needs an account"),
    )
    with pytest.raises(DataError) as error:
        download.get(card(*sources), tmp_path, lambda _: None)
    lines = str(error.value).splitlines()
    assert lines[0] == "Birds could not be got:"
    assert lines[1].startswith(f"  {server.url}a: ") and "404" in lines[1]
    assert "by hand (needs an account)" in lines[2]
    assert any(str(tmp_path / "birds_1.0") in line for line in lines) and "lab data verify birds" in lines[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_nothing_is_written_outside(tmp_path, kind):
    (tmp_path / "in").mkdir()
    packed = tmp_path / "in" / "x.part"
    packed.write_bytes(archive({"birds/a": b"1", "../../evil": b"2"}, kind))
    with pytest.raises(DataError, match=r"damaged|outside its folder"):
        download.unpack(packed, tmp_path / "in" / "birds")
    assert not (tmp_path / "evil").exists() and [path.name for path in (tmp_path / "in").iterdir()] == ["x.part"]


def test_something_else_than_an_archive(tmp_path):
    (tmp_path / "x.part").write_bytes(b"<html>")
    with pytest.raises(DataError, match="neither a tar nor a zip"):
        download.unpack(tmp_path / "x.part", tmp_path / "birds")


def test_an_archive_cut_short(tmp_path):
    (tmp_path / "x.part").write_bytes(archive({"birds/a": CONTENT})[:-30])
    with pytest.raises(DataError, match="damaged"):
        download.unpack(tmp_path / "x.part", tmp_path / "birds")
    assert [path.name for path in tmp_path.iterdir()] == ["x.part"]


def test_parts_with_several_files(server, tmp_path):
    for name in ("a", "b"):
        server.files[f"/{name}"] = name.encode()
    sources = (
        Source(server.url, {"a": md5(b"a"), "b": md5(b"b")}, part="one"),
        Source(server.url, {"c": None}, part="two"),
    )
    assert download.get(card(*sources), tmp_path, lambda _: None, "one") == tmp_path / "birds_1.0"
    assert (tmp_path / "birds_1.0" / "one" / "b").read_bytes() == b"b"
    asked = len(server.asked)
    with pytest.raises(DataError, match="404"):
        download.get(card(*sources), tmp_path, lambda _: None)
    assert len(server.asked) == asked + 1, "what is here is not got again"
    with pytest.raises(DataError, match="no part 'three'; it has: one, two"):
        download.get(card(*sources), tmp_path, lambda _: None, "three")


def test_a_drawn_set_needs_no_download(tmp_path):
    with pytest.raises(DataError, match="needs no download"):
        download.get(card(), tmp_path, lambda _: None)
