"""Model files: where they are found, what is refused, what is written."""

import contextlib
import json
import os
import shutil
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import reference_numpy
from conftest import MakeModel

from sklearn_elmo.bilm import weights
from sklearn_elmo.bilm.weight_file import CHECKSUM_NAME
from sklearn_elmo.bilm.weights import read_model, write_model
from sklearn_elmo.errors import ModelFileError, SklearnElmoError

NAMES = [
    "char_embed",
    "CNN/W_cnn_0",
    "CNN/b_cnn_0",
    "CNN/W_cnn_2",
    "CNN/b_cnn_2",
    "CNN_high_0/W_transform",
    "CNN_high_0/b_transform",
    "CNN_high_0/W_carry",
    "CNN_high_0/b_carry",
    "CNN_proj/W_proj",
    "CNN_proj/b_proj",
    "RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell/W_0",
    "RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell/B",
    "RNN_0/RNN/MultiRNNCell/Cell1/LSTMCell/W_P_0",
    "RNN_1/RNN/MultiRNNCell/Cell0/LSTMCell/W_P_0",
    "RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell/W_0",
    "RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell/B",
]
MANY_LANGS = [
    "char.dic",
    "word.dic",
    "config.json",
    "configs/cnn_50_100_512_4096_sample.json",
    "encoder.pkl",
    "token_embedder.pkl",
]

DEFAULT_WEIGHTS = Path(weights.__file__).parents[1] / "default_model" / "weights.hdf5"


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may spoil."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def expected_arrays(folder: Path) -> dict[str, np.ndarray]:
    return reference_numpy.read_arrays(folder / "weights.hdf5")


def assert_same(files: weights.ModelFiles, arrays: dict[str, np.ndarray]) -> None:
    assert files.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert files.arrays[name].dtype == np.float32
        np.testing.assert_array_equal(files.arrays[name], array)


def refusal(source: Any) -> str:
    """Return the message of the error that reading raises."""
    with pytest.raises(ModelFileError) as caught:
        read_model(source)
    assert isinstance(caught.value, ValueError)
    message = str(caught.value)
    assert len(message) < 1500
    return message


def make_zip(
    path: Path,
    folder: Path,
    names: dict[str, str],
    *,
    extra: dict[str, bytes] | None = None,
) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in names.items():
            archive.write(folder / name, member)
        for member, data in (extra or {}).items():
            archive.writestr(member, data)
    return path


def edit_options(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "options.json"
    options = json.loads(path.read_text("utf-8"))
    edit(options)
    path.write_text(json.dumps(options), "utf-8")


def replace_dataset(folder: Path, name: str, data: Any, **how: Any) -> None:
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        del file[name]
        if data is not None:
            file.create_dataset(name, data=data, **how)


# Places to read from


@pytest.mark.parametrize("as_str", [False, True])
def test_read_model_from_a_folder(tiny_model: Path, as_str: bool) -> None:
    files = read_model(str(tiny_model) if as_str else tiny_model)
    assert files.options.to_dict() == json.loads(
        (tiny_model / "options.json").read_text("utf-8")
    )
    assert_same(files, expected_arrays(tiny_model))
    assert str(tiny_model) in files.source
    assert len(files.digest) == 64
    assert set(files.digest) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    ("options", "weight_file"),
    [
        ("elmo_2x4096_512_options.json", "elmo_2x4096_512_weights.hdf5"),
        ("options.json", "model.hdf5"),
        ("options.json", "lm_weights.hdf5"),
        ("options.json", "weights.h5"),
    ],
)
def test_read_model_from_a_folder_with_other_names(
    folder: Path, options: str, weight_file: str
) -> None:
    arrays = expected_arrays(folder)
    (folder / "options.json").rename(folder / options)
    (folder / "weights.hdf5").rename(folder / weight_file)
    (folder / "README.md").write_text("about it")
    (folder / "vocab.txt").write_text("<S>\n</S>\n<UNK>\nthe\n")
    (folder / "meta.json").write_text("{}")
    assert_same(read_model(folder), arrays)


@pytest.mark.parametrize("wrap", [tuple, list])
@pytest.mark.parametrize("as_str", [False, True])
def test_read_model_from_a_pair(
    folder: Path, tmp_path: Path, wrap: type, as_str: bool
) -> None:
    options = (folder / "options.json").rename(tmp_path / "any name")
    weight_file = (folder / "weights.hdf5").rename(tmp_path / "at.all")
    pair = [options, weight_file]
    files = read_model(wrap(map(str, pair) if as_str else pair))
    assert_same(files, reference_numpy.read_arrays(weight_file))


