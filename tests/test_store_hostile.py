"""A folder that strangers write to: no crash, no hang, no wrong row, one warning."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import store_workers
from store_workers import FIELDS, keys_of, recipe_of, request, rows_of

from sklearn_elmo.errors import CacheWarning, InvalidParameterError, StoreError
from sklearn_elmo.store import EmbeddingStore, cache_warnings, maintenance, view
from sklearn_elmo.store.locks import LOCK_FOLDER, lock
from sklearn_elmo.store.segment_header import encode_header

TIMEOUT_S = 20


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch):
    """Forget what earlier tests have made this process know."""
    monkeypatch.setattr(cache_warnings, "_warned", set())
    view.forget_all()


@pytest.fixture(autouse=True)
def time_limit():
    """Fail instead of hanging."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(number, frame):
        raise AssertionError(f"still running after {TIMEOUT_S} s")  # noqa: EM102

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, TIMEOUT_S)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def at_most_one_warning(expected=None):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert {w.category for w in caught} <= {CacheWarning}
    assert len(caught) in ((0, 1) if expected is None else (expected,)), caught


def restarted(store):
    """Do as a new process would, that has not warned yet."""
    cache_warnings._warned.clear()
    view.forget_all()
    return EmbeddingStore(store.path)


def segments_of(store):
    return sorted(recipe_of(store).path.glob("seg-*.h5"))


def use_in_every_way(store):
    """Call everything that reads, merges or removes; numbers are checked."""
    for first in range(0, 100, 10):
        request(store, range(first, first + 10))
    store.info()
    store.verify()
    bounded = EmbeddingStore(store.path, max_bytes=20_000)
    request(bounded, range(100, 150))
    store.compact()
    view.forget_all()
    request(store, range(150))


# ----------------------------------------------------------------------- forged headers


def header_of(content):
    line, _, rest = content.partition(b"\n")
    return json.loads(rest[: int(line.split()[-1])])


def with_header(content, header):
    """Put another header, with a digest that fits, in the place of the old one."""
    start = header if isinstance(header, bytes) else encode_header(header)
    return start + content[len(start) :]


def with_json(text):
    digest = hashlib.sha256(text).hexdigest().encode()
    return b"sklearn_elmo segment 2 %s %d\n" % (digest, len(text)) + text


def add_segment(folder, content):
    """Write content under a name whose digest fits."""
    digest = hashlib.sha256(content).hexdigest()[:32]
    path = folder / f"seg-{0:016x}-{digest}.h5"
    path.write_bytes(content)
    return path


def changed(**values):
    return lambda header: header | values


def changed_field(index, value, name="mean/0"):
    def change(header):
        stored = list(header["fields"][name])
        stored[index] = value
        return header | {"fields": header["fields"] | {name: stored}}

    return change


def first_field(header):
    return next(iter(header["fields"].values()))


