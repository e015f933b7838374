"""The store in one process: what it answers, keeps, counts and removes."""

import copy
import json
import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
from sklearn.base import clone
from store_workers import FIELDS, WIDTH, keys_of, recipe_of, request, rows_of

from sklearn_elmo.errors import (
    CacheWarning,
    InvalidParameterError,
    OutputFileError,
    StoreError,
)
from sklearn_elmo.store import (
    EmbeddingStore,
    cache_warnings,
    index,
    recipe_folder,
    segment_writer,
    text_key,
    view,
)
from sklearn_elmo.store.records import Records
from sklearn_elmo.store.request import as_words
from sklearn_elmo.vectorizer import ElmoVectorizer


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch):
    """Forget what earlier tests have made this process know."""
    monkeypatch.setattr(cache_warnings, "_warned", set())
    view.forget_all()


def refuse(positions):
    message = f"computed {positions}"
    raise AssertionError(message)


def segments_in(folder):
    return sorted(Path(folder).rglob("seg-*.h5"))


# ------------------------------------------------------------------------ answering


def test_second_request_is_read(tmp_path):
    store = EmbeddingStore(tmp_path)
    assert request(store, range(1000)) == 1000
    assert request(store, np.random.default_rng(0).permutation(1000)) == 0
    view.forget_all()
    assert request(EmbeddingStore(tmp_path), range(0, 1000, 7)) == 0
    assert request(store, range(990, 1010)) == 10


def test_no_keys_make_no_folder(tmp_path):
    folder = recipe_of(EmbeddingStore(tmp_path / "store"))
    found = folder.get_or_compute([], FIELDS, refuse)
    assert found["mean/0"].shape == (0, WIDTH)
    assert not (tmp_path / "store").exists()


def test_all_computed_fields_are_kept(tmp_path):
    folder, keys = recipe_of(EmbeddingStore(tmp_path)), keys_of(range(9))
    folder.get_or_compute(keys, {"mean/0": WIDTH}, rows_of)
    found = folder.get_or_compute(keys, {"mean/1": WIDTH}, refuse)
    assert list(found) == ["mean/1"]
    np.testing.assert_array_equal(found["mean/1"], rows_of(range(9))["mean/1"])


def test_record_without_a_field_is_superseded(tmp_path):
    store = EmbeddingStore(tmp_path)
    folder, keys = recipe_of(store), keys_of(range(9))
    folder.get_or_compute(
        keys, {"mean/0": WIDTH}, lambda some: {"mean/0": rows_of(some)["mean/0"]}
    )
    assert request(store, range(9)) == 9
    assert request(store, range(9)) == 0
    assert store.info()["entries"] == 9
    store.compact()
    assert store.info()["segments"] == 1
    assert request(store, range(9)) == 0


def test_recipes_do_not_mix(tmp_path):
    store, keys = EmbeddingStore(tmp_path), keys_of([1])
    for value in (1.0, 2.0):
        rows = {"mean": np.full((1, 3), value)}
        folder = store.recipe({"model": value})
        found = folder.get_or_compute(keys, {"mean": 3}, lambda some, rows=rows: rows)
        assert found["mean"][0, 0] == value
    again = EmbeddingStore(tmp_path, dtype="float16").recipe({"model": 1.0})
    assert len(again.missing(keys, {"mean": 3})) == 1


def test_order_of_the_description_does_not_matter(tmp_path):
    store = EmbeddingStore(tmp_path)
    one, other = store.recipe({"a": 1, "b": [2]}), store.recipe({"b": [2], "a": 1})
    assert one.path == other.path


def test_index_finds_what_a_dict_finds():
    rng = np.random.default_rng(0)
    found, known = index.KeyIndex(), {}
    for segment in range(300):
        keys = rng.integers(0, 2**63, (int(rng.integers(1, 20)), 2), dtype=np.uint64)
        found.add(segment, keys)
        known |= {key.tobytes(): (segment, n) for n, key in enumerate(keys)}
        if segment % 7 == 3:  # also segments that are old, or gone
            gone = int(rng.integers(segment))
            found.remove(gone)
            known = {key: place for key, place in known.items() if place[0] != gone}
        asked = [rng.bytes(16), *list(known)[::5], rng.bytes(16)]
        segments, records = found.find(as_words(asked))
        expected = [known.get(key, (-1, -1)) for key in asked]
        assert list(zip(segments, records, strict=True)) == expected
    assert len(found.distinct_keys()) == len(known)


