"""The store between processes: sharing, crashes, forks, threads."""

import errno
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import store_workers
from store_workers import FIELDS, keys_of, recipe_of, request, rows_of

from sklearn_elmo.errors import CacheWarning
from sklearn_elmo.store import EmbeddingStore, cache_warnings, claims, view
from sklearn_elmo.store.locks import LOCK_FOLDER, lock

WORKERS = Path(store_workers.__file__)
ROOT = WORKERS.parents[1]


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch):
    """Forget what earlier tests have made this process know."""
    monkeypatch.setattr(cache_warnings, "_warned", set())
    view.forget_all()


@pytest.fixture
def start():
    """Start workers; those that still run when the test is over are killed."""
    workers = []

    def start_one(command, *arguments, warnings="error"):
        worker = subprocess.Popen(
            [sys.executable, "-W", warnings, WORKERS, command, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        workers.append(worker)
        return worker

    yield start_one
    for worker in workers:
        worker.kill()
        worker.communicate()


def finish(worker):
    out, err = worker.communicate(timeout=60)
    assert worker.returncode == 0, err
    assert not err
    return out


@pytest.mark.parametrize("n_workers", [2, 4])
def test_workers_divide_the_texts(start, tmp_path, n_workers):
    n_texts = 2000
    workers = [start("share", tmp_path, n_texts, 0.0005) for _ in range(n_workers)]
    computed = [int(finish(worker).split()[0]) for worker in workers]
    assert n_texts <= sum(computed) <= 1.05 * n_texts
    assert EmbeddingStore(tmp_path).info()["entries"] == n_texts


@pytest.mark.slow
@pytest.mark.parametrize("max_bytes", [0, 30_000])
def test_four_processes_with_overlapping_texts(start, tmp_path, max_bytes):
    workers = [start("overlap", tmp_path, seed, max_bytes) for seed in range(4)]
    for worker in workers:
        finish(worker)
    assert EmbeddingStore(tmp_path).verify() == []


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_writers_lose_nothing_they_acknowledged(start, tmp_path):
    store, log = EmbeddingStore(tmp_path / "store"), tmp_path / "acknowledged"
    killers = [start("kill_writers", store.path, log, 110, seed) for seed in range(2)]
    for killer in killers:
        finish(killer)
    firsts = [int(line) for line in log.read_text().splitlines()]
    numbers = sorted({first + i for first in firsts for i in range(5)})
    assert len(numbers) > 200
    assert len(recipe_of(store).missing(keys_of(numbers), FIELDS)) == 0
    assert store.verify() == []
    assert request(store, numbers) == 0
    assert request(store, range(-200, -1)) == 199  # claims of the dead hold nobody up


def test_dead_process_is_not_waited_for(start, tmp_path):
    holder = start("hold", tmp_path, 100)
    assert holder.stdout.readline() == "holding\n"
    holder.kill()
    before = time.monotonic()
    assert request(EmbeddingStore(tmp_path), range(100)) == 100
    assert time.monotonic() - before < 5


def test_stopped_process_is_waited_for_for_a_time(start, tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "NEWS_TIMEOUT_S", 0.2)
    holder = start("hold", tmp_path, 100)
    assert holder.stdout.readline() == "holding\n"
    holder.send_signal(signal.SIGSTOP)
    with pytest.warns(CacheWarning, match="goes on alone"):
        assert request(EmbeddingStore(tmp_path), range(100)) == 100
    assert request(EmbeddingStore(tmp_path), range(200)) == 100


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_after_use(start, tmp_path):
    finish(start("fork_after_use", tmp_path, warnings="ignore"))


def test_threads_divide_the_texts(tmp_path):
    store = EmbeddingStore(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(request, store, range(1000), 0.0002) for _ in range(8)]
        assert sum(job.result() for job in jobs) == 1000


def test_error_in_compute_is_raised_and_frees_the_claim(tmp_path):
    folder = recipe_of(EmbeddingStore(tmp_path))

    def fail(positions):
        message = "no memory left"
        raise OSError(message)

    with pytest.raises(OSError, match="no memory left"):
        folder.get_or_compute(keys_of(range(10)), FIELDS, fail)
    assert request(EmbeddingStore(tmp_path), range(10)) == 10


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE])  # this one on NFS
def test_claim_given_back_while_it_is_looked_at_does_not_end_the_sharing(
    tmp_path, monkeypatch, number
):
    store = EmbeddingStore(tmp_path)
    request(store, [0])
    (recipe_of(store).path / LOCK_FOLDER / "claim-ended").touch()

    def lock_unless_ended(held, folder, name, timeout_s=0):
        if name == "claim-ended":
            raise OSError(number, os.strerror(number))
        return lock(held, folder, name, timeout_s)

    parts = []

    def compute(positions):
        parts.append(len(positions))
        return rows_of(positions)

    monkeypatch.setattr(claims, "lock", lock_unless_ended)
    recipe_of(store).get_or_compute(keys_of(range(1000)), FIELDS, compute)
    assert sum(parts) == 999
    assert max(parts) < 500  # it was claimed part by part


def test_without_locks_everything_is_computed(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(claims, "lock", refuse)
    assert request(EmbeddingStore(tmp_path), range(10)) == 10
    assert request(EmbeddingStore(tmp_path), range(10)) == 0
