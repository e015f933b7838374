"""What training writes: checkpoints, softmax and vocabulary."""

from pathlib import Path

import numpy as np
import torch

from sklearn_elmo import ElmoPretrainer
from sklearn_elmo.pretraining.checkpoint import load_checkpoint, save_checkpoint
from sklearn_elmo.pretraining.saved_model import load_language_model

from ..kind import Kind
from ..mutations import BYTES, JSON, in_zip

OPTIONS = {
    "lstm": {
        "cell_clip": 3,
        "use_skip_connections": True,
        "n_layers": 1,
        "proj_clip": 3,
        "projection_dim": 4,
        "dim": 8,
    },
    "char_cnn": {
        "embedding": {"dim": 4},
        "filters": [[1, 4], [2, 8]],
        "n_highway": 1,
        "n_characters": 262,
        "max_characters_per_token": 50,
        "activation": "relu",
    },
}
SENTENCES = ["the cat sat on the mat .", "a dog and a cat .", "the end ."] * 20


def make_checkpoint(folder: Path) -> None:
    torch.manual_seed(0)
    content = {"weights": {"a": torch.randn(20, 30)}, "progress": {"step": 7}}
    save_checkpoint(folder, content)
    save_checkpoint(folder, content)


def read_checkpoint(folder: Path) -> np.ndarray:
    content = load_checkpoint(folder)
    assert content is not None
    assert content["progress"] == {"step": 7}
    return content["weights"]["a"].numpy()


def make_saved_model(folder: Path) -> None:
    pretrainer = ElmoPretrainer(
        OPTIONS, max_tokens=300, batch_size=2, n_steps=4, random_state=0, device="cpu"
    )
    pretrainer.fit(SENTENCES).save(folder)


def read_saved_model(folder: Path) -> list[np.ndarray]:
    saved = load_language_model(folder)
    weight = saved.model.softmax_weight.detach().numpy()
    assert np.isfinite(weight).all()
    assert len(weight) == len(saved.vocabulary.words)
    return [weight.tobytes(), saved.vocabulary.words]


KINDS = [
    Kind(
        "checkpoint",
        make_checkpoint,
        "checkpoint*.pt",
        BYTES,
        read_checkpoint,
    ),
    Kind(
        "softmax",
        make_saved_model,
        "softmax.npz",
        (*BYTES, in_zip(BYTES)),
        read_saved_model,
    ),
    Kind(
        "vocabulary",
        make_saved_model,
        "vocabulary.json",
        JSON,
        read_saved_model,
    ),
]
