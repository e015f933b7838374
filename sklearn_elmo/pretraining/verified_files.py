"""Files that end with a digest of their content, so that damage is always detected."""

import hashlib
import io
from pathlib import Path

__all__ = ["DamagedFileError", "append_digest", "check_digest", "read_verified"]

_MAGIC = b"sklearn-elmo-sha"
_TRAILER_BYTES = len(_MAGIC) + hashlib.sha256().digest_size
_BYTES_AT_ONCE = 2**20


class DamagedFileError(Exception):
    """A file does not end with the digest of its content, or cannot be read."""


def append_digest(path: Path) -> None:
    """Append the digest of a file to it, and read it back.

    Raises
    ------
    OSError
        The file cannot be written, or differs when it is read back.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    with path.open("ab") as file:
        file.write(_MAGIC + digest)
    try:
        check_digest(path)
    except DamagedFileError as error:
        message = f"the file differs from what was written: {error}"
        raise OSError(message) from error


def check_digest(path: Path) -> None:
    """Read a file to its end and compare its content with its digest.

    Raises
    ------
    DamagedFileError
    """
    _copy_verified(path, None)


def read_verified(path: Path) -> io.BytesIO:
    """Return the content of a file, without the digest.

    Raises
    ------
    DamagedFileError
    """
    content = io.BytesIO()
    _copy_verified(path, content)
    content.seek(0)
    return content


def _copy_verified(path: Path, target: io.BytesIO | None) -> None:
    try:
        if not path.is_file():
            message = "not a regular file"
            raise DamagedFileError(message)
        with path.open("rb") as file:
            left = path.stat().st_size - _TRAILER_BYTES
            digest = hashlib.sha256()
            while left > 0 and (part := file.read(min(left, _BYTES_AT_ONCE))):
                digest.update(part)
                if target is not None:
                    target.write(part)
                left -= len(part)
            trailer = file.read()
    except OSError as error:
        message = error.strerror or str(error)
        raise DamagedFileError(message) from error
    if left or not trailer.startswith(_MAGIC):
        message = "truncated, or not written by this version"
        raise DamagedFileError(message)
    if trailer != _MAGIC + digest.digest():
        message = "its content does not match its digest"
        raise DamagedFileError(message)
