"""ELMo once more, slow and plain, in float64 numpy.

The independent check on `sklearn_elmo.bilm`. Written from the description of
AllenNLP 0.9's and bilm-tf's behaviour alone, one sentence, one token and one
time step at a time; it shares no line and no import with the package.

Sizes: T tokens, L LSTM layers, P projection, C cell, E character embedding,
F convolution filters, M characters a token.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

GATES = 4


@dataclass
class RowState:
    """Recurrent state of one batch row: forward half, then backward half."""

    h: np.ndarray  # (L, 2P) float64
    c: np.ndarray  # (L, 2C) float64


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def clip(x: np.ndarray, limit: float | None) -> np.ndarray:
    return np.clip(x, -limit, limit) if limit else x


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read every data set of an HDF5 file, under its full name."""
    arrays: dict[str, np.ndarray] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return arrays


def character_ids(token: str, max_characters: int = 50) -> list[int]:
    """Spell a token: its UTF-8 bytes, each + 1, between the word's brackets."""
    begin_word, end_word, padding = 259, 260, 261
    if token == "<S>":
        inner = [257]
    elif token == "</S>":
        inner = [258]
    else:
        data = token.encode("utf-8", "ignore")[: max_characters - 2]
        inner = [byte + 1 for byte in data]
    ids = [begin_word, *inner, end_word]
    return ids + [padding] * (max_characters - len(ids))


