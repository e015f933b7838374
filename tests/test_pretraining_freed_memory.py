"""Freed memory goes back to the system."""

import os
import platform
from pathlib import Path

import numpy as np
import pytest
from test_pretraining_pretrainer import TINY

from sklearn_elmo.pretraining import freed_memory, trainer
from sklearn_elmo.pretraining.freed_memory import return_freed_memory
from sklearn_elmo.pretraining.pretrainer import ElmoPretrainer


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_returns_to_the_system():
    def resident_bytes():
        n_pages = int(Path("/proc/self/statm").read_text().split()[1])
        return n_pages * os.sysconf("SC_PAGE_SIZE")

    arrays = [np.ones(12_000) for _ in range(3000)]  # 96 kB each: they are in the heap
    top = arrays[-1]
    del arrays
    before = resident_bytes()
    return_freed_memory()
    assert before - resident_bytes() > 100e6
    assert top.all()


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_other_c_libraries_are_left_alone(monkeypatch, error):
    def fail(name):
        raise error

    monkeypatch.setattr(freed_memory.ctypes, "CDLL", fail)
    freed_memory._malloc_trim.cache_clear()
    try:
        return_freed_memory()
    finally:
        freed_memory._malloc_trim.cache_clear()


def test_training_returns_memory_regularly(monkeypatch):
    """Without it, a process held 3 GB after 40,000 tokens, and ever more."""
    calls = []
    monkeypatch.setattr(trainer, "return_freed_memory", lambda: calls.append(1))
    texts = ["the cat sat on the mat"] * 60
    options = {"batch_size": 4, "n_steps": 5, "max_tokens": 600, "random_state": 0}
    ElmoPretrainer(TINY, **options).fit(texts)
    assert len(calls) == 3
