"""Approximate counts of hits and misses; losing some of them is not an error."""

import json
import logging
import os
import threading
import time
import uuid
from contextlib import ExitStack
from pathlib import Path

from sklearn_elmo.atomic_files import TEMPORARY_SUFFIX
from sklearn_elmo.store.locks import lock
from sklearn_elmo.store.shared_folder import read_json

USAGE_FILE = "usage.json"

_SAVE_INTERVAL_S = 0.25
_LOCK_TIMEOUT_S = 0.2
_MOST_COUNTED = 2**53

logger = logging.getLogger(__name__)


class Usage:
    """Counts of this process, added now and then to those in the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._hits = self._misses = 0
        self._saved_at = 0.0
        self._timeout_s = _LOCK_TIMEOUT_S  # 0 after it has been waited for in vain

    def count(self, hits: int, misses: int) -> None:
        """Add to the counts."""
        with self._lock:
            self._hits += hits
            self._misses += misses
            if misses or time.monotonic() - self._saved_at > _SAVE_INTERVAL_S:
                self._save(self._timeout_s if misses else 0)

    def total(self) -> tuple[int, int]:
        """Return the hits and misses of all processes so far."""
        with self._lock:
            self._save(self._timeout_s)
            hits, misses = self._read()
            return hits + self._hits, misses + self._misses

    def _save(self, timeout_s: float) -> None:
        """Add to the folder's counts, unless another process is doing so."""
        if not self._hits + self._misses:
            return
        try:
            with ExitStack() as held:
                if not lock(held, self._folder, "usage", timeout_s):
                    self._timeout_s = 0 if timeout_s else self._timeout_s
                    return
                hits, misses = self._read()
                counts = {"hits": hits + self._hits, "misses": misses + self._misses}
                self._write(json.dumps(counts))
        except OSError as error:
            logger.debug("Cannot count the usage of %s: %s", self._folder, error)
            return
        self._hits = self._misses = 0
        self._saved_at = time.monotonic()
        self._timeout_s = _LOCK_TIMEOUT_S

    def _write(self, text: str) -> None:
        """Replace the file without flushing it to disk, which a hit need not wait for.

        A crash of the machine can lose the counts; they start again.
        """
        temporary = self._folder / f".{USAGE_FILE}-{uuid.uuid4().hex}{TEMPORARY_SUFFIX}"
        with temporary.open("x") as file:
            file.write(text)
        os.replace(temporary, self._folder / USAGE_FILE)

    def _read(self) -> tuple[int, int]:
        try:
            counts = read_json(self._folder / USAGE_FILE)
            hits, misses = counts["hits"], counts["misses"]
        except (OSError, ValueError, KeyError, TypeError):
            return 0, 0
        if not all(type(n) is int and 0 <= n < _MOST_COUNTED for n in (hits, misses)):
            return 0, 0
        return hits, misses
