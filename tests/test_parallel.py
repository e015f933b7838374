"""Work side by side: never more threads than allowed, and nothing left changed."""

import functools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from sklearn_elmo import ElmoVectorizer
from sklearn_elmo.bilm.lstm import Direction
from sklearn_elmo.inference import reductions
from sklearn_elmo.inference.encoder import Encoder
from sklearn_elmo.inference.reductions import reduce_texts, token_layers
from sklearn_elmo.models import open_model
from sklearn_elmo.parallel import run_side_by_side

Texts = list[list[str]]


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Gauge:
    """How many tasks run at once, and with how many threads of PyTorch each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_running = 0
        self.most = 0
        self.thread_counts: set[int] = set()

    def __call__(self) -> None:
        with self._lock:
            self._n_running += 1
            self.most = max(self.most, self._n_running)
            self.thread_counts.add(torch.get_num_threads())
        time.sleep(0.01)
        with self._lock:
            self._n_running -= 1


@pytest.mark.usefixtures("two_threads")
def test_as_many_tasks_at_once_as_threads_allowed() -> None:
    gauge = Gauge()
    assert sorted(run_side_by_side([gauge] * 8, "cpu")) == list(range(8))
    assert gauge.most == 2
    assert gauge.thread_counts == {1}
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_many_callers_share_the_same_threads() -> None:
    gauge = Gauge()

    def call(_: int) -> None:
        torch.set_num_threads(2)
        assert len(list(run_side_by_side([gauge] * 4, "cpu"))) == 4

    with ThreadPoolExecutor(5) as callers:
        list(callers.map(call, range(5)))
    assert gauge.most == 2


def test_one_thread_allowed_is_the_callers_own() -> None:
    assert torch.get_num_threads() == 1, "as conftest.py asks for"
    names: list[str] = []
    tasks = [lambda: names.append(threading.current_thread().name)] * 3
    assert list(run_side_by_side(tasks, "cpu")) == [0, 1, 2]
    assert set(names) == {threading.current_thread().name}


@pytest.mark.usefixtures("two_threads")
def test_other_devices_get_one_task_after_the_other() -> None:
    gauge = Gauge()
    assert list(run_side_by_side([gauge] * 3, "cuda")) == [0, 1, 2]
    assert gauge.most == 1


@pytest.mark.usefixtures("two_threads")
def test_error_of_a_task_comes_to_the_caller_and_drops_the_rest() -> None:
    begun: list[int] = []

    def task(number: int) -> None:
        begun.append(number)
        time.sleep(0.01)
        if number == 1:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(run_side_by_side([functools.partial(task, n) for n in range(50)], "cpu"))
    n_begun = len(begun)
    assert n_begun < 50
    time.sleep(0.05)
    assert len(begun) == n_begun, "nothing goes on behind the caller's back"


IN_A_NEW_PROCESS = """
import os, sys, threading, warnings
import torch
from sklearn_elmo import ElmoVectorizer
vectorizer = ElmoVectorizer(sys.argv[1], tokenizer="whitespace").fit([])
texts = [f"some text {i}" for i in range(600)]
expected = vectorizer.transform(texts)
assert torch.get_num_threads() == 2
counts = []
thread = threading.Thread(target=lambda: counts.append(torch.get_num_threads()))
thread.start()
thread.join()
assert counts == [2], counts
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of a fork beside threads
    child = os.fork()
if child == 0:
    same = abs(vectorizer.transform(texts) - expected).max() < 5e-6
    os._exit(0 if same else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_later_threads_and_forks_find_torch_as_it_was(tiny_model: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_A_NEW_PROCESS, str(tiny_model)],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("two_threads")
def test_transform_from_several_threads(tiny_model: Path) -> None:
    vectorizer = ElmoVectorizer(str(tiny_model), tokenizer="whitespace").fit([])
    texts = [f"text {i} " + "and so on " * (i % 9) for i in range(700)]
    expected = vectorizer.transform(texts)

    def transform(_: int) -> np.ndarray:
        torch.set_num_threads(2)
        found: np.ndarray = vectorizer.transform(texts)
        return found

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(transform, range(4)):
            np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6)


# Out of memory


@pytest.fixture
def encoder(tiny_model: Path) -> Encoder:
    return open_model(tiny_model).encoder("cpu", "float32")


def run_out_of_memory(
    monkeypatch: pytest.MonkeyPatch, most_tokens: int
) -> list[tuple[int, int]]:
    """Have windows of more tokens fail; return the rows and tokens tried."""
    tried: list[tuple[int, int]] = []
    read: Callable[..., dict[int, torch.Tensor]] = Encoder._read_window

    def read_window(self, texts, direction, states, first_step, active_rows):
        tried.append((len(texts), sum(active_rows)))
        if sum(active_rows) > most_tokens:
            raise torch.cuda.OutOfMemoryError
        return read(self, texts, direction, states, first_step, active_rows)

    monkeypatch.setattr(Encoder, "_read_window", read_window)
    return tried


@pytest.mark.parametrize("most_tokens", [200, 60, 3, 1])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_less_is_read_at_once_when_memory_runs_out(
    encoder: Encoder,
    real_sentences: Texts,
    monkeypatch: pytest.MonkeyPatch,
    most_tokens: int,
    n_threads: int,
) -> None:
    texts = sorted(real_sentences, key=len, reverse=True)
    how = {"layers": [0, 1, 2], "state": "zero", "window_tokens": 2000}
    names = ["sum", "max", "first", "last"]
    expected = reduce_texts(encoder, texts, reductions=names, **how)
    rows = token_layers(encoder, texts, **how)
    tried = run_out_of_memory(monkeypatch, most_tokens)
    told: list[int] = []
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        found = reduce_texts(
            encoder, texts, reductions=names, progress=told.append, **how
        )
        found_rows = token_layers(encoder, texts, **how)
    finally:
        torch.set_num_threads(before)
    assert max(tokens for _, tokens in tried) > most_tokens
    assert sum(told) == len(texts)
    for name in names:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=5e-5)
    for row, right in zip(found_rows, rows, strict=True):
        np.testing.assert_allclose(row, right, rtol=0, atol=5e-6)


def test_memory_too_small_for_one_token_is_an_error(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_out_of_memory(monkeypatch, 0)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        token_layers(
            encoder, [["a", "b"]] * 3, layers=[1], state="zero", window_tokens=100
        )


def test_other_errors_are_not_tried_again(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Direction] = []

    def read(batch: slice, direction: Direction, window_tokens: int) -> None:
        calls.append(direction)
        message = "something else"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="something else"):
        reductions._read_within_memory(read, slice(0, 8), "forward", 100)
    assert calls == ["forward"]