ODD_NUMBERS = [-1, 0, 2**62, 2**64, 10**30, 1.5, 1e300, True, None, "4", [4], {}]
FORGED = {
    **{
        f"{name}={value!r}": changed(**{name: value})
        for name in ("records", "rows", "keys", "checksums", "bytes")
        for value in ODD_NUMBERS
    },
    **{
        f"lengths={value!r}": changed(lengths=value)
        for value in ODD_NUMBERS
        if value is not None
    },
    **{
        f"field {what}={value!r}": changed_field(index, value)
        for index, what in enumerate(("dtype", "width", "offset"))
        for value in [*ODD_NUMBERS, ">f4", "<f8", "|O", "<i4"]
    },
    **{f"without {name}": name for name in ("recipe", "keys", "fields", "bytes")},
    **{
        f"fields={value!r}": changed(fields=value)
        for value in [None, [], {}, "x", {"a": 1}, {"a": []}, {"a": ["<f4", 1, 1, 1]}]
    },
    **{
        f"recipe={value!r}": changed(recipe=value)
        for value in [None, 3, "", "v1-" + "0" * 32, ["x"]]
    },
    "lone surrogate": lambda h: h | {"fields": {"\ud800": first_field(h)}},
    "same region twice": lambda h: (
        h | {"fields": dict.fromkeys(h["fields"], first_field(h))}
    ),
    "keys in the header": changed(keys=10),
    "one record fewer": lambda h: h | {"records": h["records"] - 1},
    "one row more": lambda h: h | {"rows": h["rows"] + 1},
    "a list": lambda h: with_json(b"[1, 2]"),
    "a number": lambda h: with_json(b"7"),
    "null": lambda h: with_json(b"null"),
    "not JSON": lambda h: with_json(b"{"),
    "not UTF-8": lambda h: with_json(b'{"records": "\xff"}'),
    "deep lists": lambda h: with_json(b"[" * 100_000),
    "deep mappings": lambda h: with_json(b'{"a":' * 100_000),
    "many digits": lambda h: with_json(b'{"records": ' + b"9" * 10_000 + b"}"),
    "NaN": lambda h: with_json(json.dumps(h | {"records": float("nan")}).encode()),
    "empty": lambda h: with_json(b""),
    "huge length": lambda h: b"sklearn_elmo segment 2 " + b"0" * 64 + b" 9999999\n",
    "negative length": lambda h: b"sklearn_elmo segment 2 " + b"0" * 64 + b" -4\n",
    "odd version": lambda h: b"sklearn_elmo segment 2_0 " + b"0" * 64 + b" 4\n",
    "no line": lambda h: b"sklearn_elmo segment " + b"2" * 5000,
}


@pytest.mark.parametrize("forgery", FORGED.values(), ids=FORGED)
def test_forged_header_is_set_aside(tmp_path, monkeypatch, forgery):
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    store = EmbeddingStore(tmp_path)
    request(store, range(5))
    (path,) = segments_of(store)
    content = path.read_bytes()
    header = header_of(content)
    if isinstance(forgery, str):
        header.pop(forgery)
    else:
        header = forgery(header)
    path.unlink()
    forged = add_segment(path.parent, with_header(content, header))
    assert [damage.file for damage in store.verify()] == [forged]
    with at_most_one_warning(1):
        assert request(restarted(store), range(5)) == 5
    assert not forged.exists()
    assert store.verify() == []
    with at_most_one_warning(0):
        assert request(store, range(5)) == 0
    shutil.copy(path.parent / "quarantine" / forged.name, forged)
    with at_most_one_warning():
        store.compact()
    assert not forged.exists()


@pytest.mark.parametrize("lengths", [[3, 3], [0, 4], [-1, 5], [2**62, 2**62], [4, 1]])
def test_forged_lengths(tmp_path, lengths):
    recipe = EmbeddingStore(tmp_path).recipe({})
    rows = np.arange(8, dtype=np.float32).reshape(4, 2)
    keys = keys_of(range(2))

    def ask():
        with at_most_one_warning():
            found = recipe.get_or_compute_ragged(
                keys, [2, 2], {"x": 2}, lambda _: {"x": rows}
            )
        np.testing.assert_array_equal(found["x"], rows)

    ask()
    (path,) = recipe.path.glob("seg-*.h5")
    content = bytearray(path.read_bytes())
    offset = header_of(bytes(content))["lengths"]
    content[offset : offset + 16] = np.array(lengths, "<i8").tobytes()
    path.unlink()
    add_segment(path.parent, bytes(content))
    view.forget_all()
    ask()
    ask()


def test_segment_of_another_recipe_is_not_believed(tmp_path):
    store = EmbeddingStore(tmp_path)
    other = store.recipe({"model": "other"})
    other.get_or_compute(
        keys_of(range(5)),
        FIELDS,
        lambda some: {n: 7 + r for n, r in rows_of(some).items()},
    )
    request(store, range(3))
    (foreign,) = other.path.glob("seg-*.h5")
    copy = recipe_of(store).path / foreign.name
    shutil.copy(foreign, copy)
    (damage,) = store.verify()
    assert damage.file == copy
    assert "recipe" in damage.problem
    with at_most_one_warning(1):
        assert request(restarted(store), range(5)) == 2
    assert foreign.exists()


