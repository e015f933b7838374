"""What can be wrong with the store's folder: the numbers are right all the same."""

import contextlib
import errno
import itertools
import os
import re
import shutil
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from store_workers import FIELDS, keys_of, recipe_of, request

from sklearn_elmo import atomic_files
from sklearn_elmo.errors import CacheWarning
from sklearn_elmo.store import (
    EmbeddingStore,
    cache_warnings,
    locks,
    maintenance,
    segment,
    view,
)


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch):
    """Forget what earlier tests have made this process know."""
    monkeypatch.setattr(cache_warnings, "_warned", set())
    view.forget_all()


@pytest.fixture
def no_fsync(monkeypatch):
    """Let tests of many small stores be quick; none of them cuts the power."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 1 MB, where that is allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root of a Linux machine can mount")
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@contextlib.contextmanager
def one_warning(match):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert [w.category for w in caught] == [CacheWarning]
    assert re.search(match, str(caught[0].message))
    assert caught[0].filename.endswith(("store_workers.py", "test_store_faults.py"))


def only_segment(store):
    (path,) = recipe_of(store).path.glob("seg-*.h5")
    return path


def restarted(store):
    """Do as a new process would, that has not warned yet."""
    cache_warnings._warned.clear()
    view.forget_all()
    return EmbeddingStore(store.path)


# ------------------------------------------------------------------------------- damage


def damaged_copies(tmp_path, change):
    """Make a store for each change, with one segment that has suffered it."""
    good = EmbeddingStore(tmp_path / "good")
    request(good, range(4))
    recipe, name = recipe_of(good).path.name, only_segment(good).name
    content = only_segment(good).read_bytes()
    for number, bad in enumerate(c for c in change(content) if c != content):
        folder = tmp_path / str(number) / recipe
        folder.mkdir(parents=True)
        shutil.copy(good.path / recipe / "recipe.json", folder)
        (folder / name).write_bytes(bad)
        yield EmbeddingStore(tmp_path / str(number))


def flipped(content):
    """Flip one bit, in each of many places all over the file."""
    rng = np.random.default_rng(0)
    for place in range(0, len(content), len(content) // 150):
        bad = bytearray(content)
        bad[place] ^= 1 << rng.integers(8)
        yield bytes(bad)


def truncated(content):
    for length in range(0, len(content), len(content) // 40):
        yield content[:length]


def overwritten(content):
    """Put zeros, or another part of the file, where something else was."""
    for place in range(0, len(content) - 512, len(content) // 30):
        yield content[:place] + bytes(512) + content[place + 512 :]
        yield content[:place] + content[-512:] + content[place + 512 :]
    yield content + b"more"


@pytest.mark.slow
@pytest.mark.parametrize("change", [flipped, truncated, overwritten])
def test_damage_is_found_and_never_returned(tmp_path, no_fsync, change):
    n_stores = 0
    for store in damaged_copies(tmp_path, change):
        n_stores += 1
        damages = store.verify()
        assert damages, store
        assert all(damage.file == only_segment(store) for damage in damages)
        store = restarted(store)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            request(store, range(4))
            request(store, range(8))
        assert len(caught) <= 1
        assert request(restarted(store), range(8)) == 0
        # Damage in HDF5's own structures, or in padding, does not touch the rows.
        store.compact()
        assert store.verify() == []
        shutil.rmtree(store.path)
    assert n_stores > 30


def test_whole_records_of_a_damaged_file_are_kept(tmp_path):
    store = EmbeddingStore(tmp_path)
    request(store, range(50))
    path = only_segment(store)
    content = bytearray(path.read_bytes())
    row = np.float32(7).tobytes() + np.float32(7 + 1 / 64).tobytes()
    content[content.index(row)] ^= 4
    path.write_bytes(content)
    (damage,) = store.verify()
    assert (damage.dataset, damage.record) == ("fields/mean/0", 7)
    with one_warning("is damaged"):
        assert request(restarted(store), range(50)) == 1
    assert (path.parent / "quarantine" / path.name).exists()
    assert not path.exists()
    assert request(restarted(store), range(50)) == 0
    assert store.verify() == []


def test_rows_of_another_key_are_not_taken(tmp_path):
    store = EmbeddingStore(tmp_path)
    request(store, range(50))
    path = only_segment(store)
    content = bytearray(path.read_bytes())
    first, second = (
        content.index(np.float32(n).tobytes() * 0 + key)
        for n, key in zip((3, 4), keys_of((3, 4)), strict=True)
    )
    content[first : first + 16], content[second : second + 16] = (
        content[second : second + 16],
        content[first : first + 16],
    )
    path.write_bytes(content)
    with one_warning("is damaged"):
        assert request(restarted(store), range(50)) == 2


def test_compact_repairs_damage_outside_the_rows(tmp_path):
    store = EmbeddingStore(tmp_path)
    request(store, range(5))
    path = only_segment(store)
    path.write_bytes(path.read_bytes().replace(b"OHDR", b"OHDD", 1))
    (damage,) = store.verify()
    assert damage.dataset is None
    assert request(restarted(store), range(5)) == 0
    store.compact()
    assert store.verify() == []
    assert only_segment(store) != path
    assert request(restarted(store), range(5)) == 0


def test_absurd_length_of_the_header(tmp_path):
    store = EmbeddingStore(tmp_path)
    request(store, range(5))
    path = only_segment(store)
    line, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(line[:-3] + b"9" * 15 + b"\n" + rest)
    with one_warning("is damaged"):
        assert request(restarted(store), range(5)) == 5


def test_many_damaged_files_are_one_warning(tmp_path):
    store = EmbeddingStore(tmp_path)
    for first in range(0, 30, 10):
        request(store, range(first, first + 10))
    for path in recipe_of(store).path.glob("seg-*.h5"):
        path.write_bytes(path.read_bytes()[:-1])
    with one_warning("is damaged"):
        assert request(restarted(store), range(30)) == 30


def test_damaged_recipe_is_found_and_written_again(tmp_path):
    store = EmbeddingStore(tmp_path)
    request(store, range(3))
    words = recipe_of(store).path / "recipe.json"
    words.write_text(words.read_text().replace("test", "best"))
    (damage,) = store.verify()
    assert damage.file == words
    assert store.info()["recipes"][0]["description"] is None
    assert request(restarted(store), range(3)) == 0
    request(store, range(4))
    assert store.verify() == []


# ------------------------------------------------------------- files that are not ours


def test_newer_format_is_left_alone(tmp_path):
    store = EmbeddingStore(tmp_path)
    request(store, range(5))
    path = only_segment(store)
    newer = path.read_bytes().replace(b"segment 2 ", b"segment 3 ", 1)
    path.write_bytes(newer)
    with one_warning("left alone: it has format 3"):
        assert request(restarted(store), range(5)) == 5
    store.compact()
    assert path.read_bytes() == newer
    assert request(store, range(5)) == 0


def test_foreign_files_are_left_alone(tmp_path):
    store = EmbeddingStore(tmp_path)
    request(store, range(5))
    folder = recipe_of(store).path
    foreign = [
        folder / "notes.txt",
        folder / "seg-1.h5",
        folder / "other.h5",
        tmp_path / "v1-short" / "x.h5",
        tmp_path / "v9-00112233445566778899aabbccddeeff" / "seg.h5",
    ]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\x89HDF\r\n\x1a\nmine")
    assert request(restarted(store), range(5)) == 0
    assert request(store, range(20)) == 15
    store.compact()
    store.info()
    assert all(path.read_bytes().endswith(b"mine") for path in foreign)


def test_folder_with_the_name_of_a_segment(tmp_path):
    store = EmbeddingStore(tmp_path)
    request(store, range(5))
    name = f"seg-{0:016x}-{0:032x}.h5"
    (recipe_of(store).path / name).mkdir()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert request(restarted(store), range(10)) == 5
    assert len(caught) <= 1


def test_path_that_is_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("mine")
    store = EmbeddingStore(path)
    with one_warning("Not a directory"):
        assert request(store, range(5)) == 5
        assert request(store, range(5)) == 5
    assert path.read_text() == "mine"
    assert store.info()["entries"] == 0
    assert store.verify() == []


# ------------------------------------------------------------- folders that fail


def test_full_disk(small_disk):
    store = EmbeddingStore(small_disk / "store")
    assert request(store, range(1000)) == 1000
    with one_warning("No space left"):
        for first in range(1000, 20_000, 2000):
            request(store, range(first, first + 2000))
    assert request(restarted(store), range(1000)) == 0
    assert store.verify() == []
    assert not list(recipe_of(store).path.glob(".*.tmp"))
    store.clear()
    assert request(restarted(store), range(3000)) == 3000
    assert request(store, range(3000)) == 0


def test_read_only_disk(small_disk):
    store = EmbeddingStore(small_disk / "store")
    request(store, range(10))
    remount = ["mount", "-o", "remount,ro", small_disk]
    subprocess.run(remount, check=True)
    assert request(restarted(store), range(10)) == 0  # without a warning
    with one_warning("Read-only file system"):
        assert request(restarted(store), range(20)) == 10
        assert request(store, range(30)) == 20
    other = EmbeddingStore(small_disk / "other")
    with one_warning("Read-only file system"):
        assert request(other, range(20)) == 20


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
def test_write_that_fails_half_way(tmp_path, monkeypatch, number):
    def fail(file, content):
        file.write(bytes(content[:1000]))
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(atomic_files, "write_all", fail)
    store = EmbeddingStore(tmp_path)
    with one_warning(os.strerror(number)):
        for _ in range(3):
            assert request(store, range(20)) == 20
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".h5", ".tmp")]
    monkeypatch.undo()
    assert request(store, range(20)) == 20
    assert request(store, range(20)) == 0


def test_reads_that_fail(tmp_path, monkeypatch):
    store = EmbeddingStore(tmp_path)
    request(store, range(20))

    def fail(*arguments):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as patch, one_warning("Stale file handle"):
        patch.setattr("sklearn_elmo.store.recipe_folder.read_records", fail)
        patch.setattr(atomic_files, "write_all", fail)
        assert request(store, range(20)) == 20
    assert request(restarted(store), range(20)) == 0  # nothing was thrown away


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("restart", [False, True])
def test_segment_is_used_again_after_a_transient_error(
    tmp_path, monkeypatch, number, restart
):
    store = EmbeddingStore(tmp_path)
    request(store, range(20))
    if restart:
        view.forget_all()

    def fail(*arguments, **keywords):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch, one_warning(os.strerror(number)):
        patch.setattr(os, "open", fail)
        patch.setattr(atomic_files, "write_all", fail)
        assert request(store, range(20)) == 20
    assert request(store, range(20)) == 0


def test_short_transient_error_costs_no_computation(tmp_path, monkeypatch):
    store = EmbeddingStore(tmp_path)
    request(store, range(20))
    open_file = os.open
    n_failures = iter(range(2))

    def fail_twice(*arguments, **keywords):
        if next(n_failures, None) is not None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return open_file(*arguments, **keywords)

    monkeypatch.setattr(os, "open", fail_twice)
    with one_warning("Too many open files"):
        assert request(store, range(20)) == 0


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE])  # this one on NFS
def test_segment_removed_while_it_is_read_is_only_a_miss(tmp_path, monkeypatch, number):
    store = EmbeddingStore(tmp_path)
    request(store, range(20))

    def remove(path):
        path.unlink()
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(
            "sklearn_elmo.store.recipe_folder.read_records",
            lambda segment, *arguments: remove(segment.path),
        )
        assert request(store, range(20)) == 20
    monkeypatch.setattr("sklearn_elmo.store.store.damage_of", remove)
    assert store.verify() == []


def test_folder_deleted_between_requests(tmp_path):
    store = EmbeddingStore(tmp_path / "store")
    request(store, range(20))
    shutil.rmtree(store.path)
    assert request(store, range(20)) == 20
    assert request(store, range(20)) == 0
    assert store.info()["recipes"][0]["description"] == {"model": "test"}


def test_folder_deleted_during_a_computation(tmp_path):
    store = EmbeddingStore(tmp_path / "store")
    folder = recipe_of(store)

    def compute(positions):
        shutil.rmtree(store.path, ignore_errors=True)
        return {"x": np.ones((len(positions), 3))}

    found = folder.get_or_compute(keys_of(range(300)), {"x": 3}, compute)
    assert found["x"].all()
    assert store.verify() == []


def test_folder_replaced_by_a_file_during_a_computation(tmp_path):
    store = EmbeddingStore(tmp_path / "store")

    def compute(positions):
        if store.path.is_dir():
            shutil.rmtree(store.path)
            store.path.write_text("mine")
        return {"x": np.ones((len(positions), 3))}

    with one_warning("Not a directory"):
        found = recipe_of(store).get_or_compute(keys_of(range(300)), {"x": 3}, compute)
    assert found["x"].all()


# ------------------------------------------------------------------- clocks, leftovers


@pytest.mark.parametrize("days", [-400, 400])
def test_clocks_apart(tmp_path, monkeypatch, days):
    """Another machine is days behind or ahead."""
    store = EmbeddingStore(tmp_path, max_bytes=40_000)
    away_ns = days * 86400 * 10**9
    now, now_ns = time.time, time.time_ns
    for turn, first in enumerate(itertools.chain(range(0, 300, 10), range(0, 100, 10))):
        away = away_ns if turn % 2 else 0
        monkeypatch.setattr(time, "time_ns", lambda away=away: now_ns() + away)
        monkeypatch.setattr(time, "time", lambda away=away: now() + away / 10**9)
        view.forget_all()
        request(store, range(first, first + 15))
        kept = recipe_of(store).missing(keys_of(range(first + 5, first + 15)), FIELDS)
        assert not len(kept)
        for path in recipe_of(store).path.glob("seg-*.h5"):
            if turn % 2 and abs(path.stat().st_mtime - now()) < 3600:
                os.utime(path, (time.time(), time.time()))
    assert store.verify() == []
    assert store.info()["bytes"] <= 40_000


def test_old_temporary_files_are_removed(tmp_path):
    store = EmbeddingStore(tmp_path)
    request(store, range(5))
    old, new = (recipe_of(store).path / f".{name}.tmp" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half a segment")
    os.utime(old, (0, 0))
    request(store, range(10))
    assert not old.exists()
    assert new.exists()


def test_maintenance_that_fails_does_no_harm(tmp_path, monkeypatch):
    def fail(*arguments, **keywords):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(maintenance, "_crowds", fail)
    store = EmbeddingStore(tmp_path, max_bytes=10)
    for first in range(0, 100, 10):
        assert request(store, range(first, first + 10)) == 10
    assert len(recipe_of(store).missing(keys_of(range(100)), FIELDS)) == 0


def test_unreadable_usage_counts_start_again(tmp_path):
    store = EmbeddingStore(tmp_path)
    request(store, range(5))
    usage = recipe_of(store).path / "usage.json"
    assert usage.exists()
    usage.write_text("[")
    view.forget_all()
    request(store, range(5))
    assert store.info()["hits"] == 5


# ----------------------------------------------------------------- faults at every call

CALLS = [
    "fstat",
    "lstat",
    "mkdir",
    "open",
    "rename",
    "replace",
    "scandir",
    "fsync",
    "stat",
    "unlink",
    "utime",
]


class Fault:
    """Makes one call of the operating system fail, counted over all of them."""

    def __init__(self, patch, number):
        self.number = number
        self.n_calls = 0
        self.fails_at = -1
        for name in CALLS:
            patch.setattr(os, name, self.wrap(getattr(os, name)))
        patch.setattr(atomic_files, "write_all", self.wrap(atomic_files.write_all))
        patch.setattr(segment, "_read_into", self.wrap(segment._read_into))
        patch.setattr(locks, "_set_lock", self.wrap(locks._set_lock))

    def wrap(self, function):
        def call(*arguments, **keywords):
            self.n_calls += 1
            if self.n_calls == self.fails_at:
                raise OSError(self.number, os.strerror(self.number))
            return function(*arguments, **keywords)

        return call

    def arm(self, fails_at):
        self.n_calls, self.fails_at = 0, fails_at


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_fault_at_every_call(tmp_path, monkeypatch, no_fsync, number):
    monkeypatch.setattr(maintenance, "_SEGMENTS_PER_CLASS", 2)
    fault = Fault(monkeypatch, number)
    for fails_at in itertools.count(1):
        store = restarted(EmbeddingStore(tmp_path / str(fails_at), max_bytes=50_000))
        fault.arm(-1)
        request(store, range(4))
        view.forget_all()
        fault.arm(fails_at)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            request(store, range(8))
            request(store, range(12))
        was_reached = fault.n_calls >= fails_at
        fault.arm(-1)
        assert {w.category for w in caught} <= {CacheWarning}
        assert len(caught) <= 1
        assert store.verify() == []
        request(restarted(store), range(12))
        assert request(restarted(store), range(12)) == 0
        shutil.rmtree(store.path)
        if not was_reached:
            break
    assert fails_at > 100
