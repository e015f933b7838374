"""ElmoTagger, its linear chain, and the scores of entities."""

import itertools
import math
import pickle
import tracemalloc
import warnings

import hypothesis
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import get_tags

from sklearn_elmo import ElmoTagger, ElmoTokenVectorizer
from sklearn_elmo.errors import (
    InvalidParameterError,
    LongTokenWarning,
    TextTypeError,
    TextValueError,
)
from sklearn_elmo.tagging import entity_f1_score, entity_report
from sklearn_elmo.tagging.chain import TagChain, learn_chain, most_probable_tags
from sklearn_elmo.tagging.defaults import BatchedScaler

X = [
    ["The", "cat", "sat", "."],
    ["Dogs", "bark"],
    [],
    ["A", "dog", "ran", "."],
    ["The", "cat", "sat", "."],
    ["Stop", "!"],
]
Y = [
    ["DET", "NOUN", "VERB", "PUNCT"],
    ["NOUN", "VERB"],
    [],
    ["DET", "NOUN", "VERB", "PUNCT"],
    ["DET", "NOUN", "VERB", "PUNCT"],
    ["VERB", "PUNCT"],
]


@pytest.fixture(scope="module")
def make(tiny_model):
    """Make a tagger on the tiny model."""

    def make_tagger(classifier=None, *, vectorizer=None, **parameters):
        settings = {"tokenizer": "pretokenized"} | (vectorizer or {})
        if classifier is None:
            classifier = LogisticRegression(C=100, max_iter=1000)
        return ElmoTagger(
            classifier,
            vectorizer=ElmoTokenVectorizer(str(tiny_model), **settings),
            **parameters,
        )

    return make_tagger


class Recorder(ClassifierMixin, BaseEstimator):
    """A classifier that keeps what it was given, and predicts the first class."""

    def fit(self, X, y):
        self.X_, self.y_ = X, y
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        self.X_predicted_ = X
        return np.repeat(self.classes_[:1], len(X))


def slow_features(arrays, window):
    """Concatenate neighbours token by token."""
    rows = []
    for array in arrays:
        for t in range(len(array)):
            parts = [
                array[t + k] if 0 <= t + k < len(array) else np.zeros_like(array[0])
                for k in range(-window, window + 1)
            ]
            rows.append(np.concatenate(parts))
    return np.array(rows)


# ------------------------------------------------------------- fit and predict


def test_predictions_are_those_of_the_classifier_on_token_vectors(make):
    tagger = make(decoding="independent").fit(X, Y)
    arrays = tagger.vectorizer.fit_transform(X)
    rows, tags = np.concatenate(arrays), list(itertools.chain(*Y))
    classifier = clone(tagger.classifier).fit(rows, tags)
    new = [["The", "dogs", "ran", "!"], [], ["Dogs"]]
    for got, proba, vectors in zip(
        tagger.predict(new),
        tagger.predict_proba(new),
        tagger.vectorizer.transform(new),
        strict=True,
    ):
        assert proba.shape == (len(vectors), len(tagger.classes_))
        if len(vectors):
            assert got == classifier.predict(vectors).tolist()
            expected = classifier.predict_proba(vectors)
            np.testing.assert_allclose(proba, expected, atol=1e-5)
    assert tagger.predict(X) == Y
    assert tagger.classes_.tolist() == ["DET", "NOUN", "PUNCT", "VERB"]


@pytest.mark.parametrize("window", [0, 1, 2, 5])
def test_window_puts_neighbours_beside_a_token_and_never_crosses_texts(window, make):
    tagger = make(Recorder(), window=window).fit(X, Y)
    given = tagger.classifier_.X_
    expected = slow_features(tagger.vectorizer_.transform(X), window)
    np.testing.assert_allclose(given, expected, atol=5e-6)
    assert given.dtype == np.float32
    assert tagger.classifier_.y_.tolist() == list(itertools.chain(*Y))
    tagger.predict(X[3:])
    expected = slow_features(tagger.vectorizer_.transform(X[3:]), window)
    np.testing.assert_allclose(tagger.classifier_.X_predicted_, expected, atol=5e-6)


