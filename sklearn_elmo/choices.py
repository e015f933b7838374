"""Names that parameters accept, for the estimators and for the command line.

This module imports nothing: the help of the command line must not wait for numpy. For
the same reason the poolings are in `pooling_table`.
"""

__all__ = ["LAYER_MIXES", "MISSING", "SPLITS", "STATES"]

LAYER_MIXES = ("average", "concat", "learned")
MISSING = ("zero", "error")
SPLITS = ("sentences",)
STATES = ("zero", "warm")
