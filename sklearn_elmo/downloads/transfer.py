"""Download one file: resumed, retried, bounded, checked, renamed."""

import contextlib
import dataclasses
import http.client
import json
import logging
import os
import re
import shutil
import socket
import ssl
import stat
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from sklearn_elmo.atomic_files import write_bytes
from sklearn_elmo.bars import Bar
from sklearn_elmo.downloads.address import shown
from sklearn_elmo.downloads.hashes import Fingerprint, fingerprint
from sklearn_elmo.errors import DownloadError
from sklearn_elmo.plain_files import open_plain_file, parse_json

__all__ = ["TransferSettings", "download"]

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 18
_USER_AGENT = "sklearn-elmo"
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(?:(\d{1,18})|\*)")
_MOST_TAG_BYTES = 2**20
_RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclasses.dataclass(frozen=True)
class TransferSettings:
    """How long, how often and how much to try.

    Parameters
    ----------
    timeout_s : float
        Longest silence of a server, and longest time for the head of its answer.
    min_bytes_per_s : float
        A connection that is slower than this for ``timeout_s`` is closed.
    attempts : int
        Consecutive connections per address that may fail without new bytes.
    max_connections : int
        Connections per address.
    pause_s : float
        Pause before the second attempt; it doubles up to 16 times this.
    lock_timeout_s : float
        How long to wait for another process that downloads the same file.
    max_bytes : int
        Largest file, if its size is not known.
    """

    timeout_s: float = 30.0
    min_bytes_per_s: float = 100.0
    attempts: int = 5
    max_connections: int = 100
    pause_s: float = 0.5
    lock_timeout_s: float = 3600.0
    max_bytes: int = 2 * 2**30


class _AddressFailedError(Exception):
    """This address does not have the file; another one may."""


class _ConnectionCutError(Exception):
    """The connection broke; the same address may deliver the rest."""


class _StalledError(_ConnectionCutError):
    """The connection is too slow to count as progress."""


class _NothingLeftError(Exception):
    """The server has no bytes beyond those received before."""


def download(
    urls: Sequence[str],
    target: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    check: Callable[[Path], str | None] = lambda _: None,
    progress: bool = False,
    settings: TransferSettings | None = None,
) -> Fingerprint:
    """Download one file to `target`, unless it exists.

    An interrupted download (``target.part``) is resumed by the next call.

    Parameters
    ----------
    urls : sequence of str
        Addresses of the same file, tried in this order.
    target : Path
        Final name; the file appears complete and checked, or not at all.
    size, sha256 : optional
        Expected length in bytes and hexadecimal SHA-256, if known.
    check : callable, optional
        Returns what is wrong with the complete file, or None.
    progress : bool
        Show a progress bar on stderr.
    settings : TransferSettings, optional

    Returns
    -------
    Fingerprint
        Length and SHA-256 of the file.

    Raises
    ------
    DownloadError
        No address delivered the right file; the reason is given for each.
    """
    settings = settings or TransferSettings()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock", timeout=settings.lock_timeout_s):
            if target.is_file():  # another process was faster
                return fingerprint(target)
            return _first_that_works(
                urls, _Part(target), size, sha256, check, progress, settings
            )
    except DownloadError:
        raise
    except Timeout as error:
        message = (
            f"Another process has been downloading {target} for "
            f"{settings.lock_timeout_s:.0f} s. Wait for it, or end it and try again."
        )
        raise DownloadError(message) from error
    except OSError as error:
        message = (
            f"{target} could not be written ({error}). Free some space or change the "
            "permissions, or set SKLEARN_ELMO_HOME to another folder."
        )
        raise DownloadError(message) from error


def _first_that_works(
    urls: Sequence[str],
    part: "_Part",
    size: int | None,
    sha256: str | None,
    check: Callable[[Path], str | None],
    progress: bool,
    settings: TransferSettings,
) -> Fingerprint:
    failures: list[str] = []
    # An earlier part may be damaged: then start again, with the same address.
    resumed = part.size() > 0
    for url in [urls[0], *urls] if resumed else urls:
        try:
            _fill(url, part, size, progress, settings)
            found = fingerprint(part.path)
            _verify(part, found, size, sha256, check)
        except _AddressFailedError as error:
            logger.info("%s: %s", shown(url), error)
            failures.append(f"{shown(url)}: {error}")
        else:
            part.publish()
            return found
    message = (
        f"{part.target.name} could not be downloaded. "
        + "; ".join(dict.fromkeys(failures))
        + ". "
        "Check the connection and try again (the part received so far is kept), or "
        "copy the file from another machine and import it."
    )
    raise DownloadError(message)