@pytest.mark.filterwarnings("ignore::sklearn_elmo.errors.LongTokenWarning")
@pytest.mark.parametrize("window", [0, 2])
def test_batches_change_nothing(window, make, monkeypatch, real_sentences):
    texts = [*real_sentences, *real_sentences[:9], [], *X]
    tags = [["AB"[len(token) % 2] for token in text] for text in texts]
    recorder = make(Recorder(), window=window)
    tagger = make(LogisticRegression(max_iter=1000), window=window).fit(texts, tags)
    features = clone(recorder).fit(texts, tags).classifier_.X_
    probabilities = tagger.predict_proba(texts)
    monkeypatch.setattr("sklearn_elmo.tagging.features._BATCH_TOKENS", 7)
    monkeypatch.setattr("sklearn_elmo.base._CHUNK_TEXTS", 5)
    in_batches = clone(recorder).fit(texts, tags).classifier_.X_
    np.testing.assert_allclose(in_batches, features, rtol=0, atol=5e-6)
    for one, other in zip(tagger.predict_proba(texts), probabilities, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)


def test_probabilities_of_repeated_texts_are_the_callers_own(make):
    first, *_, last = make().fit(X, Y).predict_proba([X[0], X[1], X[0]])
    expected = last.copy()
    first[:] = 0
    np.testing.assert_array_equal(last, expected)


def test_integer_tags_come_back_as_python_ints(make):
    numbers = [[len(tag) for tag in tags] for tags in Y]
    tagger = make().fit(X, numbers)
    assert tagger.predict(X) == numbers
    assert {type(tag) for tags in tagger.predict(X) for tag in tags} == {int}
    assert {type(tag) for tags in make().fit(X, Y).predict(X) for tag in tags} == {str}


def test_text_longer_than_all_of_training(make):
    long = ["The", "cat"] * 1000
    tagger = make(decoding="viterbi", window=1).fit(X, Y)
    assert list(map(len, tagger.predict([long, ["cat"]]))) == [2000, 1]


@pytest.mark.parametrize("decoding", ["independent", "viterbi"])
@pytest.mark.parametrize("window", [0, 1])
def test_texts_without_tokens_have_no_tags(window, decoding, make):
    tagger = make(window=window, decoding=decoding)
    tagger.fit([*X, None], [*Y, None])
    assert tagger.predict([]) == tagger.predict_proba([]) == []
    assert tagger.predict([[], None]) == [[], []]
    assert [p.shape for p in tagger.predict_proba([[], None])] == [(0, 4)] * 2
    assert tagger.predict([[], ["Stop", "!"], []])[::2] == [[], []]


@pytest.mark.parametrize("texts", [[], [[]], [[], None]], ids=str)
def test_nothing_to_learn_from_or_to_score_is_an_error(texts, make):
    tags = [[] for _ in texts]
    with pytest.raises(TextValueError, match=f"{len(texts)} texts without any token"):
        make().fit(texts, tags)
    with pytest.raises(TextValueError, match="without any token"):
        make().fit(X, Y).score(texts, tags)


def test_default_parts_and_fitted_attributes():
    tagger = ElmoTagger()
    assert tagger.get_params() == {
        "classifier": None,
        "vectorizer": None,
        "window": 0,
        "decoding": "auto",
        "transition_weight": 0.5,
    }
    tagger.fit(X, Y)
    assert tagger.vectorizer_.tokenizer == "pretokenized"
    assert tagger.score(X, Y) == 1.0
    assert not hasattr(tagger, "n_features_in_")


