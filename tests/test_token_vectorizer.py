"""ElmoTokenVectorizer: one row a token."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from reference_numpy import ReferenceElmo
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_elmo import ElmoTokenVectorizer, ElmoVectorizer, engine
from sklearn_elmo.errors import ModelMismatchError
from sklearn_elmo.learned_mix import learn_layer_weights

# Tokens of many lengths are on purpose; test_long_tokens_* look at the warning.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn_elmo.errors.LongTokenWarning")

ATOL = 5e-6
TEXTS = ["The cat sat .", "a", "Why don't you ?", "a a a b", "The cat sat ."]


@pytest.fixture(scope="module")
def make(tiny_model):
    def make_vectorizer(**parameters):
        parameters = {"tokenizer": "whitespace"} | parameters
        return ElmoTokenVectorizer(str(tiny_model), **parameters)

    return make_vectorizer


@pytest.fixture(scope="module")
def embed(tiny_model):
    reference = ReferenceElmo.from_folder(tiny_model)
    return lambda text: reference.embed(text.split()).swapaxes(0, 1)  # (T, L, D)


@pytest.mark.parametrize("layers", ["all", "top", 0, -2, [2, 0]], ids=str)
@pytest.mark.parametrize("mix", ["average", "concat", "weights"])
def test_rows_are_the_tokens_of_the_reference(layers, mix, make, embed):
    numbers = {"all": [0, 1, 2], "top": [2], "0": [0], "-2": [1]}.get(
        str(layers), [2, 0]
    )
    weights = [0.5, -2.0, 3.0][: len(numbers)]
    parameter = weights if mix == "weights" else mix
    vectorizer = make(layers=layers, layer_mix=parameter)
    arrays = vectorizer.fit_transform(TEXTS)
    assert isinstance(arrays, list)
    for text, array in zip(TEXTS, arrays, strict=True):
        chosen = embed(text)[:, numbers]
        expected = {
            "average": chosen.mean(axis=1),
            "concat": chosen.reshape(len(chosen), -1),
            "weights": np.einsum("tld,l->td", chosen, weights),
        }[mix]
        assert array.dtype == np.float32
        assert array.shape == (len(text.split()), vectorizer.n_features_out_)
        np.testing.assert_allclose(array, expected, atol=2e-5 if parameter else ATOL)
    names = vectorizer.get_feature_names_out()
    assert len(names) == len(set(names)) == vectorizer.n_features_out_


@pytest.mark.parametrize("mix", ["average", "concat", "learned", [1, 2, 3]], ids=str)
@pytest.mark.parametrize("text", ["", "  ", None, float("nan")], ids=repr)
def test_text_without_tokens_has_no_rows(text, mix, make):
    vectorizer = make(layer_mix=mix)
    arrays = vectorizer.fit_transform(["a b", text, "c"], [0, 1, 1])
    assert [len(array) for array in arrays] == [2, 0, 1]
    assert arrays[1].shape == (0, vectorizer.n_features_out_)
    assert arrays[1].dtype == np.float32


@pytest.mark.parametrize("mix", ["average", "concat"])
def test_no_texts_give_an_empty_list(mix, make):
    assert make(layer_mix=mix).fit_transform([]) == []
    assert make(layer_mix=mix).fit(["a"]).transform(iter(())) == []


@pytest.mark.parametrize("texts", [["", None], [""]])
def test_nothing_but_empty_texts(texts, make):
    arrays = make().fit_transform(texts)
    assert [array.shape for array in arrays] == [(0, 16)] * len(texts)


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("state", ["zero", "warm"])
def test_rows_do_not_depend_on_other_texts(cached, state, make, tmp_path):
    words = ["a", "cat", "sat", ".", "Zürich", "x"]
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, n)) for n in (1, 50, 3, 200, 7, 1, 12)]
    vectorizer = make(state=state, cache=tmp_path if cached else None).fit(texts)
    arrays = vectorizer.transform(texts)
    alone = [make(state=state).fit([]).transform([text])[0] for text in texts]
    shuffled = vectorizer.transform(texts[::-1])[::-1]
    small = clone(vectorizer).set_params(batch_tokens=3, cache=None)
    small = small.fit(texts).transform(texts)
    for array, *others in zip(arrays, alone, shuffled, small, strict=True):
        for other in others:
            np.testing.assert_allclose(other, array, rtol=0, atol=ATOL)


def test_mean_of_the_rows_is_that_of_the_text_vectorizer(make, tiny_model):
    arrays = make().fit_transform(TEXTS)
    rows = ElmoVectorizer(str(tiny_model), tokenizer="whitespace").fit_transform(TEXTS)
    np.testing.assert_allclose([a.mean(axis=0) for a in arrays], rows, atol=ATOL)


def test_rows_over_chunks_are_the_same(make, monkeypatch):
    expected = make().fit_transform(TEXTS)
    monkeypatch.setattr("sklearn_elmo.base._CHUNK_TEXTS", 2)
    for array, other in zip(expected, make().fit_transform(TEXTS), strict=True):
        np.testing.assert_allclose(array, other, rtol=0, atol=ATOL)


@pytest.mark.parametrize("mix", ["average", "concat"])
def test_arrays_are_of_the_callers_own(mix, make):
    """Equal texts must not share memory; nor one text with its neighbours."""
    vectorizer = make(layers=0, layer_mix=mix)
    arrays = vectorizer.fit_transform(TEXTS)
    expected = arrays[4].copy()
    assert arrays[0].flags.writeable
    arrays[0][:] = 0
    np.testing.assert_array_equal(arrays[4], expected)
    np.testing.assert_array_equal(vectorizer.transform(TEXTS)[0], expected)
    assert arrays[1].base is None or arrays[1].base.nbytes == arrays[1].nbytes


# ------------------------------------------------------------------- tokenize


@pytest.mark.parametrize("fitted", [False, True])
def test_tokenize_gives_the_tokens_that_the_rows_stand_for(fitted, make):
    texts = ['Mr. Fox didn\'t eat. "Why?"', "", None, " a  b "]
    vectorizer = make(tokenizer="words")
    tokens = vectorizer.tokenize(texts) if not fitted else None
    arrays = vectorizer.fit_transform(texts)
    tokens = tokens or vectorizer.tokenize(texts)
    assert tokens[0][:4] == ["Mr.", "Fox", "did", "n't"]
    assert tokens[1:] == [[], [], ["a", "b"]]
    assert [len(array) for array in arrays] == [len(list_) for list_ in tokens]


def test_tokenize_cuts_as_transform_does(make):
    vectorizer = make(max_tokens=2)
    assert vectorizer.tokenize(["a b c", "d"]) == [["a", "b"], ["d"]]
    assert [len(a) for a in vectorizer.fit_transform(["a b c", "d"])] == [2, 1]


def test_tokenize_gives_lists_of_the_callers_own(make):
    own = [["a", "b"]]
    tokens = make(tokenizer="pretokenized").tokenize(own)
    tokens[0].append("c")
    assert own == [["a", "b"]]


def test_tokenize_checks_its_input_and_parameters(make):
    with pytest.raises(ValueError, match=r"\[text\]"):
        make().tokenize("bare")
    with pytest.raises(ValueError, match="tokenizer"):
        make(tokenizer="nltk").tokenize(["a"])
    with pytest.raises(ValueError, match="Row 1"):
        make(missing="error").tokenize(["a", None])


# ---------------------------------------------------------------- learned mix


def make_token_task(make, n_texts=60, layer="top"):
    """Texts and a label a token that the given layer decides."""
    rng = np.random.default_rng(3)
    words = [f"w{i}" for i in range(30)]
    texts = [" ".join(rng.choice(words, n)) for n in rng.integers(1, 12, n_texts)]
    values = [a[:, 0] for a in make(layers=layer).fit_transform(texts)]
    middle = np.median(np.concatenate(values))
    return texts, [["B" if v > middle else "O" for v in text] for text in values]


def test_labels_a_token_find_the_layer_that_they_are_made_from(make):
    for number, layer in ((0, 0), (2, "top")):
        texts, labels = make_token_task(make, layer=layer)
        vectorizer = make(layer_mix="learned").fit(texts, labels)
        assert np.argmax(vectorizer.layer_weights_) == number
        assert vectorizer.layer_weights_.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    "convert",
    [
        list,
        tuple,
        lambda y: [tuple(labels) for labels in y],
        lambda y: [np.array(labels) for labels in y],
        lambda y: [pd.Series(labels) for labels in y],
        lambda y: pd.Series(y),
        lambda y: pd.Series(y, index=range(100, 100 + len(y))),
        lambda y: pd.Series(y, index=[1] * len(y)),
        lambda y: pl.Series(y),
        lambda y: np.array([*y, None], dtype=object)[:-1],
    ],
    ids=[
        "list",
        "tuple",
        "tuples",
        "arrays",
        "series inside",
        "Series",
        "odd index",
        "same index",
        "polars",
        "object",
    ],
)
def test_labels_a_token_come_in_any_container(convert, make):
    texts, labels = make_token_task(make)
    expected = make(layer_mix="learned").fit(texts, labels).layer_weights_
    found = make(layer_mix="learned").fit(texts, convert(labels)).layer_weights_
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(
    "convert",
    [
        list,
        np.array,
        lambda y: pd.Series(y, index=range(100, 100 + len(y))),
        lambda y: pl.Series(y),
    ],
    ids=["list", "array", "odd index", "polars"],
)
def test_one_label_a_text_comes_in_any_container(convert, make):
    texts, labels = make_token_task(make)
    y = ["long" if len(of_text) > 5 else "short" for of_text in labels]
    expected = make(layer_mix="learned").fit(texts, y).layer_weights_
    found = make(layer_mix="learned").fit(texts, convert(y)).layer_weights_
    np.testing.assert_allclose(found, expected)


def test_labels_of_numbers_are_regression(make):
    texts, _ = make_token_task(make)
    values = [a[:, 0].tolist() for a in make(layers=0).fit_transform(texts)]
    weights = make(layer_mix="learned").fit(texts, values).layer_weights_
    assert np.argmax(weights) == 0


def test_labels_with_empty_first_and_missing_texts(make):
    texts, labels = make_token_task(make)
    expected = make(layer_mix="learned").fit(texts, labels).layer_weights_
    found = make(layer_mix="learned").fit(["", None, *texts, ""], [[], [], *labels, []])
    np.testing.assert_allclose(found.layer_weights_, expected, atol=1e-6)


def test_labels_beyond_max_tokens_are_left_out(make):
    texts, labels = make_token_task(make)
    cut = make(layer_mix="learned", max_tokens=3).fit(texts, labels)
    expected = make(layer_mix="learned").fit(
        [" ".join(text.split()[:3]) for text in texts],
        [of_text[:3] for of_text in labels],
    )
    np.testing.assert_allclose(cut.layer_weights_, expected.layer_weights_, atol=1e-6)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (None, r"fit\(X, y\)"),
        ([["A", "B"], ["A"]], "2 .*3"),  # fewer texts than X has
        ([["A", "B"], ["A"], ["B", "A"], ["A"]], "4 .*3"),
        ([["A", "B"], ["A"], ["B"]], r"Row 2 .*2 tokens.*1 label"),
        ([["A", "B"], ["A", "B"], ["B", "A"]], r"Row 1 .*1 token.*2 label"),
        ([["A", "A"], ["A"], ["A", "A"]], "single class"),
        ([["A", "B"], "A", ["B", "A"]], "Row 1|kind|label"),
        ([["A", "B"], None, ["B", "A"]], "Row 1|kind|label"),
        ([0, 1], "2 .*3"),
        ([1, 1, 1], "single class"),
        ([], "0 .*3"),
    ],
    ids=str,
)
def test_labels_that_do_not_fit_say_where(y, words, make):
    with pytest.raises(ValueError, match=words):
        make(layer_mix="learned").fit(["a b", "c", "d e"], y)


def test_learned_mix_is_scale_times_weights(make):
    texts, labels = make_token_task(make)
    vectorizer = make(layer_mix="learned")
    arrays = vectorizer.fit_transform(texts, labels)
    mix = (vectorizer.layer_scale_ * vectorizer.layer_weights_).tolist()
    plain = make(layer_mix=mix).fit_transform(texts)
    for array, other in zip(arrays, plain, strict=True):
        np.testing.assert_allclose(array, other, atol=ATOL)
    again = clone(vectorizer).fit(texts, labels)
    np.testing.assert_array_equal(again.layer_weights_, vectorizer.layer_weights_)


def test_learned_mix_of_a_generator(make):
    texts, labels = make_token_task(make)
    vectorizer = make(layer_mix="learned")
    arrays = vectorizer.fit_transform((text for text in texts), labels)
    assert len(arrays) == len(texts)


def test_learned_mix_of_one_layer_warns_as_the_text_vectorizer_does(make):
    with pytest.warns(UserWarning, match="single layer"):
        make(layer_mix="learned", layers=1).fit(["a b", "c"], [0, 1])


# ---------------------------------------------------------- fitted state, tools


def test_before_fit_it_is_not_fitted(make):
    for call in ("transform", "get_feature_names_out"):
        with pytest.raises(NotFittedError):
            getattr(make(), call)(*([TEXTS] if call == "transform" else []))


def test_features_changed_after_fit_are_refused(make):
    vectorizer = make().fit(TEXTS).set_params(layers=0)
    with pytest.raises(ValueError, match="it again"):
        vectorizer.transform(TEXTS)


def test_other_weights_under_the_same_name_are_refused(make_model, tmp_path):
    import shutil

    folder = shutil.copytree(make_model(seed=40), tmp_path / "model")
    vectorizer = ElmoTokenVectorizer(str(folder)).fit(TEXTS)
    shutil.copy(make_model(seed=41) / "weights.hdf5", folder / "weights.hdf5")
    with pytest.raises(ModelMismatchError):
        vectorizer.transform(TEXTS)


@pytest.mark.parametrize("how", ["fit", "fit_transform", "transform", "tokenize"])
@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        ("bare", ValueError, r"\[text\]"),
        (["a", b"b"], TypeError, r"Row 1 .*bytes.*decode"),
        (["a", 3], TypeError, r"Row 1 .*int \(3\)"),
        ([["a"]], TypeError, r"Row 0 .*list.*pretokenized"),
        ({"a": 1}, TypeError, "dict"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), ValueError, "ColumnTransformer"),
    ],
    ids=["bare", "bytes", "int", "list", "dict", "frame"],
)
def test_bad_input_is_refused_everywhere(bad, error, words, how, make):
    vectorizer = make()
    if how == "transform":
        vectorizer.fit(["a"])
    with pytest.raises(error, match=words) as caught:
        getattr(vectorizer, how)(bad)
    assert "ElmoTokenVectorizer" in str(caught.value)


@pytest.mark.parametrize(
    "convert",
    [
        tuple,
        np.array,
        pd.Series,
        lambda t: pd.Series(t, index=[2] * len(t), dtype="category"),
        pl.Series,
        lambda t: (x for x in t),
        lambda t: pd.DataFrame({"text": t}),
    ],
)
def test_container_makes_no_difference(convert, make):
    expected = make().fit_transform(TEXTS)
    found = make().fit_transform(convert(TEXTS))
    for array, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(array, other)


def test_frame_of_one_column_of_tokens(make):
    frame = pd.DataFrame({"tokens": [["a", "b"], ["c"]]})
    arrays = make(tokenizer="pretokenized").fit_transform(frame)
    assert [len(array) for array in arrays] == [2, 1]


def test_pickle_and_clone(make):
    vectorizer = make().fit(TEXTS)
    data = pickle.dumps(vectorizer)
    assert len(data) < 100_000
    for array, other in zip(
        pickle.loads(data).transform(TEXTS), vectorizer.transform(TEXTS), strict=True
    ):
        np.testing.assert_array_equal(array, other)
    with pytest.raises(NotFittedError):
        clone(vectorizer).transform(TEXTS)


def test_in_a_pipeline_before_something_that_takes_lists(make):
    pool = FunctionTransformer(lambda arrays: np.array([a.max(axis=0) for a in arrays]))
    pipeline = make_pipeline(make(), pool)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pipeline.fit_transform(TEXTS).shape == (5, 16)


def test_it_has_no_parameter_that_does_not_apply(tiny_model):
    parameters = set(ElmoVectorizer().get_params()) - {"pooling", "normalize"}
    assert set(ElmoTokenVectorizer().get_params()) == parameters
    with pytest.raises(TypeError):
        ElmoTokenVectorizer(str(tiny_model), pooling="mean")


def test_verbose_shows_progress_on_stderr_alone(make, capfd):
    make(verbose=True).fit_transform(TEXTS)
    out, err = capfd.readouterr()
    assert out == ""
    assert "5/5" in err


@pytest.mark.parametrize("parameters", [{}, {"split": "sentences"}, {"layers": 0}])
@pytest.mark.parametrize("with_store", [False, True])
def test_vectors_of_all_layers_exist_for_few_tokens_at_once(
    parameters, with_store, make, monkeypatch, tmp_path
):
    """A chunk of a million characters has gigabytes of them with a large model."""
    words = np.random.default_rng(0).choice(["a", "the", "cat", "Sat.", "No."], 3000)
    texts = [" ".join(part) for part in np.split(words, [7, 8, 60, 61, 900, 1000])]
    vectorizer = make(cache=tmp_path if with_store else None, **parameters)
    expected = make(**parameters).fit_transform(texts)
    sizes = []
    whole = engine.Reader.token_layers

    def spy(reader, parts, **arguments):
        sizes.append(sum(map(len, parts)))
        return whole(reader, parts, **arguments)

    monkeypatch.setattr(engine.Reader, "token_layers", spy)
    width = 4 * 16 * (1 if parameters.get("layers") == 0 else 3)
    monkeypatch.setattr(engine, "_TOKEN_VECTOR_BYTES", 100 * width)
    for _ in range(2):
        rows = vectorizer.fit_transform(texts)
        for found, wanted in zip(rows, expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=ATOL)
    groups = 2 * [61, 839, 100, 2000]
    if "split" in parameters:  # equal sentences of a group are read once
        assert len(sizes) == len(groups)
        assert all(np.less(sizes, groups))
    else:
        assert sizes == groups


def test_learned_mix_of_many_tokens_needs_one_array_of_layers(make):
    texts = [f"the cat sat on {i}" for i in range(300)] * 2
    labels = [["a", "b", "a", "b", "a"]] * len(texts)
    vectorizer = make(layer_mix="learned").fit(texts, labels)
    layers = make(layer_mix="concat").fit_transform(texts)
    joined = np.concatenate(layers).reshape(-1, 3, 16)
    found = learn_layer_weights(joined, np.concatenate(labels))
    np.testing.assert_allclose(vectorizer.layer_weights_, found.weights, atol=1e-4)


@pytest.mark.parametrize("verbose", [0, 1])
def test_learning_of_the_mix_shows_its_progress(verbose, make, capsys):
    make(layer_mix="learned", verbose=verbose).fit(["a cat", "the cat"], [0, 1])
    assert ("layer weights" in capsys.readouterr().err) == bool(verbose)
