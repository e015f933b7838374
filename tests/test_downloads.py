"""Fetching, against a real HTTP server on this machine that misbehaves."""

import dataclasses
import errno
import hashlib
import http.client
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sklearn_elmo import downloads
from sklearn_elmo.downloads import library
from sklearn_elmo.downloads.address import candidate_urls, canonical_url
from sklearn_elmo.downloads.transfer import TransferSettings
from sklearn_elmo.errors import (
    DownloadError,
    InvalidParameterError,
    ModelFileError,
    ModelNotFetchedError,
)

ROOT = Path(__file__).parents[1]
QUICK = TransferSettings(timeout_s=0.5, attempts=3, pause_s=0.01, lock_timeout_s=20)
WEIGHTS = b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 4000  # 1 MB
OPTIONS = b'{"lstm": {}, "char_cnn": {}}'


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; a path's behaviour is a function that answers one request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.behaviours: dict[str, Callable[[Handler, bytes], None]] = {}
        self.requests: list[tuple[str, str | None]] = []  # path and Range
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are part of the test."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Range")))
        body = self.server.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.server.behaviours.get(self.path, serve)(self, body)


def etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


def serve(handler: Handler, body: bytes, stop_after: int | None = None) -> None:
    """Answer as a good server does, Range included, or stop after some bytes."""
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range") or "")
    start = 0
    if asked and handler.headers.get("If-Range") == etag(body):
        start = int(asked[1])
        if start >= len(body):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(body)}")
            handler.end_headers()
            return
        handler.send_response(206)
        handler.send_header(
            "Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}"
        )
    else:
        handler.send_response(200)
    handler.send_header("Content-Length", str(len(body) - start))
    handler.send_header("ETag", etag(body))
    handler.end_headers()
    end = len(body) if stop_after is None else start + stop_after
    handler.wfile.write(body[start:end])
    handler.close_connection = True