def test_parts_that_are_passed_are_cloned(make):
    tagger = make().fit(X, Y)
    assert not hasattr(tagger.vectorizer, "model_digest_")
    assert not hasattr(tagger.classifier, "coef_")
    assert tagger.vectorizer_.layers == tagger.vectorizer.layers


def test_input_is_left_alone(make):
    texts, tags = [list(text) for text in X], [list(row) for row in Y]
    make(make_pipeline(StandardScaler(copy=False), LogisticRegression())).fit(
        texts, tags
    ).predict(texts)
    assert (texts, tags) == (X, Y)


def test_texts_as_str_with_a_tokenizer(make):
    texts = ["The cat sat.", "", "Dogs bark!"]
    tags = [["DET", "NOUN", "VERB", "PUNCT"], [], ["NOUN", "VERB", "PUNCT"]]
    tagger = make(vectorizer={"tokenizer": "words"}).fit(texts, tags)
    assert tagger.predict(texts) == tags
    with pytest.raises(TextTypeError, match="Row 0"):
        tagger.predict(X)


def test_learned_mix_of_layers(make):
    tagger = make(vectorizer={"layer_mix": "learned"}).fit(X, Y)
    assert tagger.vectorizer_.layer_weights_.shape == (3,)
    assert tagger.score(X, Y) == 1.0


@pytest.mark.parametrize("mix", ["average", "learned"])
def test_max_tokens_limits_training_but_not_prediction(mix, make):
    settings = {"max_tokens": 2, "layer_mix": mix}
    tagger = make(vectorizer=settings).fit(X, Y)
    assert tagger.classes_.tolist() == ["DET", "NOUN", "PUNCT", "VERB"]
    assert list(map(len, tagger.predict(X))) == list(map(len, X))
    assert 0 < tagger.score(X, Y) < 1
    assert tagger.vectorizer.max_tokens == 2
    recorder = make(Recorder(), vectorizer=settings).fit(X, Y)
    assert len(recorder.classifier_.X_) == 2 * 5


def test_long_tokens_give_one_warning_with_the_row_of_the_call(make, monkeypatch):
    """Batches must not count rows from zero again."""
    tagger = make().fit(X, Y)
    monkeypatch.setattr("sklearn_elmo.tagging.features._BATCH_TOKENS", 2)
    monkeypatch.setattr("sklearn_elmo.base._CHUNK_TEXTS", 2)
    texts = [*X, ["a" * 60], ["b"], ["c" * 70]]
    with pytest.warns(LongTokenWarning) as caught:
        tagger.predict(texts)
    assert len(caught) == 1
    assert f"Row {len(X)} (and 1 other text)" in str(caught[0].message)
    assert caught[0].filename == __file__


# ----------------------------------------------------------------- containers


