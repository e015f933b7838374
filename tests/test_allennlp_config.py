"""Embedders from AllenNLP configs, and AllenNLP's names for old code."""

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sklearn_elmo.allennlp import text_field_embedder
from sklearn_elmo.errors import InvalidParameterError

GLOVE = {
    "hello": [0.5, 1.0, -1.0],
    "world": [2.0, 0.0, 0.0],
    "cat": [-1.0, 0.25, 3.0],
}


@pytest.fixture
def glove(tmp_path: Path) -> Path:
    path = tmp_path / "glove.txt.gz"
    lines = [f"{word} {' '.join(map(str, row))}\n" for word, row in GLOVE.items()]
    path.write_bytes(gzip.compress("".join(lines).encode()))
    return path


def srl_config(glove: Path, model: Path) -> dict[str, object]:
    """The how-to's config, with its 100 and 512 replaced by what a test can make."""
    return {
        "dataset_reader": {
            "type": "srl",
            "token_indexers": {
                "tokens": {"type": "single_id", "lowercase_tokens": True},
                "elmo": {"type": "elmo_characters"},
            },
        },
        "model": {
            "type": "srl",
            "text_field_embedder": {
                "tokens": {
                    "type": "embedding",
                    "embedding_dim": 3,
                    "pretrained_file": str(glove),
                    "trainable": True,
                },
                "elmo": {
                    "type": "elmo_token_embedder",
                    "options_file": str(model / "options.json"),
                    "weight_file": str(model / "weights.hdf5"),
                    "do_layer_norm": False,
                    "dropout": 0.5,
                },
            },
            "encoder": {"type": "alternating_lstm", "input_size": 22},
        },
    }


def test_the_how_to_s_config_builds(glove: Path, tiny_model: Path) -> None:
    embedder = text_field_embedder(srl_config(glove, tiny_model)).eval()
    assert embedder.get_output_dim() == 16 + 3
    ids = embedder.index([["Hello", "cat", "dog"], ["WORLD"]])
    vectors = embedder(ids)
    assert vectors.shape == (2, 3, 19)
    # In alphabetical order: elmo before tokens.
    words = vectors[..., 16:].detach()
    np.testing.assert_allclose(words[0, :2], [GLOVE["hello"], GLOVE["cat"]])
    np.testing.assert_allclose(words[1, 0], GLOVE["world"])
    assert not words[1, 1:].any()
    assert words[0, 2].any()  # unknown: drawn, not zero
    elmo = embedder.token_embedder_elmo
    elmo.reset_states()
    torch.testing.assert_close(vectors[..., :16], elmo(ids["elmo"]))
    trained = {n for n, p in embedder.named_parameters() if p.requires_grad}
    assert "token_embedder_tokens.weight" in trained
    assert "token_embedder_elmo._elmo.scalar_mix_0.gamma" in trained


def test_width_is_that_of_the_how_to_with_the_original_model(
    tmp_path: Path, make_model
) -> None:
    """100 + 1024 = 1124; the predicate's 100 make it SRL's 1224."""
    model = make_model(projection_dim=512, cell_dim=4)
    glove = tmp_path / "glove.6B.100d.txt"
    glove.write_text("the" + " 0.1" * 100 + "\n")
    config = srl_config(glove, model)
    del config["model"]["text_field_embedder"]["tokens"]["embedding_dim"]
    assert text_field_embedder(config).get_output_dim() == 1124


def test_only_the_part_is_needed(glove: Path, tiny_model: Path) -> None:
    whole = srl_config(glove, tiny_model)
    part = whole["model"]["text_field_embedder"]
    for config in (whole["model"], part, {"token_embedders": part}):
        embedder = text_field_embedder(
            config, whole["dataset_reader"]["token_indexers"]
        )
        assert embedder.get_output_dim() == 19
        assert embedder.indexers["tokens"].lowercase_tokens