class _Part:
    """The unfinished file beside its target, and what the server said of it."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self._tag_path = target.with_name(target.name + ".part.json")

    def size(self) -> int:
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            return 0
        if not stat.S_ISREG(status.st_mode):  # a link could lead to any file
            self.drop()
            return 0
        return status.st_size

    def open(self) -> IO[bytes]:
        """Open for appending, without following a link."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):
            flags |= getattr(os, name, 0)
        return os.fdopen(os.open(self.path, flags, 0o666), "ab")

    def validator(self) -> str | None:
        """Return the value for If-Range: the server's name of this version."""
        value = self._tag().get("validator")
        return value if isinstance(value, str) else None

    def total(self) -> int | None:
        """Return the length of the whole file, if the server said it."""
        value = self._tag().get("total")
        return value if type(value) is int else None

    def begin(self, validator: str | None, total: int | None) -> None:
        self.drop()
        if validator is not None:
            tag = {"validator": validator, "total": total}
            write_bytes(self._tag_path, json.dumps(tag).encode())

    def _tag(self) -> dict[str, Any]:
        try:
            with open_plain_file(
                self._tag_path, follow_links=False, max_bytes=_MOST_TAG_BYTES
            ) as file:
                tag = parse_json(file.read())
        except (OSError, ValueError):
            return {}
        return tag if isinstance(tag, dict) else {}

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)
        self._tag_path.unlink(missing_ok=True)

    def publish(self) -> None:
        self.path.replace(self.target)
        self._tag_path.unlink(missing_ok=True)


def _fill(
    url: str, part: _Part, size: int | None, progress: bool, settings: TransferSettings
) -> None:
    """Connect to one address until the part is complete."""
    failed_in_a_row = 0
    for _ in range(settings.max_connections):
        before = part.size()
        try:
            _receive(url, part, size, progress, settings)
        except _NothingLeftError:
            return
        except _ConnectionCutError as error:
            has_progress = part.size() > before and not isinstance(error, _StalledError)
            failed_in_a_row = 0 if has_progress else failed_in_a_row + 1
            logger.info("%s: %s; %d bytes so far", shown(url), error, part.size())
            if failed_in_a_row >= settings.attempts:
                reason = f"gave up after {failed_in_a_row} attempts ({error})"
                raise _AddressFailedError(reason) from error
            time.sleep(settings.pause_s * 2 ** min(failed_in_a_row, 4))
        else:
            return
    reason = f"the connection was cut {settings.max_connections} times"
    raise _AddressFailedError(reason)


def _receive(
    url: str, part: _Part, size: int | None, progress: bool, settings: TransferSettings
) -> None:
    """Connect once and append what is received."""
    start = part.size()
    validator = part.validator()
    # Without the server's name of this version the rest could belong to another file:
    # start again.
    headers = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"}
    if start and validator:
        headers |= {"Range": f"bytes={start}-", "If-Range": validator}
    with _open(url, headers, part, settings.timeout_s) as answer:
        start, remaining, total = _agreed_range(answer, part, start)
        if None not in (total, size) and total != size:
            reason = f"the server offers {total} bytes, expected {size}"
            raise _AddressFailedError(reason)
        most = settings.max_bytes if size is None else size
        if total is not None and total > most:
            reason = f"the server offers {total} bytes, more than the limit of {most}"
            raise _AddressFailedError(reason)
        _check_disk_space(part, remaining)
        with (
            part.open() as file,
            Bar(
                desc=part.target.name,
                disable=not progress,
                initial=start,
                total=total,
                unit="B",
                unit_scale=True,
                unit_divisor=1024,
            ) as bar,
        ):
            received = _copy(answer, file, bar, part, most - start, settings)
    if total is not None and start + received < total:
        reason = f"cut after {start + received} of {total} bytes"
        raise _ConnectionCutError(reason)


@contextlib.contextmanager
def _open(
    url: str, headers: dict[str, str], part: _Part, timeout_s: float
) -> Iterator[http.client.HTTPResponse]:
    """Send a request; translate errors into 'try again' and 'try elsewhere'."""
    try:
        request = urllib.request.Request(url, headers=headers)
        opener = urllib.request.build_opener(_Http, _Https, _SafeRedirects)
        with opener.open(request, timeout=timeout_s) as answer:
            yield answer
    except (http.client.InvalidURL, ValueError) as error:
        # The error quotes the address, which may hold a key.
        reason = "not a valid address; encode white space and special characters"
        raise _AddressFailedError(reason) from error
    except urllib.error.HTTPError as error:
        error.close()
        reason = f"HTTP status {error.code}"
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            size = part.size()
            is_whole = error.headers.get("Content-Range") == f"bytes */{size}"
            if is_whole and part.total() in (None, size):
                raise _NothingLeftError from error
            part.drop()
            raise _ConnectionCutError(reason) from error
        if error.code in _REDIRECTS:
            reason += ", a redirect in a circle or to something else than http"
        if error.code in _RETRIED_STATUSES:
            raise _ConnectionCutError(reason) from error
        raise _AddressFailedError(reason) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise _AddressFailedError(str(error.reason)) from error
        raise _ConnectionCutError(str(error.reason)) from error
    except (
        http.client.HTTPException,
        ConnectionError,
        TimeoutError,
        ssl.SSLError,
    ) as error:
        reason = f"{type(error).__name__}: {error}"
        raise _ConnectionCutError(reason) from error