def object_array(values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


CONTAINERS = {
    "tuples": lambda values: tuple(map(tuple, values)),
    "arrays": lambda values: [np.array(value, dtype=str) for value in values],
    "object array": object_array,
    "generator": lambda values: (value for value in values),
    "pandas": lambda values: pd.Series(values, index=range(10, 10 + len(values))),
    "polars": lambda values: pl.Series(values, dtype=pl.List(pl.String)),
    "arrow": lambda values: pa.array(values, pa.list_(pa.string())),
    "pandas of arrow": lambda values: pd.Series(
        values, dtype=pd.ArrowDtype(pa.list_(pa.string()))
    ),
}


@pytest.mark.parametrize("of_tags", CONTAINERS)
@pytest.mark.parametrize("of_texts", CONTAINERS)
def test_containers_of_texts_and_tags(of_texts, of_tags, make):
    texts, tags = CONTAINERS[of_texts], CONTAINERS[of_tags]
    tagger = make(DecisionTreeClassifier(random_state=0)).fit(texts(X), tags(Y))
    assert tagger.predict(texts(X)) == Y
    assert tagger.score(texts(X), tags(Y)) == 1.0


@pytest.mark.parametrize(
    ("texts", "tags", "message"),
    [
        ([["a"], ["b", "c"]], [["A"], ["B"]], r"Row 1 has 2 tokens.* 1 tags"),
        ([["a"], ["b"]], [["A"], ["B", "C"]], r"Row 1 has 1 tokens.* 2 tags"),
        ([[], ["b"]], [["A"], ["B", "C"]], r"Row 0 has 0 tokens.* 1 tags"),
        ([["a"], None], [["A"], ["B"]], r"Row 1 has 0 tokens.* 1 tags"),
        ([["a"], ["b"]], [["A"], None], r"Row 1 has 1 tokens.* 0 tags"),
        ([["a"], ["b"]], [["A"]], r"2 lists of tokens.* 1 lists of tags"),
        ([["a"]], [["A"], ["B"], ["C"]], r"1 lists of tokens.* 3 lists of tags"),
    ],
)
def test_unequal_lengths_are_named(texts, tags, message, make):
    with pytest.raises(ValueError, match=message):
        make().fit(texts, tags)
    with pytest.raises(ValueError, match=message):
        make().fit(X, Y).score(texts, tags)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (None, r"y is NoneType"),
        ("AB", r"y is str \('AB'\)"),
        (b"AB", r"y is bytes"),
        (7, r"y is int \(7\)"),
        ({"a": ["A"]}, r"y is dict"),
        ({"A", "B"}, r"y is set"),
        (np.array("A"), r"y is ndarray"),
        (pd.DataFrame({"tags": [["A"], ["B"]]}), r"y is DataFrame"),
        (pl.DataFrame({"tags": [["A"], ["B"]]}), r"y is DataFrame"),
        (["A", "B"], r"Row 0 of y is str \('A'\)"),
        ([["A"], "B"], r"Row 1 of y is str \('B'\)"),
        ([["A"], 1], r"Row 1 of y is int \(1\)"),
        ([["A"], {"B"}], r"Row 1 of y is set"),
        ([["A"], [1]], r"Tag 0 of row 1 of y is int \(1\)"),
        ([[1], ["A"]], r"Tag 0 of row 1 of y is str \('A'\)"),
        ([["A"], [None]], r"Tag 0 of row 1 of y is NoneType"),
        ([["A"], [math.nan]], r"Tag 0 of row 1 of y is float \(nan\)"),
        ([[0.5], [1.5]], r"Tag 0 of row 0 of y is float \(0.5\)"),
        ([["A"], [["B"]]], r"Tag 0 of row 1 of y is list"),
    ],
    ids=str,
)
def test_tags_of_wrong_types_are_named(tags, message, make):
    tagger = make()
    with pytest.raises(TypeError, match=message):
        tagger.fit([["a"], ["b"]], tags)
    assert not hasattr(tagger, "classifier_")


@pytest.mark.parametrize("bad", ["a cat", ["a cat"], [["a", 1]], [7]], ids=str)
def test_texts_of_wrong_types_are_named_with_the_tagger(bad, make):
    with pytest.raises((TypeError, ValueError), match="ElmoTagger"):
        make().fit(bad, [["A", "B"]])


# ------------------------------------------------------------------ parameters


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classifier", LogisticRegression),
        ("classifier", "svm"),
        ("classifier", StandardScaler()),
        ("vectorizer", "default"),
        ("vectorizer", ElmoTokenVectorizer),
        ("vectorizer", StandardScaler()),
        ("window", -1),
        ("window", 1.5),
        ("window", True),
        ("decoding", None),
        ("decoding", "crf"),
        ("transition_weight", -0.1),
        ("transition_weight", math.nan),
        ("transition_weight", "1"),
    ],
)
def test_invalid_parameter_is_named(name, value, make):
    tagger = make().set_params(**{name: value})
    with pytest.raises(InvalidParameterError, match=f"The '{name}' parameter of Elmo"):
        tagger.fit(X, Y)