def test_vocabulary_bounds_the_words(glove: Path) -> None:
    config = {"tokens": {"type": "embedding", "pretrained_file": str(glove)}}
    embedder = text_field_embedder(config, vocabulary=["cat", "dog"], random_state=0)
    assert embedder.token_embedder_tokens.weight.shape == (4, 3)
    vectors = embedder(embedder.index([["cat", "dog", "hello"]]))[0]
    np.testing.assert_allclose(vectors[0].detach(), GLOVE["cat"])
    again = text_field_embedder(config, vocabulary=["cat", "dog"], random_state=0)
    torch.testing.assert_close(
        vectors, again(again.index([["cat", "dog", "hello"]]))[0]
    )


def test_frozen_and_projected_words(glove: Path) -> None:
    config = {
        "tokens": {
            "type": "embedding",
            "pretrained_file": str(glove),
            "trainable": False,
            "projection_dim": 2,
        }
    }
    embedder = text_field_embedder(config)
    assert embedder(embedder.index([["cat"]])).shape == (1, 1, 2)
    assert not embedder.token_embedder_tokens.weight.requires_grad


@pytest.mark.parametrize(
    ("config", "indexers", "match"),
    [
        ({"encoder": {"type": "alternating_lstm"}}, None, "stays out of this package"),
        ({"tokens": {"type": "bert"}}, None, "there are embedding and elmo_token"),
        ({"tokens": {"type": "embedding", "sparse": True}}, None, "key 'sparse'"),
        ({"tokens": {"type": "embedding", "embedding_dim": 3}}, None, "'vocabulary'"),
        ({}, None, "no token embedders"),
        ({"tokens": 3}, None, "expected token embedders"),
        (
            {"elmo": {"type": "elmo_token_embedder"}},
            {"elmo": {"type": "single_id"}},
            "needs 'elmo_characters'",
        ),
    ],
)
def test_what_is_not_known_here_is_named(
    config: dict[str, object], indexers: dict[str, object] | None, match: str
) -> None:
    with pytest.raises(InvalidParameterError, match=match):
        text_field_embedder(config, indexers)


NER_CHARACTERS = {
    "type": "character_encoding",
    "embedding": {"embedding_dim": 4},
    "encoder": {
        "type": "cnn",
        "embedding_dim": 4,
        "num_filters": 6,
        "ngram_filter_sizes": [3],
        "conv_layer_activation": "relu",
    },
    "dropout": 0.1,
}
BIDAF_CHARACTERS = {
    "type": "character_encoding",
    "embedding": {"num_embeddings": 262, "embedding_dim": 4},
    "encoder": {
        "type": "cnn",
        "embedding_dim": 4,
        "num_filters": 5,
        "ngram_filter_sizes": [5],
    },
    "dropout": 0.2,
}
GRU_CHARACTERS = {
    "type": "character_encoding",
    "embedding": {"embedding_dim": 4},
    "encoder": {
        "type": "gru",
        "input_size": 4,
        "hidden_size": 3,
        "num_layers": 2,
        "dropout": 0.25,
        "bidirectional": True,
    },
}


@pytest.mark.parametrize(
    ("part", "indexer", "width"),
    [
        (NER_CHARACTERS, {"type": "characters", "min_padding_length": 3}, 6),
        (
            BIDAF_CHARACTERS,
            {
                "type": "characters",
                "min_padding_length": 5,
                "character_tokenizer": {
                    "byte_encoding": "utf-8",
                    "start_tokens": [259],
                    "end_tokens": [260],
                },
            },
            5,
        ),
        (GRU_CHARACTERS, {"type": "characters"}, 6),
    ],
)
def test_character_encoding_beside_words_and_elmo(
    glove: Path,
    tiny_model: Path,
    part: dict[str, object],
    indexer: dict[str, object],
    width: int,
) -> None:
    whole = srl_config(glove, tiny_model)
    whole["model"]["text_field_embedder"]["token_characters"] = part
    whole["dataset_reader"]["token_indexers"]["token_characters"] = indexer
    embedder = text_field_embedder(whole, random_state=0).eval()
    assert embedder.get_output_dim() == 16 + width + 3
    vectors = embedder(embedder.index([["Hello", "cat", "zzz"], ["it"]]))
    assert vectors.shape == (2, 3, 16 + width + 3)
    characters = vectors[..., 16 : 16 + width]
    assert characters[0].any(dim=-1).all()
    again = text_field_embedder(whole, random_state=0).eval()
    found = again(again.index([["Hello"]]))
    torch.testing.assert_close(found[0, 0, 16:], vectors[0, 0, 16:])


