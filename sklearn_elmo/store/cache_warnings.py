"""Warning the user, once, that the cache could not do its work."""

import logging
from pathlib import Path

from sklearn_elmo.errors import CacheWarning
from sklearn_elmo.messages import warn_caller

logger = logging.getLogger(__name__)

_warned: set[tuple[Path, str]] = set()


def warn_once(store: Path, cause: str, message: str) -> None:
    """Warn about `cause` in `store` the first time in this process, then log it."""
    if (store, cause) in _warned:
        logger.info("%s", message)
        return
    _warned.add((store, cause))
    warn_caller(message, CacheWarning)
