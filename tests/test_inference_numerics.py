"""Numbers do not depend on PyTorch's settings, and settings stay unchanged."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sklearn_elmo import ElmoEmbedder, ElmoTokenVectorizer, ElmoVectorizer, models
from sklearn_elmo.inference.numerics import pinned_numerics
from sklearn_elmo.inference.precision import PRECISIONS

TEXTS = ["the cat sat on the mat", "a dog", "why ?", "pneumonoultramicroscopic " * 3]
CPU = torch.device("cpu")

Setting = Callable[[], AbstractContextManager[object]]


def matmul_precision(value: str) -> Setting:
    @contextmanager
    def setting() -> Iterator[None]:
        torch.set_float32_matmul_precision(value)
        yield
        assert torch.get_float32_matmul_precision() == value
        torch.set_float32_matmul_precision("highest")

    return setting


def attribute(path: str, value: object) -> Setting:
    """Set an attribute below ``torch.backends``; skip where PyTorch has none."""
    *modules, name = path.split(".")

    @contextmanager
    def setting() -> Iterator[None]:
        owner: Any = torch.backends
        try:
            for module in modules:
                owner = getattr(owner, module)
            before = getattr(owner, name)
        except AttributeError:
            pytest.skip(f"this PyTorch has no torch.backends.{path}")
        setattr(owner, name, value)
        yield
        assert getattr(owner, name) == value
        setattr(owner, name, before)

    return setting


@contextmanager
def mkldnn_off() -> Iterator[None]:
    before = torch.backends.mkldnn.set_flags(False)[0]
    yield
    assert torch.backends.mkldnn.set_flags(before)[0] is False


def default_dtype(dtype: torch.dtype) -> Setting:
    @contextmanager
    def setting() -> Iterator[None]:
        torch.set_default_dtype(dtype)
        yield
        assert torch.get_default_dtype() == dtype
        torch.set_default_dtype(torch.float32)

    return setting


@contextmanager
def default_device_meta() -> Iterator[None]:
    torch.set_default_device("meta")
    yield
    assert torch.zeros(1).is_meta
    torch.set_default_device(None)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    assert torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)


@contextmanager
def autocast() -> Iterator[None]:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        yield
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


SETTINGS: dict[str, Setting] = {
    "matmul precision high": matmul_precision("high"),
    "matmul precision medium": matmul_precision("medium"),
    "mkldnn matmul bf16": attribute("mkldnn.matmul.fp32_precision", "bf16"),
    "mkldnn bf16": attribute("mkldnn.fp32_precision", "bf16"),
    "all backends tf32": attribute("fp32_precision", "tf32"),
    "all backends bf16": attribute("fp32_precision", "bf16"),
    "TF32 allowed on GPUs": attribute("cuda.matmul.allow_tf32", True),
    "mkldnn off": mkldnn_off,
    "default dtype float64": default_dtype(torch.float64),
    "default dtype bfloat16": default_dtype(torch.bfloat16),
    "default device meta": default_device_meta,
    "deterministic algorithms": deterministic,
    "autocast": autocast,
}


@pytest.fixture
def restored() -> Iterator[None]:
    """Undo a setting even if its test has failed."""
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.use_deterministic_algorithms(False)
    torch.backends.mkldnn.set_flags(True)
    torch.set_float32_matmul_precision("highest")
    if hasattr(torch.backends, "fp32_precision"):
        torch.backends.fp32_precision = "none"
        torch.backends.mkldnn.fp32_precision = "none"
        torch.backends.mkldnn.matmul.fp32_precision = "none"
        torch.backends.cuda.matmul.fp32_precision = "none"


@pytest.fixture(scope="module")
def wide_model(make_model: Any) -> str:
    """A model wide enough for lower precision to show."""
    folder: Path = make_model(seed=3, cell_dim=64, projection_dim=32)
    return str(folder)


def rows_of(model: str, precision: str) -> list[np.ndarray]:
    parameters = {"layer_mix": "concat", "precision": precision, "state": "warm"}
    pooling = ["mean", "max", "idf"]
    pooled = ElmoVectorizer(model, pooling=pooling, **parameters).fit_transform(TEXTS)
    tokens = ElmoTokenVectorizer(model, **parameters).fit_transform(TEXTS)
    return [pooled, *tokens]


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("loaded_before", [True, False])
@pytest.mark.parametrize("setting", SETTINGS)
def test_rows_do_not_depend_on_settings(
    wide_model: str, setting: str, loaded_before: bool, precision: str
) -> None:
    models._models.clear()
    expected = rows_of(wide_model, precision)
    if not loaded_before:
        models._models.clear()
    with SETTINGS[setting]():
        found = rows_of(wide_model, precision)
    for row, right in zip(found, expected, strict=True):
        assert row.dtype == np.float32
        np.testing.assert_allclose(row, right, rtol=0, atol=5e-6)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("loaded_before", [True, False])
@pytest.mark.parametrize("setting", SETTINGS)
def test_embedder_does_not_depend_on_settings(
    wide_model: str, setting: str, loaded_before: bool
) -> None:
    batch = [text.split() for text in TEXTS]
    embedder = ElmoEmbedder(model=wide_model)
    expected = [*embedder.embed_batch(batch), *embedder.embed_batch(batch)]
    embedder.reset_states()
    with SETTINGS[setting]():
        if not loaded_before:
            embedder = ElmoEmbedder(model=wide_model)
        found = [*embedder.embed_batch(batch), *embedder.embed_batch(batch)]
        vectors, _ = embedder.batch_to_embeddings(batch)
    assert vectors.dtype == torch.float32
    for row, right in zip(found, expected, strict=True):
        assert row.dtype == np.float32
        np.testing.assert_allclose(row, right, rtol=0, atol=5e-6)


@pytest.mark.usefixtures("restored")
def test_lower_precision_would_be_noticed() -> None:
    """On processors where "medium" changes the result of a product."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(128, 256, generator=generator)
    weight = torch.randn(1024, 256, generator=generator)
    exact = inputs.double() @ weight.double().t()
    torch.set_float32_matmul_precision("medium")
    if (torch.nn.functional.linear(inputs, weight) - exact).abs().max() < 1e-2:
        pytest.skip("'medium' is exact on this processor")
    with pinned_numerics(CPU):
        product = torch.nn.functional.linear(inputs, weight)
    assert (product - exact).abs().max() < 1e-3