def test_oldest_copy_of_a_record_is_used():
    found = index.KeyIndex()
    keys = np.arange(2000, dtype=np.uint64).reshape(1000, 2)
    found.add(0, keys)
    found.find(keys)
    found.add(1, keys[:3])
    assert set(found.find(keys)[0]) == {0}
    assert len(found.distinct_keys()) == 1000
    found.remove(0)
    assert list(found.find(keys)[0][:4]) == [1, 1, 1, -1]


def test_text_added_to_many_does_not_sort_all_of_them_again(monkeypatch):
    n_sorted = []

    def count(tables):
        table = sort(tables)
        n_sorted.append(table.size)
        return table

    sort = index._sorted
    monkeypatch.setattr(index, "_sorted", count)
    found = index.KeyIndex()
    keys = np.arange(20_000, dtype=np.uint64).reshape(10_000, 2)
    found.add(0, keys)
    found.find(keys[:1])
    for segment in range(1, 1001):
        found.add(segment, keys[segment : segment + 1] + np.uint64(10**6))
        found.find(keys[:1])
    assert sum(n_sorted) < 10_000 + 1000 * 10  # not 1000 times 10,000


def test_file_of_one_text_is_what_h5py_writes(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    records = [
        Records(
            rng.integers(0, 2**63, (1, 2), dtype=np.uint64),
            lengths,
            {"a/0": rng.standard_normal((1, width), "f4"), "b": np.ones((1, 3), "f4")},
        )
        for lengths in (None, np.array([1]))
        for width in (4, 4, 5)
    ]
    for dtype in ("float32", "float16"):
        images = [
            bytes(segment_writer._hdf5_image(each, dtype, "v1-0")) for each in records
        ]
        with monkeypatch.context() as patch:
            patch.setattr(segment_writer, "_fill_in", segment_writer._write_hdf5)
            assert images == [
                bytes(segment_writer._hdf5_image(each, dtype, "v1-0"))
                for each in records
            ]


def test_missing_names_positions(tmp_path):
    store = EmbeddingStore(tmp_path)
    request(store, range(5, 10))
    missing = recipe_of(store).missing(keys_of(range(12)), FIELDS)
    assert missing.tolist() == [0, 1, 2, 3, 4, 10, 11]


@pytest.mark.parametrize("width", [1, 3, 6, 17])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("out", ["its own", "given"])
def test_records_of_tokens(tmp_path, width, dtype, out):
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 9, 300)
    ends = np.cumsum(lengths)
    rows = rng.integers(-9, 9, (ends[-1], width)).astype(np.float32)
    keys = keys_of(range(300))
    store = EmbeddingStore(tmp_path, dtype=dtype)
    folder = store.recipe({"kind": "tokens"})

    def take(numbers):
        parts = [rows[ends[n] - lengths[n] : ends[n]] for n in numbers]
        return {"token": np.concatenate(parts)}

    def ask(order, compute):
        arguments = [keys[n] for n in order], lengths[order], {"token": width}, compute
        if out == "its own":
            return folder.get_or_compute_ragged(*arguments)["token"]
        layers = np.full((lengths[order].sum(), 3, width), 77, np.float32)
        given = {"token": layers[:, 1]}  # rows that are not adjacent
        found = folder.get_or_compute_ragged(*arguments, out=given)["token"]
        assert found is given["token"]
        assert (layers[:, ::2] == 77).all()
        return found

    np.testing.assert_array_equal(ask(np.arange(300), take), rows)
    for order in (rng.permutation(300), np.arange(0, 300, 3)):
        np.testing.assert_array_equal(ask(order, refuse), take(order)["token"])
    store.compact()
    np.testing.assert_array_equal(ask(np.arange(300), refuse), rows)
    assert store.verify() == []


