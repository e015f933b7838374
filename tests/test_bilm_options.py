"""Parsing of `options.json`, and its error messages."""

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from sklearn_elmo.bilm.options import BiLmOptions
from sklearn_elmo.errors import ModelFileError

OPTIONS = {
    "lstm": {
        "cell_clip": 3,
        "use_skip_connections": True,
        "n_layers": 2,
        "proj_clip": 2.5,
        "projection_dim": 16,
        "dim": 64,
    },
    "char_cnn": {
        "embedding": {"dim": 4},
        "filters": [[1, 4], [2, 8], [3, 16]],
        "n_highway": 2,
        "n_characters": 262,
        "max_characters_per_token": 50,
        "activation": "relu",
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    options = copy.deepcopy(OPTIONS)
    *parents, last = path.split(".")
    node = options
    for key in parents:
        node = node[key]
    node[last] = value
    return options


def without(path: str) -> dict[str, Any]:
    options = copy.deepcopy(OPTIONS)
    *parents, last = path.split(".")
    node = options
    for key in parents:
        node = node[key]
    del node[last]
    return options


def test_from_dict_reads_every_value() -> None:
    options = BiLmOptions.from_dict(OPTIONS, "here")
    assert options == BiLmOptions(
        char_dim=4,
        filters=((1, 4), (2, 8), (3, 16)),
        n_highway=2,
        activation="relu",
        max_characters=50,
        n_characters=262,
        n_layers=2,
        cell_dim=64,
        projection_dim=16,
        cell_clip=3.0,
        proj_clip=2.5,
        use_skip_connections=True,
    )
    assert options.n_filters == 28
    assert options.output_dim == 32


def test_options_cannot_be_changed_and_can_be_keys() -> None:
    options = BiLmOptions.from_dict(OPTIONS, "here")
    assert len({options, BiLmOptions.from_dict(OPTIONS, "there")}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.n_layers = 3


def test_to_dict_is_what_from_dict_reads() -> None:
    options = BiLmOptions.from_dict(OPTIONS, "here")
    written = json.loads(json.dumps(options.to_dict()))
    assert written == OPTIONS
    assert BiLmOptions.from_dict(written, "here") == options


def test_from_dict_leaves_its_argument_alone() -> None:
    before = copy.deepcopy(OPTIONS)
    BiLmOptions.from_dict(OPTIONS, "here")
    assert before == OPTIONS


def test_from_dict_ignores_the_other_keys_of_real_files() -> None:
    options = copy.deepcopy(OPTIONS)
    options |= {"bidirectional": True, "dropout": 0.1, "n_train_tokens": 768648884}
    options |= {"all_clip_norm_val": 10.0, "unroll_steps": 20, "n_epochs": None}
    assert BiLmOptions.from_dict(options, "here").to_dict() == OPTIONS


@pytest.mark.parametrize(
    ("path", "attribute", "default"),
    [
        ("lstm.cell_clip", "cell_clip", None),
        ("lstm.proj_clip", "proj_clip", None),
        ("lstm.n_layers", "n_layers", 1),
        ("char_cnn.n_highway", "n_highway", 0),
        ("char_cnn.n_characters", "n_characters", 262),
    ],
)
def test_from_dict_has_the_defaults_of_bilm_tf(
    path: str, attribute: str, default: Any
) -> None:
    assert getattr(BiLmOptions.from_dict(without(path), "x"), attribute) == default


@pytest.mark.parametrize("value", [None, 0, 0.0])
@pytest.mark.parametrize("key", ["cell_clip", "proj_clip"])
def test_clip_of_zero_or_null_is_none(key: str, value: float | None) -> None:
    options = BiLmOptions.from_dict(changed(f"lstm.{key}", value), "here")
    assert getattr(options, key) is None
    assert BiLmOptions.from_dict(options.to_dict(), "here") == options


@pytest.mark.parametrize("n_characters", [261, 262])
def test_both_character_counts_of_bilm_tf_are_read(n_characters: int) -> None:
    options = BiLmOptions.from_dict(changed("char_cnn.n_characters", n_characters), "x")
    assert options.n_characters == n_characters


@pytest.mark.parametrize(
    "path",
    [
        "lstm",
        "lstm.dim",
        "lstm.projection_dim",
        "char_cnn",
        "char_cnn.embedding",
        "char_cnn.embedding.dim",
        "char_cnn.filters",
        # No default in AllenNLP or bilm-tf, and the weights do not show them: a
        # guess would give wrong numbers without a word.
        "char_cnn.activation",
        "char_cnn.max_characters_per_token",
    ],
)
def test_from_dict_without_a_key_names_it(path: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        BiLmOptions.from_dict(without(path), "some/options.json")
    assert path.split(".")[-1] in str(caught.value)
    assert "some/options.json" in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("lstm", None),
        ("lstm", [1, 2]),
        ("lstm", "bidirectional"),
        ("lstm.dim", "64"),
        ("lstm.dim", 0),
        ("lstm.dim", -64),
        ("lstm.dim", 64.5),
        ("lstm.dim", True),
        ("lstm.dim", None),
        ("lstm.dim", [64]),
        ("lstm.projection_dim", "16"),
        ("lstm.projection_dim", 0),
        ("lstm.projection_dim", float("nan")),
        ("lstm.projection_dim", float("inf")),
        ("lstm.n_layers", 0),
        ("lstm.n_layers", -1),
        ("lstm.n_layers", "2"),
        ("lstm.n_layers", 1.5),
        ("lstm.cell_clip", "3"),
        ("lstm.cell_clip", -3),
        ("lstm.cell_clip", float("nan")),
        ("lstm.cell_clip", float("inf")),
        ("lstm.cell_clip", [3]),
        ("lstm.cell_clip", True),
        ("lstm.cell_clip", 10**400),
        ("lstm.proj_clip", -0.5),
        ("lstm.proj_clip", float("nan")),
        ("lstm.proj_clip", {"value": 3}),
        ("lstm.use_skip_connections", "true"),
        ("lstm.use_skip_connections", 2),
        ("lstm.use_skip_connections", float("nan")),
        ("char_cnn", 7),
        ("char_cnn.embedding", 4),
        ("char_cnn.embedding.dim", 0),
        ("char_cnn.embedding.dim", "4"),
        ("char_cnn.filters", []),
        ("char_cnn.filters", None),
        ("char_cnn.filters", 32),
        ("char_cnn.filters", "[[1, 4]]"),
        ("char_cnn.filters", [1, 4]),
        ("char_cnn.filters", [[1]]),
        ("char_cnn.filters", [[1, 4, 5]]),
        ("char_cnn.filters", [[1, 4], [2, "8"]]),
        ("char_cnn.filters", [[1, 4], [2, 8.5]]),
        ("char_cnn.filters", [[0, 4]]),
        ("char_cnn.filters", [[1, -4]]),
        ("char_cnn.filters", [[1, 4], [51, 8]]),
        ("char_cnn.filters", {"1": 4}),
        ("char_cnn.filters", [[1, 10**4200]]),
        ("char_cnn.n_highway", -1),
        ("char_cnn.n_highway", "1"),
        ("char_cnn.n_highway", 0.5),
        ("char_cnn.n_characters", "262"),
        ("char_cnn.n_characters", 0),
        ("char_cnn.n_characters", 300),
        ("char_cnn.max_characters_per_token", 0),
        ("char_cnn.max_characters_per_token", 2),
        ("char_cnn.max_characters_per_token", "50"),
        ("char_cnn.max_characters_per_token", -50),
        ("char_cnn.activation", "gelu"),
        ("char_cnn.activation", "RELU"),
        ("char_cnn.activation", 1),
        ("char_cnn.activation", None),
        ("char_cnn.activation", ["relu"]),
    ],
)
def test_from_dict_refuses_a_value_and_names_key_and_value(
    path: str, value: Any
) -> None:
    with pytest.raises(ModelFileError) as caught:
        BiLmOptions.from_dict(changed(path, value), "some/options.json")
    message = str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert path.split(".")[-1] in message
    assert "some/options.json" in message
    assert "expected" in message
    assert repr(value)[:10] in message


@pytest.mark.parametrize("options", [None, [], [OPTIONS], "lstm", 3, True, {}])
def test_from_dict_refuses_what_is_no_object(options: Any) -> None:
    with pytest.raises(ModelFileError, match="nowhere"):
        BiLmOptions.from_dict(options, "nowhere")


def test_message_about_a_long_value_is_short() -> None:
    secret = "confidential " * 1000
    with pytest.raises(ModelFileError) as caught:
        BiLmOptions.from_dict(changed("char_cnn.activation", secret), "here")
    assert len(str(caught.value)) < 500


def test_message_about_many_foreign_keys_is_short() -> None:
    with pytest.raises(ModelFileError) as caught:
        BiLmOptions.from_dict({f"key {i}": i for i in range(100_000)}, "here")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("n_digits", [11, 30, 4000])
@pytest.mark.parametrize(
    "path", ["lstm.dim", "lstm.projection_dim", "char_cnn.embedding.dim"]
)
def test_dimension_whose_products_python_cannot_print_is_refused(
    path: str, n_digits: int
) -> None:
    """Sizes computed from it went into messages and raised a ValueError there."""
    with pytest.raises(ModelFileError, match="whole number from 1 to") as caught:
        BiLmOptions.from_dict(changed(path, 10**n_digits), "here")
    assert path in str(caught.value)
    assert len(str(caught.value)) < 300


def test_options_of_the_reference_models(reference_files: Path) -> None:
    for name in ["options.json", "model_b/options.json", "bilm_tf_noskip/options.json"]:
        raw = json.loads((reference_files / name).read_text("utf-8"))
        options = BiLmOptions.from_dict(raw, name)
        assert options.cell_dim == raw["lstm"]["dim"]
        assert options.use_skip_connections is raw["lstm"]["use_skip_connections"]


def test_deeply_nested_value_is_refused_with_a_short_message() -> None:
    value: Any = 1
    for _ in range(5000):
        value = [value]
    with pytest.raises(ModelFileError, match=r"lstm\.dim") as caught:
        BiLmOptions.from_dict(changed("lstm.dim", value), "here")
    assert len(str(caught.value)) < 500


def test_thousands_of_filters_are_refused() -> None:
    options = changed("char_cnn.filters", [[1, 1]] * 1001)
    with pytest.raises(ModelFileError, match=r"char_cnn\.filters.*1 to 1000"):
        BiLmOptions.from_dict(options, "here")


@pytest.mark.parametrize(
    ("path", "misspelled"),
    [
        ("lstm.use_skip_connections", "use_skip_connecdions"),
        ("lstm.use_skip_connections", "Use_skip_connections"),
        ("lstm.cell_clip", "cell_clop"),
        ("lstm.proj_clip", "proj-clip"),
        ("lstm.n_layers", "n_layer"),
        ("char_cnn.n_highway", "n_highways"),
    ],
)
def test_misspelled_key_is_refused_instead_of_replaced_by_a_default(
    path: str, misspelled: str
) -> None:
    options = without(path)
    part, key = path.split(".")
    options[part][misspelled] = OPTIONS[part][key]
    with pytest.raises(ModelFileError, match=misspelled) as caught:
        BiLmOptions.from_dict(options, "here")
    assert path in str(caught.value)
