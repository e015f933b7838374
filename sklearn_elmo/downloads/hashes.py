"""Fingerprints of downloaded files, in a small JSON file beside the models.

Users can pin a hash by passing it, or by writing it into the file by hand::

    {"models/original/weights.hdf5": {"sha256": "...", "size": 374434792}}
"""

import dataclasses
import hashlib
import json
from pathlib import Path

from sklearn_elmo.atomic_files import write_bytes
from sklearn_elmo.errors import DownloadError
from sklearn_elmo.plain_files import open_plain_file, parse_json

HASHES_FILE_NAME = "known_hashes.json"
LOCK_TIMEOUT_S = 30.0
_MAX_BYTES = 2**24


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """Length in bytes and hexadecimal SHA-256 of a file."""

    sha256: str
    size: int


def fingerprint(path: Path) -> Fingerprint:
    """Read a file once and return its length and SHA-256."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Fingerprint(digest, path.stat().st_size)


def read_known(home: Path) -> dict[str, Fingerprint]:
    """Read every recorded fingerprint, by the file's path relative to the home folder.

    Raises
    ------
    DownloadError
        The file of fingerprints is damaged. A check that cannot be made is never
        skipped silently.
    """
    path = home / HASHES_FILE_NAME
    try:
        with open_plain_file(path, max_bytes=_MAX_BYTES) as file:
            content = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        message = f"The record of file hashes {path} cannot be read ({error})."
        raise DownloadError(message) from error
    try:
        return {
            key: Fingerprint(str(value["sha256"]), int(value["size"]))
            for key, value in parse_json(content).items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        message = (
            f"The record of file hashes {path} is damaged ({error}); expected a JSON "
            "object of {file: {sha256, size}}. Fix it, or delete it to record "
            "the hashes again."
        )
        raise DownloadError(message) from error


def remember(home: Path, key: str, found: Fingerprint) -> None:
    """Add or replace one fingerprint, safely against other processes."""
    from filelock import FileLock, Timeout

    home.mkdir(parents=True, exist_ok=True)
    path = home / HASHES_FILE_NAME
    try:
        with FileLock(f"{path}.lock", timeout=LOCK_TIMEOUT_S):
            known = read_known(home)
            known[key] = found
            content = {k: dataclasses.asdict(v) for k, v in sorted(known.items())}
            write_bytes(path, json.dumps(content, indent=1).encode())
    except Timeout as error:
        message = (
            f"Another process has held {path}.lock for {LOCK_TIMEOUT_S:.0f} s; the "
            "hash could not be recorded. Try again when it has ended."
        )
        raise DownloadError(message) from error