def test_invalid_parameter_of_the_vectorizer_is_named(make):
    for name, value in {"layers": 9, "max_tokens": "few", "layer_mix": "x"}.items():
        tagger = make().set_params(**{f"vectorizer__{name}": value})
        with pytest.raises(InvalidParameterError, match=f"'{name}' parameter"):
            tagger.fit(X, Y)


def test_not_fitted(make):
    for call in (make().predict, make().predict_proba, lambda X: make().score(X, Y)):
        with pytest.raises(NotFittedError):
            call(X)


@pytest.mark.parametrize("classifier", [LinearSVC(), RidgeClassifier()], ids=str)
def test_classifier_without_probabilities(classifier, make):
    tagger = make(classifier)
    assert not hasattr(tagger, "predict_proba")
    with pytest.raises(InvalidParameterError, match="does not have predict_proba"):
        clone(tagger).set_params(decoding="viterbi").fit(X, Y)
    tagger.fit(X, Y)
    predicted = tagger.classifier_.predict(
        np.concatenate(tagger.vectorizer_.transform(X))
    )
    assert list(itertools.chain(*tagger.predict(X))) == predicted.tolist()
    assert not hasattr(tagger, "predict_proba")
    with pytest.raises(AttributeError, match="predict_proba"):
        tagger.predict_proba(X)
    tagger.set_params(decoding="viterbi")
    with pytest.raises(InvalidParameterError, match="does not have predict_proba"):
        tagger.predict(X)


def test_decoding_is_viterbi_by_default_where_there_are_probabilities(make):
    """Predictions of an unsure classifier change with the chain, so they tell."""
    new = [["The", "dogs", "ran", "!"], ["Stop", "dogs"], ["A", "cat"]]
    tagger = make(LogisticRegression(C=1e-4), transition_weight=3).fit(X, Y)
    by_default = tagger.predict(new)
    assert by_default == tagger.set_params(decoding="viterbi").predict(new)
    assert by_default != tagger.set_params(decoding="independent").predict(new)
    tagger = make(LinearSVC(C=1e-4)).fit(X, Y)
    by_default = tagger.predict(new)
    assert by_default == tagger.set_params(decoding="independent").predict(new)


def test_single_tag_is_up_to_the_classifier(make):
    tags = [["O"] * len(text) for text in X]
    with pytest.raises(ValueError, match="class"):
        make().fit(X, tags)
    for decoding in ("independent", "viterbi"):
        tagger = make(DummyClassifier(), decoding=decoding).fit(X, tags)
        assert tagger.predict(X) == tags
        assert tagger.score(X, tags) == 1.0


def test_unseen_tags_count_as_errors_in_score(make):
    tagger = make().fit(X, Y)
    tags = [list(row) for row in Y]
    tags[1] = ["X", "X"]
    n_tokens = sum(map(len, X))
    assert tagger.score(X, tags) == pytest.approx((n_tokens - 2) / n_tokens)


def test_score_refuses_tags_of_another_type(make):
    """They would all be wrong in silence."""
    with pytest.raises(TextTypeError, match=r"y is 1.* such as '[A-Z]+'.* mix"):
        make().fit(X, Y).score(X, [[1] * len(row) for row in Y])


# ------------------------------------------------------- scikit-learn's machinery


def test_tags_of_the_estimator(make):
    """As a classifier, cross_val_score would try to stratify lists."""
    tags = get_tags(make())
    assert not is_classifier(make())
    assert tags.target_tags.required
    assert not tags.input_tags.two_d_array


@pytest.mark.parametrize("container", ["list", "object array", "pandas"])
def test_cross_validation(container, make):
    wrap = CONTAINERS.get(container, list)
    texts, tags = wrap(X * 3), wrap(Y * 3)
    scores = cross_val_score(make(), texts, tags, cv=3)
    assert scores.shape == (3,)
    assert scores.min() > 0.5


