"""From names and files of models to one loaded copy per process."""

import multiprocessing
import os
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from sklearn_elmo import ElmoVectorizer, models
from sklearn_elmo.errors import (
    InvalidParameterError,
    ModelFileError,
    ModelNotFetchedError,
)
from sklearn_elmo.models import LoadedModel, open_model, resolve_device


@pytest.fixture
def model_copy(tiny_model, tmp_path):
    """A copy of the tiny model that a test may change."""
    return shutil.copytree(tiny_model, tmp_path / "model")


def test_list_models_names_those_of_the_contract():
    expected = {"default", "small", "medium", "original", "original-5.5b"}
    expected |= {"portuguese", "pubmed"}
    names = models.list_models()
    assert expected <= set(names)
    assert names[0] == "default"
    assert len(set(names)) == len(names)


def test_describe_a_folder_reads_no_weights(tiny_model, monkeypatch):
    monkeypatch.setattr("sklearn_elmo.models.read_model", None)
    described = models.describe(str(tiny_model))
    assert described["n_layers"] == 2
    assert described["width"] == 16
    assert described["source"] == str(tiny_model)
    files = [tiny_model / "options.json", tiny_model / "weights.hdf5"]
    assert described["bytes"] == sum(file.stat().st_size for file in files)


def test_describe_counts_the_parameters(tiny_model):
    model = models.load(str(tiny_model))
    assert models.describe(tiny_model)["n_parameters"] == sum(
        array.size for array in model.to_arrays().values()
    )


def test_describe_the_bundled_model():
    described = models.describe("default")
    assert described["languages"] == ["en"]
    assert "BSD-3-Clause" in described["credits"]
    assert described["description"]
    assert described["width"] == 512
    assert described["n_parameters"] == 7_176_016
    assert described["bytes"] == 14_523_100 + 588
    found = {name: file.sha256 for name, file in models.verify("default").items()}
    assert described["sha256"] == found


@pytest.mark.parametrize("name", ["options.json", "weights.hdf5"])
def test_verify_notices_a_changed_bundled_model(tmp_path, monkeypatch, name):
    folder = shutil.copytree(models._DEFAULT_FOLDER, tmp_path / "default_model")
    monkeypatch.setattr(models, "_DEFAULT_FOLDER", folder)
    sizes = {file.name: file.stat().st_size for file in folder.iterdir()}
    assert all(
        found.size == sizes[file] for file, found in models.verify("default").items()
    )
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(ModelFileError, match=name):
        models.verify("default")
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        models.verify("default")


def test_verify_a_model_that_is_not_here():
    with pytest.raises(ModelNotFetchedError, match="no_such_model"):
        models.verify("no_such_model")


def test_describe_a_model_that_was_not_fetched():
    described = models.describe("original")
    assert described["source"] is None
    assert described["width"] == 1024


@pytest.mark.parametrize("call", [models.describe, models.load, open_model])
def test_unknown_name_lists_the_known_ones(call):
    with pytest.raises(ModelFileError, match=r"'defualt'.*default, small"):
        call("defualt")


@pytest.mark.parametrize("call", [models.describe, models.load, open_model])
def test_folder_that_holds_no_model_is_named(call, tmp_path):
    with pytest.raises(ValueError, match=str(tmp_path)):
        call(tmp_path)


def test_model_that_was_not_fetched_says_how_to_fetch_it(monkeypatch, tmp_path):
    monkeypatch.setenv("SKLEARN_ELMO_HOME", str(tmp_path))
    monkeypatch.delenv("SKLEARN_ELMO_DOWNLOAD", raising=False)
    with pytest.raises(FileNotFoundError, match="fetch") as caught:
        ElmoVectorizer("original").fit(["a"])
    assert "original" in str(caught.value)


def test_load_gives_a_module_of_the_callers_own(tiny_model):
    first, second = models.load(str(tiny_model)), models.load(str(tiny_model))
    assert isinstance(first, torch.nn.Module)
    assert not first.training
    assert first is not second
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.zero_()
    assert any(parameter.abs().sum() > 0 for parameter in second.parameters())
    assert np.abs(ElmoVectorizer(str(tiny_model)).fit_transform(["a"])).sum() > 0


def test_open_model_gives_one_copy_whatever_it_is_called(tiny_model, monkeypatch):
    monkeypatch.chdir(tiny_model.parent)
    pair = (tiny_model / "options.json", str(tiny_model / "weights.hdf5"))
    names = [str(tiny_model), tiny_model, tiny_model.name, f"./{tiny_model.name}", pair]
    copies = {id(open_model(name)) for name in names}
    assert len(copies) == 1