@pytest.mark.parametrize(
    "prefix", ["", "209/", "deep/down/"], ids=["flat", "nested", "deep"]
)
@pytest.mark.parametrize("vocabulary", [True, False])
def test_read_model_from_a_zip_of_nlpl(
    tiny_model: Path, tmp_path: Path, prefix: str, vocabulary: bool
) -> None:
    extra = {f"{prefix}meta.json": b'{"id": 209}', f"{prefix}README": b"x"}
    if vocabulary:
        extra[f"{prefix}vocab.txt"] = b"<S>\n</S>\n<UNK>\nthe\n"
    path = make_zip(
        tmp_path / "209.zip",
        tiny_model,
        {
            "options.json": f"{prefix}options.json",
            "weights.hdf5": f"{prefix}model.hdf5",
        },
        extra=extra,
    )
    before = path.stat()
    files = read_model(path)
    assert_same(files, expected_arrays(tiny_model))
    assert "209.zip" in files.source
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert [p.name for p in tmp_path.iterdir()] == ["209.zip"]


def test_read_model_from_a_zip_of_a_mac(tiny_model: Path, tmp_path: Path) -> None:
    """The Finder adds a shadow file for each real one."""
    path = make_zip(
        tmp_path / "mac.zip",
        tiny_model,
        {"options.json": "m/options.json", "weights.hdf5": "m/weights.hdf5"},
        extra={
            "__MACOSX/m/._options.json": b"\x00\x05\x16\x07",
            "__MACOSX/m/._weights.hdf5": b"\x00\x05\x16\x07",
            "m/.DS_Store": b"\x00",
        },
    )
    assert_same(read_model(path), expected_arrays(tiny_model))


def test_read_model_from_a_zip_without_the_ending(
    tiny_model: Path, tmp_path: Path
) -> None:
    names = {"options.json": "options.json", "weights.hdf5": "model.hdf5"}
    path = make_zip(tmp_path / "download", tiny_model, names)
    assert_same(read_model(path), expected_arrays(tiny_model))


