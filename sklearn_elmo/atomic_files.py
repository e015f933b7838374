"""Writing files so that a crash leaves the old file or the complete new one."""

import contextlib
import io
import os
import signal
import stat
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sklearn_elmo.errors import OutputFileError

if TYPE_CHECKING:
    import h5py

__all__ = [
    "TEMPORARY_SUFFIX",
    "PatientFile",
    "check_place",
    "new_hdf5",
    "new_output",
    "replacing",
    "signals_wait",
    "write_all",
    "write_bytes",
]


TEMPORARY_SUFFIX = ".tmp"


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield the path of a new file that is renamed to `target` at the end.

    The file is flushed to disk, then renamed, then its folder is flushed: after a crash
    at any instant `target` is the old file or the complete new one.

    Parameters
    ----------
    target : Path
        Replaced if it exists. A symbolic link is replaced, not followed.

    Yields
    ------
    Path
        A new name in the same folder, beginning with a dot and ending with
        `TEMPORARY_SUFFIX`. The file is removed if the block raises.

    Raises
    ------
    OSError
        The file cannot be written, flushed or renamed.
    """
    temporary = target.with_name(f".sklearn-elmo-{uuid.uuid4().hex}{TEMPORARY_SUFFIX}")
    try:
        yield temporary
        _flush_to_disk(temporary)
        try:
            os.replace(temporary, target)
        except OSError:
            # A repeated NFS request can report failure although the first one worked.
            if temporary.exists() or not target.exists():
                raise
        if os.name != "nt":  # Windows cannot open folders
            _flush_to_disk(target.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(target: Path, content: bytes | memoryview) -> None:
    """Replace a small file as `replacing` does.

    Parameters
    ----------
    target : Path
    content : bytes or memoryview

    Raises
    ------
    OSError
        As in `replacing`.
    """
    with replacing(target) as temporary, temporary.open("xb", buffering=0) as file:
        write_all(file, content)


@contextlib.contextmanager
def new_output(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Check the path of a user's output file, then do as `replacing`.

    Parameters
    ----------
    target : str or PathLike
        A symbolic link is followed.

    Yields
    ------
    Path
        As in `replacing`.

    Raises
    ------
    OutputFileError
        `target` cannot be a file.
    """
    try:
        final = Path(os.path.realpath(target))
    except ValueError as error:  # a NUL in the path
        message = (
            f"{str(target)[:40]!r} cannot be a path ({error}). Choose another name."
        )
        raise OutputFileError(message) from error
    check_place(final)
    with replacing(final) as temporary:
        yield temporary


def check_place(final: Path) -> None:
    """Raise OutputFileError unless a file can be created or replaced."""
    if not final.parent.is_dir():
        message = f"There is no folder {str(final.parent)!r}. Create it first."
        raise OutputFileError(message)
    if final.is_dir():
        message = f"{str(final)!r} is a folder. Name a file in it."
        raise OutputFileError(message)
    if final.exists() and not stat.S_ISREG(final.stat().st_mode):
        message = f"{str(final)!r} is not a regular file. Choose another name."
        raise OutputFileError(message)
    if not os.access(final.parent, os.W_OK):
        message = (
            f"The folder {str(final.parent)!r} cannot be written to. Change its "
            "permissions, or choose another one."
        )
        raise OutputFileError(message)


@contextlib.contextmanager
def new_hdf5(
    target: str | os.PathLike[str], **settings: Any
) -> "Iterator[tuple[h5py.File, Callable[[], None]]]":
    """Open a new HDF5 file that gets the name `target` once it is complete.

    Parameters
    ----------
    target : str or PathLike
        As in `replacing`.
    **settings
        Of `h5py.File`.

    Yields
    ------
    file : h5py.File
    check : callable
        Raises the OSError of an earlier write, such as a full disk. Call it from time
        to time; it is also called at the end.

    Raises
    ------
    OutputFileError
        As `replacing`.
    """
    import h5py

    with new_output(target) as temporary, PatientFile(temporary, "x+") as raw:
        with h5py.File(raw, "w", **settings) as file:
            yield file, raw.raise_failure
        raw.raise_failure()


class PatientFile(io.FileIO):
    """A file that reports a full disk only when asked.

    HDF5 cannot close a file that it failed to write, and then crashes the process at
    exit. So it must not see the failure.
    """

    _failure: OSError | None = None

    def raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        n_bytes = len(rest)
        try:
            while self._failure is None and rest:
                rest = rest[super().write(rest) :]
        except OSError as failure:
            self._failure = failure
        return n_bytes

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as failure:
            self._failure = failure
            return size or 0


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """Handle signals after the block; in a callback of HDF5 they would get lost."""
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run in the main thread
        return
    arrived: list[int] = []
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {n: handler for n in numbers if callable(handler := signal.getsignal(n))}
    try:
        for number in before:
            signal.signal(number, lambda number, frame: arrived.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in arrived[:1]:
            before[number](number, None)


def write_all(file: IO[bytes], content: bytes | memoryview) -> None:
    """Write to a file without a buffer, which may take a part at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def _flush_to_disk(path: Path) -> None:
    # Windows flushes only what is open for writing; elsewhere folders open read-only.
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
