"""Captured steps. Only the capture itself needs a GPU; the rest is tested anywhere."""

import itertools
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sklearn_elmo.bilm.lstm import DIRECTIONS
from sklearn_elmo.bilm.model import BiLm
from sklearn_elmo.bilm.weights import read_model
from sklearn_elmo.inference import cuda_graphs
from sklearn_elmo.inference.encoder import Encoder
from sklearn_elmo.inference.lstm import FastLstmLayer
from sklearn_elmo.inference.reductions import token_layers


@pytest.fixture(scope="module")
def model(make_model: Any) -> BiLm:
    files = read_model(make_model(seed=6, cell_dim=24, projection_dim=8))
    return BiLm.from_arrays(files.options, files.arrays)


@pytest.fixture(scope="module")
def texts(real_sentences: list[list[str]]) -> list[list[str]]:
    stream = itertools.cycle(token for text in real_sentences for token in text)
    lengths = [90, 61, 61, *range(40, 1, -1), 1, 1]
    return [list(itertools.islice(stream, length)) for length in lengths]


class FakeGraphs:
    """Captures by keeping the step itself, and counts."""

    def __init__(self) -> None:
        self.n_captured = self.n_replayed = 0

    def __call__(self, take_step: Callable[[], object]) -> Callable[[], object]:
        self.n_captured += 1

        def replay() -> None:
            self.n_replayed += 1
            take_step()

        return replay


def encoder_with(model: BiLm, capture: Any) -> Encoder:
    encoder = Encoder(model)
    for direction in DIRECTIONS:
        layers = model._elmo_lstm.layers(direction)
        encoder._layers[direction] = [
            FastLstmLayer(layer, reads_types=k == 0, capture=capture)
            for k, layer in enumerate(layers)
        ]
    return encoder


def read(
    encoder: Encoder, texts: list[list[str]], window_tokens: int = 10_000
) -> list[np.ndarray]:
    return token_layers(
        encoder, texts, layers=[0, 1, 2], state="warm", window_tokens=window_tokens
    )


def assert_same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for row, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(row, right, rtol=0, atol=5e-6)


@pytest.mark.parametrize("window_tokens", [1, 150, 10_000])
def test_captured_steps_give_the_same(
    model: BiLm, texts: list[list[str]], window_tokens: int
) -> None:
    capture = FakeGraphs()
    encoder = encoder_with(model, capture)
    expected = read(encoder_with(model, None), texts)
    for _ in range(2):
        assert_same(read(encoder, texts, window_tokens), expected)
    # Rows from 44 down to 1: 64, 32, 16, 8, for two layers in two directions.
    assert capture.n_captured == 4 * 4
    assert capture.n_replayed > 2 * 4 * 90


def test_large_steps_are_not_captured(
    model: BiLm, texts: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows then go from ordinary steps to captured ones, with the state."""
    operations = 2 * 24 * 9 * 8
    monkeypatch.setattr(cuda_graphs, "_MAX_OPERATIONS", 20.0 * operations)
    capture = FakeGraphs()
    encoder = encoder_with(model, capture)
    assert_same(read(encoder, texts, 333), read(encoder_with(model, None), texts))
    assert capture.n_captured == 3 * 4  # 32 for up to 20 rows, 16, 8


def fail(take_step: Callable[[], object]) -> Callable[[], object]:
    raise RuntimeError


def forget(take_step: Callable[[], object]) -> Callable[[], object]:
    return lambda: None


@pytest.mark.parametrize("capture", [fail, forget])
def test_capture_that_does_not_work_is_not_used(
    model: BiLm,
    texts: list[list[str]],
    capture: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        found = read(encoder_with(model, capture), texts)
    assert_same(found, read(encoder_with(model, None), texts))
    assert len(caplog.records) == 4 * 4


def test_threads_take_turns(model: BiLm, texts: list[list[str]]) -> None:
    encoder = encoder_with(model, FakeGraphs())
    expected = read(encoder_with(model, None), texts)
    results: dict[int, list[np.ndarray]] = {}

    def work(number: int) -> None:
        results[number] = read(encoder, texts, 100)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for found in results.values():
        assert_same(found, expected)
    assert len(results) == 4


def test_random_numbers_of_the_user_are_left_alone(
    model: BiLm, texts: list[list[str]]
) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    read(encoder_with(model, FakeGraphs()), texts)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("value", "requested"), [(None, False), ("0", False), ("", False), ("1", True)]
)
def test_graphs_are_off_unless_requested(
    monkeypatch: pytest.MonkeyPatch, value: str | None, requested: bool
) -> None:
    monkeypatch.delenv("SKLEARN_ELMO_CUDA_GRAPHS", raising=False)
    if value is not None:
        monkeypatch.setenv("SKLEARN_ELMO_CUDA_GRAPHS", value)
    assert cuda_graphs.are_requested() is requested


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_graphs_on_a_gpu(
    tiny_model: Path,
    texts: list[list[str]],
    precision: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SKLEARN_ELMO_CUDA_GRAPHS", "1")
    files = read_model(tiny_model)
    model = BiLm.from_arrays(files.options, files.arrays)
    expected = read(Encoder(model, precision), texts)
    encoder = Encoder(model.to("cuda"), precision)
    graphs = encoder._layers["forward"][0]._graphs
    assert graphs is not None
    for row, right in zip(read(encoder, texts), expected, strict=True):
        atol = 1e-5 if precision == "float32" else 0.05
        np.testing.assert_allclose(row, right, rtol=0, atol=atol)
    assert graphs.buffers(8) is not None