class _Answer(http.client.HTTPResponse):
    """An answer whose head must arrive within the socket's time-out.

    http.client waits for each line of the head; a server that sends line after line,
    or one "100 Continue" after the other, would keep it forever.
    """

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._socket = sock

    def begin(self) -> None:
        stopped = threading.Event()

        def stop() -> None:
            stopped.set()
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(self._socket.gettimeout() or 0.0, stop)
        timer.start()
        try:
            super().begin()
        finally:
            timer.cancel()
        if stopped.is_set():  # the part of the head that arrived may parse
            message = "the head of the answer did not end"
            raise TimeoutError(message)


class _HttpConnection(http.client.HTTPConnection):
    response_class = _Answer


class _HttpsConnection(http.client.HTTPSConnection):
    response_class = _Answer


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_HttpConnection, req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_HttpsConnection, req, context=ssl.create_default_context())


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects to http and https, but never from https to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if new not in ("http", "https") or (old == "https" != new):
            reason = f"it redirects from {old} to {newurl[:200]}"
            raise _AddressFailedError(reason)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _agreed_range(
    answer: http.client.HTTPResponse, part: _Part, asked: int
) -> tuple[int, int | None, int | None]:
    """Return the first byte, the number of bytes to come, and that of the whole file.

    The part is removed if the answer begins at 0.
    """
    remaining = _content_length(answer)
    if answer.status != http.client.PARTIAL_CONTENT:
        part.begin(_validator(answer), remaining)
        return 0, remaining, remaining
    sent = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if sent is None or int(sent[1]) != asked or int(sent[2]) < asked:
        part.drop()
        reason = f"the server sent another range than requested (from {asked})"
        raise _ConnectionCutError(reason)
    remaining = int(sent[2]) + 1 - asked
    total = int(sent[3]) if sent[3] else part.total() or asked + remaining
    # A range may end before the file does; the next connection asks for the rest.
    if total < asked + remaining or part.total() not in (None, total):
        part.drop()
        reason = f"the server sent a range of a file of {total} bytes, another one"
        raise _ConnectionCutError(reason)
    return asked, remaining, total


def _validator(answer: http.client.HTTPResponse) -> str | None:
    """Return a strong ETag or a date, as RFC 9110 (13.1.5) allows in If-Range."""
    tag: str | None = answer.headers.get("ETag")
    if tag and not tag.startswith("W/"):
        return tag
    return answer.headers.get("Last-Modified")


def _content_length(answer: http.client.HTTPResponse) -> int | None:
    text = answer.headers.get("Content-Length", "")
    # No file needs more digits, and Python reads no more than 4,300.
    return int(text[:19]) if text.isascii() and text.isdecimal() else None


def _check_disk_space(part: _Part, needed: int | None) -> None:
    free = shutil.disk_usage(part.path.parent).free
    if needed is not None and needed > free:
        message = (
            f"{part.target} needs {needed} more bytes, but the disk has {free} left. "
            "Free some space, or set SKLEARN_ELMO_HOME to another disk."
        )
        raise DownloadError(message)


def _copy(
    answer: http.client.HTTPResponse,
    file: IO[bytes],
    bar: Bar,
    part: _Part,
    most_bytes: int,
    settings: TransferSettings,
) -> int:
    """Write the body; stop if it is longer than it may be, or too slow."""
    received = since = 0
    begin = time.monotonic()
    # read1 returns what has arrived, so that a cut connection loses nothing.
    while chunk := _read(answer):
        received += len(chunk)
        if received > most_bytes:
            part.drop()
            reason = f"the server sends more than {most_bytes} bytes"
            raise _AddressFailedError(reason)
        file.write(chunk)
        bar.update(len(chunk))
        seconds = time.monotonic() - begin
        if seconds > settings.timeout_s:
            if received - since < settings.min_bytes_per_s * seconds:
                file.flush()
                reason = f"{received - since} bytes in {seconds:.0f} s"
                raise _StalledError(reason)
            since, begin = received, time.monotonic()
    return received


def _read(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read1(CHUNK_BYTES)
    except OSError as error:  # of the network; others are of the disk
        reason = f"{type(error).__name__}: {error}"
        raise _ConnectionCutError(reason) from error


def _verify(
    part: _Part,
    found: Fingerprint,
    size: int | None,
    sha256: str | None,
    check: Callable[[Path], str | None],
) -> None:
    """Remove a complete file that is not the requested one."""
    if size is not None and found.size != size:
        complaint: str | None = f"{found.size} bytes were received, expected {size}"
    elif sha256 is not None and found.sha256 != sha256.lower():
        complaint = f"the SHA-256 is {found.sha256}, expected {sha256.lower()}"
    else:
        complaint = check(part.path)
    if complaint is not None:
        part.drop()
        raise _AddressFailedError(complaint)