class ReferenceElmo:
    """The model that `options` and `arrays` (AllenNLP's data sets) describe."""

    def __init__(
        self, options: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> None:
        self.arrays = {k: np.asarray(v, np.float64) for k, v in arrays.items()}
        lstm, cnn = options["lstm"], options["char_cnn"]
        self.n_layers: int = lstm["n_layers"]
        self.projection_dim: int = lstm["projection_dim"]
        self.cell_dim: int = lstm["dim"]
        self.cell_clip: float | None = lstm.get("cell_clip")
        self.proj_clip: float | None = lstm.get("proj_clip")
        self.use_skip_connections: bool = lstm["use_skip_connections"]
        self.filters: list[tuple[int, int]] = [(w, n) for w, n in cnn["filters"]]
        self.n_highway: int = cnn.get("n_highway") or 0
        self.activation: str = cnn["activation"]
        self.max_characters: int = cnn["max_characters_per_token"]
        self._spelled: dict[str, np.ndarray] = {}

    @classmethod
    def from_files(cls, options: Path, weights: Path) -> "ReferenceElmo":
        return cls(json.loads(options.read_text("utf-8")), read_arrays(weights))

    @classmethod
    def from_folder(cls, folder: Path) -> "ReferenceElmo":
        return cls.from_files(folder / "options.json", folder / "weights.hdf5")

    def zero_state(self) -> RowState:
        return RowState(
            h=np.zeros((self.n_layers, 2 * self.projection_dim)),
            c=np.zeros((self.n_layers, 2 * self.cell_dim)),
        )

    def vector_from_ids(self, ids: Sequence[int]) -> np.ndarray:
        """Give the (P,) vector of one token from its (M,) character ids."""
        embedding = self.arrays["char_embed"]  # (261, E), row of id k at k - 1
        width_e = embedding.shape[1]
        rows = [embedding[k - 1] if k > 0 else np.zeros(width_e) for k in ids]
        characters = np.stack(rows)  # (M, E)
        found = []
        for i, (width, _) in enumerate(self.filters):
            kernel = self.arrays[f"CNN/W_cnn_{i}"][0]  # (width, E, n)
            bias = self.arrays[f"CNN/b_cnn_{i}"]  # (n,)
            starts = range(len(ids) - width + 1)
            windows = np.stack([characters[p : p + width] for p in starts])
            best = (np.einsum("pke,keo->po", windows, kernel) + bias).max(axis=0)
            if self.activation == "relu":
                found.append(np.maximum(best, 0.0))
            else:
                found.append(np.tanh(best))
        x = np.concatenate(found)  # (F,)
        for k in range(self.n_highway):
            at = f"CNN_high_{k}"
            carry = sigmoid(
                x @ self.arrays[f"{at}/W_carry"] + self.arrays[f"{at}/b_carry"]
            )
            new = np.maximum(
                x @ self.arrays[f"{at}/W_transform"] + self.arrays[f"{at}/b_transform"],
                0.0,
            )
            x = carry * new + (1.0 - carry) * x
        if "CNN_proj/W_proj" in self.arrays:
            x = x @ self.arrays["CNN_proj/W_proj"] + self.arrays["CNN_proj/b_proj"]
        return x  # (P,)

    def token_vector(self, token: str) -> np.ndarray:
        """Give the (P,) context-free vector of one token (each spelled once)."""
        if token not in self._spelled:
            ids = character_ids(token, self.max_characters)
            self._spelled[token] = self.vector_from_ids(ids)
        return self._spelled[token]

    def run_cell(
        self,
        inputs: np.ndarray,
        direction: int,
        layer: int,
        h: np.ndarray,
        c: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Run one LSTM layer of one direction over (T, P) in the given order.

        Returns the outputs without residual (T, P), and the last h and c.
        """
        at = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
        w, b = self.arrays[f"{at}/W_0"], self.arrays[f"{at}/B"]  # (2P, 4C), (4C,)
        w_p = self.arrays.get(f"{at}/W_P_0")  # (C, P)
        outputs = []
        for x in inputs:
            z = np.concatenate([x, h]) @ w + b  # (4C,)
            i, j, f, o = np.split(z, GATES)
            c = sigmoid(f + 1.0) * c + sigmoid(i) * np.tanh(j)
            c = clip(c, self.cell_clip)
            h = sigmoid(o) * np.tanh(c)
            if w_p is not None:
                # TensorFlow's LSTMCell clips only what it has projected.
                h = clip(h @ w_p, self.proj_clip)
            outputs.append(h)
        return np.array(outputs), h, c

    def run_lstm(
        self, vectors: np.ndarray, state: RowState | None = None
    ) -> tuple[np.ndarray, RowState]:
        """Run both directions over (T, P) vectors, nothing added at the ends.

        Returns (L + 1, T, 2P) layers, layer 0 the vectors twice, and the state.
        """
        before = state or self.zero_state()
        after = self.zero_state()
        p, n = self.projection_dim, self.cell_dim
        layers = np.zeros((self.n_layers + 1, len(vectors), 2 * p))
        layers[0] = np.concatenate([vectors, vectors], axis=1)
        for direction in (0, 1):
            h_at = slice(direction * p, (direction + 1) * p)
            c_at = slice(direction * n, (direction + 1) * n)
            x = vectors if direction == 0 else vectors[::-1]
            for layer in range(self.n_layers):
                y, h, c = self.run_cell(
                    x, direction, layer, before.h[layer, h_at], before.c[layer, c_at]
                )
                after.h[layer, h_at], after.c[layer, c_at] = h, c
                if layer > 0 and self.use_skip_connections:
                    y = y + x
                layers[layer + 1, :, h_at] = y if direction == 0 else y[::-1]
                x = y
        return layers, after

    def embed_with_boundaries(
        self, tokens: Sequence[str], state: RowState | None = None
    ) -> tuple[np.ndarray, RowState]:
        """Give (L + 1, n + 2, 2P) layers of `<S>` tokens `</S>`, and the state."""
        vectors = np.stack([self.token_vector(t) for t in ["<S>", *tokens, "</S>"]])
        return self.run_lstm(vectors, state)

    def embed(self, tokens: Sequence[str], state: RowState | None = None) -> np.ndarray:
        """Give the (L + 1, n, 2P) layers of a sentence."""
        return self.embed_with_boundaries(tokens, state)[0][:, 1:-1]


def make_model(
    folder: Path,
    *,
    seed: int = 0,
    filters: Sequence[Sequence[int]] = ((1, 4), (2, 8), (3, 8)),
    char_dim: int = 4,
    n_highway: int = 1,
    activation: str = "relu",
    n_layers: int = 2,
    cell_dim: int = 16,
    projection_dim: int = 8,
    cell_clip: float | None = 3.0,
    proj_clip: float | None = 3.0,
    use_skip_connections: bool = True,
    max_characters: int = 50,
    n_characters: int = 262,
    with_projection: bool = True,
    with_cnn_projection: bool = True,
    scale: float = 1.0,
    dtype: str = "float32",
) -> Path:
    """Write a random model, `options.json` and `weights.hdf5`, and give `folder`.

    The values of all layers are about 0.5 in size with `scale` 1; a larger one
    drives the LSTMs into their clips. `with_projection=False` leaves out
    `W_P_0` (needs cell_dim == projection_dim), `with_cnn_projection=False`
    leaves out `CNN_proj` (needs as many filters as projection_dim).
    """
    rng = np.random.default_rng(seed)
    n_filters = sum(n for _, n in filters)
    p, n = projection_dim, cell_dim

    def draw(*shape: int, fan_in: float) -> np.ndarray:
        return rng.normal(0.0, scale / np.sqrt(fan_in), shape)

    arrays = {"char_embed": draw(261, char_dim, fan_in=1.0)}
    for i, (width, n_i) in enumerate(filters):
        fan_in = 2.0 * width * char_dim
        arrays[f"CNN/W_cnn_{i}"] = draw(1, width, char_dim, n_i, fan_in=fan_in)
        arrays[f"CNN/b_cnn_{i}"] = draw(n_i, fan_in=25.0)
    for k in range(n_highway):
        for part in ("carry", "transform"):
            w = draw(n_filters, n_filters, fan_in=n_filters)
            arrays[f"CNN_high_{k}/W_{part}"] = w
            arrays[f"CNN_high_{k}/b_{part}"] = draw(n_filters, fan_in=4.0)
    if with_cnn_projection:
        arrays["CNN_proj/W_proj"] = draw(n_filters, p, fan_in=2.0 * n_filters)
        arrays["CNN_proj/b_proj"] = draw(p, fan_in=25.0)
    for direction in (0, 1):
        for layer in range(n_layers):
            at = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
            arrays[f"{at}/W_0"] = draw(2 * p, GATES * n, fan_in=p)
            arrays[f"{at}/B"] = draw(GATES * n, fan_in=4.0)
            if with_projection:
                arrays[f"{at}/W_P_0"] = draw(n, p, fan_in=n / 4.0)

    options = {
        "lstm": {
            "cell_clip": cell_clip,
            "use_skip_connections": use_skip_connections,
            "n_layers": n_layers,
            "proj_clip": proj_clip,
            "projection_dim": p,
            "dim": n,
        },
        "char_cnn": {
            "embedding": {"dim": char_dim},
            "filters": [list(f) for f in filters],
            "n_highway": n_highway,
            "n_characters": n_characters,
            "max_characters_per_token": max_characters,
            "activation": activation,
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "options.json").write_text(json.dumps(options, indent=2), "utf-8")
    with h5py.File(folder / "weights.hdf5", "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array.astype(dtype))
    return folder