@pytest.mark.usefixtures("restored")
def test_one_computation_does_not_restore_under_another() -> None:
    torch.set_float32_matmul_precision("medium")
    entered, leave = threading.Event(), threading.Event()
    seen: list[str] = []

    def compute() -> None:
        with pinned_numerics(CPU):
            entered.set()
            leave.wait(10)
            seen.append(torch.get_float32_matmul_precision())

    thread = threading.Thread(target=compute)
    thread.start()
    assert entered.wait(10)
    with pinned_numerics(CPU):
        pass
    assert torch.get_float32_matmul_precision() == "highest"
    leave.set()
    thread.join()
    assert seen == ["highest"]
    assert torch.get_float32_matmul_precision() == "medium"


@pytest.mark.usefixtures("restored")
def test_settings_are_restored_after_an_error() -> None:
    torch.set_float32_matmul_precision("high")
    with pytest.raises(ZeroDivisionError), pinned_numerics(CPU):
        raise ZeroDivisionError
    assert torch.get_float32_matmul_precision() == "high"
    assert torch.is_grad_enabled()


def test_loading_leaves_random_numbers_alone(tiny_model: Path) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    models.load(tiny_model)
    models._models.clear()
    ElmoVectorizer(str(tiny_model)).fit_transform(TEXTS)
    assert torch.equal(torch.rand(3), expected)