def test_read_model_expands_the_home_folder(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    shutil.copytree(tiny_model, tmp_path / "models" / "tiny")
    names = {"options.json": "options.json", "weights.hdf5": "model.hdf5"}
    make_zip(tmp_path / "tiny.zip", tiny_model, names)
    arrays = expected_arrays(tiny_model)
    at = "~/models/tiny"
    for source in [
        at,
        Path(at),
        "~/tiny.zip",
        (f"{at}/options.json", f"{at}/weights.hdf5"),
    ]:
        assert_same(read_model(source), arrays)


def test_read_options_alone(tiny_model: Path, tmp_path: Path) -> None:
    right = read_model(tiny_model).options
    names = {"options.json": "options.json", "weights.hdf5": "model.hdf5"}
    path = make_zip(tmp_path / "m.zip", tiny_model, names)
    pair = (tiny_model / "options.json", tiny_model / "weights.hdf5")
    for source in [tiny_model, path, pair]:
        assert weights.read_options(source) == right


def test_read_model_leaves_no_handle(folder: Path) -> None:
    with h5py.File(folder / "weights.hdf5", "r"):
        files = read_model(folder)
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        file["char_embed"][...] = 0.0
    assert files.arrays["char_embed"].any()
    shutil.rmtree(folder)
    assert np.isfinite(files.arrays["char_embed"]).all()


def test_read_model_reads_files_that_may_not_be_written(folder: Path) -> None:
    for path in folder.iterdir():
        path.chmod(0o444)
    assert_same(read_model(folder), expected_arrays(folder))


# What the numbers may be stored as


@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4", ">f8", ">f2"])
@pytest.mark.parametrize("how", [{}, {"compression": "gzip", "shuffle": True}])
def test_read_model_turns_any_float_into_float32(
    folder: Path, dtype: str, how: dict[str, Any]
) -> None:
    right = {}
    for name, array in expected_arrays(folder).items():
        stored = array.astype(dtype)
        replace_dataset(folder, name, stored, **how)
        right[name] = stored.astype(np.float32)
    files = read_model(folder)
    assert_same(files, right)
    assert all(array.dtype.isnative for array in files.arrays.values())


def test_digest_is_of_the_numbers_not_of_the_files(
    folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    names = {"options.json": "x/options.json", "weights.hdf5": "x/model.hdf5"}
    archive = make_zip(tmp_path / "m.zip", tiny_model, names)
    for name, array in expected_arrays(folder).items():
        replace_dataset(folder, name, array.astype("f8"), compression="gzip")
    edit_options(folder, lambda options: options.update(dropout=0.1, n_epochs=7))
    digest = read_model(tiny_model).digest
    assert read_model(archive).digest == digest
    assert read_model(folder).digest == digest


def test_digest_changes_with_one_number(folder: Path) -> None:
    digests = {read_model(folder).digest}
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        file["CNN_proj/b_proj"][3] *= np.float32(1 + 2**-20)
    digests.add(read_model(folder).digest)
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        at = "RNN_0/RNN/MultiRNNCell/Cell"
        first, second = file[f"{at}0/LSTMCell/B"][()], file[f"{at}1/LSTMCell/B"][()]
        file[f"{at}0/LSTMCell/B"][...] = second
        file[f"{at}1/LSTMCell/B"][...] = first
    digests.add(read_model(folder).digest)
    edit_options(folder, lambda options: options["lstm"].update(cell_clip=2.5))
    digests.add(read_model(folder).digest)
    edit_options(
        folder, lambda options: options["lstm"].update(use_skip_connections=False)
    )
    digests.add(read_model(folder).digest)
    assert len(digests) == 5


# Nothing there, or too much


@pytest.mark.parametrize("wrap", [str, Path])
def test_path_that_is_not_there_is_named(tmp_path: Path, wrap: type) -> None:
    path = tmp_path / "nowhere" / "elmo"
    assert str(path) in refusal(wrap(path))


@pytest.mark.parametrize("missing", ["options.json", "weights.hdf5"])
def test_missing_file_of_a_pair_is_named(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    pair = (folder / "options.json", folder / "weights.hdf5")
    assert str(folder / missing) in refusal(pair)
    assert missing.split(".")[0] in refusal(folder)
    assert str(folder) in refusal(folder)


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path)
    assert str(tmp_path) in message
    assert "options" in message


def test_folder_with_two_weight_files_is_refused(folder: Path) -> None:
    (folder / "weights.hdf5").rename(folder / "first_weights.hdf5")
    shutil.copy(folder / "first_weights.hdf5", folder / "second_weights.hdf5")
    message = refusal(folder)
    assert "first_weights.hdf5" in message
    assert "second_weights.hdf5" in message


@pytest.mark.parametrize("other", ["outputs.hdf5", "lm_embeddings_0.hdf5"])
def test_hdf5_files_of_vectors_beside_the_weights_do_no_harm(
    folder: Path, other: str
) -> None:
    arrays = expected_arrays(folder)
    with h5py.File(folder / other, "w") as file:
        file["0"] = np.zeros((3, 5, 16), np.float32)
    assert_same(read_model(folder), arrays)


def test_folder_with_two_options_files_is_refused(folder: Path) -> None:
    options = (folder / "options.json").read_bytes()
    (folder / "options.json").rename(folder / "a_options.json")
    (folder / "b_options.json").write_bytes(options)
    message = refusal(folder)
    assert "a_options.json" in message
    assert "b_options.json" in message


@pytest.mark.parametrize(
    "members", [[], ["options.json"], ["weights.hdf5"]], ids=["none", "o", "w"]
)
def test_zip_without_a_model_is_refused(
    tiny_model: Path, tmp_path: Path, members: list[str]
) -> None:
    path = make_zip(tmp_path / "half.zip", tiny_model, {m: m for m in members})
    assert "half.zip" in refusal(path)


def test_zip_with_two_models_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    names = {"options.json": "a/options.json", "weights.hdf5": "a/model.hdf5"}
    extra = {
        "b/options.json": (tiny_model / "options.json").read_bytes(),
        "b/model.hdf5": (tiny_model / "weights.hdf5").read_bytes(),
    }
    message = refusal(make_zip(tmp_path / "two.zip", tiny_model, names, extra=extra))
    assert "two.zip" in message
    assert "b/" in message


@pytest.mark.parametrize("source", [None, 3, (), ("only one",), ("a", "b", "c"), b"m"])
def test_source_that_is_no_path_is_refused(source: Any) -> None:
    with pytest.raises((SklearnElmoError, TypeError)) as caught:
        read_model(source)
    assert isinstance(caught.value, ValueError | TypeError)


def test_swapped_pair_is_refused(tiny_model: Path) -> None:
    pair = (tiny_model / "weights.hdf5", tiny_model / "options.json")
    message = refusal(pair)
    assert "weights.hdf5" in message


def test_single_file_is_refused(tiny_model: Path) -> None:
    for name in ["weights.hdf5", "options.json"]:
        assert name in refusal(tiny_model / name)


# Foreign models


@pytest.mark.parametrize("prefix", ["", "161/"])
def test_zip_of_elmoformanylangs_is_called_so(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "161.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in MANY_LANGS:
            archive.writestr(prefix + name, b"{}" if name.endswith("json") else b"\x80")
    message = refusal(path)
    assert "ELMoForManyLangs" in message
    assert "161.zip" in message


def test_folder_of_elmoformanylangs_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    for name in MANY_LANGS:
        (tmp_path / name).write_bytes(b"{}" if name.endswith("json") else b"\x80")
    assert "ELMoForManyLangs" in refusal(tmp_path)


def test_pickle_is_never_loaded(tiny_model: Path, tmp_path: Path) -> None:
    trap = b"cos\nsystem\n(S'touch " + str(tmp_path / "sprung").encode() + b"'\ntR."
    path = tmp_path / "weights.hdf5"
    path.write_bytes(trap)
    assert "weights.hdf5" in refusal((tiny_model / "options.json", path))
    with zipfile.ZipFile(tmp_path / "trap.zip", "w") as archive:
        for name in [*MANY_LANGS, "options.json", "model.hdf5", "archive/data.pkl"]:
            archive.writestr(name, trap)
    refusal(tmp_path / "trap.zip")
    assert not (tmp_path / "sprung").exists()


def test_hdf5_file_of_something_else_is_refused(folder: Path) -> None:
    with h5py.File(folder / "weights.hdf5", "w") as file:
        file["model_weights/dense_1/kernel:0"] = np.zeros((3, 4))
        file.attrs["keras_version"] = "2.3"
    message = refusal(folder)
    assert "weights.hdf5" in message
    assert any(name in message for name in NAMES)
    assert "dense_1" in message


def test_hdf5_file_without_anything_is_refused(folder: Path) -> None:
    h5py.File(folder / "weights.hdf5", "w").close()
    message = refusal(folder)
    assert any(name in message for name in NAMES)


# Damaged options


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" \n",
        b"lstm: {dim: 64}",
        b'{"lstm": {',
        b'{"lstm": {"dim": 64,}}',
        b"\x89HDF\r\n\x1a\n" + bytes(100),
        b"\xff\xfe{\x00}\x00",
        b'{"lstm": "caf\xe9"}',
        b"null",
        b"[]",
        b'"options"',
        b"12",
        b"NaN",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"lstm": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda data: repr(data[:12]),
)
def test_options_file_that_is_no_json_object_is_refused(
    folder: Path, data: bytes
) -> None:
    (folder / "options.json").write_bytes(data)
    assert "options.json" in refusal(folder)


@pytest.mark.parametrize(
    ("edit", "key"),
    [
        (lambda o: o["lstm"].update(dim="64"), "dim"),
        (lambda o: o["lstm"].update(dim=-64), "dim"),
        (lambda o: o["lstm"].update(cell_clip=float("nan")), "cell_clip"),
        (lambda o: o["lstm"].pop("projection_dim"), "projection_dim"),
        (lambda o: o["char_cnn"].update(filters=[[1, "4"]]), "filters"),
        (lambda o: o["char_cnn"].update(activation="selu"), "activation"),
        (lambda o: o.pop("char_cnn"), "char_cnn"),
    ],
)
def test_options_with_a_wrong_key_name_file_and_key(
    folder: Path, edit: Callable[[dict[str, Any]], Any], key: str
) -> None:
    edit_options(folder, edit)
    message = refusal(folder)
    assert "options.json" in message
    assert key in message


def test_options_file_that_is_a_folder_is_refused(folder: Path) -> None:
    (folder / "options.json").unlink()
    (folder / "options.json").mkdir()
    refusal(folder)
    refusal((folder / "options.json", folder / "weights.hdf5"))


# Options and weights that do not belong together


@pytest.mark.parametrize(
    ("edit", "name"),
    [
        (lambda o: o["lstm"].update(dim=17), "LSTMCell/"),
        (lambda o: o["lstm"].update(projection_dim=9), ""),
        (lambda o: o["lstm"].update(n_layers=3), "Cell2"),
        (lambda o: o["char_cnn"].update(n_highway=2), "CNN_high_1"),
        (lambda o: o["char_cnn"]["embedding"].update(dim=5), "char_embed"),
        (lambda o: o["char_cnn"].update(filters=[[1, 4], [2, 8]]), ""),
        (lambda o: o["char_cnn"].update(filters=[[1, 4], [2, 8], [4, 8]]), "W_cnn_2"),
        (lambda o: o["char_cnn"].update(filters=[[1, 4], [2, 7], [3, 9]]), "cnn_1"),
        (
            lambda o: o["char_cnn"].update(filters=[[1, 4], [2, 8], [3, 8], [4, 1]]),
            "",
        ),
    ],
)
def test_options_of_another_model_are_refused(
    folder: Path, edit: Callable[[dict[str, Any]], None], name: str
) -> None:
    edit_options(folder, edit)
    message = refusal(folder)
    assert "weights.hdf5" in message
    assert name in message


@pytest.mark.parametrize(
    ("part", "key"),
    [
        ("lstm", "dim"),
        ("lstm", "projection_dim"),
        ("lstm", "n_layers"),
        ("char_cnn", "n_highway"),
        ("char_cnn", "max_characters_per_token"),
    ],
)
def test_absurdly_large_options_are_refused_at_once(
    folder: Path, part: str, key: str
) -> None:
    """Before memory is allocated or all expected names are listed."""
    edit_options(folder, lambda options: options[part].update({key: 10**30}))
    message = refusal(folder)
    assert key in message or "LSTMCell" in message or "CNN_proj" in message


def test_file_with_more_layers_than_the_options_say_is_cut(
    make_model: MakeModel,
) -> None:
    """AllenNLP accepts it: the lower layers of a model are a model."""
    folder = make_model(seed=3, n_layers=3)
    whole = expected_arrays(folder)
    edit_options(folder, lambda options: options["lstm"].update(n_layers=2))
    files = read_model(folder)
    assert_same(files, {k: v for k, v in whole.items() if "Cell2" not in k})


def test_file_with_more_highways_than_the_options_say_is_refused(
    make_model: MakeModel,
) -> None:
    """Without the extra highway layer, every number would silently change."""
    folder = make_model(seed=3, n_highway=2)
    edit_options(folder, lambda options: options["char_cnn"].update(n_highway=1))
    assert "CNN_high_1" in refusal(folder)


def test_file_with_more_filters_than_the_options_say_is_refused(
    make_model: MakeModel,
) -> None:
    """Without highway layers and projection, no other shape shows it."""
    folder = make_model(
        filters=[[1, 4], [2, 4], [3, 5]],
        n_highway=0,
        with_cnn_projection=False,
        projection_dim=8,
    )
    edit_options(
        folder, lambda options: options["char_cnn"].update(filters=[[1, 4], [2, 4]])
    )
    assert "W_cnn_2" in refusal(folder)


def test_softmax_and_other_extras_in_the_file_are_ignored(folder: Path) -> None:
    arrays = expected_arrays(folder)
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        file["softmax/W"] = np.full((100, 8), np.nan)
        file["softmax/b"] = np.zeros(100)
        file["notes"] = "trained on a train"
        file.attrs["step"] = 12
    assert_same(read_model(folder), arrays)


@pytest.mark.parametrize("name", NAMES)
def test_missing_data_set_is_named(folder: Path, name: str) -> None:
    replace_dataset(folder, name, None)
    message = refusal(folder)
    assert "weights.hdf5" in message
    assert name in message


def test_projections_may_be_missing_where_the_widths_agree(
    make_model: MakeModel,
) -> None:
    folder = make_model(
        cell_dim=8,
        filters=[[1, 3], [2, 5]],
        with_projection=False,
        with_cnn_projection=False,
    )
    files = read_model(folder)
    assert not any("proj" in name or "W_P_0" in name for name in files.arrays)
    assert_same(files, expected_arrays(folder))


def test_projection_that_only_one_cell_lacks_is_damage(make_model: MakeModel) -> None:
    folder = make_model(cell_dim=8)
    name = "RNN_1/RNN/MultiRNNCell/Cell0/LSTMCell/W_P_0"
    replace_dataset(folder, name, None)
    assert name in refusal(folder)


def test_incomplete_token_projection_is_damage(make_model: MakeModel) -> None:
    for name in ("CNN_proj/W_proj", "CNN_proj/b_proj"):
        folder = make_model(filters=[[1, 3], [2, 5]])
        replace_dataset(folder, name, None)
        assert name in refusal(folder)


# Damaged weights


@pytest.mark.parametrize("name", NAMES)
def test_wrong_shape_names_found_and_expected(folder: Path, name: str) -> None:
    array = expected_arrays(folder)[name]
    shapes = [
        (*array.shape[:-1], array.shape[-1] + 1),
        (*array.shape, 1),
        (array.size,) if array.ndim > 1 else (1, array.size),
        (),
        (0, *array.shape[1:]),
    ]
    for shape in shapes:
        replace_dataset(folder, name, np.zeros(shape, np.float32))
        message = refusal(folder)
        assert "weights.hdf5" in message
        assert name in message
        assert str(shape) in message
        assert str(array.shape) in message


def test_transposed_matrix_is_refused(folder: Path) -> None:
    name = "CNN_proj/W_proj"
    replace_dataset(folder, name, expected_arrays(folder)[name].T)
    message = refusal(folder)
    assert "(8, 20)" in message
    assert "(20, 8)" in message


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", NAMES[::4])
def test_value_that_is_no_number_is_refused(
    folder: Path, name: str, dtype: str, bad: float
) -> None:
    array = expected_arrays(folder)[name].astype(dtype)
    array.flat[array.size // 2] = bad
    replace_dataset(folder, name, array)
    message = refusal(folder)
    assert "weights.hdf5" in message
    assert name in message


def test_value_that_float32_cannot_hold_is_refused(folder: Path) -> None:
    array = expected_arrays(folder)["char_embed"].astype(np.float64)
    array[5, 2] = 1e39
    replace_dataset(folder, "char_embed", array)
    assert "char_embed" in refusal(folder)


@pytest.mark.parametrize(
    "data",
    [
        np.array(["text"] * 261, dtype=object),
        np.full((261, 4), b"x", dtype="S3"),
        np.zeros((261, 4), dtype=[("x", "f4"), ("y", "f4")]),
        np.zeros((261, 4), dtype=np.complex64),
        np.zeros((261, 4), dtype=bool),
        h5py.Empty("f4"),
    ],
    ids=["text", "bytes", "compound", "complex", "bool", "empty"],
)
def test_data_set_of_something_else_than_floats_is_refused(
    folder: Path, data: Any
) -> None:
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        del file["char_embed"]
        file["char_embed"] = data
    message = refusal(folder)
    assert "weights.hdf5" in message
    assert "char_embed" in message


def test_group_in_place_of_a_data_set_is_refused(folder: Path) -> None:
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        del file["char_embed"]
        file["char_embed/embedding"] = np.zeros((261, 4), np.float32)
    assert "char_embed" in refusal(folder)


def test_data_set_in_place_of_a_group_is_refused(folder: Path) -> None:
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        del file["CNN_proj"]
        file["CNN_proj"] = np.zeros((20, 8), np.float32)
    assert "CNN_proj" in refusal(folder)


@pytest.mark.parametrize(
    "link", [h5py.SoftLink("/nowhere"), h5py.ExternalLink("gone.hdf5", "/x")]
)
def test_link_that_leads_nowhere_is_refused(folder: Path, link: Any) -> None:
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        del file["char_embed"]
        file["char_embed"] = link
    assert "char_embed" in refusal(folder)


def test_data_set_that_was_never_written_is_refused(folder: Path) -> None:
    """It would read as zeros: the writer died before it wrote the numbers."""
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        del file["CNN_high_0/W_carry"]
        file.create_dataset("CNN_high_0/W_carry", (20, 20), "f4")
    assert "CNN_high_0/W_carry" in refusal(folder)


def test_data_set_of_which_a_chunk_is_missing_is_refused(folder: Path) -> None:
    array = expected_arrays(folder)["CNN_high_0/W_carry"]
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        del file["CNN_high_0/W_carry"]
        file.create_dataset("CNN_high_0/W_carry", (20, 20), "f4", chunks=(10, 20))
        file["CNN_high_0/W_carry"][:10] = array[:10]
    assert "CNN_high_0/W_carry" in refusal(folder)


def test_file_that_claims_more_than_memory_is_refused(folder: Path) -> None:
    """A few kilobytes of HDF5 can describe a data set of many terabytes."""
    edit_options(folder, lambda options: options["lstm"].update(dim=10**9))
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        for direction in (0, 1):
            for layer in (0, 1):
                at = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
                del file[at]
                for name, shape in [
                    ("W_0", (16, 4 * 10**9)),
                    ("B", (4 * 10**9,)),
                    ("W_P_0", (10**9, 8)),
                ]:
                    file.create_dataset(f"{at}/{name}", shape, "f4", chunks=True)
    assert "LSTMCell" in refusal(folder)


def test_file_cut_anywhere_is_refused(folder: Path, tmp_path: Path) -> None:
    data = (folder / "weights.hdf5").read_bytes()
    lengths = [0, 1, 7, 8, 9, 95, 96, 511, 512, 513, 1024, 2048]
    lengths += [len(data) * k // 20 for k in range(1, 20)] + [len(data) - 1]
    for length in lengths:
        (folder / "weights.hdf5").write_bytes(data[:length])
        assert "weights.hdf5" in refusal(folder)


def test_text_file_in_place_of_weights_is_refused(folder: Path) -> None:
    for data in [b"version https://git-lfs.github.com/spec/v1\n", b"<html>404</html>"]:
        (folder / "weights.hdf5").write_bytes(data)
        assert "weights.hdf5" in refusal(folder)


def test_flipped_bytes_never_end_in_another_error(folder: Path) -> None:
    """Plain HDF5 has no checksums: other numbers may result, but nothing worse."""
    path = folder / "weights.hdf5"
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    positions = [*range(0, 1024, 13), *rng.integers(0, len(data), 60).tolist()]
    for position in positions:
        spoilt = bytearray(data)
        spoilt[position] ^= int(rng.integers(1, 256))
        path.write_bytes(spoilt)
        try:
            files = read_model(folder)
        except ModelFileError as error:
            assert "weights.hdf5" in str(error)  # noqa: PT017
        else:
            assert all(np.isfinite(a).all() for a in files.arrays.values())


def test_flipped_byte_in_a_file_of_ours_is_noticed(
    folder: Path, tmp_path: Path
) -> None:
    files = read_model(folder)
    write_model(tmp_path / "ours", files.options, files.arrays)
    path = tmp_path / "ours" / "weights.hdf5"
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    noticed = 0
    positions = [*range(0, 2048, 31), *rng.integers(0, len(data), 50).tolist()]
    for position in positions:
        spoilt = bytearray(data)
        spoilt[position] ^= int(rng.integers(1, 256))
        path.write_bytes(spoilt)
        try:
            found = read_model(tmp_path / "ours")
        except ModelFileError:
            noticed += 1
        else:  # it fell on a byte that means nothing
            assert found.digest == files.digest, position
    assert noticed > 30


# Checksums of our own


def checksum_offsets(data: bytes) -> list[int]:
    """Return the positions of all checksum attributes."""
    found, start = [], data.find(CHECKSUM_NAME.encode())
    while start >= 0:
        found.append(start)
        start = data.find(CHECKSUM_NAME.encode(), start + 1)
    return found


def test_checksums_are_strings_of_fixed_length(folder: Path) -> None:
    files = read_model(folder)
    write_model(folder, files.options, files.arrays)
    for path in (folder / "weights.hdf5", DEFAULT_WEIGHTS):
        with h5py.File(path) as file:
            assert list(file.attrs) == []
            for name in NAMES:
                assert list(file[name].attrs) == [CHECKSUM_NAME]
                type_id = file[name].attrs.get_id(CHECKSUM_NAME).get_type()
                assert not type_id.is_variable_str()
                assert type_id.get_size() == 64


def test_flipped_bits_in_a_checksum_attribute_do_not_crash(folder: Path) -> None:
    files = read_model(folder)
    write_model(folder, files.options, files.arrays)
    path = folder / "weights.hdf5"
    data = path.read_bytes()
    start = checksum_offsets(data)[0]
    for bit in range(-24 * 8, 112 * 8, 3):
        spoilt = bytearray(data)
        spoilt[start + bit // 8] ^= 1 << bit % 8
        path.write_bytes(spoilt)
        try:
            found = read_model(folder)
        except ModelFileError:
            continue
        assert found.digest == files.digest


@pytest.mark.parametrize("shift", [25, 4, 8, 20, 24, 26, 28, 32, 40, 44])
@pytest.mark.parametrize("bit", [0, 1, 2, 3, 7])
def test_string_of_variable_length_at_the_root_is_never_read(
    folder: Path, shift: int, bit: int
) -> None:
    """Older versions wrote one; HDF5 crashes when some of its bits are flipped."""
    files = read_model(folder)
    write_model(folder, files.options, files.arrays)
    path = folder / "weights.hdf5"
    with h5py.File(path, "r+") as file:
        for name in files.arrays:
            del file[name].attrs[CHECKSUM_NAME]
        file.attrs[CHECKSUM_NAME] = "0123456789abcdef" * 4
    assert read_model(folder).digest == files.digest
    spoilt = bytearray(path.read_bytes())
    spoilt[spoilt.find(CHECKSUM_NAME.encode()) + shift] ^= 1 << bit
    path.write_bytes(spoilt)
    with contextlib.suppress(ModelFileError):
        assert read_model(folder).digest == files.digest


@pytest.mark.parametrize(
    "value",
    [
        "0123456789abcdef" * 4,
        np.bytes_(b"short"),
        np.full(2, b"a" * 64),
        7,
        np.zeros(64, np.uint8),
        h5py.Empty("S64"),
    ],
    ids=["variable", "short", "two", "int", "bytes", "empty"],
)
def test_checksum_of_another_type_is_refused(folder: Path, value: Any) -> None:
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        file["char_embed"].attrs[CHECKSUM_NAME] = value
    message = refusal(folder)
    assert "char_embed" in message
    assert CHECKSUM_NAME in message


def test_checksum_that_does_not_match_is_refused(folder: Path) -> None:
    files = read_model(folder)
    write_model(folder, files.options, files.arrays)
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        file["CNN_proj/b_proj"][3] += 1
    assert "CNN_proj/b_proj" in refusal(folder)


# Damaged zips


def zip_of(tiny_model: Path, tmp_path: Path) -> Path:
    names = {"options.json": "options.json", "weights.hdf5": "model.hdf5"}
    return make_zip(tmp_path / "model.zip", tiny_model, names)


def test_zip_cut_anywhere_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    path = zip_of(tiny_model, tmp_path)
    data = path.read_bytes()
    for length in [0, 1, 4, 30, len(data) // 2, len(data) - 30, len(data) - 1]:
        path.write_bytes(data[:length])
        assert "model.zip" in refusal(path)


def test_flipped_byte_in_a_zip_is_noticed(tiny_model: Path, tmp_path: Path) -> None:
    path = zip_of(tiny_model, tmp_path)
    digest = read_model(path).digest
    data = path.read_bytes()
    rng = np.random.default_rng(1)
    positions = [*range(0, 100, 3), *range(len(data) - 200, len(data), 3)]
    positions += rng.integers(0, len(data), 100).tolist()
    noticed = 0
    for position in positions:
        spoilt = bytearray(data)
        spoilt[position] ^= int(rng.integers(1, 256))
        path.write_bytes(spoilt)
        try:
            found = read_model(path)
        except ModelFileError as error:
            noticed += 1
            assert "model.zip" in str(error)  # noqa: PT017
        else:
            assert found.digest == digest, position
    assert noticed > 100


@pytest.mark.parametrize(("offset", "value"), [(8, 1), (10, 99)])
def test_zip_with_a_password_or_unknown_method_is_refused(
    tiny_model: Path, tmp_path: Path, offset: int, value: int
) -> None:
    """Offset 8 of a directory entry is its flags, 10 its compression method."""
    path = zip_of(tiny_model, tmp_path)
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        struct.pack_into("<H", data, at + offset, value)
        at = data.find(b"PK\x01\x02", at + 4)
    at = data.find(b"PK\x03\x04")
    while at >= 0:
        struct.pack_into("<H", data, at + offset - 2, value)
        at = data.find(b"PK\x03\x04", at + 4)
    path.write_bytes(data)
    assert "model.zip" in refusal(path)


def test_weights_in_a_zip_that_do_not_fit_name_zip_and_data_set(
    folder: Path, tmp_path: Path
) -> None:
    replace_dataset(folder, "CNN_proj/b_proj", np.zeros(9, np.float32))
    message = refusal(zip_of(folder, tmp_path))
    assert "model.zip" in message
    assert "CNN_proj/b_proj" in message


# Writing


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_written_model_is_read_again(folder: Path, tmp_path: Path, dtype: str) -> None:
    files = read_model(folder)
    target = tmp_path / "new" / "model"
    write_model(target, files.options, files.arrays, dtype=dtype)
    right = {k: v.astype(dtype) for k, v in files.arrays.items()}
    again = read_model(target)
    assert again.options == files.options
    assert_same(again, right)
    assert (again.digest == files.digest) is (dtype == "float32")
    # As any other reader of AllenNLP's layout sees it.
    plain = expected_arrays(target)
    assert plain.keys() == right.keys()
    for name, array in plain.items():
        assert array.dtype == dtype
        np.testing.assert_array_equal(array, right[name])
    raw = json.loads((target / "options.json").read_text("utf-8"))
    assert raw == files.options.to_dict()
    assert sorted(p.name for p in target.iterdir()) == ["options.json", "weights.hdf5"]


def test_written_float16_model_is_half_as_large(
    make_model: MakeModel, tmp_path: Path
) -> None:
    files = read_model(make_model(cell_dim=256, projection_dim=64))
    sizes = {}
    for dtype in ("float32", "float16"):
        write_model(tmp_path / dtype, files.options, files.arrays, dtype=dtype)
        sizes[dtype] = (tmp_path / dtype / "weights.hdf5").stat().st_size
    numbers = sum(array.size for array in files.arrays.values())
    assert sizes["float32"] < 4.2 * numbers
    assert sizes["float16"] < 2.2 * numbers


def test_model_without_projections_is_read_again(
    make_model: MakeModel, tmp_path: Path
) -> None:
    files = read_model(
        make_model(
            cell_dim=8,
            filters=[[2, 8]],
            with_projection=False,
            with_cnn_projection=False,
            cell_clip=None,
            n_highway=0,
        )
    )
    write_model(tmp_path, files.options, files.arrays)
    again = read_model(tmp_path)
    assert again.digest == files.digest
    assert again.options == files.options


def test_write_model_replaces_an_older_one(folder: Path, make_model: MakeModel) -> None:
    other = read_model(make_model(seed=99))
    write_model(folder, other.options, other.arrays)
    assert read_model(folder).digest == other.digest
    assert sorted(p.name for p in folder.iterdir()) == ["options.json", "weights.hdf5"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
def test_written_files_can_be_read_by_others(folder: Path, tmp_path: Path) -> None:
    files = read_model(folder)
    old = os.umask(0o022)
    try:
        write_model(tmp_path / "shared", files.options, files.arrays)
    finally:
        os.umask(old)
    for path in (tmp_path / "shared").iterdir():
        assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "spoil",
    [
        lambda arrays: arrays.pop("CNN_proj/b_proj"),
        lambda arrays: arrays.update(char_embed=np.zeros((261, 5), np.float32)),
        lambda arrays: arrays.update(char_embed=np.full((261, 4), np.nan, np.float32)),
    ],
    ids=["missing", "shape", "nan"],
)
def test_write_model_refuses_what_could_not_be_read(
    folder: Path, spoil: Callable[[dict[str, np.ndarray]], Any]
) -> None:
    files = read_model(folder)
    arrays = dict(files.arrays)
    spoil(arrays)
    with pytest.raises(ValueError, match=r"char_embed|CNN_proj/b_proj"):
        write_model(folder, files.options, arrays)
    assert read_model(folder).digest == files.digest
    assert sorted(p.name for p in folder.iterdir()) == ["options.json", "weights.hdf5"]


def test_write_model_refuses_numbers_that_float16_cannot_hold(folder: Path) -> None:
    files = read_model(folder)
    arrays = dict(files.arrays)
    arrays["CNN_proj/b_proj"] = np.full(8, 7e4, np.float32)
    with pytest.raises(ValueError, match="CNN_proj/b_proj"):
        write_model(folder, files.options, arrays, dtype="float16")
    assert read_model(folder).digest == files.digest


@pytest.mark.parametrize("dtype", ["int8", "float8", "bfloat16"])
def test_write_model_refuses_another_dtype(folder: Path, dtype: str) -> None:
    files = read_model(folder)
    with pytest.raises((ValueError, TypeError), match="type"):
        write_model(folder, files.options, files.arrays, dtype=dtype)
    assert read_model(folder).digest == files.digest


def test_write_that_fails_leaves_the_older_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch, make_model: MakeModel
) -> None:
    before = read_model(folder).digest
    other = read_model(make_model(seed=98))

    def fail(*_: object, **__: object) -> None:
        message = "No space left on device"
        raise OSError(28, message)

    monkeypatch.setattr(h5py.Group, "create_dataset", fail)
    with pytest.raises(OSError, match="space"):
        write_model(folder, other.options, other.arrays)
    monkeypatch.undo()
    assert read_model(folder).digest == before
    assert sorted(p.name for p in folder.iterdir()) == ["options.json", "weights.hdf5"]