def test_older_format_is_ignored_and_removed_by_compact(tmp_path):
    store = EmbeddingStore(tmp_path)
    request(store, range(5))
    (path,) = segments_of(store)
    content = path.read_bytes().replace(b"segment 2 ", b"segment 1 ", 1)
    path.unlink()
    old = add_segment(path.parent, content)
    with at_most_one_warning(0):
        assert request(restarted(store), range(5)) == 5
        assert store.verify() == []
        assert old.exists()
        store.compact()
    assert not old.exists()
    assert request(restarted(store), range(5)) == 0


FLIP = """
import sys, warnings
from pathlib import Path
from store_workers import EmbeddingStore, recipe_of, request
from sklearn_elmo.store import cache_warnings, view
import os
os.fsync = lambda handle: None
warnings.simplefilter("ignore")
store = EmbeddingStore(sys.argv[1])
request(store, range(2))
folder = recipe_of(store).path
(path,) = folder.glob("seg-*.h5")
good = path.read_bytes()
start = int(sys.argv[2])
stop = len(good) if sys.argv[3] == "end" else int(sys.argv[3])
n = 0
for place in range(start, min(stop, len(good)), int(sys.argv[4])):
    for bit in range(8):
        for other in folder.rglob("seg-*.h5"):
            other.unlink()
        bad = bytearray(good)
        bad[place] ^= 1 << bit
        path.write_bytes(bad)
        cache_warnings._warned.clear()
        view.forget_all()
        print(place, bit, flush=True)
        request(store, range(2))
        n += 1
print("done", n)
"""


def flip(tmp_path, start, stop, step):
    """Flip bits in another process, where a crash is seen."""
    command = [sys.executable, "-c", FLIP, tmp_path / "store", start, stop, step]
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=300,
        env={
            **os.environ,
            "PYTHONPATH": f"{Path(store_workers.__file__).parent}:"
            f"{Path(store_workers.__file__).parents[1]}",
        },
    )
    assert done.returncode == 0, done.stdout[-200:] + done.stderr
    assert done.stdout.splitlines()[-1].startswith("done")


@pytest.mark.slow
def test_every_flipped_bit_of_the_header(tmp_path):
    signal.setitimer(signal.ITIMER_REAL, 0)
    flip(tmp_path, 0, 600, 1)


@pytest.mark.slow
def test_flipped_bits_all_over_the_file(tmp_path):
    signal.setitimer(signal.ITIMER_REAL, 0)
    flip(tmp_path, 600, "end", 7)


# ---------------------------------------------------------------------------- odd files


def make_fifo(path, outside):
    os.mkfifo(path)


def make_link_to_zeros(path, outside):
    path.symlink_to("/dev/zero")


def make_link(path, outside):
    path.symlink_to(outside / "precious.h5")


def make_broken_link(path, outside):
    path.symlink_to(outside / "nowhere")


def make_link_to_folder(path, outside):
    path.symlink_to(outside)


def make_loop(path, outside):
    path.symlink_to(path)


def make_sparse(path, outside):
    with path.open("wb") as file:
        file.truncate(2**40)


def make_empty(path, outside):
    path.touch()


def make_folder(path, outside):
    path.mkdir()
    (path / "precious.txt").write_text("mine")


def make_socket(path, outside):
    here = Path.cwd()
    os.chdir(path.parent)  # the names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def make_garbage(path, outside):
    path.write_bytes(bytes(range(256)) * 20)


def make_deep_json(path, outside):
    path.write_bytes(b"[" * 200_000)


def make_infinite_json(path, outside):
    path.write_bytes(b'{"hits": 1e999, "misses": 1e999, "dtype": [], "description": 3}')


