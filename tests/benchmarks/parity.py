"""Largest error against every file of AllenNLP's and bilm-tf's reference numbers.

    python tests/benchmarks/parity.py

The tests assert the same comparisons (``tests/test_bilm_numbers.py``).
"""

import json
from pathlib import Path

import h5py
import numpy as np
import torch

from sklearn_elmo.bilm.characters import tokens_to_character_ids
from sklearn_elmo.bilm.model import BiLm
from sklearn_elmo.bilm.weights import read_model
from sklearn_elmo.inference.encoder import Encoder
from sklearn_elmo.inference.reductions import token_layers

REFERENCE_FILES = Path(__file__).parents[1] / "data" / "allennlp"

# Folder, options, weights, outputs; stateless.
STATELESS = [
    ("", "options.json", "lm_weights.hdf5", "reference_outputs.hdf5"),
    ("model_b", "options.json", "weights.hdf5", "outputs.hdf5"),
    ("model_b", "options_noskip.json", "weights.hdf5", "outputs_noskip.hdf5"),
]
# Folder and sentences; the state is carried through ten batches of three.
STATEFUL = [
    ("", "sentences.json"),
    ("bilm_tf_noskip", "lm_embeddings_sentences.json"),
]


def main(folder: Path) -> None:
    sentences = json.loads((folder / "reference_sentences.json").read_text())
    order = sorted(range(len(sentences)), key=lambda i: -len(sentences[i]))
    for place, options, weights, outputs in STATELESS:
        files = read_model((folder / place / options, folder / place / weights))
        encoder = Encoder(BiLm.from_arrays(files.options, files.arrays))
        found = token_layers(
            encoder,
            [sentences[i] for i in order],
            layers=range(files.options.n_layers + 1),
            state="zero",
            window_tokens=64,
        )
        with h5py.File(folder / place / outputs) as expected:
            error = max(
                np.abs(values.swapaxes(0, 1) - expected[str(i)][...]).max()
                for i, values in zip(order, found, strict=True)
            )
        print(f"{Path(place) / outputs!s:40} stateless, all layers  {error:.1e}")
    for place, name in STATEFUL:
        error = stateful_error(folder / place, folder / place / name)
        name = str(Path(place) / "lm_embeddings_*.hdf5")
        print(f"{name:40} stateful, top layer    {error:.1e}")
    files = read_model((folder / "options.json", folder / "lm_weights.hdf5"))
    model = BiLm.from_arrays(files.options, files.arrays)
    words = (folder / "vocab_test.txt").read_text().split("\n")
    with (
        torch.inference_mode(),
        h5py.File(folder / "elmo_token_embeddings.hdf5") as file,
    ):
        vectors = model._token_embedder(
            torch.from_numpy(tokens_to_character_ids(words))
        )
        error = np.abs(vectors.numpy() - file["embedding"][...]).max()
    print(f"{'elmo_token_embeddings.hdf5':40} token vectors          {error:.1e}")


def stateful_error(folder: Path, sentences_file: Path) -> float:
    files = read_model((folder / "options.json", folder / "lm_weights.hdf5"))
    model = BiLm.from_arrays(files.options, files.arrays)
    rows = [[s.split() for s in row] for row in json.loads(sentences_file.read_text())]
    state, error = None, 0.0
    for batch in range(len(rows[0])):
        texts = [row[batch] for row in rows]
        ids = np.zeros((len(texts), max(map(len, texts)), 50), dtype=np.int64)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = tokens_to_character_ids(text)
        with torch.inference_mode():
            output = model(torch.from_numpy(ids), state)
        state = output.state
        for row, text in enumerate(texts):
            with h5py.File(folder / f"lm_embeddings_{row}.hdf5") as file:
                expected = np.concatenate(list(file[str(batch)][...]), axis=-1)
            found = output.layers[-1][row, 1 : len(text) + 1].numpy()
            error = max(error, float(np.abs(found - expected).max()))
    return error


if __name__ == "__main__":
    main(REFERENCE_FILES)
