"""TextPairFeatures compares two columns of texts."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_elmo import ElmoVectorizer
from sklearn_elmo.errors import InvalidParameterError, TextTypeError, TextValueError
from sklearn_elmo.pairs import TextPairFeatures

FIRST = ["A great film .", "So bad", None, "A film"]
SECOND = ["A bad film", "So bad", "What a day", ""]
PAIRS = list(zip(FIRST, SECOND, strict=True))
SCORES = [1.0, 5.0, 0.0, 2.0]


@pytest.fixture
def vectorizer(tiny_model):
    return ElmoVectorizer(tiny_model, tokenizer="whitespace", pooling="idf")


def rows_of(vectorizer):
    rows = clone(vectorizer).fit_transform([*FIRST, *SECOND])
    return np.split(rows, 2)


def test_features_are_difference_and_product(vectorizer):
    features = TextPairFeatures(vectorizer).fit_transform(PAIRS)
    u, v = rows_of(vectorizer)
    np.testing.assert_allclose(features, np.hstack([np.abs(u - v), u * v]), atol=1e-5)
    assert features.dtype == np.float32


def test_cosine_is_one_for_equal_and_zero_for_empty_texts(vectorizer):
    features = TextPairFeatures(vectorizer, comparisons=["product", "cosine"])
    rows = features.fit_transform(PAIRS)
    u, v = rows_of(vectorizer)
    expected = u[0] @ v[0] / np.linalg.norm(u[0]) / np.linalg.norm(v[0])
    np.testing.assert_allclose(rows[:, -1], [expected, 1, 0, 0], atol=1e-5)
    assert rows.dtype == np.float32
    names = features.get_feature_names_out()
    assert names[0].startswith("product_elmo_")
    assert names[-1] == "cosine"
    assert len(set(names)) == rows.shape[1]


def test_order_of_the_two_texts_does_not_matter(vectorizer):
    features = TextPairFeatures(vectorizer).fit(PAIRS)
    swapped = [(second, first) for first, second in PAIRS]
    np.testing.assert_allclose(
        features.transform(PAIRS), features.transform(swapped), atol=1e-5
    )


@pytest.mark.parametrize(
    "make",
    [
        list,
        lambda pairs: [list(pair) for pair in pairs],
        lambda pairs: np.array(pairs, dtype=object),
        lambda pairs: pd.DataFrame(pairs, columns=["a", "b"]),
        lambda pairs: pd.DataFrame(pairs, columns=["a", "b"]).astype("category"),
        lambda pairs: pd.DataFrame(pairs, columns=["a", "b"], dtype="string"),
        lambda pairs: pl.DataFrame(pairs, schema=["a", "b"], orient="row"),
        lambda pairs: pa.table({"a": FIRST[: len(pairs)], "b": SECOND[: len(pairs)]}),
    ],
)
@pytest.mark.parametrize("n_pairs", [4, 2])
def test_every_container_of_pairs_gives_the_same(vectorizer, make, n_pairs):
    features = TextPairFeatures(vectorizer).fit(PAIRS)
    expected = features.transform(PAIRS[:n_pairs])
    found = clone(features).fit(make(PAIRS)).transform(make(PAIRS[:n_pairs]))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_frames_keep_index_and_names(vectorizer):
    frame = pd.DataFrame(PAIRS, columns=["a", "b"], index=list("wxyz"))
    features = TextPairFeatures(vectorizer).set_output(transform="pandas")
    rows = features.fit_transform(frame)
    assert rows.index.tolist() == list("wxyz")
    assert rows.columns.tolist() == features.get_feature_names_out().tolist()
    assert features.feature_names_in_.tolist() == ["a", "b"]
    assert features.n_features_in_ == 2
    with pytest.raises(ValueError, match="feature names"):
        features.transform(frame[["b", "a"]])
    output = features.set_output(transform="polars").transform(frame)
    assert isinstance(output, pl.DataFrame)


def test_no_pairs_have_no_rows(vectorizer):
    frame = pd.DataFrame(PAIRS, columns=["a", "b"])
    features = TextPairFeatures(vectorizer).fit(PAIRS)
    width = features.transform(PAIRS).shape[1]
    assert features.transform([]).shape == (0, width)
    assert features.fit(frame).transform(frame[:0]).shape == (0, width)


def test_fit_transform_reads_each_text_once(vectorizer, monkeypatch):
    calls = []
    original = ElmoVectorizer.fit_transform
    monkeypatch.setattr(
        ElmoVectorizer,
        "fit_transform",
        lambda self, X, y=None: calls.append(len(X)) or original(self, X, y),
    )
    monkeypatch.setattr(ElmoVectorizer, "transform", None)
    TextPairFeatures(vectorizer).fit_transform(PAIRS)
    assert calls == [8]


def test_token_lists_are_texts_too(tiny_model):
    vectorizer = ElmoVectorizer(tiny_model, tokenizer="pretokenized")
    pairs = [(["a", "b"], ["c", "d"]), (["e", "f"], ["g", "h"])]
    features = TextPairFeatures(vectorizer).fit(pairs)
    assert len(features.transform(pairs)) == 2


def test_pipeline_pickle_and_grid_search(vectorizer):
    pipeline = make_pipeline(TextPairFeatures(vectorizer), StandardScaler(), Ridge())
    search = GridSearchCV(
        pipeline,
        {
            "textpairfeatures__vectorizer__pooling": ["mean", "max"],
            "textpairfeatures__comparisons": ["cosine", ("difference", "product")],
        },
        cv=2,
    )
    frame = pd.DataFrame(PAIRS * 2, columns=["a", "b"])
    search.fit(frame, SCORES * 2)
    again = pickle.loads(pickle.dumps(search))
    np.testing.assert_allclose(again.predict(frame), search.predict(frame), atol=1e-5)
    assert len(pickle.dumps(search.best_estimator_[0])) < 100_000


def test_vectorizer_is_cloned(vectorizer):
    TextPairFeatures(vectorizer).fit(PAIRS)
    assert not hasattr(vectorizer, "model_digest_")


@pytest.mark.parametrize(
    ("X", "error", "problem"),
    [
        (["ab", "cd"], TextValueError, "Row 0 of the input is 'ab'"),
        ([("a", "b"), ("a", "b", "c")], TextValueError, "Row 1 of the input is"),
        ([("a", "b"), None], TextValueError, "Row 1 of the input is None"),
        ("ab", TextTypeError, "The input is str"),
        ({"a": ["x"], "b": ["y"]}, TextTypeError, "The input is dict"),
        ({("a", "b")}, TextTypeError, "The input is set"),
        (pd.DataFrame({"a": ["x"]}), TextValueError, r"has shape \(1, 1\)"),
        (pd.Series(["ab"]), TextValueError, r"has shape \(1,\)"),
        (np.empty((0, 3), dtype=object), TextValueError, r"has shape \(0, 3\)"),
        ([("a", b"b")], TextTypeError, "bytes"),
    ],
)
def test_what_is_not_two_columns_of_texts_is_refused(vectorizer, X, error, problem):
    with pytest.raises(error, match=problem):
        TextPairFeatures(vectorizer).fit(X)
    fitted = TextPairFeatures(vectorizer).fit(PAIRS)
    with pytest.raises(error, match=problem):
        fitted.transform(X)


@pytest.mark.parametrize(
    "comparisons", ["sum", [], ("product", "product"), ["product", 1], None]
)
def test_unknown_comparisons_are_refused(vectorizer, comparisons):
    with pytest.raises(InvalidParameterError, match="'comparisons' parameter"):
        TextPairFeatures(vectorizer, comparisons=comparisons).fit(PAIRS)


def test_vectorizers_that_cannot_be_used_are_refused(vectorizer):
    with pytest.raises(InvalidParameterError, match="'vectorizer' parameter"):
        TextPairFeatures(None).fit(PAIRS)
    vectorizer.set_params(layer_mix="learned")
    with pytest.raises(InvalidParameterError, match="other than 'learned'"):
        TextPairFeatures(vectorizer).fit(PAIRS, SCORES)
    with pytest.raises(TextTypeError, match="sparse matrix"):
        TextPairFeatures(TfidfVectorizer()).fit_transform([("a cat", "a dog")])


def test_transform_before_fit_is_refused(vectorizer):
    with pytest.raises(NotFittedError):
        TextPairFeatures(vectorizer).transform(PAIRS)
