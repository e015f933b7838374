"""Telling the user, once, that the cache could not do its work."""

import logging
import sys
import warnings
from pathlib import Path

from sklearn_elmo.errors import CacheWarning

logger = logging.getLogger(__name__)

_PACKAGE = __name__.partition(".")[0]
_warned: set[tuple[Path, str]] = set()


def warn_once(place: Path, cause: str, message: str) -> None:
    """Warn of `cause` at `place` the first time in this process, log it later on."""
    if (place, cause) in _warned:
        logger.info("%s", message)
        return
    _warned.add((place, cause))
    warnings.warn(message, CacheWarning, stacklevel=_levels_to_caller())


def _levels_to_caller() -> int:
    """Count the frames up to the first one outside this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] != _PACKAGE:
            break
        level, frame = level + 1, frame.f_back
    return level
