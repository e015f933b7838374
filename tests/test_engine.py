"""What is read, how often, by how many layers, and in how much memory."""

import json
import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from reference_numpy import ReferenceElmo

from sklearn_elmo import ElmoTokenVectorizer, ElmoVectorizer
from sklearn_elmo.engine import Reader
from sklearn_elmo.errors import LongTokenWarning, ModelFileError
from sklearn_elmo.inference.encoder import Encoder
from sklearn_elmo.inference.lstm import FastLstmLayer
from sklearn_elmo.models import open_model
from sklearn_elmo.pooling import POOLINGS
from sklearn_elmo.store import EmbeddingStore

# Tokens of many lengths are on purpose; test_long_tokens_* look at the warning.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn_elmo.errors.LongTokenWarning")

TEXTS = ["the cat sat on the mat", "a dog", "a dog", "", None, "why ?", "the end ."]
DISTINCT = {tuple(text.split()) for text in TEXTS if text}


class Readings:
    """What has been asked of the encoder."""

    def __init__(self):
        self.texts = []  # forward
        self.backward = []
        self.tokens_per_layer = {}  # of each direction's layer, by identity

    def clear(self):
        self.__init__()

    @property
    def n_layers(self):
        """LSTM layers that ran, both directions counted."""
        return len(self.tokens_per_layer)


@pytest.fixture
def readings(monkeypatch, tiny_model):
    """Count what is read from now on; the encoders' start states are made before."""
    for state in ("zero", "warm"):
        for layers in (0, 1, 2):
            vectorizer = ElmoVectorizer(str(tiny_model), state=state, layers=layers)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # layer 0 has no state
                vectorizer.fit_transform(["to begin with"])
    found = Readings()
    read, run = Encoder.windows, FastLstmLayer.run

    def windows(self, texts, direction, **options):
        kept = found.texts if direction == "forward" else found.backward
        kept += [tuple(text) for text in texts]
        return read(self, texts, direction, **options)

    def run_layer(self, inputs, indexes, state, active_rows):
        before = found.tokens_per_layer.get(id(self), 0)
        found.tokens_per_layer[id(self)] = before + sum(active_rows)
        return run(self, inputs, indexes, state, active_rows)

    monkeypatch.setattr(Encoder, "windows", windows)
    monkeypatch.setattr(FastLstmLayer, "run", run_layer)
    return found


@pytest.fixture
def make(tiny_model, tmp_path):
    def make_vectorizer(kind=ElmoVectorizer, **parameters):
        parameters = {"tokenizer": "whitespace"} | parameters
        return kind(str(tiny_model), **parameters)

    return make_vectorizer


# ----------------------------------------------------- no more than is needed


@pytest.mark.parametrize("pooling", ["mean", list(POOLINGS)], ids=["mean", "all"])
@pytest.mark.parametrize("call", ["transform", "fit_transform", "learned"])
def test_each_distinct_text_is_read_once_a_call(call, pooling, make, readings):
    mix = "learned" if call == "learned" else "average"
    vectorizer = make(pooling=pooling, layer_mix=mix)
    if call == "transform":
        vectorizer.fit(TEXTS)
        assert readings.texts == []
        vectorizer.transform(TEXTS)
    else:
        vectorizer.fit_transform(TEXTS, [0, 1] * 3 + [0])
    assert sorted(readings.texts) == sorted(DISTINCT)
    assert len(readings.backward) == len(DISTINCT)


def test_each_distinct_text_is_read_once_a_call_over_chunks(
    make, readings, monkeypatch
):
    monkeypatch.setattr("sklearn_elmo.base._CHUNK_TEXTS", 2)
    make().fit_transform(TEXTS * 3)
    assert sorted(readings.texts) == sorted(DISTINCT)


def test_fit_reads_nothing_unless_it_learns_from_layers(make, readings):
    for parameters in ({}, {"pooling": "idf"}, {"cache": None, "layers": 0}):
        make(**parameters).fit(TEXTS)
    make(ElmoTokenVectorizer).fit(TEXTS)
    assert readings.texts == []


N_TOKENS = sum(len(text) for text in DISTINCT)


