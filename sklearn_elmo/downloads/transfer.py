"""One file from a server to the disk: resumed, retried, checked, renamed."""

import contextlib
import dataclasses
import http.client
import json
import logging
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, NoReturn
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from tqdm import tqdm

from sklearn_elmo.downloads.hashes import Fingerprint, fingerprint
from sklearn_elmo.errors import DownloadError

__all__ = ["TransferSettings", "download"]

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 18
_USER_AGENT = "sklearn-elmo"
_RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclasses.dataclass(frozen=True)
class TransferSettings:
    """How long and how often to try.

    Parameters
    ----------
    timeout_s : float
        Longest silence of a server before the connection counts as cut.
    attempts : int
        Connections in a row that may fail without bringing a single new byte,
        for each address.
    max_connections : int
        Connections for each address in all.
    pause_s : float
        Pause before the second attempt; it doubles up to 16 times this.
    lock_timeout_s : float
        How long to wait for another process that fetches the same file.
    """

    timeout_s: float = 30.0
    attempts: int = 5
    max_connections: int = 100
    pause_s: float = 0.5
    lock_timeout_s: float = 3600.0


class _AddressFailedError(Exception):
    """This address will not give the file; another may."""


class _ConnectionCutError(Exception):
    """The connection broke; the same address may give the rest."""


