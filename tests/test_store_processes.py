"""The store between processes: sharing, crashes, forks, threads."""

import errno
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
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


def test_stopped_process_is_waited_for_once(start, tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "NEWS_TIMEOUT_S", 0.5)
    holder = start("hold", tmp_path, 100)
    assert holder.stdout.readline() == "holding\n"
    holder.send_signal(signal.SIGSTOP)
    with pytest.warns(CacheWarning, match="goes on alone"):
        assert request(EmbeddingStore(tmp_path), range(100)) == 100
    monkeypatch.setattr(claims, "NEWS_TIMEOUT_S", 3600)
    before = time.monotonic()
    assert request(EmbeddingStore(tmp_path), range(200)) == 100
    recipe_of(EmbeddingStore(tmp_path)).path.joinpath("usage.json").unlink()
    for path in recipe_of(EmbeddingStore(tmp_path)).path.glob("seg-*.h5"):
        path.unlink()
    assert request(EmbeddingStore(tmp_path), range(200)) == 200
    assert time.monotonic() - before < 5


def test_process_stopped_while_claiming_is_waited_for_once(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "CLAIMING_TIMEOUT_S", 0.5)
    store = EmbeddingStore(tmp_path)
    request(store, [0])
    with ExitStack() as stopped:
        assert lock(stopped, recipe_of(store).path, "claims")
        before = time.monotonic()
        with pytest.warns(CacheWarning, match="goes on alone"):
            assert request(store, range(1, 300)) == 299
        assert time.monotonic() - before > 0.5
        monkeypatch.setattr(claims, "CLAIMING_TIMEOUT_S", 3600)
        before = time.monotonic()
        for first in range(300, 600, 30):
            assert request(store, range(first, first + 30)) == 30
        assert time.monotonic() - before < 5
    sizes = []

    def compute(positions):
        sizes.append(len(positions))
        return rows_of([1000 + position for position in positions])

    recipe_of(store).get_or_compute(keys_of(range(1000, 1900)), FIELDS, compute)
    assert len(sizes) > 1  # the work is shared again


def test_stopped_counter_of_usage_costs_one_short_wait(tmp_path):
    store = EmbeddingStore(tmp_path)
    request(store, [0])
    with ExitStack() as stopped:
        assert lock(stopped, recipe_of(store).path, "usage")
        before = time.monotonic()
        for number in range(1, 40):
            request(store, [number])
        assert time.monotonic() - before < 4
    assert store.info()["misses"] == 40


@pytest.mark.skipif(sys.platform == "win32", reason="patches flock")
@pytest.mark.parametrize("function", ["fcntl.flock", "os.close"])
def test_release_that_fails_does_not_end_the_computation(
    tmp_path, monkeypatch, function
):
    import fcntl

    flock, close = fcntl.flock, os.close

    def fail_to_unlock(handle, operation):
        flock(handle, operation)
        if operation == fcntl.LOCK_UN:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def fail_to_close(handle):
        close(handle)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    failing = {"fcntl.flock": fail_to_unlock, "os.close": fail_to_close}[function]
    store = EmbeddingStore(tmp_path)
    with monkeypatch.context() as patch:
        if function == "os.close":
            patch.setattr(os, "fsync", lambda handle: None)
            patch.setattr("sklearn_elmo.atomic_files._flush_to_disk", lambda path: None)
        patch.setattr(function, failing)
        assert request(store, range(300)) == 300
    assert request(store, range(300)) == 0
    assert request(store, range(300, 400)) == 100


def test_claimed_keys_can_be_read_while_the_claim_is_locked(start, tmp_path):
    """Windows refuses to read a locked file."""
    holder = start("hold", tmp_path, 100)
    assert holder.stdout.readline() == "holding\n"
    folder = recipe_of(EmbeddingStore(tmp_path)).path / LOCK_FOLDER
    (claim,) = folder.glob("claim-*[!s]")
    assert claim.stat().st_size == 0
    keys = claim.with_name(claim.name + claims.KEYS_SUFFIX).read_bytes()
    assert keys == b"".join(keys_of(range(100)))


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
