"""Dividing the texts that are still to be computed among the processes that want them.

A process claims some of the keys that it misses, computes and stores them, and claims
the next. Keys that others have claimed it waits for and then reads. A claim is two
files: a list of keys, and a lock that its owner holds (on Windows a locked file cannot
be read). Claims only save work: the kernel frees the locks of a dead process, and where
there are no locks nothing is claimed.

A process that has stopped but is not dead keeps its locks. No request waits longer
than `CLAIMING_TIMEOUT_S` for a process that stopped while claiming, nor longer than
`NEWS_TIMEOUT_S` for claims of which nothing gets stored, and it waits only once.
"""

import logging
import re
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from sklearn_elmo.store.cache_warnings import warn_once
from sklearn_elmo.store.checksums import Integers, Words
from sklearn_elmo.store.index import KeyIndex
from sklearn_elmo.store.locks import LOCK_FOLDER, lock
from sklearn_elmo.store.recipe import KEY_BYTES
from sklearn_elmo.store.shared_folder import is_gone, names_in, open_plain, remove_file
from sklearn_elmo.store.view import FolderView

CLAIMING_TIMEOUT_S = 5.0
NEWS_TIMEOUT_S = 60.0

CLAIM_LOCK = re.compile(r"claim-[0-9a-z]+")
KEYS_SUFFIX = ".keys"

_MIN_CLAIM = 128  # texts; fewer make poor batches ...
_MAX_CLAIM_S = 30.0  # ... but others wait for it, and it is lost with the process
_MAX_CLAIM_BYTES = 2**26
_POLL_S = 0.02

logger = logging.getLogger(__name__)


def share_out(
    view: FolderView,
    keys: Words,
    missing: Integers,
    read: Callable[[Integers], Integers],
    compute: Callable[[Integers], None],
) -> None:
    """Have everything at positions `missing` read or computed, by any process.

    Parameters
    ----------
    view : FolderView
    keys : ndarray of shape (n, 2), uint64
    missing : ndarray of positions in `keys`
    read : callable
        Reads some positions if the folder has them by now; returns the others.
    compute : callable
        Computes and stores some positions.
    """
    last_news = time.monotonic()
    while len(missing):
        with ExitStack() as held:
            mine, awaited = _claim(held, view, keys, missing)
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
            view.stuck_claims |= awaited
            _warn_of_stopped_process(view, NEWS_TIMEOUT_S)
        else:
            time.sleep(_POLL_S)
        missing = left


def _claim(
    held: ExitStack, view: FolderView, keys: Words, missing: Integers
) -> tuple[Integers, set[str]]:
    """Claim the first positions that nobody has claimed, until `held` closes.

    Returns
    -------
    mine : ndarray of positions
        Everything, if nothing can be claimed.
    awaited : set of str
        Claims of others that keep this process from claiming more.
    """
    timeout_s = 0 if view.claiming_is_stuck else CLAIMING_TIMEOUT_S
    try:
        with ExitStack() as claiming:
            if not lock(claiming, view.folder, "claims", timeout_s):
                view.claiming_is_stuck = True
                _warn_of_stopped_process(view, CLAIMING_TIMEOUT_S)
                return missing, set()
            view.claiming_is_stuck = False
            claims = _claims_of_others(view)
            index = KeyIndex()
            for number, claimed in enumerate(claims.values()):
                index.add(number, claimed)
            free = missing[index.find(keys[missing])[0] < 0]
            mine = free[: _fair_share(len(missing), view.seconds_per_text)]
            if len(mine):
                _publish_claim(held, view.folder, keys[mine])
            return mine, set(claims)
    except OSError as error:
        logger.info("Going on without locks in %s: %s", view.folder, error)
        return missing, set()


def _fair_share(n_missing: int, seconds_per_text: float | None) -> int:
    """Return how many texts to claim at once.

    The share shrinks with what is left, so that all processes end at about the same
    time.
    """
    if seconds_per_text is None:
        return _MIN_CLAIM
    n_in_time = int(_MAX_CLAIM_S / max(seconds_per_text, 1e-9))
    return max(1, min(n_in_time, max(_MIN_CLAIM, n_missing // 4)))


def _publish_claim(held: ExitStack, folder: Path, keys: Words) -> None:
    name = f"claim-{uuid.uuid4().hex}"
    lock(held, folder, name)
    held.callback(_remove_claim, folder, name)
    path = folder / LOCK_FOLDER / (name + KEYS_SUFFIX)
    with path.open("xb") as file:
        file.write(keys.tobytes())


def _claims_of_others(view: FolderView) -> dict[str, Words]:
    """Read the claims that are locked, by name; remove those of dead processes."""
    folder = view.folder
    claims: dict[str, Words] = {}
    for name in names_in(folder / LOCK_FOLDER, CLAIM_LOCK):
        if name in view.stuck_claims:
            continue
        try:
            with ExitStack() as abandoned:
                if lock(abandoned, folder, name):
                    _remove_claim(folder, name)
                else:
                    claims[name] = _read_claim(folder, name)
        except OSError as error:
            if not is_gone(error):  # it was not given back just now
                logger.info("Ignoring the claim %s in %s: %s", name, folder, error)
    return claims


def _read_claim(folder: Path, name: str) -> Words:
    path = folder / LOCK_FOLDER / (name + KEYS_SUFFIX)
    with open_plain(path, _MAX_CLAIM_BYTES) as file:
        content = file.read()
    whole = len(content) // KEY_BYTES * KEY_BYTES
    return np.frombuffer(content[:whole], "<u8").reshape(-1, 2)


def _remove_claim(folder: Path, name: str) -> None:
    """Remove a claim, the lock last; an old claim does no harm if that fails."""
    try:
        remove_file(folder / LOCK_FOLDER / (name + KEYS_SUFFIX))
        remove_file(folder / LOCK_FOLDER / name)
    except OSError as error:
        logger.debug("Cannot remove the claim %s in %s: %s", name, folder, error)


def _warn_of_stopped_process(view: FolderView, timeout_s: float) -> None:
    message = (
        f"Another process has locked work in {view.folder} and stored nothing for "
        f"{timeout_s:.0f} s. This process goes on alone; end the other one if it hangs."
    )
    warn_once(view.folder.parent, "stopped process", message)
