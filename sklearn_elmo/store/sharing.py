"""Dividing the texts that nobody has computed yet among processes that want them.

Keys fall into shards, each with a lock file. A process locks some shards, computes and
publishes what is missing of them, and takes the next; what the others hold it waits
for and then reads. Locks only save work: the kernel frees those of a dead process, one
that cannot be made is done without, and one that is held too long is not waited for.
"""

import logging
import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from sklearn_elmo.store.checks import Integers, Words
from sklearn_elmo.store.locks import try_lock
from sklearn_elmo.store.trouble import warn_once
from sklearn_elmo.store.view import FolderView

LOCK_TIMEOUT_S = 300.0  # without any news from the others

_SHARDS = 32
_MIN_SHARE = 64  # texts; fewer make poor batches
_POLL_S = 0.05

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
    shards = (keys[:, 0] % np.uint64(_SHARDS)).astype(np.int64)
    order = random.Random().sample(range(_SHARDS), _SHARDS)
    last_news = time.monotonic()
    while len(missing):
        if not view.sharing:
            compute(missing)
            return
        with ExitStack() as held:
            mine = _take(held, view.folder, shards[missing], order)
            if mine is None:
                compute(missing)
                return
            taken = np.isin(shards[missing], mine)
            to_do = read(missing[taken])
            if len(to_do):
                compute(to_do)
        if taken.any():
            missing = missing[~taken]
            last_news = time.monotonic()
            continue
        left = read(missing)
        if len(left) < len(missing):
            last_news = time.monotonic()
        elif time.monotonic() - last_news > LOCK_TIMEOUT_S:
            _stop_sharing(view)
        else:
            time.sleep(_POLL_S)
        missing = left


def _take(
    held: ExitStack, folder: Path, shards: Integers, order: list[int]
) -> list[int] | None:
    """Lock shards until a fair share of what is missing is held; None: no locks here.

    Shares shrink with what is left, so that all processes end at about the same time.
    """
    share = max(_MIN_SHARE, len(shards) // 4)
    counts = np.bincount(shards, minlength=_SHARDS)
    mine: list[int] = []
    for shard in order:
        if counts[mine].sum() >= share:
            break
        if not counts[shard]:
            continue
        try:
            if try_lock(held, folder, f"shard-{shard:02d}"):
                mine.append(shard)
        except OSError as error:
            logger.info("Going on without locks in %s: %s", folder, error)
            return None
    return mine


def _stop_sharing(view: FolderView) -> None:
    view.sharing = False
    message = (
        f"Another process has held its share of the work in {view.folder} for "
        f"{LOCK_TIMEOUT_S:.0f} s without a result. This process goes on alone."
    )
    warn_once(view.folder.parent, "lock timeout", message)