def serve_without_range(handler: Handler, body: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def cutting(n_bytes: int) -> Callable[[Handler, bytes], None]:
    return lambda handler, body: serve(handler, body, stop_after=n_bytes)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("SKLEARN_ELMO_DOWNLOAD", "SKLEARN_ELMO_MIRROR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SKLEARN_ELMO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def toy_model(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a registered model whose files the local server has."""
    server.files = {"/o.json": OPTIONS, "/w.hdf5": WEIGHTS}
    entry = downloads.ModelEntry(
        "toy",
        "for tests",
        downloads.RemoteFile("options.json", (f"{server.url}/o.json",)),
        downloads.RemoteFile("weights.hdf5", (f"{server.url}/w.hdf5",)),
        ("en",),
        "nobody",
    )
    monkeypatch.setattr(library, "REGISTRY", {"toy": entry})
    return "toy"


def left_behind(home: Path) -> list[str]:
    return sorted(path.name for path in home.rglob("*.part*"))


def test_fetch_brings_both_files_and_asks_the_server_only_once(
    server: Server, toy_model: str, home: Path
) -> None:
    assert downloads.fetched_folder(toy_model) is None
    folder = downloads.fetch(toy_model, settings=QUICK)
    assert folder == home / "models" / "toy" == downloads.fetched_folder(toy_model)
    assert (folder / "options.json").read_bytes() == OPTIONS
    assert (folder / "weights.hdf5").read_bytes() == WEIGHTS
    downloads.fetch(toy_model, settings=QUICK)
    assert len(server.requests) == 2
    assert left_behind(home) == []
    assert downloads.local_names() == ["toy"]


def test_fetch_resumes_after_each_cut(
    server: Server, toy_model: str, home: Path
) -> None:
    server.behaviours["/w.hdf5"] = cutting(400_000)
    folder = downloads.fetch(toy_model, settings=QUICK)
    assert (folder / "weights.hdf5").read_bytes() == WEIGHTS
    ranges = [asked for path, asked in server.requests if path == "/w.hdf5"]
    assert ranges == [None, "bytes=400000-", "bytes=800000-"]
    assert left_behind(home) == []


def test_fetch_resumes_what_an_earlier_call_left(
    server: Server, toy_model: str, home: Path
) -> None:
    def cut_then_die(handler: Handler, body: bytes) -> None:
        if len(server.requests) > 2:
            handler.send_error(404)
        else:
            serve(handler, body, stop_after=300_000)

    server.behaviours["/w.hdf5"] = cut_then_die
    with pytest.raises(DownloadError, match=r"weights\.hdf5 could not be downloaded"):
        downloads.fetch(toy_model, settings=QUICK)
    assert downloads.fetched_folder(toy_model) is None
    assert left_behind(home) == ["weights.hdf5.part", "weights.hdf5.part.json"]
    server.behaviours.clear()
    folder = downloads.fetch(toy_model, settings=QUICK)
    assert (folder / "weights.hdf5").read_bytes() == WEIGHTS
    assert server.requests[-1] == ("/w.hdf5", "bytes=300000-")


def test_fetch_begins_anew_if_the_file_changed_between_two_calls(
    server: Server, toy_model: str, home: Path
) -> None:
    part = home / "models" / "toy" / "weights.hdf5.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"of another version")
    tag = part.with_name("weights.hdf5.part.json")
    tag.write_text(json.dumps({"validator": '"another"'}))
    folder = downloads.fetch(toy_model, settings=QUICK)
    assert (folder / "weights.hdf5").read_bytes() == WEIGHTS


def test_fetch_survives_a_damaged_part(
    server: Server, toy_model: str, home: Path
) -> None:
    part = home / "models" / "toy" / "weights.hdf5.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"garbage")
    tag = part.with_name("weights.hdf5.part.json")
    tag.write_text(json.dumps({"validator": etag(WEIGHTS)}))
    folder = downloads.fetch(toy_model, settings=QUICK)
    assert (folder / "weights.hdf5").read_bytes() == WEIGHTS


def test_fetch_takes_a_part_that_was_whole_already(
    server: Server, toy_model: str, home: Path
) -> None:
    part = home / "models" / "toy" / "weights.hdf5.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(WEIGHTS)
    tag = part.with_name("weights.hdf5.part.json")
    tag.write_text(json.dumps({"validator": etag(WEIGHTS)}))
    folder = downloads.fetch(toy_model, settings=QUICK)
    assert (folder / "weights.hdf5").read_bytes() == WEIGHTS
    assert len(server.requests) == 2
    assert left_behind(home) == []


def test_fetch_restarts_with_a_server_that_knows_no_ranges(
    server: Server, toy_model: str
) -> None:
    def cut_once(handler: Handler, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        whole = len(server.requests) > 2
        handler.wfile.write(body if whole else body[:100_000])
        handler.close_connection = True

    server.behaviours["/w.hdf5"] = cut_once
    folder = downloads.fetch(toy_model, settings=QUICK)
    assert (folder / "weights.hdf5").read_bytes() == WEIGHTS


def test_fetch_gives_up_on_a_server_that_never_sends_more(
    server: Server, toy_model: str
) -> None:
    server.behaviours["/w.hdf5"] = cutting(0)
    with pytest.raises(DownloadError, match="gave up after 3 attempts"):
        downloads.fetch(toy_model, settings=QUICK)
    assert len([path for path, _ in server.requests if path == "/w.hdf5"]) == 3


def test_fetch_waits_for_a_slow_server_and_reconnects_to_a_silent_one(
    server: Server, toy_model: str
) -> None:
    def slow_then_silent(handler: Handler, body: bytes) -> None:
        if len(server.requests) > 2:
            serve(handler, body)
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.send_header("ETag", etag(body))
        handler.end_headers()
        for start in range(0, 300, 100):
            handler.wfile.write(body[start : start + 100])
            handler.wfile.flush()
            time.sleep(0.1)
        time.sleep(1.0)

    server.behaviours["/w.hdf5"] = slow_then_silent
    folder = downloads.fetch(toy_model, settings=QUICK)
    assert (folder / "weights.hdf5").read_bytes() == WEIGHTS
    assert server.requests[-1] == ("/w.hdf5", "bytes=300-")


def test_fetch_retries_a_busy_server(server: Server, toy_model: str) -> None:
    def busy_once(handler: Handler, body: bytes) -> None:
        if len(server.requests) > 2:
            serve(handler, body)
        else:
            handler.send_error(503)

    server.behaviours["/w.hdf5"] = busy_once
    folder = downloads.fetch(toy_model, settings=QUICK)
    assert (folder / "weights.hdf5").read_bytes() == WEIGHTS


def test_fetch_follows_redirects_and_keeps_the_range(
    server: Server, toy_model: str
) -> None:
    def redirect(handler: Handler, body: bytes) -> None:
        handler.send_response(302)
        handler.send_header("Location", "/real.hdf5")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.files["/real.hdf5"] = WEIGHTS
    server.behaviours |= {"/w.hdf5": redirect, "/real.hdf5": cutting(600_000)}
    folder = downloads.fetch(toy_model, settings=QUICK)
    assert (folder / "weights.hdf5").read_bytes() == WEIGHTS
    assert ("/real.hdf5", "bytes=600000-") in server.requests


def test_fetch_stops_in_a_circle_of_redirects(server: Server, toy_model: str) -> None:
    def redirect(handler: Handler, body: bytes) -> None:
        handler.send_response(302)
        handler.send_header("Location", "/w.hdf5")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.behaviours["/w.hdf5"] = redirect
    with pytest.raises(DownloadError, match="HTTP status 302"):
        downloads.fetch(toy_model, settings=QUICK)


def test_fetch_goes_to_the_mirror_after_404_and_after_wrong_bytes(
    server: Server, toy_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/wrong.hdf5"] = WEIGHTS[:-1] + b"!"
    urls = tuple(
        f"{server.url}/{name}" for name in ("absent.hdf5", "wrong.hdf5", "w.hdf5")
    )
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    weights = downloads.RemoteFile("weights.hdf5", urls, sha256=digest)
    toy = library.REGISTRY["toy"]
    entry = downloads.ModelEntry("toy", "", toy.options, weights, ("en",), "")
    monkeypatch.setattr(library, "REGISTRY", {"toy": entry})
    folder = downloads.fetch("toy", settings=QUICK)
    assert (folder / "weights.hdf5").read_bytes() == WEIGHTS
    asked = [path for path, _ in server.requests]
    assert asked == ["/o.json", "/absent.hdf5", "/wrong.hdf5", "/w.hdf5"]


def test_fetch_refuses_a_wrong_size_before_the_body_comes(
    server: Server, toy_model: str, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    toy = library.REGISTRY["toy"]
    weights = downloads.RemoteFile("weights.hdf5", toy.weights.urls, size=5)
    entry = downloads.ModelEntry("toy", "", toy.options, weights, ("en",), "")
    monkeypatch.setattr(library, "REGISTRY", {"toy": entry})
    offered = f"the server offers {len(WEIGHTS)} bytes, expected 5"
    with pytest.raises(DownloadError, match=offered):
        downloads.fetch("toy", settings=QUICK)
    assert left_behind(home) in ([], ["weights.hdf5.part.json"])


@pytest.mark.parametrize(
    ("path", "body", "complaint"),
    [
        ("/w.hdf5", b"<html>Please log in</html>", "not a HDF5 file"),
        ("/o.json", b"<html>Please log in</html>", "not a JSON file"),
    ],
)
def test_fetch_keeps_no_log_in_page(
    server: Server, toy_model: str, home: Path, path: str, body: bytes, complaint: str
) -> None:
    server.files[path] = body
    with pytest.raises(DownloadError, match=complaint):
        downloads.fetch(toy_model, settings=QUICK)
    assert downloads.fetched_folder(toy_model) is None
    assert left_behind(home) == []


def test_first_download_records_the_hash_that_later_ones_must_have(
    server: Server, toy_model: str, home: Path
) -> None:
    folder = downloads.fetch(toy_model, settings=QUICK)
    record = json.loads((home / "known_hashes.json").read_text())
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    expected = {"sha256": digest, "size": len(WEIGHTS)}
    assert record["models/toy/weights.hdf5"] == expected
    (folder / "weights.hdf5").unlink()
    server.files["/w.hdf5"] = WEIGHTS + b"."
    with pytest.raises(DownloadError, match=f"expected {digest}"):
        downloads.fetch(toy_model, settings=QUICK)


def test_pinned_hash_is_enforced_for_files_to_come_and_files_here(
    server: Server, toy_model: str
) -> None:
    good, bad = hashlib.sha256(WEIGHTS).hexdigest(), "0" * 64
    with pytest.raises(DownloadError, match=f"expected {bad}"):
        downloads.fetch(toy_model, sha256={"weights.hdf5": bad}, settings=QUICK)
    downloads.fetch(toy_model, sha256={"weights.hdf5": good.upper()}, settings=QUICK)
    with pytest.raises(DownloadError, match=f"expected {bad}"):
        downloads.fetch(toy_model, sha256={"weights.hdf5": bad}, settings=QUICK)
    with pytest.raises(InvalidParameterError, match=r"names the file 'w\.bin'"):
        downloads.fetch(toy_model, sha256={"w.bin": good})


def test_verify_finds_a_flipped_bit(server: Server, toy_model: str) -> None:
    folder = downloads.fetch(toy_model, settings=QUICK)
    found = downloads.verify(toy_model)
    assert found["weights.hdf5"].size == len(WEIGHTS)
    damaged = bytearray(WEIGHTS)
    damaged[1000] ^= 1
    (folder / "weights.hdf5").write_bytes(damaged)
    with pytest.raises(DownloadError, match=r"weights\.hdf5 has the SHA-256"):
        downloads.verify(toy_model)


@pytest.mark.parametrize(
    "content",
    [
        b'{"models/toy/weights.hdf5": 3}',
        b"\xff\xfe{}",
        b"[" * 100_000,
        b"[]",
        b'{"a": {"sha256": "0", "size": Infinity}}',
        b'{"a": {"sha256": "0", "size": 1}, "a": {"sha256": "1", "size": 1}}',
    ],
    ids=["type", "bytes", "deep", "list", "infinity", "twice"],
)
def test_damaged_record_of_hashes_is_no_licence_to_skip_the_check(
    toy_model: str, home: Path, content: bytes
) -> None:
    home.mkdir()
    (home / "known_hashes.json").write_bytes(content)
    with pytest.raises(DownloadError, match="record of file hashes"):
        downloads.fetch(toy_model, settings=QUICK)


FETCH_IN_ANOTHER_PROCESS = """
import sys
from sklearn_elmo import downloads
print(downloads.fetch_url(sys.argv[1]).read_bytes() == b"x" * 200_000)
"""


def test_two_processes_fetch_a_file_once(server: Server) -> None:
    def slow(handler: Handler, body: bytes) -> None:
        time.sleep(0.5)
        serve(handler, body)

    server.files["/x.bin"] = b"x" * 200_000
    server.behaviours["/x.bin"] = slow
    command = [sys.executable, "-c", FETCH_IN_ANOTHER_PROCESS, f"{server.url}/x.bin"]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(3)
    ]
    answers = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert answers == ["True"] * 3
    assert [path for path, _ in server.requests] == ["/x.bin"]


def test_a_killed_fetch_neither_blocks_the_next_nor_loses_what_came(
    server: Server,
) -> None:
    def trickle(handler: Handler, body: bytes) -> None:
        if len(server.requests) > 1:
            serve(handler, body)
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.send_header("ETag", etag(body))
        handler.end_headers()
        handler.wfile.write(body[:150_000])
        handler.wfile.flush()
        time.sleep(5)

    url = f"{server.url}/x.bin"
    server.files["/x.bin"] = b"x" * 200_000
    server.behaviours["/x.bin"] = trickle
    command = [sys.executable, "-c", FETCH_IN_ANOTHER_PROCESS, url]
    with subprocess.Popen(command, cwd=ROOT) as process:
        deadline = time.monotonic() + 20
        while not (parts := list(downloads.home_folder().rglob("*.part"))):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        while parts[0].stat().st_size < 100_000:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
    assert downloads.fetched_url(url) is None
    assert downloads.fetch_url(url).read_bytes() == b"x" * 200_000
    assert (server.requests[-1][1] or "").startswith("bytes=1")


def test_model_folder_never_downloads_unless_allowed(
    server: Server, toy_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelNotFetchedError, match="sklearn-elmo models fetch toy"):
        downloads.model_folder(toy_model)
    assert server.requests == []
    assert not downloads.download_allowed()
    monkeypatch.setenv("SKLEARN_ELMO_DOWNLOAD", "1")
    assert downloads.model_folder(toy_model) == downloads.fetched_folder(toy_model)


def test_unknown_name_lists_the_models(toy_model: str) -> None:
    with pytest.raises(InvalidParameterError, match="only toy"):
        downloads.fetch("orignal")
    assert downloads.fetched_folder("../../etc") is None


def test_old_and_new_addresses_share_one_place() -> None:
    new = downloads.REGISTRY["original"].weights.urls[0]
    key = new.removeprefix("https://allennlp.s3.amazonaws.com/")
    old = f"https://s3-us-west-2.amazonaws.com/allennlp/{key}"
    for url in (new, old, f"s3://allennlp/{key}"):
        assert canonical_url(url) == new
        assert downloads.fetched_url(url) is None
        place = library._place_of(url)[0]
        assert place == downloads.home_folder() / "models/original/weights.hdf5"
    assert candidate_urls(old) == (old, new)
    assert candidate_urls(f"s3://allennlp/{key}") == (new,)


def test_own_mirror_is_asked_first(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKLEARN_ELMO_MIRROR", f"{server.url}/elmo/")
    path = "/2x1024_128_2048cnn_1xhighway/elmo_2x1024_128_2048cnn_1xhighway"
    server.files = {
        f"/elmo{path}_options.json": OPTIONS,
        f"/elmo{path}_weights.hdf5": WEIGHTS,
    }
    folder = downloads.fetch("small", settings=QUICK)
    assert (folder / "weights.hdf5").read_bytes() == WEIGHTS
    # The how-to's own address finds what `fetch` has brought, without a connection.
    url = f"https://s3-us-west-2.amazonaws.com/allennlp/models/elmo{path}_options.json"
    assert downloads.fetch_url(url) == folder / "options.json"
    assert len(server.requests) == 2


def test_fetch_url_refuses_a_path() -> None:
    with pytest.raises(InvalidParameterError, match="must begin with http"):
        downloads.fetch_url("/etc/passwd")


def test_import_model_copies_checks_and_records(tmp_path: Path, home: Path) -> None:
    options, weights = tmp_path / "o.json", tmp_path / "w.hdf5"
    options.write_bytes(OPTIONS)
    weights.write_bytes(b"no weights")
    with pytest.raises(ModelFileError, match="not a HDF5 file"):
        downloads.import_model("mine", options, weights)
    assert downloads.local_names() == []
    weights.write_bytes(WEIGHTS)
    folder = downloads.import_model("mine", options, weights)
    assert downloads.fetched_folder("mine") == folder
    assert set(downloads.verify("mine")) == {"options.json", "weights.hdf5"}
    with pytest.raises(DownloadError, match=r"There is a model named .mine."):
        downloads.import_model("mine", options, weights)
    with pytest.raises(ModelFileError, match="the registered file has 336"):
        downloads.import_model("original", options, weights)
    with pytest.raises(InvalidParameterError, match="'name' parameter"):
        downloads.import_model("../mine", options, weights)
    assert downloads.local_names() == ["mine"]


def test_progress_shows_a_bar_on_stderr(
    server: Server, toy_model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tqdm")
    downloads.fetch(toy_model, progress=True, settings=QUICK)
    out, err = capsys.readouterr()
    assert out == ""
    assert "weights.hdf5: 100%" in err


def test_fetch_says_so_if_the_folder_cannot_be_written(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SKLEARN_ELMO_HOME", str(tmp_path / "file"))
    server.files["/x.bin"] = b"x"
    with pytest.raises(DownloadError, match="could not be written"):
        downloads.fetch_url(f"{server.url}/x.bin", settings=QUICK)


# ------------------------------------------------------------- servers that misbehave


def endless(handler: Handler, body: bytes) -> None:
    """Send a body without a length and without an end."""
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(body)
    while True:
        handler.wfile.write(b"x" * 65536)


def longer_than_said(handler: Handler, body: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(2**40))
    handler.end_headers()
    endless(handler, body)


def drip(handler: Handler, body: bytes) -> None:
    """Send a byte now and then, often enough for every time-out of a socket."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    for byte in body:
        handler.wfile.write(bytes([byte]))
        time.sleep(0.05)


def endless_continue(handler: Handler, body: bytes) -> None:
    while True:
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.01)


def endless_head(handler: Handler, body: bytes) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        handler.wfile.write(b"y")
        time.sleep(0.01)


LIMITED = TransferSettings(
    timeout_s=0.5, attempts=2, pause_s=0.01, lock_timeout_s=20, max_bytes=3 * 2**20
)


@pytest.mark.parametrize(
    "behaviour", [endless, longer_than_said, drip, endless_continue, endless_head]
)
@pytest.mark.parametrize("known", [None, "sha256"])
def test_a_server_that_never_ends_is_given_up(
    behaviour: Callable[[Handler, bytes], None],
    known: str | None,
    server: Server,
    home: Path,
) -> None:
    server.files["/w.bin"] = WEIGHTS
    server.behaviours["/w.bin"] = behaviour
    sha256 = known and hashlib.sha256(WEIGHTS).hexdigest()
    begin = time.monotonic()
    with pytest.raises(DownloadError, match=r"w\.bin"):
        downloads.fetch_url(f"{server.url}/w.bin", sha256=sha256, settings=LIMITED)
    assert time.monotonic() - begin < 30
    assert sum(path.stat().st_size for path in home.rglob("*.part")) <= 3 * 2**20


def test_a_part_that_is_a_link_is_not_followed(
    toy_model: str, home: Path, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger.txt"
    stranger.write_text("do not touch")
    folder = home / "models" / toy_model
    folder.mkdir(parents=True)
    for name in ("weights.hdf5.part", "weights.hdf5.part.json", "options.json.part"):
        (folder / name).symlink_to(stranger)
    downloads.fetch(toy_model, settings=QUICK)
    assert stranger.read_text() == "do not touch"
    assert (folder / "weights.hdf5").read_bytes() == WEIGHTS
    assert left_behind(home) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http:///path",
        "http://[::1",
        "http://[bad]/x",
        "https://exa mple.org/x",
        "http://127.0.0.1:99999/x",
        "http://127.0.0.1:port/x",
        "http://127.0.0.1/\r\nHost: x",
        "http://" + "a" * 5000 + ".org/x",
        "http://" + ".".join(["b" * 70] * 9) + "/x",
        "s3://",
        "http://127.0.0.1:9/" + "c" * 5000,
        "http://\u2603\ud800.org/x",
    ],
    ids=lambda url: ascii(url[:20]),
)
def test_malformed_urls_are_errors_of_ours(url: str) -> None:
    with pytest.raises((DownloadError, InvalidParameterError)):
        downloads.fetch_url(url, settings=QUICK)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_redirects_lead_to_http_only(target: str, server: Server) -> None:
    def redirect(handler: Handler, body: bytes) -> None:
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.end_headers()

    server.files["/x"] = b""
    server.behaviours["/x"] = redirect
    with pytest.raises(DownloadError, match=r"redirect|302"):
        downloads.fetch_url(f"{server.url}/x", settings=QUICK)


def test_a_loop_of_redirects_ends(server: Server) -> None:
    def redirect(handler: Handler, body: bytes) -> None:
        handler.send_response(302)
        handler.send_header("Location", handler.path)
        handler.end_headers()

    server.files["/x"] = b""
    server.behaviours["/x"] = redirect
    with pytest.raises(DownloadError):
        downloads.fetch_url(f"{server.url}/x", settings=QUICK)


def test_a_home_of_an_unknown_user_is_no_crash(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKLEARN_ELMO_HOME", "~nosuchuser/elmo")
    assert downloads.local_names() == []
    with pytest.raises(ModelNotFetchedError):
        downloads.model_folder("original")


def serve_range(start: int, end: int, total: int | str) -> Callable[..., None]:
    """Answer a request for a range with another one; at first cut the body."""

    def answer(handler: Handler, body: bytes) -> None:
        if handler.headers.get("Range") is None:
            serve(handler, body, stop_after=300_000)
            return
        asked = int(handler.headers["Range"].removeprefix("bytes=")[:-1])
        sent = body[asked + start : asked + end]
        handler.send_response(206)
        stated = f"bytes {asked + start}-{asked + start + len(sent) - 1}/{total}"
        handler.send_header("Content-Range", stated)
        handler.send_header("Content-Length", str(len(sent)))
        handler.end_headers()
        handler.wfile.write(sent)

    return answer


@pytest.mark.parametrize("total", [len(WEIGHTS), "*"])
def test_range_that_ends_before_the_file_is_not_the_whole_file(
    server: Server, toy_model: str, total: int | str
) -> None:
    """The rest of the file was taken for what the server had sent of it."""
    server.behaviours["/w.hdf5"] = serve_range(0, 100_000, total)
    folder = downloads.fetch(toy_model, settings=QUICK)
    assert (folder / "weights.hdf5").read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("start", "total"), [(0, len(WEIGHTS) + 7), (0, 10), (5, len(WEIGHTS)), (0, "x")]
)
def test_range_of_another_file_is_refused(
    server: Server, toy_model: str, start: int, total: int | str, home: Path
) -> None:
    server.behaviours["/w.hdf5"] = serve_range(start, len(WEIGHTS), total)
    quick = dataclasses.replace(QUICK, max_connections=6)
    with pytest.raises(DownloadError, match=r"w\.hdf5"):
        downloads.fetch(toy_model, settings=quick)
    assert not (home / "models" / "toy" / "weights.hdf5").exists()


def test_server_that_says_a_part_is_whole_is_not_believed(
    server: Server, toy_model: str
) -> None:
    def nothing_left(handler: Handler, body: bytes) -> None:
        asked = handler.headers.get("Range")
        if asked is None:
            done = len([1 for path, _ in server.requests if path == "/w.hdf5"]) > 1
            serve(handler, body, stop_after=None if done else 300_000)
            return
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{asked[6:-1]}")
        handler.end_headers()

    server.behaviours["/w.hdf5"] = nothing_left
    folder = downloads.fetch(toy_model, settings=QUICK)
    assert (folder / "weights.hdf5").read_bytes() == WEIGHTS


@pytest.mark.parametrize("pin", ["", "abc", "g" * 64, " " + "0" * 64, 5])
def test_pin_that_is_no_hash_is_refused_before_anything_is_fetched(
    server: Server, toy_model: str, pin: Any
) -> None:
    """An empty one, from a variable that is not set, switched the check off."""
    with pytest.raises(InvalidParameterError, match="64 hexadecimal digits"):
        downloads.fetch_url(f"{server.url}/w.hdf5", sha256=pin, settings=QUICK)
    with pytest.raises(InvalidParameterError, match="64 hexadecimal digits"):
        downloads.fetch(toy_model, sha256={"options.json": pin}, settings=QUICK)
    assert server.requests == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes")
@pytest.mark.parametrize("kind", ["pipe", "deep", "large"])
def test_odd_file_beside_a_part_neither_hangs_nor_raises(
    server: Server, kind: str
) -> None:
    url = f"{server.url}/w.hdf5"
    server.files = {"/w.hdf5": WEIGHTS}
    path = library._place_of(url)[0]
    path.parent.mkdir(parents=True)
    tag = path.with_name("w.hdf5.part.json")
    path.with_name("w.hdf5.part").write_bytes(WEIGHTS[:1000])
    if kind == "pipe":
        os.mkfifo(tag)
    else:
        tag.write_bytes(b"[" * 100_000 if kind == "deep" else b" " * 2**21)
    assert downloads.fetch_url(url, settings=QUICK).read_bytes() == WEIGHTS


def test_secrets_of_a_url_are_not_shown(server: Server) -> None:
    with pytest.raises(InvalidParameterError, match="user name or a password") as error:
        downloads.fetch_url("http://me:secret@127.0.0.1:1/w.hdf5", settings=QUICK)
    assert "secret" not in str(error.value)
    url = f"{server.url}/w.hdf5?key=secret\x1b" + "x" * 10_000
    with pytest.raises(DownloadError, match=r"w\.hdf5") as failed:
        downloads.fetch_url(url, settings=QUICK)
    assert "secret" not in str(failed.value)
    assert str(failed.value).isprintable()
    assert len(str(failed.value)) < 1000


def test_network_that_is_lost_while_reading_is_tried_again(
    server: Server, toy_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was reported as a full disk."""
    read1, failures = http.client.HTTPResponse.read1, iter([1, 2])

    def lose(self: http.client.HTTPResponse, n: int = -1) -> bytes:
        if next(failures, None):
            raise OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
        return read1(self, n)

    monkeypatch.setattr(http.client.HTTPResponse, "read1", lose)
    folder = downloads.fetch(toy_model, settings=QUICK)
    assert (folder / "weights.hdf5").read_bytes() == WEIGHTS


@pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes")
@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "device", "nul"])
def test_import_of_what_is_no_plain_file_is_refused(
    tmp_path: Path, home: Path, kind: str
) -> None:
    options, odd = tmp_path / "options.json", tmp_path / "odd"
    options.write_bytes(OPTIONS)
    if kind == "folder":
        odd.mkdir()
    elif kind == "pipe":
        os.mkfifo(odd)
    elif kind == "device":
        odd.symlink_to("/dev/zero")
    elif kind == "nul":
        odd = Path("a\0b")
    with pytest.raises(ModelFileError, match="Nothing was imported") as caught:
        downloads.import_model("mine", options, odd)
    assert isinstance(caught.value, FileNotFoundError) == (kind == "missing")
    assert downloads.local_names() == []