def test_float16_answers_the_same_before_and_after_storing(tmp_path):
    exact = np.random.default_rng(0).normal(size=(50, WIDTH)).astype(np.float32)
    exact[3, 5] = 1e6  # no float16
    exact[4, 6] = -70000.0
    folder = EmbeddingStore(tmp_path, dtype="float16").recipe({})
    compute = lambda some: {"big": exact[some], "small": exact[some] / 1e6}  # noqa: E731
    fields = {"big": WIDTH, "small": WIDTH}
    first = folder.get_or_compute(keys_of(range(50)), fields, compute)
    second = folder.get_or_compute(keys_of(range(50)), fields, refuse)
    for name in fields:
        np.testing.assert_array_equal(first[name], second[name])
    assert first["big"].dtype == np.float32
    np.testing.assert_allclose(first["big"], exact, rtol=1e-3)
    assert first["big"][3, 5] == 1e6
    with h5py.File(segments_in(tmp_path)[0]) as file:
        assert file["fields/big"].dtype == np.float32
        assert file["fields/small"].dtype == np.float16


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("lengths", [None, [2, 0, 3, 1]])
def test_not_finite_numbers_are_returned_but_not_kept(tmp_path, bad, lengths):
    rows = np.zeros((4 if lengths is None else 6, 3), np.float32)
    rows[2, 1] = bad  # in both cases of the third record
    folder, keys = EmbeddingStore(tmp_path).recipe({}), keys_of(range(4))

    def ask():
        if lengths is None:
            return folder.get_or_compute(keys, {"x": 3}, lambda some: {"x": rows[some]})
        starts = np.cumsum(lengths) - lengths
        return folder.get_or_compute_ragged(
            keys,
            lengths,
            {"x": 3},
            lambda some: {
                "x": np.concatenate([rows[starts[i] :][: lengths[i]] for i in some])
            },
        )

    with pytest.warns(CacheWarning, match="NaN or infinite"):
        np.testing.assert_array_equal(ask()["x"], rows)
    np.testing.assert_array_equal(ask()["x"], rows)  # and no second warning
    n_stored = 3 if lengths is None else 2
    assert EmbeddingStore(tmp_path).info()["entries"] == n_stored


@pytest.mark.parametrize(
    ("keys", "fields", "rows", "message"),
    [
        ([b"short"], {"x": 1}, {}, "16 bytes"),
        ([b"0123456789abcdef"] * 2, {"x": 1}, {}, "distinct"),
        ([b"0123456789abcdef"], {"x": 1}, {"x": np.ones((1, 2))}, r"\(1, 2\); expec"),
        ([b"0123456789abcdef"], {"x": 1}, {"y": np.ones((1, 1))}, "not computed"),
        ([b"0123456789abcdef"], {"x": 1}, {"x": np.ones((2, 1))}, r"\(2, 1\); expec"),
    ],
)
def test_request_that_makes_no_sense(tmp_path, keys, fields, rows, message):
    folder = EmbeddingStore(tmp_path).recipe({})
    with pytest.raises(ValueError, match=message):
        folder.get_or_compute(keys, fields, lambda some: rows)


def test_text_keys_tell_token_lists_apart():
    lists = [
        [],
        [""],
        ["", ""],
        ["a b"],
        ["a", "b"],
        ["ab"],
        ["a", "b", ""],
        ["a\x00b"],
        ["a\x00", "b"],
        ["\ud800"],
        ["\u00e9"],
        ["e\u0301"],
    ]
    keys = [text_key(tokens) for tokens in lists]
    assert len(set(keys)) == len(lists)
    assert all(len(key) == 16 for key in keys)
    assert text_key(("a", "b")) == text_key(["a", "b"])
    # Stored keys must mean the same for ever.
    assert text_key(["new", "york"]).hex() == "0e7f62454e4140ab83273c1a580a2ff8"


# ----------------------------------------------------------------------- as a parameter


def test_nothing_is_touched_before_the_first_request(tmp_path):
    store = EmbeddingStore(tmp_path / "store", max_bytes=-1, dtype="nonsense")
    assert list(tmp_path.iterdir()) == []
    assert vars(store) == {
        "path": tmp_path / "store",
        "max_bytes": -1,
        "dtype": "nonsense",
    }


@pytest.mark.parametrize(
    "parameters",
    [
        {"path": 3},
        {"path": b"bytes"},
        {"max_bytes": 0},
        {"max_bytes": "1 GB"},
        {"max_bytes": 1.5},
        {"max_bytes": True},
        {"dtype": "float64"},
        {"dtype": np.float16},
    ],
)
def test_bad_parameter_is_named(tmp_path, parameters):
    (name,) = parameters
    store = EmbeddingStore(**({"path": tmp_path} | parameters))
    with pytest.raises(InvalidParameterError, match=f"The '{name}' parameter of Emb"):
        store.recipe({})
    with pytest.raises(InvalidParameterError, match=r"Got .* instead"):
        store.info()


