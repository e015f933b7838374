"""Prepared weights that processes share through a mapped file."""

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from sklearn_elmo.bilm import packed_memory, products, shared_weights
from sklearn_elmo.bilm.encoder import Encoder
from sklearn_elmo.bilm.model import BiLm
from sklearn_elmo.bilm.prepared_file import can_be_mapped, map_weights, save_weights
from sklearn_elmo.bilm.prepared_weights import PreparedWeights
from sklearn_elmo.bilm.products import PRECISIONS
from sklearn_elmo.bilm.reductions import token_layers
from sklearn_elmo.bilm.weights import read_model
from sklearn_elmo.errors import ModelFileError
from sklearn_elmo.models import LoadedModel, open_model

MAPS = Path("/proc/self/maps")
TEXTS = [["A", "cat", "and", "a", "d" + "o" * 60 + "g", "."], ["Stop", "!"]]

linux_only = pytest.mark.skipif(not MAPS.exists(), reason="needs Linux's list of maps")


@pytest.fixture(scope="module")
def model(make_model: Any) -> BiLm:
    return load(make_model(seed=3, cell_dim=48, projection_dim=16))


@pytest.fixture(autouse=True, params=["packed", "plain"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Either kind of weights, whatever is faster here, and small models too."""
    monkeypatch.setattr(shared_weights, "_LEAST_BYTES", 0)
    is_packed = request.param == "packed"
    if is_packed and not (
        products._packing_works(torch.float32) and packed_memory.works()
    ):
        pytest.skip("this PyTorch maps no packed weights")
    monkeypatch.setattr(products, "_packing_is_faster", lambda: is_packed)
    return str(request.param)


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


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.hdf5"))


def run(code: str, home: Path) -> str:
    """Run code in a new process with a home, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"SKLEARN_ELMO_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def load(folder: Path) -> BiLm:
    found = read_model(folder)
    return BiLm.from_arrays(found.options, found.arrays)


def only_file(folder: Path) -> Path:
    (path,) = files(folder)
    return path


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_are_made_once(model: BiLm, tmp_path: Path, precision: Any) -> None:
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
    assert len(files(tmp_path)) == 6


def test_other_processor_or_torch_makes_its_own(
    model: BiLm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Maker(model).share(tmp_path)
    monkeypatch.setattr(shared_weights, "_processor", lambda: "another")
    Maker(model).share(tmp_path)
    monkeypatch.setattr("platform.node", lambda: "another")
    Maker(model).share(tmp_path)
    monkeypatch.setattr(torch, "__version__", "another")
    Maker(model).share(tmp_path)
    assert len(files(tmp_path)) == 4


def flip_a_number(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["factors/forward_1/gates/0"][100] ^= 1


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5000])


def drop_a_data_set(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["factors/forward_1/gates"]


def change(name: str, value: object) -> Callable[[Path], None]:
    def do(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            attributes = file["factors/forward_1/gates/0"].attrs
            if name in attributes:
                attributes[name] = value
            else:  # plain weights are described by fewer attributes
                attributes["form"] = "other"

    return do


def fill_with_text(path: Path) -> None:
    path.write_text("no HDF5")


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_number,
        cut,
        drop_a_data_set,
        fill_with_text,
        change("form", "unheard of"),
        change("shape", ()),
        change("shape", (5,)),
        change("dtype", "torch.complex64"),
        change("packed", np.zeros(772, dtype=np.uint8)),
    ],
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
    with pytest.raises(ModelFileError, match=r"forward_1/gates/0 is not what was"):
        map_weights(path)


def test_folder_that_cannot_be_made(model: BiLm, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_same(Maker(model).share(tmp_path / "file" / "prepared"), model, "float32")


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits for a process")
@pytest.mark.parametrize("n_bytes", [0, 20_000])
def test_full_disk(tmp_path: Path, tiny_model: Path, kind: str, n_bytes: int) -> None:
    code = f"""
import resource, signal, sys
from pathlib import Path
from sklearn_elmo import ElmoVectorizer
from sklearn_elmo.bilm import products, shared_weights
shared_weights._LEAST_BYTES = 0
products._packing_is_faster = lambda: {kind == "packed"}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({n_bytes}, {n_bytes}))
print(ElmoVectorizer({str(tiny_model)!r}).fit_transform(["A cat ."]).shape)
"""
    assert run(code, tmp_path) == "(1, 16)"
    assert [path.name for path in (tmp_path / "prepared").iterdir()] == [".lock"]


def test_user_without_a_home(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKLEARN_ELMO_HOME", "~nobody-of-this-name/x")
    assert LoadedModel(tiny_model).encoder("cpu", "float32").options.n_layers == 2


def test_processes_that_start_together_share(
    tmp_path: Path, tiny_model: Path, kind: str
) -> None:
    code = f"""
import os, sys
from pathlib import Path
from sklearn_elmo.bilm import shared_weights
from sklearn_elmo.models import LoadedModel
shared_weights._LEAST_BYTES = 0
model = LoadedModel({str(tiny_model)!r})
print("ready", flush=True)
sys.stdin.readline()
encoder = model.encoder("cpu", "float32")
print(*(p.stat().st_ino for p in Path({str(tmp_path)!r}, "prepared").glob("*.hdf5")))
"""
    environment = os.environ | {"SKLEARN_ELMO_HOME": str(tmp_path)}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    found = {child.communicate("go\n", timeout=120)[0] for child in children}
    assert found == {f"{only_file(tmp_path / 'prepared').stat().st_ino}\n"}


def test_what_a_killed_writer_left_goes(model: BiLm, tmp_path: Path) -> None:
    old, young = tmp_path / ".sklearn-elmo-1.tmp", tmp_path / ".sklearn-elmo-2.tmp"
    for path in (old, young):
        path.write_bytes(b"half a file")
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    Maker(model).share(tmp_path)
    assert not old.exists()
    assert young.exists()


def test_version_is_raised_when_files_change(
    tiny_model: Path, tmp_path: Path, kind: str
) -> None:
    """If this fails, raise `_VERSION`, then put the new numbers here."""
    if kind == "packed":
        pytest.skip("packed bytes differ between processors")
    weights = Encoder.weights_of(load(tiny_model), "float32")
    save_weights(tmp_path / "file.hdf5", weights)
    with h5py.File(tmp_path / "file.hdf5") as file:
        content = file.attrs["sha256"]
    assert (shared_weights._VERSION, content[:16]) == (1, "967d05d90b37634d")


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
    assert len(files(tmp_path)) == 2


def test_small_models_stay_in_memory(
    model: BiLm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = Encoder.weights_of(model, "float32")
    monkeypatch.setattr(shared_weights, "_LEAST_BYTES", weights.n_bytes + 1)
    Maker(model).share(tmp_path)
    assert files(tmp_path) == []


def test_torch_that_maps_no_packed_weights(
    model: BiLm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(packed_memory, "works", lambda: False)
    weights = Maker(model).share(tmp_path)
    assert can_be_mapped(weights) is (kind == "plain")
    assert bool(files(tmp_path)) is (kind == "plain")
    assert_same(weights, model, "float32")


@pytest.mark.parametrize("missing", ["_library", "packed_bytes"])
def test_torch_without_the_interface_is_noticed(
    monkeypatch: pytest.MonkeyPatch, missing: str, kind: str
) -> None:
    def fail(*_: object) -> None:
        raise AttributeError

    if kind == "plain":
        pytest.skip("needs packed weights")
    monkeypatch.setattr(packed_memory, missing, fail)
    assert not packed_memory.works.__wrapped__()


def test_weight_keeps_its_memory(tmp_path: Path) -> None:
    weight = torch.randn(96, 64, generator=torch.Generator().manual_seed(0))
    weights = PreparedWeights()
    weights.add("factor", weight, None, "float32")
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
