"""Writing files so that a crash at any instant leaves the old state or the new one."""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

TEMPORARY_SUFFIX = ".tmp"
CACHEDIR_TAG = b"""Signature: 8a477f597d28d172789f06886806bc55
# This folder is a cache of sklearn_elmo: everything in it can be computed again.
"""


def write_file(target: Path, content: bytes | memoryview) -> None:
    """Write `content` to `target`: temporary name, fsync, rename, fsync the folder."""
    temporary = target.with_name(f".{uuid.uuid4().hex}{TEMPORARY_SUFFIX}")
    try:
        with temporary.open("xb", buffering=0) as file:
            _write_all(file, content)
            os.fsync(file.fileno())
        try:
            os.replace(temporary, target)
        except OSError:
            # A repeated NFS request can report failure although the first one worked.
            if temporary.exists() or not target.exists():
                raise
        _fsync_folder(target.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def make_store_folder(path: Path) -> None:
    """Create the folder of a store; tags it as a cache only if it was empty."""
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    path.mkdir(parents=True, exist_ok=True)
    if any(path.iterdir()):
        return  # a store already, or a folder whose backups we must not switch off
    write_file(path / "CACHEDIR.TAG", CACHEDIR_TAG)
    write_file(path / ".gitignore", b"*\n")


def entries_of(folder: Path) -> Iterator[os.DirEntry[str]]:
    """List a folder; one that is not there, or is none, has no entries."""
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except (FileNotFoundError, NotADirectoryError):
        return


def is_gone(error: OSError) -> bool:
    """Tell whether a file was removed; if another machine did it, NFS says ESTALE."""
    return error.errno in (errno.ENOENT, errno.ESTALE)


def _write_all(file: IO[bytes], content: bytes | memoryview) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def _fsync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows opens no folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