def test_store_is_a_value(tmp_path):
    store = EmbeddingStore(tmp_path, max_bytes=5, dtype="float16")
    for same in (pickle.loads(pickle.dumps(store)), copy.deepcopy(store)):
        assert same == store
        assert hash(same) == hash(store)
        assert vars(same) == vars(store)
    assert clone(ElmoVectorizer(cache=store)).cache == store
    assert store != EmbeddingStore(tmp_path)
    assert store != str(tmp_path)
    assert repr(EmbeddingStore("a")) == "EmbeddingStore('a')"
    assert repr(EmbeddingStore("a", max_bytes=5, dtype="float16")) == (
        "EmbeddingStore('a', max_bytes=5, dtype='float16')"
    )


def test_path_may_be_a_str_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    request(EmbeddingStore("~/store"), range(3))
    assert len(segments_in(tmp_path / "store")) == 1


# ------------------------------------------------------------------------ maintenance


def test_folder_is_marked_as_a_cache(tmp_path):
    request(EmbeddingStore(tmp_path / "new"), [1])
    tag = (tmp_path / "new" / "CACHEDIR.TAG").read_text()
    assert tag.startswith("Signature: 8a477f597d28d172789f06886806bc55")
    assert (tmp_path / "new" / ".gitignore").read_text() == "*\n"