def test_grid_search_over_nested_parameters(make):
    grid = {
        "classifier__C": [1e-6, 100.0],
        "vectorizer__layers": [0, "all"],
        "decoding": ["auto", "independent", "viterbi"],
        "window": [0, 1],
    }
    search = GridSearchCV(make(), grid, cv=2).fit(X * 2, Y * 2)
    assert search.best_params_["classifier__C"] == 100.0
    assert search.predict(X) == Y
    assert len(search.cv_results_["params"]) == 24


def test_grid_search_by_entities(make):
    tags = [["B-X" if token[0].isupper() else "O" for token in text] for text in X]
    search = GridSearchCV(
        make(), {"window": [0]}, scoring=make_scorer(entity_f1_score), cv=2
    ).fit(X * 2, tags * 2)
    assert search.best_score_ == 1.0


def test_classifier_may_be_a_search_itself(make):
    search = GridSearchCV(LogisticRegression(max_iter=1000), {"C": [1, 100]}, cv=2)
    tagger = make(search, decoding="viterbi").fit(X, Y)
    assert tagger.classifier_.best_params_["C"] in (1, 100)
    assert tagger.score(X, Y) == 1.0


def test_clone_and_set_params(make):
    tagger = make(window=2, decoding="viterbi")
    copy = clone(tagger).set_params(classifier__C=3, vectorizer__layers=0, window=1)
    assert (copy.classifier.C, copy.vectorizer.layers, copy.window) == (3, 0, 1)
    assert (tagger.classifier.C, tagger.vectorizer.layers) == (100, "all")
    assert "ElmoTagger" in repr(copy)


def test_parameters_of_default_parts_can_be_searched():
    """'NoneType' object has no attribute 'set_params'."""
    grid = {"vectorizer__layers": [0, "all"], "classifier__logisticregression__C": [1]}
    search = GridSearchCV(ElmoTagger(), grid, cv=2).fit(X * 2, Y * 2)
    best = search.best_estimator_
    assert best.classifier_[-1].C == 1
    assert best.vectorizer_.layers == search.best_params_["vectorizer__layers"]
    assert best.vectorizer_.layer_mix == "concat"
    assert ElmoTagger().set_params(classifier=None, window=1).classifier is None
    with pytest.raises(ValueError, match="Invalid parameter"):
        ElmoTagger().set_params(vectorizer__colour="red")


def test_pickle_holds_no_model_weights(make):
    tagger = make(decoding="viterbi", window=1).fit(X, Y)
    content = pickle.dumps(tagger)
    assert len(content) < 20_000
    assert pickle.loads(content).predict(X) == tagger.predict(X)


def test_refit_forgets_the_first_fit(make):
    tagger = make().fit(X, Y).fit([["a", "b"]], [["A", "B"]])
    assert tagger.predict([["a", "b"]]) == [["A", "B"]]
    assert tagger.transitions_.shape == (3, 3)


# ----------------------------------------------------------- default classifier


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((20_000, 50), dtype=np.float32)
    rows *= np.geomspace(1e-3, 1e3, 50, dtype=np.float32)
    rows += np.linspace(-5, 5, 50, dtype=np.float32)
    rows[:, 7] = 0  # a neighbour that no token has
    return rows


