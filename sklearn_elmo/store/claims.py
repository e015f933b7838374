"""Dividing the texts that nobody has computed yet among processes that want them.

A process claims a run of what it misses, in a file that lists the keys and that it
keeps locked, computes and publishes it, and claims the next; what others have claimed
it waits for and then reads. Claims only save work: the kernel unlocks those of a dead
process, where there are no locks nothing is claimed, and a claim that is kept too long
is not waited for.
"""

import logging
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

from sklearn_elmo.store.cache_warnings import warn_once
from sklearn_elmo.store.checksums import Integers, Words
from sklearn_elmo.store.files import entries_of, is_gone
from sklearn_elmo.store.index import KeyIndex
from sklearn_elmo.store.locks import LOCK_FOLDER, lock
from sklearn_elmo.store.view import FolderView

NEWS_TIMEOUT_S = 300.0  # to wait for others that publish nothing

_CLAIM_PREFIX = "claim-"
_CHOOSING_TIMEOUT_S = 10.0
_LEAST_CLAIM = 128  # texts; fewer make poor batches ...
_LONGEST_CLAIM_S = 30.0  # ... but others wait for it, and it is lost with the process
_POLL_S = 0.02

logger = logging.getLogger(__name__)


def share_out(
    view: FolderView,
    keys: Words,
    missing: Integers,
    read: Callable[[Integers], Integers],
    compute: Callable[[Integers], None],
) -> None:
    """Get everything at positions `missing` read or computed, by whichever process.

    Parameters
    ----------
    view : FolderView
    keys : ndarray of shape (n, 2), uint64
    missing : ndarray of positions in `keys`
    read : callable
        Reads what the folder has by now of some positions; returns the others.
    compute : callable
        Computes some positions and publishes them.
    """
    last_news = time.monotonic()
    while len(missing):
        with ExitStack() as held:
            mine = _claim(held, view, keys, missing)
            to_do = read(mine)
            if len(to_do):
                start = time.monotonic()
                compute(to_do)
                view.seconds_per_text = (time.monotonic() - start) / len(to_do)
        others = np.ones(len(keys), bool)
        others[mine] = False
        left = read(missing[others[missing]])
        if len(left) < len(missing):
            last_news = time.monotonic()
        elif time.monotonic() - last_news > NEWS_TIMEOUT_S:
            _stop_sharing(view)
        else:
            time.sleep(_POLL_S)
        missing = left


def _claim(
    held: ExitStack, view: FolderView, keys: Words, missing: Integers
) -> Integers:
    """Claim the first positions that nobody has claimed, until `held` closes.

    Where nothing can be claimed, everything is this process's own work.
    """
    if not view.sharing:
        return missing
    try:
        with ExitStack() as choosing:
            if not lock(choosing, view.folder, "claims", _CHOOSING_TIMEOUT_S):
                return missing
            claims = KeyIndex()
            claims.add(0, _claimed_by_others(view.folder))
            free = missing[claims.find(keys[missing])[0] < 0]
            mine = free[: _fair_share(len(missing), view.seconds_per_text)]
            if len(mine):
                name = _CLAIM_PREFIX + uuid.uuid4().hex
                path = view.folder / LOCK_FOLDER / name
                path.write_bytes(keys[mine].tobytes())
                lock(held, view.folder, name)
                held.callback(_remove, path)
            return mine
    except OSError as error:
        logger.info("Going on without locks in %s: %s", view.folder, error)
        return missing


def _fair_share(n_missing: int, seconds_per_text: float | None) -> int:
    """Choose how much to claim at once.

    It shrinks with what is left, so that all processes end at about the same time.
    """
    if seconds_per_text is None:
        return _LEAST_CLAIM
    n_in_time = int(_LONGEST_CLAIM_S / max(seconds_per_text, 1e-9))
    return max(1, min(n_in_time, max(_LEAST_CLAIM, n_missing // 4)))


def _claimed_by_others(folder: Path) -> Words:
    """Read the keys in all claims that are locked; remove the claims of the dead."""
    claims = [
        _keys_claimed(folder, entry.name)
        for entry in entries_of(folder / LOCK_FOLDER)
        if entry.name.startswith(_CLAIM_PREFIX)
    ]
    return np.frombuffer(b"".join(claims), "<u8").reshape(-1, 2)


def _keys_claimed(folder: Path, name: str) -> bytes:
    path = folder / LOCK_FOLDER / name
    try:
        with ExitStack() as abandoned:
            if not lock(abandoned, folder, name):
                return path.read_bytes()
            _remove(path)
    except OSError as error:
        if not is_gone(error):  # given back in this moment
            raise
    return b""


def _remove(claim: Path) -> None:
    with suppress(OSError):  # the folder may be gone; an old claim does no harm
        claim.unlink(missing_ok=True)


def _stop_sharing(view: FolderView) -> None:
    view.sharing = False
    message = (
        f"Another process has claimed work in {view.folder} and published nothing for "
        f"{NEWS_TIMEOUT_S:.0f} s. This process goes on alone."
    )
    warn_once(view.folder.parent, "claim kept too long", message)