def test_folder_with_other_files_is_not_marked(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    request(EmbeddingStore(tmp_path), [1])
    assert not (tmp_path / "CACHEDIR.TAG").exists()
    assert not (tmp_path / ".gitignore").exists()


def test_segments_are_plain_hdf5(tmp_path):
    request(EmbeddingStore(tmp_path), range(5))
    with h5py.File(segments_in(tmp_path)[0]) as file:
        np.testing.assert_array_equal(
            file["fields/mean/0"][:], rows_of(range(5))["mean/0"]
        )
        assert [key.tobytes() for key in file["keys"][:]] == keys_of(range(5))


def test_info_counts(tmp_path):
    store = EmbeddingStore(tmp_path)
    assert store.info() == {
        "path": str(tmp_path),
        **dict.fromkeys(("entries", "bytes", "segments", "hits", "misses"), 0),
        "recipes": [],
    }
    request(store, range(30))
    request(store, range(20, 50))
    store.recipe({"model": "other"}).get_or_compute(
        keys_of([1]), {"mean/0": WIDTH}, rows_of
    )
    info = store.info()
    assert (info["entries"], info["hits"], info["misses"]) == (51, 10, 51)
    assert info["segments"] == len(segments_in(tmp_path))
    assert info["bytes"] == sum(path.stat().st_size for path in segments_in(tmp_path))
    descriptions = [recipe["description"] for recipe in info["recipes"]]
    assert sorted(d["model"] for d in descriptions) == ["other", "test"]
    json.dumps(info)
    view.forget_all()
    assert EmbeddingStore(tmp_path).info() == info


def test_many_small_writes_are_compacted(tmp_path):
    store = EmbeddingStore(tmp_path)
    for number in range(100):
        request(store, [number])
    assert len(segments_in(tmp_path)) < 32
    assert request(store, range(100)) == 0
    assert store.verify() == []


def test_compact_merges_and_drops_copies(tmp_path, monkeypatch):
    stores = EmbeddingStore(tmp_path / "a"), EmbeddingStore(tmp_path / "b")
    for store in stores:
        request(store, range(10))
        request(store, range(10, 15))
    for path in segments_in(tmp_path / "b"):
        (recipe_of(stores[0]).path / path.name).write_bytes(path.read_bytes())
    assert len(segments_in(tmp_path / "a")) == 4
    assert stores[0].info()["entries"] == 15
    stores[0].compact()
    (path,) = segments_in(tmp_path / "a")
    with h5py.File(path) as file:
        assert file["keys"].shape == (15, 16)
    assert request(stores[0], range(15)) == 0


def test_compaction_cut_short_loses_nothing(tmp_path, monkeypatch):
    store = EmbeddingStore(tmp_path)
    request(store, range(10))
    request(store, range(10, 15))

    def crash(*arguments, **keywords):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", crash)
        with pytest.raises(KeyboardInterrupt):
            store.compact()
    assert request(store, range(15)) == 0
    view.forget_all()
    assert request(store, range(15)) == 0
    assert store.verify() == []


def test_reader_survives_a_compaction_and_a_clearing(tmp_path):
    store = EmbeddingStore(tmp_path)
    for first in range(0, 40, 10):
        request(store, range(first, first + 10))
    known = view.view_of(recipe_of(store).path)
    names = {segment.path.name for segment in known.segments()}
    store.compact()  # this process's view still has the old files
    assert names.isdisjoint(path.name for path in segments_in(tmp_path))
    assert request(store, range(40)) == 0
    store.clear()
    assert request(store, range(40)) == 40


def test_big_request_is_cut_into_segments(tmp_path, monkeypatch):
    monkeypatch.setattr(segment_writer, "MAX_SEGMENT_BYTES", 4000)
    store = EmbeddingStore(tmp_path)
    request(store, range(200))
    assert len(segments_in(tmp_path)) > 5
    assert request(store, range(200)) == 0


def test_segments_are_read_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setattr(segment_writer, "MAX_SEGMENT_BYTES", 4000)
    monkeypatch.setattr(recipe_folder, "_BYTES_FOR_THREADS", 0)
    store = EmbeddingStore(tmp_path)
    request(store, range(200))
    shuffled = np.random.default_rng(0).permutation(200)
    assert request(store, shuffled) == 0
    damaged = segments_in(tmp_path)[2]
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    with pytest.warns(CacheWarning, match="is damaged"):
        assert 0 < request(store, shuffled) < 20


def test_bound_removes_what_was_used_longest_ago(tmp_path):
    store = EmbeddingStore(tmp_path)
    for age, first in enumerate((0, 100, 200)):
        request(store, range(first, first + 50))
        for path in segments_in(tmp_path)[-1:]:
            os.utime(path, (10**9 + age, 10**9 + age))
    size = max(path.stat().st_size for path in segments_in(tmp_path))
    request(store, range(10))  # a use, so the oldest is now the second
    bounded = EmbeddingStore(tmp_path, max_bytes=3 * size)
    request(bounded, range(300, 350))
    assert bounded.info()["bytes"] <= 3 * size
    missing = recipe_of(store).missing(keys_of(range(350)), FIELDS)
    assert set(range(100, 150)) <= set(missing)
    assert not set(missing) & {*range(50), *range(200, 250), *range(300, 350)}


def test_bound_counts_all_recipes(tmp_path):
    request(EmbeddingStore(tmp_path), range(50))
    size = EmbeddingStore(tmp_path).info()["bytes"]
    bounded = EmbeddingStore(tmp_path, max_bytes=size + 10)
    other = bounded.recipe({"model": "other"})
    other.get_or_compute(keys_of(range(50)), FIELDS, rows_of)
    assert bounded.info()["entries"] == 50
    assert len(other.missing(keys_of(range(50)), FIELDS)) == 0


def test_what_was_just_written_stays_even_past_the_bound(tmp_path):
    store = EmbeddingStore(tmp_path, max_bytes=1)
    request(store, range(50))
    assert request(store, range(50)) == 0
    request(store, range(50, 60))
    assert request(store, range(50, 60)) == 0
    assert request(store, range(50)) == 50


def test_clear_leaves_foreign_files(tmp_path):
    store = EmbeddingStore(tmp_path)
    request(store, range(5))
    foreign = [
        tmp_path / "notes.txt",
        recipe_of(store).path / "notes.txt",
        tmp_path / "v2-0123456789abcdef" / "segment.h5",
    ]
    foreign[-1].parent.mkdir()
    for path in foreign:
        path.write_text("mine")
    store.clear()
    assert all(path.read_text() == "mine" for path in foreign)
    assert segments_in(tmp_path / "v1") == []
    assert store.info()["entries"] == 0
    store.clear()
    EmbeddingStore(tmp_path / "nowhere").clear()


# ------------------------------------------------------------------------------- export


def store_texts(store, texts, description=None):
    folder = store.recipe(description or {"model": "test"})
    keys = [text_key(text) for text in texts]
    rows = {"mean/0": np.arange(len(texts) * 2.0).reshape(-1, 2)}
    folder.get_or_compute(
        keys, {"mean/0": 2}, lambda some: {name: rows[name][some] for name in rows}
    )
    return folder


def test_export_keeps_the_order(tmp_path):
    store = EmbeddingStore(tmp_path / "store")
    store_texts(store, [["a"], ["b", "c"], ["d"]])
    store.export([["d"], [], ["a"], ["d"], ["b", "c"]], tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["mean/0"][:].tolist() == [[4, 5], [0, 0], [0, 1], [4, 5], [2, 3]]
        assert json.loads(file.attrs["recipe"]) == {"model": "test"}
    store.export(["b c", "a"], tmp_path / "out.h5", tokenize=str.split)
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["mean/0"][:].tolist() == [[2, 3], [0, 1]]
    store.export(["d", "a"], tmp_path / "out.h5")  # tokenised as by default
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["mean/0"][:].tolist() == [[4, 5], [0, 1]]


def test_export_of_tokens_has_lengths(tmp_path):
    store = EmbeddingStore(tmp_path / "store")
    texts = [["a"], ["b", "c"]]
    rows = np.arange(6.0).reshape(3, 2)
    store.recipe({}).get_or_compute_ragged(
        [text_key(text) for text in texts],
        [1, 2],
        {"token": 2},
        lambda _: {"token": rows},
    )
    store.export([["b", "c"], [], ["a"]], tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["lengths"][:].tolist() == [2, 0, 1]
        assert file["token"][:].tolist() == [[2, 3], [4, 5], [0, 1]]


def test_export_chooses_among_recipes(tmp_path):
    store = EmbeddingStore(tmp_path / "store")
    store_texts(store, [["a"]], {"model": 1})
    other = store_texts(store, [["a"], ["b"]], {"model": 2})
    store.export([["b"]], tmp_path / "out.h5")  # only one has it
    with pytest.raises(StoreError, match="Name it with recipe="):
        store.export([["a"]], tmp_path / "out.h5")
    store.export([["a"]], tmp_path / "out.h5", recipe=other.path.name[:9])


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ([["a"], ["new"], ["newer"]], StoreError, "2 of 3 distinct .* is text 1"),
        (["a new text"], StoreError, "1 of 1 distinct .* is text 0"),
        ([["a"], 3], TypeError, "Row 1"),
    ],
)
def test_export_of_what_is_not_there(tmp_path, texts, error, message):
    store = EmbeddingStore(tmp_path / "store")
    store_texts(store, [["a"]])
    with pytest.raises(error, match=message):
        store.export(texts, tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize("texts", [[], [None], [[]], [""], [[], ["a"]]])
def test_export_of_texts_without_tokens_has_rows_of_zeros(tmp_path, texts):
    store = EmbeddingStore(tmp_path / "store")
    store_texts(store, [["a"]])
    store.export(texts, tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        names = []
        file.visit(names.append)
        rows = file[names[-1]][:]
    assert len(rows) == len(texts)
    assert [bool(row.any()) for row in rows] == [text == ["a"] for text in texts]


def test_export_to_nowhere(tmp_path):
    store = EmbeddingStore(tmp_path / "store")
    store_texts(store, [["a"]])
    with pytest.raises(OutputFileError, match="cannot be a path"):
        store.export([["a"]], "a\0b")
    with pytest.raises(OutputFileError, match="There is no folder"):
        store.export([["a"]], tmp_path / "nowhere" / "out.h5")
    with pytest.raises(StoreError, match="expected one"):
        EmbeddingStore(tmp_path / "empty").export([["a"]], tmp_path / "out.h5")


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_float16_rows_come_back_as_numpy_widens_them(tmp_path, order):
    every = np.arange(2**16, dtype="<u2").view("<f2")
    rows = every[np.isfinite(every)].reshape(-1, 16).astype(np.float32)
    keys = keys_of(range(len(rows)))[order]
    recipe = EmbeddingStore(tmp_path, dtype="float16").recipe({})
    recipe.get_or_compute(keys, {"all": 16}, lambda some: {"all": rows[order][some]})
    found = recipe.get_or_compute(keys[::-1], {"all": 16}, refuse)["all"]
    np.testing.assert_array_equal(found.view("<u4"), rows[order][::-1].view("<u4"))
