"""All kinds of files that the package reads."""

from . import downloads, models, store, texts, training
from .self_test import SELF_TEST

PARTS = (models, store, training, texts, downloads)
KINDS = {kind.name: kind for part in PARTS for kind in part.KINDS}
BY_NAME = KINDS | {SELF_TEST.name: SELF_TEST}
