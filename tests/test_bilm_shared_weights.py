"""Prepared weights that processes share through a mapped file."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from sklearn_elmo.bilm import packed_memory, shared_weights
from sklearn_elmo.bilm.encoder import Encoder
from sklearn_elmo.bilm.model import BiLm
from sklearn_elmo.bilm.prepared_weights import PreparedWeights
from sklearn_elmo.bilm.products import PRECISIONS, prepare_weight
from sklearn_elmo.bilm.reductions import token_layers
from sklearn_elmo.bilm.weight_file import can_be_mapped, map_weights, save_weights
from sklearn_elmo.bilm.weights import read_model
from sklearn_elmo.errors import ModelFileError
from sklearn_elmo.models import open_model

MAPS = Path("/proc/self/maps")
TEXTS = [["A", "cat", "and", "a", "d" + "o" * 60 + "g", "."], ["Stop", "!"]]

linux_only = pytest.mark.skipif(not MAPS.exists(), reason="needs Linux's list of maps")


@pytest.fixture(scope="module")
def model(make_model: Any) -> BiLm:
    files = read_model(make_model(seed=3, cell_dim=48, projection_dim=16))
    return BiLm.from_arrays(files.options, files.arrays)


@pytest.fixture(autouse=True)
def share_small_models_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_weights, "_LEAST_BYTES", 0)


class Maker:
    """Makes weights and counts how often."""

    def __init__(self, model: BiLm, precision: Any = "float32") -> None:
        self.model, self.precision = model, precision
        self.n_calls = 0

    def __call__(self) -> PreparedWeights:
        self.n_calls += 1
        return Encoder.weights_of(self.model, self.precision)

    def share(self, folder: Path, digest: str = "digest") -> PreparedWeights:
        return shared_weights.shared_weights(folder, digest, self.precision, self)


def layers_of(weights: PreparedWeights, model: BiLm) -> list[np.ndarray]:
    encoder = Encoder(weights, model.options)
    return token_layers(
        encoder, TEXTS, layers=[0, 1, 2], state="warm", window_tokens=100
    )


def assert_same(weights: PreparedWeights, model: BiLm, precision: Any) -> None:
    expected = layers_of(Encoder.weights_of(model, precision), model)
    for found, right in zip(layers_of(weights, model), expected, strict=True):
        np.testing.assert_array_equal(found, right)


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


@pytest.mark.parametrize("precision", PRECISIONS)
def test_second_process_finds_the_first_ones_weights(
    model: BiLm, tmp_path: Path, precision: Any
) -> None:
    make = Maker(model, precision)
    for _ in range(2):
        assert_same(make.share(tmp_path / "prepared"), model, precision)
    assert make.n_calls == 1


@linux_only
def test_numbers_lie_in_the_file_and_are_let_go(model: BiLm, tmp_path: Path) -> None:
    weights = Maker(model).share(tmp_path)
    path = str(only_file(tmp_path))
    assert path in MAPS.read_text()
    del weights
    gc.collect()
    assert path not in MAPS.read_text()


def test_each_model_and_precision_has_a_file(model: BiLm, tmp_path: Path) -> None:
    for precision in PRECISIONS:
        for digest in ("one", "other"):
            Maker(model, precision).share(tmp_path, digest)
    assert len(list(tmp_path.iterdir())) == 6


def test_other_processor_or_torch_makes_its_own(
    model: BiLm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Maker(model).share(tmp_path)
    monkeypatch.setattr(shared_weights, "_processor", lambda: "another")
    Maker(model).share(tmp_path)
    monkeypatch.setattr(torch, "__version__", "another")
    Maker(model).share(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def flip_a_number(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["factors/forward_1/gates/0"][100] ^= 1


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5000])


def drop_a_data_set(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["tensors/tokens/characters"].attrs["shape"]


def fill_with_text(path: Path) -> None:
    path.write_text("no HDF5")


@pytest.mark.parametrize(
    "damage", [flip_a_number, cut, drop_a_data_set, fill_with_text]
)
def test_damaged_file_is_made_anew(
    model: BiLm, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    make = Maker(model)
    make.share(tmp_path)
    damage(only_file(tmp_path))
    for _ in range(2):
        assert_same(make.share(tmp_path), model, "float32")
    assert make.n_calls == 2


def test_damage_is_named(model: BiLm, tmp_path: Path) -> None:
    Maker(model).share(tmp_path)
    path = only_file(tmp_path)
    flip_a_number(path)
    with pytest.raises(ModelFileError, match=r"forward_1/gates/0 is damaged"):
        map_weights(path)


def test_folder_that_cannot_be_made(model: BiLm, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_same(Maker(model).share(tmp_path / "file" / "prepared"), model, "float32")


def test_full_disk(
    model: BiLm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, weights: PreparedWeights) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shared_weights, "save_weights", fail)
    assert_same(Maker(model).share(tmp_path), model, "float32")
    assert list(tmp_path.iterdir()) == []


def test_files_unused_for_longest_go_first(
    model: BiLm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Maker(model)
    make.share(tmp_path, "a")
    size = only_file(tmp_path).stat().st_size
    monkeypatch.setattr(shared_weights, "_MOST_BYTES", int(2.5 * size))
    make.share(tmp_path, "b")
    make.share(tmp_path, "a")  # used, and so younger than b
    make.share(tmp_path, "c")
    make.share(tmp_path, "a")
    make.share(tmp_path, "c")
    assert make.n_calls == 3
    make.share(tmp_path, "b")
    assert make.n_calls == 4
    assert len(list(tmp_path.iterdir())) == 2


def test_small_models_stay_in_memory(
    model: BiLm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = Encoder.weights_of(model, "float32")
    monkeypatch.setattr(shared_weights, "_LEAST_BYTES", weights.n_bytes + 1)
    Maker(model).share(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_torch_that_maps_no_packed_weights(
    model: BiLm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_memory, "works", lambda: False)
    weights = Maker(model).share(tmp_path)
    is_packed = any(f.tensors[0].is_mkldnn for f in weights.factors.values())
    assert can_be_mapped(weights) is not is_packed
    assert bool(list(tmp_path.iterdir())) is not is_packed
    assert_same(weights, model, "float32")


@pytest.mark.parametrize("missing", ["_library", "packed_bytes"])
def test_torch_without_the_interface_is_noticed(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    def fail(*_: object) -> None:
        raise AttributeError

    monkeypatch.setattr(packed_memory, missing, fail)
    prepared = prepare_weight(torch.zeros(32, 16), "float32")
    works = packed_memory.works.__wrapped__()
    assert works is not prepared.tensors[0].is_mkldnn


def test_packed_weight_keeps_its_memory(tmp_path: Path) -> None:
    weight = torch.randn(96, 64, generator=torch.Generator().manual_seed(0))
    weights = PreparedWeights()
    weights.add("factor", weight, None, "float32")
    if not can_be_mapped(weights):
        pytest.skip("this PyTorch maps no packed weights")
    save_weights(tmp_path / "file.hdf5", weights)
    product = map_weights(tmp_path / "file.hdf5").product("factor")
    (tmp_path / "file.hdf5").unlink()
    gc.collect()
    filler = [np.full(10_000, k) for k in range(50)]
    inputs = torch.randn(7, 64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(product(inputs), inputs @ weight.t())
    assert len(filler) == 50


@linux_only
def test_models_are_mapped(home: Path) -> None:
    open_model("default").encoder("cpu", "float32")
    assert str(home / "prepared") in MAPS.read_text()