ODD = [
    make_fifo,
    make_link_to_zeros,
    make_link,
    make_broken_link,
    make_link_to_folder,
    make_loop,
    make_sparse,
    make_empty,
    make_folder,
    make_socket,
    make_garbage,
    make_deep_json,
    make_infinite_json,
]
PLACES = [
    f"seg-{0:016x}-{0:032x}.h5",
    "recipe.json",
    "usage.json",
    "quarantine",
    f"quarantine/seg-{0:016x}-{0:032x}.h5",
    ".old.tmp",
    LOCK_FOLDER,
    f"{LOCK_FOLDER}/claims",
    f"{LOCK_FOLDER}/usage",
    f"{LOCK_FOLDER}/claim-{0:032x}",
    f"{LOCK_FOLDER}/claim-{0:032x}.keys",
    "",  # the recipe's folder itself
    "../locks",
    "../locks/maintenance",
    "../v1-" + "0" * 32,
]


@pytest.fixture
def outside(tmp_path):
    """A folder of somebody else, with names that a store uses."""
    outside = tmp_path / "outside"
    for name in ("", "quarantine", LOCK_FOLDER):
        (outside / name).mkdir()
        for file in (
            "precious.h5",
            "recipe.json",
            "usage.json",
            "claims",
            "maintenance",
            f"claim-{1:032x}",
            f"seg-{1:016x}-{1:032x}.h5",
            ".precious.tmp",
        ):
            (outside / name / file).write_bytes(b"precious")
            os.utime(outside / name / file, (0, 0))
    return outside


def contents_of(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs links and pipes")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("make", ODD)
def test_odd_entry_neither_hangs_nor_hurts(tmp_path, monkeypatch, outside, make, place):
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    precious = contents_of(outside)
    store = EmbeddingStore(tmp_path / "store")
    request(store, range(5))
    path = Path(os.path.normpath(recipe_of(store).path / place))
    if path.is_dir():
        shutil.rmtree(path)
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    make(path, outside)
    os.utime(path, (0, 0), follow_symlinks=False)
    with at_most_one_warning():
        use_in_every_way(restarted(store))
    store.clear()
    assert contents_of(outside) == precious
    assert all(
        path.stat(follow_symlinks=False).st_mtime == 0
        for path in outside.rglob("*")
        if path.is_file()
    )
    if make is make_folder and path.exists():
        assert (path / "precious.txt").read_text() == "mine"


def test_store_may_be_reached_through_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "disk")
    store = EmbeddingStore(tmp_path / "store")
    with at_most_one_warning(0):
        assert request(store, range(5)) == 5
        assert request(restarted(store), range(5)) == 0
        use_in_every_way(store)
        store.clear()
    assert (tmp_path / "store").is_symlink()


def test_segment_that_is_a_link_is_set_aside(tmp_path):
    store = EmbeddingStore(tmp_path / "store")
    request(store, range(5))
    (path,) = segments_of(store)
    path.rename(tmp_path / "elsewhere.h5")
    path.symlink_to(tmp_path / "elsewhere.h5")
    (damage,) = store.verify()
    assert damage.file == path
    assert "symbolic link" in damage.problem
    with at_most_one_warning(1):
        assert request(restarted(store), range(5)) == 5
    assert (tmp_path / "elsewhere.h5").exists()


def test_linked_recipe_folder_is_not_touched(tmp_path):
    store, other = EmbeddingStore(tmp_path / "store"), EmbeddingStore(tmp_path / "o")
    request(other, range(5))
    request(store, range(1))
    folder = recipe_of(store).path
    shutil.rmtree(folder)
    folder.symlink_to(recipe_of(other).path)
    before = contents_of(tmp_path / "o")
    with at_most_one_warning(1):
        assert request(restarted(store), range(5)) == 5
        assert request(store, range(5)) == 5
    (damage,) = store.verify()
    assert damage.file == folder
    store.compact()
    store.clear()
    assert contents_of(tmp_path / "o") == before