def test_embedder_to_indexer_map_feeds_cached_words_to_elmo(
    glove: Path, tiny_model: Path
) -> None:
    """Both ways of writing the map; the numbers are those without a cache."""
    words = ["hello", "cat"]
    parts = srl_config(glove, tiny_model)["model"]["text_field_embedder"]
    # "dog" is unknown, and the text of unknown words in the cache is "@@UNKNOWN@@".
    plain = text_field_embedder(parts, vocabulary=words).eval()
    expected = plain(plain.index([["hello", "cat", "@@UNKNOWN@@"]]))[..., :16]
    parts["elmo"]["namespace_to_cache"] = "tokens"
    for inputs in (
        ["elmo", "tokens"],
        {"inputs": "elmo", "word_inputs": "tokens"},
    ):
        config = {
            "token_embedders": parts,
            "embedder_to_indexer_map": {"elmo": inputs, "tokens": ["tokens"]},
        }
        embedder = text_field_embedder(config, vocabulary=words).eval()
        ids = embedder.index([["hello", "cat", "dog"]])
        assert ids["tokens"].tolist() == [[2, 3, 1]]
        ids["elmo"][:] = 1  # not read
        torch.testing.assert_close(embedder(ids)[..., :16], expected)


def test_allow_unmatched_keys_lets_indexers_without_an_embedder_be(
    tiny_model: Path,
) -> None:
    elmo = {
        "type": "elmo_token_embedder",
        "options_file": str(tiny_model / "options.json"),
        "weight_file": str(tiny_model / "weights.hdf5"),
    }
    config = {
        "allow_unmatched_keys": True,
        "embedder_to_indexer_map": {"elmo": ["elmo"]},
        "token_embedders": {"elmo": elmo},
    }
    indexers = {"elmo": {"type": "elmo_characters"}, "tokens": {"type": "single_id"}}
    embedder = text_field_embedder(config, indexers, vocabulary=["a"])
    assert embedder(embedder.index([["a", "b"]])).shape == (1, 2, 16)
    del config["allow_unmatched_keys"]
    with pytest.raises(InvalidParameterError, match=r"indexers \['tokens'\]"):
        text_field_embedder(config, indexers, vocabulary=["a"])


def characters_config(**embedding: object) -> dict[str, object]:
    return {"c": {**NER_CHARACTERS, "embedding": {"embedding_dim": 4, **embedding}}}


@pytest.mark.parametrize(
    ("config", "indexers", "match"),
    [
        (
            {"elmo": {"type": "elmo_token_embedder"}},
            {"elmo": {"type": "elmo_characters"}, "unused": {"type": "single_id"}},
            r"indexers \['unused'\]",
        ),
        (
            {"elmo": {"type": "elmo_token_embedder"}},
            {"elmo": {"type": "elmo_characters", "max_length": 3}},
            "'max_length'",
        ),
        ({"elmo": {"type": "elmo_token_embedder", "droput": 0.1}}, None, "'droput'"),
        (characters_config(), None, "'vocabulary'"),
        (
            {"tokens": {"type": "embedding", "max_norm": 1.0}},
            None,
            "key 'max_norm'",
        ),
        (
            {"tokens": {"type": "embedding", "padding_index": 3}},
            None,
            "padding_index",
        ),
        (
            {"tokens": {"type": "embedding", "vocab_namespace": "other"}},
            None,
            r"'other'.*'tokens'",
        ),
        ({"type": "bert", "tokens": {"type": "embedding"}}, None, "only 'basic'"),
        (
            {
                "token_embedders": {"elmo": {"type": "elmo_token_embedder"}},
                "embedder_to_indexer_map": {"elmo": {"words": "elmo"}},
            },
            None,
            "inputs, word_inputs",
        ),
    ],
)
def test_keys_that_change_numbers_are_read_or_refused(
    config: dict[str, object], indexers: dict[str, object] | None, match: str
) -> None:
    with pytest.raises(InvalidParameterError, match=match):
        text_field_embedder(config, indexers)