def test_one_encoder_per_device_and_precision(tiny_model):
    model = open_model(tiny_model)
    first = model.encoder("cpu", "float32")
    assert model.encoder("cpu", "float32") is first
    assert model.encoder("cpu", "bfloat16") is not first


def test_estimators_of_a_process_share_one_copy(tiny_model, monkeypatch):
    made = []
    original = LoadedModel.__init__

    def count(self, location):
        made.append(location)
        original(self, location)

    monkeypatch.setattr(LoadedModel, "__init__", count)
    monkeypatch.setattr(models, "_models", type(models._models)())
    for _ in range(5):
        ElmoVectorizer(str(tiny_model), layers=0).fit(["a"]).transform(["b"])
    assert len(made) == 1


def test_many_threads_load_one_copy(tiny_model, monkeypatch):
    monkeypatch.setattr(models, "_models", type(models._models)())
    barrier = threading.Barrier(8)

    def load(_):
        barrier.wait(timeout=30)
        return id(open_model(tiny_model).encoder("cpu", "float32"))

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(load, range(8)))) == 1


def test_changed_weights_are_read_again(model_copy, make_model):
    before = open_model(model_copy)
    shutil.copy(make_model(seed=8) / "weights.hdf5", model_copy / "weights.hdf5")
    after = open_model(model_copy)
    assert after is not before
    assert after.digest != before.digest


def test_weights_replaced_under_their_old_time_and_size_are_noticed(
    model_copy, make_model
):
    """As after ``rsync --times`` or unpacking an archive."""
    before = open_model(model_copy)
    path = model_copy / "weights.hdf5"
    status = path.stat()
    other = make_model(seed=8) / "weights.hdf5"
    assert other.stat().st_size == status.st_size
    replacement = model_copy / "new"
    shutil.copy(other, replacement)
    os.utime(replacement, ns=(status.st_atime_ns, status.st_mtime_ns))
    replacement.replace(path)
    assert open_model(model_copy).digest != before.digest


def test_touched_files_keep_their_digest(model_copy):
    before = open_model(model_copy).digest
    os.utime(model_copy / "weights.hdf5")
    assert open_model(model_copy).digest == before


def test_digest_is_that_of_the_content_not_the_place(tiny_model, model_copy):
    assert open_model(model_copy).digest == open_model(tiny_model).digest


def test_files_that_vanish_while_loaded_are_an_error(model_copy):
    open_model(model_copy)
    shutil.rmtree(model_copy)
    with pytest.raises(ModelFileError, match=model_copy.name):
        open_model(model_copy)


def test_second_precision_of_files_that_changed_meanwhile_is_not_mixed_up(
    model_copy, make_model
):
    """The first encoder drops the arrays; a second has to read the files again."""
    model = open_model(model_copy)
    digest = model.digest
    model.encoder("cpu", "float32")
    shutil.copy(make_model(seed=8) / "weights.hdf5", model_copy / "weights.hdf5")
    with pytest.raises(ValueError, match="model"):
        model.encoder("cpu", "bfloat16")
    assert model.digest == digest


def test_few_models_are_kept(make_model):
    opened = [open_model(make_model(seed=seed)) for seed in range(20, 26)]
    assert len(models._models) < len(opened)
    assert opened[-1] in models._models.values()


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_resolve_device_finds_the_cpu(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device(device) == "cpu"


def test_resolve_device_takes_the_first_cuda_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto").startswith("cuda")
    assert resolve_device("cuda:1") == "cuda:1"
    with pytest.raises(InvalidParameterError, match="cuda:2"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("device", ["cpu:0", "tpu", "", "cuda:1.5"])
def test_resolve_device_refuses_other_names(device):
    with pytest.raises(InvalidParameterError, match="device"):
        resolve_device(device)


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_child_reads_the_same_rows(tiny_model):
    vectorizer = ElmoVectorizer(str(tiny_model)).fit(["a"])
    expected = vectorizer.transform(["a cat", "sat"])
    context = multiprocessing.get_context("fork")
    with context.Pool(1) as pool:
        rows = pool.apply_async(vectorizer.transform, [["a cat", "sat"]]).get(60)
    np.testing.assert_allclose(rows, expected, atol=1e-6)
