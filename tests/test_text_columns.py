"""Named columns, long tokens, sentences and offsets, in both vectorizers."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_elmo import ElmoTokenVectorizer, ElmoVectorizer, EmbeddingStore
from sklearn_elmo.errors import (
    InvalidParameterError,
    LongTokenWarning,
    TextValueError,
)
from sklearn_elmo.text import column_name, split_sentences, tokenize_with_spans

ATOL = 5e-6
TEXTS = ["A cat sat. It slept!", "", "Dogs bark.", None, "A cat sat. Dogs bark."]


@pytest.fixture
def make(tiny_model):
    def make_vectorizer(kind=ElmoVectorizer, **parameters):
        return kind(str(tiny_model), **parameters)

    return make_vectorizer


# -------------------------------------------------------------------------- columns

NAMED = {
    "pandas series": pd.Series(TEXTS, name="review"),
    "pandas frame": pd.DataFrame({"review": TEXTS}),
    "polars series": pl.Series("review", TEXTS),
    "polars frame": pl.DataFrame({"review": TEXTS}),
    "arrow table": pa.table({"review": TEXTS}),
}
UNNAMED = {
    "list": TEXTS,
    "array": np.array(TEXTS, dtype=object),
    "series": pd.Series(TEXTS),
    "polars": pl.Series(TEXTS),
    "numbered frame": pd.DataFrame({0: TEXTS}),
}


@pytest.mark.parametrize("X", NAMED.values(), ids=NAMED)
@pytest.mark.parametrize("kind", [ElmoVectorizer, ElmoTokenVectorizer])
def test_features_carry_the_name_of_their_column(X, kind, make):
    vectorizer = make(kind).fit(X)
    assert list(vectorizer.feature_names_in_) == ["review"]
    names = vectorizer.get_feature_names_out()
    assert len(set(names)) == len(names) == vectorizer.n_features_out_
    assert all(name.startswith("review_elmo_layers0-1-2_average_") for name in names)
    assert list(vectorizer.get_feature_names_out(["review"])) == list(names)
    copy = pickle.loads(pickle.dumps(vectorizer))
    assert list(copy.get_feature_names_out()) == list(names)


@pytest.mark.parametrize("X", UNNAMED.values(), ids=UNNAMED)
def test_features_of_a_column_without_a_name_have_no_prefix(X, make):
    vectorizer = make().fit(X)
    assert not hasattr(vectorizer, "feature_names_in_")
    assert column_name(X) is None
    names = vectorizer.get_feature_names_out()
    assert all(name.startswith("elmo_") for name in names)
    given = vectorizer.get_feature_names_out(["x0"])
    assert list(given) == [f"x0_{name}" for name in names]


def test_a_series_may_have_any_name(make):
    """Spark passes the columns of a pandas_udf as ``_0``."""
    vectorizer = make().fit(NAMED["pandas series"])
    rows = vectorizer.transform(NAMED["pandas series"].rename("_0"))
    np.testing.assert_array_equal(rows, vectorizer.transform(TEXTS))


def test_a_new_fit_forgets_the_name_of_the_column(make):
    vectorizer = make().fit(NAMED["pandas frame"]).fit(TEXTS)
    assert not hasattr(vectorizer, "feature_names_in_")
    assert vectorizer.get_feature_names_out()[0].startswith("elmo_")


FRAMES = {name: X for name, X in NAMED.items() if "series" not in name}


@pytest.mark.parametrize("X", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("kind", [ElmoVectorizer, ElmoTokenVectorizer])
def test_another_column_than_that_of_fit_is_refused(X, kind, make):
    vectorizer = make(kind).fit(pd.DataFrame({"title": TEXTS}))
    with pytest.raises(ValueError, match=r"'review'.*'title'") as caught:
        vectorizer.transform(X)
    assert isinstance(caught.value, TextValueError)


@pytest.mark.parametrize("X", UNNAMED.values(), ids=UNNAMED)
def test_a_column_without_a_name_can_follow_a_named_one(X, make):
    vectorizer = make().fit(NAMED["pandas frame"])
    expected = vectorizer.transform(NAMED["pandas frame"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(vectorizer.transform(X), expected)


@pytest.mark.parametrize("given", [["title"], ["review", "title"], []])
def test_wrong_input_features_are_refused(given, make):
    vectorizer = make().fit(NAMED["pandas frame"])
    with pytest.raises(ValueError, match="input_features"):
        vectorizer.get_feature_names_out(given)


def test_two_columns_of_texts_need_no_prefix_of_scikit_learn(make):
    frame = pd.DataFrame({"title": TEXTS, "review": TEXTS[::-1]})
    columns = make_column_transformer(
        (make(layers=0), "title"),
        (make(layers=0), ["review"]),
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    table = columns.fit_transform(frame)
    assert table.columns.is_unique
    assert {name.split("_elmo")[0] for name in table.columns} == {"title", "review"}
    assert list(columns.get_feature_names_out()) == list(table.columns)


def test_a_pipeline_passes_names_on(make):
    pipeline = make_pipeline(make(layers=1), StandardScaler())
    pipeline.fit(pd.DataFrame({"review": TEXTS}))
    assert pipeline.get_feature_names_out()[0] == "review_elmo_layer1_mean_0"
    assert pipeline[0].__single_column_transformer__ is True


# ---------------------------------------------------------------------- long tokens


@pytest.mark.parametrize("kind", [ElmoVectorizer, ElmoTokenVectorizer])
def test_long_tokens_warn_once_with_row_and_count(kind, make):
    protein = "MKTAYIAKQR" * 10
    texts = ["short", protein, "日本語" * 20, None, protein]
    vectorizer = make(kind, tokenizer="whitespace").fit(texts)
    with pytest.warns(LongTokenWarning) as caught:
        vectorizer.transform(texts)
    (warning,) = caught
    assert "Row 1 (and 2 other texts)" in str(warning.message)
    assert "48 UTF-8 bytes" in str(warning.message)
    assert protein[:30] in str(warning.message)
    assert protein[:50] not in str(warning.message)
    assert warning.filename == __file__


@pytest.mark.parametrize(
    ("token", "is_long"),
    [("x" * 48, False), ("x" * 49, True), ("é" * 24, False), ("é" * 25, True)],
)
def test_tokens_are_long_by_their_bytes(token, is_long, make):
    vectorizer = make(tokenizer="whitespace").fit([])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        vectorizer.transform([token])
    assert [w.category for w in caught] == [LongTokenWarning] * is_long


@pytest.mark.filterwarnings("ignore::sklearn_elmo.errors.LongTokenWarning")
@pytest.mark.parametrize("pooling", ["mean", "idf"])
def test_rows_of_long_tokens_do_not_depend_on_other_rows(pooling, make, tmp_path):
    start = "ab" * 24
    texts = [f"{start}{end} cat" for end in ("x" * 1000, "y", "", "z" * 9)]
    vectorizer = make(tokenizer="whitespace", pooling=pooling, cache=tmp_path)
    rows = vectorizer.fit(texts[:2]).transform(texts)
    for text, row in zip(texts, rows, strict=True):
        np.testing.assert_allclose(vectorizer.transform([text])[0], row, atol=ATOL)


@pytest.mark.filterwarnings("ignore::sklearn_elmo.errors.LongTokenWarning")
def test_tokenize_returns_long_tokens_whole(make):
    token = "x" * 500
    assert make(ElmoTokenVectorizer).tokenize([token]) == [[token]]


# ------------------------------------------------------------------------ sentences

LONG_TEXTS = [
    "Mr. Fox left. Did he? Nobody knew!\n\nThe end.",
    "One sentence only",
    "",
    None,
    "Nobody knew! One sentence only",
    " \n ",
]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a\ud800b. C d.",
        "A\r\nB.\x0bC",
        "\U0001f600. Yes! e\u0301.",
        "x" * 9999,
    ],
)
def test_sentences_joined_are_the_text(text):
    assert "".join(split_sentences(text)) == text


@pytest.mark.parametrize("pooling", ["mean", "max", "sum", "first", "last", "final"])
@pytest.mark.parametrize("cached", [False, True])
def test_sentences_are_read_alone_and_pooled_together(pooling, cached, make, tmp_path):
    cache = tmp_path if cached else None
    tokens = make(ElmoTokenVectorizer, layer_mix="concat").fit([])
    rows = make(pooling=pooling, split="sentences", cache=cache, layer_mix="concat")
    whole = make(pooling=pooling, layer_mix="concat").fit([])
    for text, row in zip(LONG_TEXTS, rows.fit_transform(LONG_TEXTS), strict=True):
        parts = [part for part in split_sentences(text or "") if part.strip()]
        if not parts:
            assert not row.any()
            continue
        vectors = np.concatenate(tokens.transform(parts)).astype(np.float64)
        width = vectors.shape[1] // 3
        forward = np.arange(3 * width) % width < width // 2
        expected = {
            "mean": vectors.mean(axis=0),
            "max": vectors.max(axis=0),
            "sum": vectors.sum(axis=0),
            "first": vectors[0],
            "last": vectors[-1],
            "final": np.where(forward, vectors[-1], vectors[0]),
        }[pooling]
        np.testing.assert_allclose(row, expected, rtol=0, atol=2e-5)
        if len(parts) == 1:
            np.testing.assert_allclose(row, whole.transform([text])[0], atol=ATOL)


def test_idf_counts_texts_not_sentences(make):
    split = make(pooling="idf", split="sentences").fit(LONG_TEXTS)
    assert split.idf_ == make(pooling="idf").fit(LONG_TEXTS).idf_
    rows = split.transform(LONG_TEXTS)
    alone = [split.transform([text])[0] for text in LONG_TEXTS]
    np.testing.assert_allclose(rows, alone, rtol=0, atol=ATOL)


def test_an_edited_text_costs_only_the_changed_sentence(make, tmp_path):
    store = EmbeddingStore(tmp_path)
    vectorizer = make(split="sentences", cache=store).fit([])
    vectorizer.transform(["A cat sat. It slept. Dogs bark."])
    (before,) = store.info()["recipes"]
    vectorizer.transform(["A cat sat. It woke up. Dogs bark."])
    (after,) = store.info()["recipes"]
    assert after["entries"] - before["entries"] == 1


def test_token_rows_of_sentences_are_those_of_each_sentence(make):
    split = make(ElmoTokenVectorizer, split="sentences").fit([])
    whole = make(ElmoTokenVectorizer).fit([])
    (rows,) = split.transform(["A cat sat. It slept!"])
    expected = np.concatenate(whole.transform(["A cat sat.", "It slept!"]))
    np.testing.assert_allclose(rows, expected, rtol=0, atol=ATOL)
    assert split.tokenize(["A cat sat. It slept!"]) == [
        ["A", "cat", "sat", ".", "It", "slept", "!"]
    ]


@pytest.mark.parametrize("max_tokens", [1, 3, 4, 5, 100])
def test_max_tokens_cuts_the_text_not_each_sentence(max_tokens, make):
    text = "A cat sat. It slept!"
    split = make(ElmoTokenVectorizer, split="sentences", max_tokens=max_tokens)
    (tokens,) = split.tokenize([text])
    assert tokens == ["A", "cat", "sat", ".", "It", "slept", "!"][:max_tokens]
    assert len(split.fit([]).transform([text])[0]) == len(tokens)


def test_token_lists_cannot_be_split(make):
    vectorizer = make(split="sentences", tokenizer="pretokenized")
    with pytest.raises(InvalidParameterError, match="'split'"):
        vectorizer.fit([["a"]])


# -------------------------------------------------------------------------- offsets


@pytest.mark.parametrize("split", [None, "sentences"])
@pytest.mark.parametrize("tokenizer", ["words", "whitespace", lambda t: list(t)])
def test_offsets_find_the_tokens_in_the_text(tokenizer, split, make):
    texts = ['  "Don\'t!" she said.  He\u2019s 3.5 km away...\n\nOK', "", None, "a a a"]
    vectorizer = make(ElmoTokenVectorizer, tokenizer=tokenizer, split=split)
    tokens, offsets = vectorizer.tokenize(texts, return_offsets=True)
    assert tokens == vectorizer.tokenize(texts)
    for text, of_text, spans in zip(texts, tokens, offsets, strict=True):
        assert of_text == [text[start:end] for start, end in spans]
        assert spans == sorted(spans)


def test_tokens_that_are_not_in_the_text_have_no_offsets(make):
    vectorizer = make(ElmoTokenVectorizer, tokenizer=lambda text: text.upper().split())
    with pytest.raises(TextValueError, match=r"Token 0 of row 1, 'CAT'"):
        vectorizer.tokenize(["A", "cat"], return_offsets=True)
    with pytest.raises(InvalidParameterError, match="pretokenized"):
        make(ElmoTokenVectorizer, tokenizer="pretokenized").tokenize(
            [["a"]], return_offsets=True
        )


def test_spans_of_repeated_tokens_go_forward():
    spans = tokenize_with_spans("a aa a", "whitespace", estimator="E")
    assert spans == [("a", 0, 1), ("aa", 2, 4), ("a", 5, 6)]


# --------------------------------------------------------------------------- padded


def test_padded_vectors_are_those_of_transform(make):
    vectorizer = make(ElmoTokenVectorizer).fit(TEXTS)
    vectors, mask = vectorizer.transform_padded(TEXTS)
    rows = vectorizer.transform(TEXTS)
    assert vectors.shape == (len(TEXTS), 7, vectorizer.n_features_out_)
    assert vectors.dtype == np.float32
    assert mask.sum(axis=1).tolist() == [len(values) for values in rows]
    for values, padded, is_token in zip(rows, vectors, mask, strict=True):
        np.testing.assert_array_equal(padded[is_token], values)
        assert not padded[~is_token].any()


@pytest.mark.parametrize("X", [[], ["", None]])
def test_padded_texts_without_tokens_are_empty(X, make):
    vectors, mask = make(ElmoTokenVectorizer).fit([]).transform_padded(X)
    assert vectors.shape[:2] == mask.shape == (len(X), 0)