class _NothingLeftError(Exception):
    """The server has no bytes beyond those that are here."""


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
    """Bring one file under `target`, unless it is there already.

    What a cut download leaves (``target.part``) is taken up by the next one.

    Parameters
    ----------
    urls : sequence of str
        Addresses of the same file, tried in this order.
    target : Path
        Final name; appears whole and checked, or not at all.
    size, sha256 : optional
        What the file must be, where known.
    check : callable, optional
        Looks at the whole file and says what is wrong with it, or None.
    progress : bool
        Show a bar on stderr.
    settings : TransferSettings, optional

    Returns
    -------
    Fingerprint
        Length and SHA-256 of the file that came.

    Raises
    ------
    DownloadError
        No address gave the right file; the reason for each is named.
    """
    settings = settings or TransferSettings()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock", timeout=settings.lock_timeout_s):
            if target.is_file():  # another process was quicker
                return fingerprint(target)
            return _first_that_works(
                urls, _Part(target), size, sha256, check, progress, settings
            )
    except DownloadError:
        raise
    except Timeout as error:
        message = (
            f"Another process has been fetching {target} for "
            f"{settings.lock_timeout_s:.0f} s. Wait for it, or end it and try again."
        )
        raise DownloadError(message) from error
    except OSError as error:
        message = (
            f"{target} could not be written ({error}). Make room or mend the folder's "
            "rights, or point SKLEARN_ELMO_HOME to another folder."
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
    # What an earlier call left may be damaged: then begin anew, with this address.
    resumed = part.size() > 0
    for url in [urls[0], *urls] if resumed else urls:
        try:
            _fill(url, part, size, progress, settings)
            found = fingerprint(part.path)
            _verify(part, found, size, sha256, check)
        except _AddressFailedError as error:
            logger.info("%s: %s", url, error)
            failures.append(f"{url}: {error}")
        else:
            part.publish()
            return found
    message = (
        f"{part.target.name} could not be fetched. "
        + "; ".join(dict.fromkeys(failures))
        + ". "
        "Check the connection and try again (what came so far is kept), or copy the "
        "file from another machine and import it."
    )
    raise DownloadError(message)


class _Part:
    """The unfinished file beside its target, and which version of it this is."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self._tag_path = target.with_name(target.name + ".part.json")

    def size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def validator(self) -> str | None:
        """Value for If-Range: what the server called the version begun here."""
        try:
            value = json.loads(self._tag_path.read_text(encoding="utf-8"))["validator"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return value if isinstance(value, str) else None

    def begin(self, validator: str | None) -> None:
        self.drop()
        if validator is not None:
            text = json.dumps({"validator": validator})
            self._tag_path.write_text(text, encoding="utf-8")

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)
        self._tag_path.unlink(missing_ok=True)

    def publish(self) -> None:
        self.path.replace(self.target)
        self._tag_path.unlink(missing_ok=True)


def _fill(
    url: str, part: _Part, size: int | None, progress: bool, settings: TransferSettings
) -> None:
    """Connect to one address until the part is whole."""
    failed_in_a_row = 0
    for _ in range(settings.max_connections):
        before = part.size()
        try:
            _receive(url, part, size, progress, settings.timeout_s)
        except _NothingLeftError:
            return
        except _ConnectionCutError as error:
            failed_in_a_row = 0 if part.size() > before else failed_in_a_row + 1
            logger.info("%s: %s; %d bytes so far", url, error, part.size())
            if failed_in_a_row >= settings.attempts:
                reason = f"gave up after {failed_in_a_row} attempts ({error})"
                raise _AddressFailedError(reason) from error
            time.sleep(settings.pause_s * 2 ** min(failed_in_a_row, 4))
        else:
            return
    reason = f"the connection was cut {settings.max_connections} times"
    raise _AddressFailedError(reason)


def _receive(
    url: str, part: _Part, size: int | None, progress: bool, timeout_s: float
) -> None:
    """Connect once and append what comes."""
    start = part.size()
    validator = part.validator()
    # Without a word from the server on which version this was, the rest could be
    # that of another file: begin again.
    headers = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"}
    if start and validator:
        headers |= {"Range": f"bytes={start}-", "If-Range": validator}
    with _open(urllib.request.Request(url, headers=headers), part, timeout_s) as answer:
        start = _agreed_start(answer, part, start)
        remaining = _content_length(answer)
        total = None if remaining is None else start + remaining
        if None not in (total, size) and total != size:
            reason = f"the server offers {total} bytes, expected {size}"
            raise _AddressFailedError(reason)
        _check_disk_space(part, remaining)
        with (
            part.path.open("ab") as file,
            tqdm(
                desc=part.target.name,
                disable=not progress,
                initial=start,
                total=total,
                unit="B",
                unit_scale=True,
                unit_divisor=1024,
            ) as bar,
        ):
            received = _copy(answer, file, bar)
    if remaining is not None and received < remaining:
        reason = f"cut after {start + received} of {total} bytes"
        raise _ConnectionCutError(reason)


@contextlib.contextmanager
def _open(
    request: urllib.request.Request, part: _Part, timeout_s: float
) -> Iterator[http.client.HTTPResponse]:
    """Ask, and sort what may go wrong into 'again' and 'elsewhere'."""
    try:
        opener = urllib.request.build_opener(_SafeRedirects)
        with opener.open(request, timeout=timeout_s) as answer:
            yield answer
    except urllib.error.HTTPError as error:
        error.close()
        reason = f"HTTP status {error.code}"
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            if error.headers.get("Content-Range") == f"bytes */{part.size()}":
                raise _NothingLeftError from error
            part.drop()
            raise _ConnectionCutError(reason) from error
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


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but never from https to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(req.full_url).scheme == "https" != urlsplit(newurl).scheme:
            reason = f"it redirects from https to {newurl}"
            raise _AddressFailedError(reason)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _agreed_start(answer: http.client.HTTPResponse, part: _Part, asked: int) -> int:
    """Return where the answer begins; forget the part if it begins at 0."""
    if answer.status == http.client.PARTIAL_CONTENT:
        if not answer.headers.get("Content-Range", "").startswith(f"bytes {asked}-"):
            part.drop()
            reason = f"the server sent another range than asked (from {asked})"
            raise _ConnectionCutError(reason)
        return asked
    part.begin(_validator(answer))
    return 0


def _validator(answer: http.client.HTTPResponse) -> str | None:
    """Strong ETag or date: what RFC 9110 (13.1.5) allows in If-Range."""
    tag: str | None = answer.headers.get("ETag")
    if tag and not tag.startswith("W/"):
        return tag
    return answer.headers.get("Last-Modified")


def _content_length(answer: http.client.HTTPResponse) -> int | None:
    text = answer.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _check_disk_space(part: _Part, needed: int | None) -> None:
    free = shutil.disk_usage(part.path.parent).free
    if needed is not None and needed > free:
        message = (
            f"{part.target} needs {needed} more bytes, but the disk has {free} left. "
            "Make room, or point SKLEARN_ELMO_HOME to another disk."
        )
        raise DownloadError(message)


def _copy(
    answer: http.client.HTTPResponse, file: IO[bytes], bar: "tqdm[NoReturn]"
) -> int:
    received = 0
    # read1: hand on what has come, so that a cut loses nothing.
    while chunk := answer.read1(CHUNK_BYTES):
        file.write(chunk)
        received += len(chunk)
        bar.update(len(chunk))
    return received


def _verify(
    part: _Part,
    found: Fingerprint,
    size: int | None,
    sha256: str | None,
    check: Callable[[Path], str | None],
) -> None:
    """Throw away a whole file that is not the one that was asked for."""
    if size is not None and found.size != size:
        complaint: str | None = f"{found.size} bytes came, expected {size}"
    elif sha256 is not None and found.sha256 != sha256.lower():
        complaint = f"the SHA-256 is {found.sha256}, expected {sha256.lower()}"
    else:
        complaint = check(part.path)
    if complaint is not None:
        part.drop()
        raise _AddressFailedError(complaint)