def test_batched_scaler_is_a_standard_scaler(rows):
    expected = StandardScaler().fit(rows)
    scaler = BatchedScaler(copy=False).fit(rows[:5000] + 3).fit(rows)
    np.testing.assert_allclose(scaler.mean_, expected.mean_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(scaler.scale_, expected.scale_, rtol=1e-6)
    scaled = expected.transform(rows)
    np.testing.assert_allclose(scaler.transform(rows), scaled, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(rows[:, 7], 0)


def test_scaling_takes_little_memory_beside_the_features(rows):
    """A window on whole sets took 12.9 GB, of which 3.8 were the features."""
    scaler = BatchedScaler(copy=False)
    tracemalloc.start()
    try:
        assert scaler.fit_transform(rows) is rows
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < rows.nbytes


# ----------------------------------------------------------------- linear chain


def test_transitions_are_smoothed_counts(make):
    tagger = make(decoding="viterbi").fit(X, Y)
    names = [*tagger.classes_.tolist(), "border"]
    counts = pd.DataFrame(0.0, index=names, columns=names)
    for tags in filter(None, Y):
        for before, after in itertools.pairwise(["border", *tags, "border"]):
            counts.loc[before, after] += 1
    frequencies = counts.sum() / counts.to_numpy().sum()
    smoothed = counts + 10 * frequencies
    expected = smoothed.div(smoothed.sum(axis=1), axis=0)
    np.testing.assert_allclose(tagger.frequencies_, frequencies)
    np.testing.assert_allclose(tagger.transitions_, expected)
    np.testing.assert_allclose(tagger.transitions_.sum(axis=1), 1)


def sequence_score(tags, probabilities, chain, weight):
    """Sum the documented formula term by term."""
    border = probabilities.shape[1]
    score = sum(
        math.log(max(row[tag], 1e-300))
        for row, tag in zip(probabilities, tags, strict=True)
    )
    for before, after in itertools.pairwise([border, *tags, border]):
        gain = chain.transitions[before, after] / chain.frequencies[after]
        score += weight * math.log(gain)
    return score


@pytest.mark.parametrize("weight", [0, 0.5, 1, 3])
@pytest.mark.parametrize("n_tokens", [1, 2, 5])
def test_viterbi_finds_the_best_of_all_sequences(n_tokens, weight):
    rng = np.random.default_rng(n_tokens)
    for n_classes in (1, 2, 4):
        lists = [rng.integers(n_classes, size=rng.integers(1, 6)) for _ in range(6)]
        chain = learn_chain([np.arange(n_classes), *lists], n_classes)
        probabilities = rng.dirichlet(np.full(n_classes, 0.5), size=n_tokens)
        probabilities[0] = np.eye(n_classes)[0]  # log of zero
        best = max(
            itertools.product(range(n_classes), repeat=n_tokens),
            key=lambda tags: sequence_score(tags, probabilities, chain, weight),
        )
        found = most_probable_tags(probabilities.astype(np.float32), chain, weight)
        score = sequence_score(found.tolist(), probabilities, chain, weight)
        expected = sequence_score(best, probabilities, chain, weight)
        assert score == pytest.approx(expected, abs=1e-4)


def test_viterbi_without_weight_is_independent(make):
    tagger = make(LogisticRegression(C=0.01), decoding="viterbi", transition_weight=0)
    tagger.fit(X, Y)
    viterbi = tagger.predict(X)
    assert viterbi == tagger.set_params(decoding="independent").predict(X)


def test_viterbi_of_a_long_text_does_not_underflow():
    chain = learn_chain([np.array([0, 1, 0, 1])], 2)
    probabilities = np.full((5000, 2), 0.5)
    found = most_probable_tags(probabilities, chain, 1.0)
    np.testing.assert_array_equal(found, np.arange(5000) % 2)


def test_viterbi_repairs_tags_that_cannot_follow():
    """An I-X after O never occurs: the chain prefers B-X."""
    lists = [np.array([0, 1, 2, 0])] * 50  # O, B-X, I-X, O
    chain = learn_chain(lists, 3)
    unsure = np.array([[0.98, 0.01, 0.01], [0.02, 0.48, 0.5], [0.1, 0.05, 0.85]])
    assert unsure.argmax(axis=1).tolist() == [0, 2, 2]
    assert most_probable_tags(unsure, chain, 0.5).tolist() == [0, 1, 2]


def test_rare_tags_do_not_attract_each_other():
    """After uniform smoothing, tags seen once won against a sure classifier."""
    lists = [np.zeros(1000, dtype=int), np.array([0, 1, 0]), np.array([0, 2, 0])]
    chain = learn_chain(lists, 3)
    likely = np.tile([0.98, 0.01, 0.01], (20, 1))
    assert most_probable_tags(likely, chain, 1.0).tolist() == [0] * 20


def test_chain_is_learned_whatever_the_decoding(make):
    """So that decoding can be chosen after fit."""
    tagger = make().fit(X, Y)
    tagger.set_params(decoding="viterbi")
    chain = TagChain(tagger.frequencies_, tagger.transitions_)
    expected = [
        tagger.classes_[most_probable_tags(proba, chain, 0.5)].tolist()
        for proba in tagger.predict_proba(X)
    ]
    assert tagger.predict(X) == expected


# -------------------------------------------------------------------- entities

IOB_TAGS = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-a-b", "I-a-b"])


@hypothesis.given(
    st.lists(st.lists(st.tuples(IOB_TAGS, IOB_TAGS), max_size=9), max_size=5)
)
def test_entity_report_has_the_numbers_of_seqeval(pairs):
    seqeval = pytest.importorskip("seqeval.metrics")
    from seqeval.scheme import IOB2

    y_true = [[one for one, _ in row] for row in pairs]
    y_pred = [[other for _, other in row] for row in pairs]
    report = entity_report(y_true, y_pred)
    if any(tag[0] == "B" for row in y_true + y_pred for tag in row):
        expected = seqeval.classification_report(
            y_true,
            y_pred,
            mode="strict",
            scheme=IOB2,
            output_dict=True,
            zero_division=0,
        )
        for name in [*report.index[:-1], "micro avg"]:
            np.testing.assert_allclose(
                report.loc[name].to_numpy(float), list(expected[name].values())
            )
        assert set(expected) - {"macro avg", "weighted avg"} == set(report.index)
    assert entity_f1_score(y_true, y_pred) == report.loc["micro avg", "f1"]


def test_entity_report_by_hand():
    y_true = [["B-PER", "I-PER", "O", "B-LOC", "B-LOC"], [], ["I-PER", "B-PER"]]
    y_pred = [["B-PER", "I-PER", "I-LOC", "B-LOC", "I-LOC"], [], ["O", "B-PER"]]
    report = entity_report(y_true, y_pred)
    assert report.index.tolist() == ["LOC", "PER", "micro avg"]
    assert report["support"].tolist() == [2, 2, 4]
    assert report.loc["PER"].tolist() == [1, 1, 1, 2]
    assert report.loc["LOC"].tolist() == [0, 0, 0, 2]
    assert report.loc["micro avg", "f1"] == pytest.approx(4 / 7)


@pytest.mark.parametrize("tags", [[], [[]], [["O", "O"]], [["O", "I-PER"]]], ids=str)
def test_no_entities_score_zero(tags):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = entity_report(tags, tags)
    assert report.index.tolist() == ["micro avg"]
    assert report.loc["micro avg"].tolist() == [0, 0, 0, 0]


def test_entity_without_a_type():
    assert entity_report([["B", "I", "O"]], [["B", "I", "O"]]).loc["_", "f1"] == 1


@pytest.mark.parametrize("tag", ["NOUN", "E-PER", "B-", "", "b-PER", 1, "PER-B", None])
def test_tags_that_are_not_iob2_are_named(tag):
    with pytest.raises(TextValueError, match="Tag 1 of row 1 of y_pred is"):
        entity_report([["O"], ["O", "O"]], [["O"], ["O", tag]])


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        ([["O"], ["O", "O"]], [["O"], ["O"]], r"Row 1 has 2 tags in y_true.* 1 tags"),
        ([["O"]], [["O"], ["O"]], r"1 lists of tags in y_true.* 2 lists"),
    ],
)
def test_entity_report_names_unequal_lengths(y_true, y_pred, message):
    for score in (entity_report, entity_f1_score):
        with pytest.raises(TextValueError, match=message):
            score(y_true, y_pred)