@pytest.mark.parametrize(
    ("layers", "n_layers"),
    [(0, 0), ([0], 0), (-3, 0), (1, 1), ([1, 0], 1), (2, 2), ("top", 2), ("all", 2)],
    ids=str,
)
@pytest.mark.parametrize("kind", [ElmoVectorizer, ElmoTokenVectorizer])
@pytest.mark.parametrize("cached", [False, True])
def test_no_layer_above_the_highest_runs(
    layers, n_layers, kind, cached, make, readings, tmp_path
):
    cache = tmp_path if cached else None
    make(kind, layers=layers, cache=cache).fit_transform(TEXTS)
    assert readings.n_layers == 2 * n_layers
    assert set(readings.tokens_per_layer.values()) <= {N_TOKENS}


def test_layer_0_of_idf_runs_no_lstm(make, readings, tmp_path):
    make(layers=0, pooling=["idf", "max"], cache=tmp_path).fit_transform(TEXTS)
    assert readings.n_layers == 0


def test_max_tokens_saves_the_reading(make, readings):
    make(max_tokens=2).fit_transform(TEXTS)
    assert max(map(len, readings.texts)) == 2


# --------------------------------------------------------------- with a cache

CHANGES = [
    {"layers": 0},
    {"layers": "top"},
    {"layers": [2, 0], "layer_mix": "concat"},
    {"layers": "all", "layer_mix": "learned"},
    {"layer_mix": [1, 2, 3]},
    {"normalize": True},
    {"pooling": "max"},
    {"pooling": ["final", "first", "min", "last", "sum"]},
    {"missing": "zero", "batch_tokens": 3},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
@pytest.mark.parametrize("kind", ["folder", "store", "relative"])
def test_cached_text_is_not_read_again(
    kind, change, make, readings, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    cache = {"folder": tmp_path, "store": EmbeddingStore(tmp_path), "relative": "c"}
    make(cache=cache[kind]).fit_transform(TEXTS)
    assert sorted(readings.texts) == sorted(DISTINCT)
    readings.clear()
    y = [0, 1] * 3 + [0]
    rows = make(cache=cache[kind], **change).fit_transform(TEXTS, y)
    assert readings.texts == []
    assert readings.tokens_per_layer == {}
    expected = make(**change).fit_transform(TEXTS, y)
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=5e-6)


def test_cached_tokens_serve_every_idf_and_every_other_pooling(
    make, readings, tmp_path
):
    make(cache=tmp_path, pooling="idf").fit_transform(TEXTS)
    readings.clear()
    for fitted_on in (TEXTS, ["the the", "cat"]):
        for pooling in ("idf", "mean", ["idf", *POOLINGS[:-1]]):
            vectorizer = make(cache=tmp_path, pooling=pooling, layer_mix="concat")
            rows = vectorizer.fit(fitted_on).transform(TEXTS)
            assert readings.texts == []
            vectorizer.set_params(cache=None)
            np.testing.assert_allclose(rows, vectorizer.transform(TEXTS), atol=5e-6)
            readings.clear()


def test_cached_tokens_serve_the_token_vectorizer(make, readings, tmp_path):
    make(cache=tmp_path, pooling="idf").fit_transform(TEXTS)
    readings.clear()
    for layers in ("all", 0, [1]):
        make(ElmoTokenVectorizer, cache=tmp_path, layers=layers).fit_transform(TEXTS)
    assert readings.texts == []


def test_cached_tokens_and_poolings_serve_both_together(make, readings, tmp_path):
    make(cache=tmp_path, pooling="mean").fit_transform(TEXTS)
    make(cache=tmp_path, pooling="idf").fit_transform(TEXTS)
    readings.clear()
    make(cache=tmp_path, pooling=["mean", "idf", "max"]).fit_transform(TEXTS)
    assert readings.texts == []


def test_only_texts_that_are_not_cached_are_read(make, readings, tmp_path):
    vectorizer = make(cache=tmp_path).fit(TEXTS)
    vectorizer.transform(TEXTS[:3])
    readings.clear()
    vectorizer.transform(TEXTS)
    assert set(readings.texts) == {("why", "?"), ("the", "end", ".")}


def test_cache_is_found_by_tokens_whatever_the_tokenizer(make, readings, tmp_path):
    make(cache=tmp_path).fit_transform(["a dog"])
    readings.clear()
    tokenizers = {"words": "a dog", "pretokenized": ["a", "dog"]}
    for tokenizer, text in tokenizers.items():
        make(cache=tmp_path, tokenizer=tokenizer).fit_transform([text])
    make(cache=tmp_path, tokenizer=lambda text: text.split("|")).fit_transform(
        ["a|dog"]
    )
    make(cache=tmp_path, max_tokens=2).fit_transform(["a dog barks"])
    assert readings.texts == []


@pytest.mark.parametrize(
    "change",
    [{"state": "warm"}, {"precision": "bfloat16"}, {"precision": "int8"}],
    ids=str,
)
def test_cache_does_not_mix_states_or_precisions(change, make, tmp_path):
    make(cache=tmp_path).fit_transform(TEXTS)
    rows = make(cache=tmp_path, **change).fit_transform(TEXTS)
    expected = make(**change).fit_transform(TEXTS)
    np.testing.assert_allclose(rows, expected, atol=5e-6)
    again = make(cache=tmp_path, **change).fit_transform(TEXTS)
    np.testing.assert_array_equal(again, rows)


def test_cache_does_not_mix_models(make_model, tmp_path):
    for seed in (30, 31):
        folder = str(make_model(seed=seed))
        rows = ElmoVectorizer(folder, cache=tmp_path).fit_transform(TEXTS)
        np.testing.assert_allclose(
            rows, ElmoVectorizer(folder).fit_transform(TEXTS), atol=5e-6
        )


def test_lower_layers_in_the_cache_do_not_pass_for_higher_ones(make, tmp_path):
    for layers in (0, 1, "all", [2, 0]):
        rows = make(cache=tmp_path, layers=layers).fit_transform(TEXTS)
        expected = make(layers=layers).fit_transform(TEXTS)
        np.testing.assert_allclose(rows, expected, atol=5e-6)


def test_grid_search_reads_each_text_once(make, readings, tmp_path):
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    texts = [f"{a} {b} {c}" for a in "abc" for b in "def" for c in "gh"]
    pipeline = make_pipeline(make(cache=str(tmp_path)), LogisticRegression())
    grid = {
        "elmovectorizer__layers": ["all", "top", [0, 2]],
        "elmovectorizer__layer_mix": ["average", "concat", "learned"],
        "elmovectorizer__pooling": ["mean", ["max", "final"]],
    }
    search = GridSearchCV(pipeline, grid, cv=3)
    with pytest.warns(match="single layer"):  # learned, of the top alone
        search.fit(texts, [0, 1] * 9)
    assert len(readings.texts) == len(set(readings.texts)) == len(texts)


def test_store_survives_clone_and_pickle(make, readings, tmp_path):
    import pickle

    from sklearn.base import clone

    vectorizer = make(cache=EmbeddingStore(tmp_path, max_bytes=10**8))
    vectorizer.fit_transform(TEXTS)
    readings.clear()
    pickle.loads(pickle.dumps(clone(vectorizer))).fit_transform(TEXTS)
    assert readings.texts == []


def test_cache_true_is_the_users_cache_folder(make, readings, tmp_path, monkeypatch):
    monkeypatch.setenv("SKLEARN_ELMO_HOME", str(tmp_path))
    make(cache=True).fit_transform(TEXTS)
    assert list(tmp_path.rglob("*.h5"))
    readings.clear()
    make(cache=True).fit_transform(TEXTS)
    assert readings.texts == []


def test_generator_with_a_cache(make, readings, tmp_path):
    make(cache=tmp_path).fit_transform(text for text in TEXTS)
    readings.clear()
    make(cache=tmp_path).fit_transform(text for text in TEXTS)
    assert readings.texts == []


# ------------------------------------------------------------- the reader alone


@pytest.fixture
def reader(tiny_model):
    model = open_model(tiny_model)
    return Reader(model, "cpu", "float32", "zero", "auto")


def test_reader_tells_of_every_text(reader):
    told = []
    texts = [["a"] * n for n in range(1, 301)]
    reader.reduce(texts, layers=[0], reductions=["sum"], progress=told.append)
    assert sum(told) == 300
    told.clear()
    reader.token_layers(texts, layers=[0], progress=told.append)
    assert sum(told) == 300


def test_reader_keeps_the_order_of_texts_and_layers(reader, tiny_model):
    reference = ReferenceElmo.from_folder(tiny_model)
    texts = [["a"], ["the", "cat", "sat"], ["why", "?"]]
    reduced = reader.reduce(
        texts, layers=[2, 0], reductions=["sum", "last"], progress=lambda n: None
    )
    for i, text in enumerate(texts):
        layers = reference.embed(text)[[2, 0]]
        np.testing.assert_allclose(reduced["sum"][i], layers.sum(axis=1), atol=2e-5)
        np.testing.assert_allclose(reduced["last"][i], layers[:, -1], atol=5e-6)
    vectors = reader.token_layers(texts, layers=[2, 0], progress=lambda n: None)
    for text, found in zip(texts, vectors, strict=True):
        expected = reference.embed(text)[[2, 0]].swapaxes(0, 1)
        np.testing.assert_allclose(found, expected, atol=5e-6)


@pytest.mark.parametrize(
    "shape",
    [
        {"n_layers": 1},
        {"n_layers": 3, "use_skip_connections": False},
        {"cell_dim": 8, "projection_dim": 8, "with_projection": False},
        {"n_highway": 0, "activation": "tanh", "cell_clip": None, "proj_clip": None},
        {"scale": 4.0},
        {"max_characters": 10, "filters": ((1, 4), (4, 8))},
    ],
    ids=str,
)
def test_models_of_other_shapes_through_the_vectorizer(shape, make_model):
    folder = make_model(seed=11, **shape)
    reference = ReferenceElmo.from_folder(folder)
    vectorizer = ElmoVectorizer(
        str(folder), tokenizer="whitespace", layer_mix="concat", pooling="mean"
    )
    texts = [text for text in TEXTS if text]
    rows = vectorizer.fit_transform(texts)
    for text, row in zip(texts, rows, strict=True):
        with np.errstate(over="ignore"):
            expected = reference.embed(text.split()).mean(axis=1).ravel()
        atol = 1e-6 * max(10.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(row, expected, rtol=1e-5, atol=atol)


# ------------------------------------------------------------ long and many texts


def make_long_text(n_tokens, seed=0):
    words = [f"w{i}" for i in range(50)]
    return " ".join(np.random.default_rng(seed).choice(words, n_tokens))


def test_long_text_is_that_of_the_reference(make, tiny_model):
    text = make_long_text(2000)
    reference = ReferenceElmo.from_folder(tiny_model)
    layers = reference.embed(text.split())
    names = ["mean", "max", "min", "final"]
    vectorizer = make(layer_mix="concat", pooling=names, batch_tokens=256)
    row = vectorizer.fit_transform([text])[0].reshape(4, 3, 16)
    np.testing.assert_allclose(row[0], layers.mean(axis=1), atol=5e-6)
    np.testing.assert_allclose(row[1], layers.max(axis=1), atol=5e-6)
    np.testing.assert_allclose(row[2], layers.min(axis=1), atol=5e-6)


def test_very_long_text_in_many_windows_is_that_of_one(make):
    texts = [make_long_text(5000), "short", make_long_text(2000, seed=1)]
    names = ["mean", "max", "first", "last", "final", "idf"]
    vectorizer = make(layer_mix="concat", pooling=names, batch_tokens=10_000)
    one = vectorizer.fit_transform(texts)
    many = vectorizer.set_params(batch_tokens=500).transform(texts)
    np.testing.assert_allclose(many, one, rtol=0, atol=5e-6)


def test_mean_of_a_very_long_text_loses_no_precision(make):
    """Sums in float32 must not drift: the same tokens many times over."""
    sentence = "the cat sat on the mat . "
    texts = [sentence * 15_000, sentence * 20]
    rows = make(layers=0).fit_transform(texts)
    np.testing.assert_allclose(rows[0], rows[1], rtol=0, atol=5e-6)


def test_long_tokens_are_cut_text_by_text(make):
    """Two thousand tokens of a megabyte took 2.3 GB, though 48 bytes are read."""

    def tokenize(text):
        return [f"{text:x<1000000}"]

    texts = [str(number) for number in range(60)]
    for split in (None, "sentences"):
        vectorizer = make(tokenizer=tokenize, split=split).fit([])
        tracemalloc.start()
        try:
            with pytest.warns(LongTokenWarning):
                vectorizer.transform(texts)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 20 * 2**20


MEASURE = """
import json, resource, sys
from sklearn_elmo import ElmoVectorizer

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # MiB

def text(n_tokens, first=0):
    return " ".join(f"w{(first + 7 * i) % 1009}" for i in range(n_tokens))

names = ["mean", "max", "idf"]
vectorizer = ElmoVectorizer(sys.argv[1], tokenizer="whitespace", pooling=names)
context_free = ElmoVectorizer(sys.argv[1], layers=0).fit([])
vectorizer.fit([text(1009)]).transform([text(30, i) for i in range(300)])
figures = {"start": peak()}
vectorizer.transform([text(6000)])
figures["6,000 tokens"] = peak()
# Without LSTM, which only costs time: its state does not grow with the text.
context_free.transform([text(200_000)])
figures["200,000 tokens"] = peak()
vectorizer.transform(text(3, i) + f" {i}" for i in range(50_000))
figures["50,000 texts"] = peak()
print(json.dumps(figures))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes there")
def test_memory_stays_bounded_for_a_long_text_and_for_many(tiny_model):
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tiny_model)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    start, long, longer, many = figures.values()
    assert long - start < 80, figures
    # The text itself, its tokens as str objects, one window.
    assert longer - long < 120, figures
    # Texts and rows, 50,000 x (70 + 192 bytes); keys; a chunk.
    assert many - longer < 120, figures


# Weights that are finite but far too large


@pytest.fixture
def huge_model(make_model):
    """Make a model whose data set of the given name is as large as float32 allows."""

    def make(name, **options):
        folder = make_model(cell_clip=None, proj_clip=None, **options)
        with h5py.File(folder / "weights.hdf5", "r+") as file:
            values = file[name][()]
            file[name][...] = np.where(values < 0, -3e38, 3e38).astype(values.dtype)
        return folder

    return make


DATA_SETS = [
    "char_embed",
    "CNN/W_cnn_1",
    "CNN_high_0/W_carry",
    "CNN_high_0/W_transform",
    "CNN_proj/W_proj",
    "RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell/W_0",
    "RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell/W_P_0",
]


@pytest.mark.parametrize("with_store", [False, True])
@pytest.mark.parametrize("name", DATA_SETS)
def test_rows_that_are_not_finite_are_never_returned(
    huge_model, tmp_path, name, with_store
):
    folder = huge_model(name)
    cache = tmp_path / "store" if with_store else None
    texts = ["some words .", "", "a few others"]
    for estimator in (
        ElmoVectorizer(str(folder), pooling=["mean", "max"], cache=cache),
        ElmoVectorizer(str(folder), pooling="idf", cache=cache),
        ElmoTokenVectorizer(str(folder), cache=cache),
    ):
        try:
            rows = estimator.fit_transform(texts)
        except ModelFileError as error:
            assert str(folder) in str(error)  # noqa: PT017 # both outcomes are right
        else:
            assert all(np.isfinite(row).all() for row in rows)


@pytest.mark.parametrize("name", ["char_embed", "CNN_proj/W_proj"])
def test_huge_weights_are_an_error_that_names_the_model_and_the_text(huge_model, name):
    folder = huge_model(name)
    for estimator in (ElmoVectorizer(str(folder)), ElmoTokenVectorizer(str(folder))):
        with pytest.raises(ModelFileError, match="not finite") as caught:
            estimator.fit_transform(["", "some words"])
        assert str(folder) in str(caught.value)
        assert "some words" in str(caught.value)