def test_too_few_character_vectors_are_refused() -> None:
    config = characters_config(num_embeddings=4)
    with pytest.raises(InvalidParameterError, match=r"asks for 4 .* 5 characters"):
        text_field_embedder(config, vocabulary=["abc"])
    embedder = text_field_embedder(characters_config(), vocabulary=["abc"])
    assert embedder.token_embedder_c._embedding._module.weight.shape == (5, 4)


def test_embedding_dim_must_be_the_file_s(glove: Path) -> None:
    config = {
        "tokens": {
            "type": "embedding",
            "pretrained_file": str(glove),
            "embedding_dim": 100,
        }
    }
    with pytest.raises(InvalidParameterError, match="100, but the file has 3"):
        text_field_embedder(config)


OLD_CODE = """
import sys
from sklearn_elmo.allennlp import install

install()
install()

import allennlp.modules.elmo
from allennlp.commands.elmo import DEFAULT_OPTIONS_FILE, ElmoEmbedder
from allennlp.common.checks import ConfigurationError
from allennlp.data.token_indexers import ELMoTokenCharactersIndexer
from allennlp.data.token_indexers.elmo_indexer import ELMoTokenCharactersIndexer as E2
from allennlp.modules import scalar_mix
from allennlp.modules.elmo import Elmo, _ElmoBiLm, _ElmoCharacterEncoder, batch_to_ids
from allennlp.modules.scalar_mix import ScalarMix
from allennlp.modules.token_embedders import ElmoTokenEmbedder

options_file, weight_file = sys.argv[1:]
assert E2 is ELMoTokenCharactersIndexer and scalar_mix.ScalarMix is ScalarMix

# From the how-to.
elmo = Elmo(options_file, weight_file, 2, dropout=0)
character_ids = batch_to_ids([["First", "sentence", "."], ["Another", "."]])
embeddings = elmo(character_ids)
assert [r.shape for r in embeddings["elmo_representations"]] == [(2, 3, 16)] * 2
vectors = ElmoEmbedder(options_file, weight_file).embed_sentence(["I", "ate"])
assert len(vectors) == 3 and len(vectors[0]) == 2

# As third-party code does it.
class Tagger(allennlp.modules.elmo.Elmo):
    pass

bilm = _ElmoBiLm(options_file, weight_file)
activations = bilm(character_ids)["activations"]
assert len(activations) == 3 == bilm.num_layers and bilm.get_output_dim() == 16
assert Tagger(module=bilm).get_output_dim() == 16
try:
    Elmo(options_file, weight_file, 1, scalar_mix_parameters=[1.0])
except ConfigurationError as error:
    assert "3 layers" in str(error)
try:
    from allennlp.modules.elmo import Nothing
except ImportError as error:
    print("done")
"""


def test_old_code_runs_where_no_allennlp_is(tiny_model: Path) -> None:
    files = [str(tiny_model / "options.json"), str(tiny_model / "weights.hdf5")]
    command = [sys.executable, "-W", "error", "-c", OLD_CODE, *files]
    answer = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[1],
    )
    assert answer.stdout.strip() == "done", answer.stderr


def test_install_leaves_a_real_allennlp_alone(tmp_path: Path) -> None:
    package = tmp_path / "allennlp"
    package.mkdir()
    (package / "__init__.py").write_text("real = True\n")
    code = (
        "from sklearn_elmo.allennlp import install\n"
        "try:\n    install()\nexcept ImportError as error:\n    print(error)\n"
        "import allennlp\nassert allennlp.real\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[1]}"},
    )
    assert "is not shadowed" in answer.stdout, answer.stderr
