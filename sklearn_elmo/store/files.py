"""The folder of a store, and its entries."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from sklearn_elmo.atomic_files import write_bytes

CACHEDIR_TAG = b"""Signature: 8a477f597d28d172789f06886806bc55
# This folder is a cache of sklearn_elmo: everything in it can be computed again.
"""


def make_store_folder(path: Path) -> None:
    """Create the folder of a store; tags it as a cache only if it was empty."""
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    path.mkdir(parents=True, exist_ok=True)
    if any(path.iterdir()):
        return  # a store already, or a folder whose backups we must not switch off
    write_bytes(path / "CACHEDIR.TAG", CACHEDIR_TAG)
    write_bytes(path / ".gitignore", b"*\n")


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
