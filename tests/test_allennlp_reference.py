"""The drop-ins against AllenNLP's and bilm-tf's own files and numbers."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from sklearn_elmo.allennlp import Elmo, ElmoEmbedder, batch_to_ids
from sklearn_elmo.allennlp.character_encoder import ElmoCharacterEncoder

N_FIXTURE_BATCHES = 10


def read_top_layers(folder: Path, sentences_file: str) -> tuple[list, list]:
    """Give `sentences[k][i]` and TensorFlow's top layer (n, 2P) of each."""
    sentences = json.loads((folder / sentences_file).read_text())
    expected = []
    for k in range(3):
        with h5py.File(folder / f"lm_embeddings_{k}.hdf5") as file:
            halves = [file[str(i)][...] for i in range(N_FIXTURE_BATCHES)]
        expected.append([np.concatenate([h[0], h[1]], axis=-1) for h in halves])
    return [[s.split() for s in texts] for texts in sentences], expected


@pytest.mark.parametrize(
    ("folder", "sentences_file"),
    [(".", "sentences.json"), ("bilm_tf_noskip", "lm_embeddings_sentences.json")],
)
def test_embedder_carries_state_like_tensorflow(
    reference_files: Path, folder: str, sentences_file: str
) -> None:
    folder_path = reference_files / folder
    sentences, expected = read_top_layers(folder_path, sentences_file)
    embedder = ElmoEmbedder(
        folder_path / "options.json", folder_path / "lm_weights.hdf5"
    )
    for i in range(N_FIXTURE_BATCHES):
        found = embedder.embed_batch([sentences[k][i] for k in range(3)])
        for k in range(3):
            np.testing.assert_allclose(
                found[k][2], expected[k][i], atol=2e-6, rtol=1e-5
            )


def test_embedder_without_state_agrees_with_the_first_batch_alone(
    reference_files: Path,
) -> None:
    sentences, expected = read_top_layers(reference_files, "sentences.json")
    files = reference_files / "options.json", reference_files / "lm_weights.hdf5"
    embedder = ElmoEmbedder(*files, state="zero")
    for i in range(2):
        found = embedder.embed_batch([sentences[k][i] for k in range(3)])
        difference = max(np.abs(found[k][2] - expected[k][i]).max() for k in range(3))
        assert (difference < 3e-6) == (i == 0)


@pytest.mark.parametrize(
    ("options", "weights", "outputs"),
    [
        ("options.json", "lm_weights.hdf5", "reference_outputs.hdf5"),
        ("model_b/options.json", "model_b/weights.hdf5", "model_b/outputs.hdf5"),
        (
            "model_b/options_noskip.json",
            "model_b/weights.hdf5",
            "model_b/outputs_noskip.hdf5",
        ),
    ],
)
def test_embedder_gives_allennlp_s_numbers_for_all_layers(
    reference_files: Path, options: str, weights: str, outputs: str
) -> None:
    sentences = json.loads((reference_files / "reference_sentences.json").read_text())
    embedder = ElmoEmbedder(
        reference_files / options, reference_files / weights, state="zero"
    )
    together = embedder.embed_batch(sentences)
    with h5py.File(reference_files / outputs) as file:
        for i, sentence in enumerate(sentences):
            expected = file[str(i)][...]
            alone = embedder.embed_sentence(sentence)
            for found in (alone, together[i]):
                assert found.dtype == np.float32
                np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-4)


def test_character_encoder_gives_bilm_tf_s_token_vectors(
    reference_files: Path,
) -> None:
    words = (reference_files / "vocab_test.txt").read_text().split("\n")
    with h5py.File(reference_files / "elmo_token_embeddings.hdf5") as file:
        expected = file["embedding"][...]
    encoder = ElmoCharacterEncoder(
        reference_files / "options.json", reference_files / "lm_weights.hdf5"
    )
    assert encoder.get_output_dim() == 16
    with torch.no_grad():
        output = encoder(batch_to_ids([words]))
    found = output["token_embedding"][0, 1:-1]
    np.testing.assert_allclose(found, expected, atol=2e-6, rtol=1e-5)
    assert output["mask"].sum() == len(words) + 2


def test_elmo_picks_one_layer_like_the_embedder(reference_files: Path) -> None:
    sentences = json.loads((reference_files / "reference_sentences.json").read_text())
    files = reference_files / "options.json", reference_files / "lm_weights.hdf5"
    elmo = Elmo(*files, 1, dropout=0, scalar_mix_parameters=[-9e10, 1, -9e10])
    found = elmo(batch_to_ids(sentences))["elmo_representations"][0]
    with h5py.File(reference_files / "reference_outputs.hdf5") as file:
        for i, sentence in enumerate(sentences):
            expected = file[str(i)][1]
            np.testing.assert_allclose(
                found[i, : len(sentence)], expected, atol=1e-5, rtol=1e-4
            )