def test_recipe_folder_replaced_by_a_link_while_in_use(tmp_path):
    store = EmbeddingStore(tmp_path / "store")
    request(store, range(5))
    folder = recipe_of(store).path
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    before = contents_of(tmp_path / "moved")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheWarning)
        request(store, range(10))
        request(store, range(10))
    store.clear()
    assert contents_of(tmp_path / "moved") == before


@pytest.mark.parametrize("n_bytes", [1, 15, 17, 16 * 10 + 5])
def test_claims_of_odd_length(tmp_path, n_bytes):
    store = EmbeddingStore(tmp_path)
    request(store, [0])
    folder = recipe_of(store).path
    with contextlib.ExitStack() as held:
        assert lock(held, folder, "claim-0")
        (folder / LOCK_FOLDER / "claim-0.keys").write_bytes(b"x" * n_bytes)
        with at_most_one_warning(0):
            assert request(store, range(1, 300)) == 299


@pytest.mark.parametrize(
    "hits", ["9" * 4300, "9" * 20, "-7", "1e400", "true", '"5"', "[1]", "NaN"]
)
def test_forged_counts_do_not_break_a_fit(tmp_path, hits):
    """A number of 4,300 digits can be read, but its successor cannot be written."""
    store = EmbeddingStore(tmp_path / "store")
    request(store, range(5))
    counts = recipe_of(store).path / "usage.json"
    counts.write_text(f'{{"hits": {hits}, "misses": 0}}')
    with at_most_one_warning(0):
        assert request(restarted(store), range(9)) == 4
        assert store.info()["hits"] == 5


@pytest.mark.parametrize("taken", ["name", "quarantine"])
def test_damaged_segment_whose_quarantine_is_taken_is_removed(tmp_path, taken):
    """`compact` raised an IsADirectoryError, again and again."""
    store = EmbeddingStore(tmp_path / "store")
    request(store, range(5))
    (path,) = segments_of(store)
    path.write_bytes(b"damaged")
    place = path.parent / "quarantine"
    if taken == "name":
        (place / path.name / "precious").mkdir(parents=True)
    else:
        place.write_bytes(b"precious")
    with at_most_one_warning(1):
        assert request(restarted(store), range(5)) == 5
    store.compact()
    assert store.verify() == []
    assert not path.exists()
    assert (place / path.name / "precious").exists() or place.is_file()


def test_path_with_nul_is_refused_as_a_parameter():
    for path in ("a\0b", b"a", 3):
        with pytest.raises(InvalidParameterError, match="'path' parameter"):
            EmbeddingStore(path).info()


@pytest.mark.skipif(sys.platform == "win32", reason="needs links, a removable cwd")
def test_folder_that_cannot_be_read_is_a_store_error(tmp_path, monkeypatch):
    """PermissionError and its like came out of the methods as they were."""
    (tmp_path / "loop").symlink_to("loop")
    store = EmbeddingStore(tmp_path / "loop")
    for method in (store.info, store.compact, store.clear, store.verify):
        with pytest.raises(StoreError, match=r"loop.*Check that"):
            method()
    with at_most_one_warning(1):
        assert request(store, range(5)) == 5
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with at_most_one_warning():
        assert request(EmbeddingStore("store"), range(5)) == 5


def test_recipe_that_cannot_be_listed_does_not_hide_the_others(tmp_path, monkeypatch):
    store = EmbeddingStore(tmp_path / "store")
    request(store, range(5))
    other = store.path / ("v1-" + "0" * 32)
    other.mkdir()
    (path,) = segments_of(store)
    path.write_bytes(b"damaged")
    list_segments = maintenance.segment_paths

    def refuse(folder):
        if folder == other:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return list_segments(folder)

    monkeypatch.setattr(maintenance, "segment_paths", refuse)
    problems = {damage.file: damage.problem for damage in store.verify()}
    assert path in problems
    assert "cannot be listed" in problems[other]
