"""In skrub's tools: columns applied to, tables vectorized, pipelines and plans."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_elmo import ElmoVectorizer, WordVectorVectorizer

skrub = pytest.importorskip("skrub")

N_ROWS = 40
TITLES = [
    f"{word} {noun} number {number}"
    for number, (word, noun) in enumerate(
        zip(["Great", "Bad"] * (N_ROWS // 2), ["film", "book"] * 20, strict=True)
    )
]
REVIEWS = [f"I found it {title.lower()} ." for title in TITLES]
COLUMNS = {"title": TITLES, "review": REVIEWS, "price": list(range(N_ROWS))}
LABELS = np.arange(N_ROWS) % 2


@pytest.fixture
def elmo(tiny_model):
    return ElmoVectorizer(str(tiny_model), layers=0)


@pytest.fixture(params=["pandas", "polars"])
def frame(request):
    return {"pandas": pd.DataFrame, "polars": pl.DataFrame}[request.param](COLUMNS)


def names_of(frame):
    return list(frame.columns)


def test_apply_to_cols_names_features_after_their_columns(elmo, frame):
    apply = skrub.ApplyToCols(elmo, cols=["title", "review"])
    table = apply.fit_transform(frame)
    names = names_of(table)
    assert len(set(names)) == len(names) == 1 + 2 * 16
    assert "price" in names
    for column in ("title", "review"):
        own = [name for name in names if name.startswith(f"{column}_elmo_layer0")]
        assert own == [f"{column}_elmo_layer0_mean_{i}" for i in range(16)]
        expected = elmo.fit_transform(COLUMNS[column])
        np.testing.assert_allclose(table[own].to_numpy(), expected, atol=5e-6)
    assert names_of(apply.transform(frame)) == names


def test_names_are_stable_from_fit_to_fit(elmo, frame):
    first = skrub.ApplyToCols(elmo, cols=["title"]).fit_transform(frame)
    second = skrub.ApplyToCols(elmo, cols=["title"]).fit_transform(frame)
    assert names_of(first) == names_of(second)


def test_table_vectorizer_uses_it_for_texts(elmo, frame):
    vectorizer = skrub.TableVectorizer(cardinality_threshold=5, high_cardinality=elmo)
    table = vectorizer.fit_transform(frame)
    names = names_of(table)
    assert sum(name.startswith("title_elmo_") for name in names) == 16
    assert sum(name.startswith("review_elmo_") for name in names) == 16
    assert list(vectorizer.get_feature_names_out()) == names
    assert names_of(vectorizer.transform(frame)) == names


def test_tabular_pipeline_predicts(elmo, frame):
    pipeline = make_pipeline(
        skrub.TableVectorizer(cardinality_threshold=5, high_cardinality=elmo),
        LogisticRegression(max_iter=1000),
    )
    assert pipeline.fit(frame, LABELS).predict(frame).shape == (N_ROWS,)
    ready = skrub.tabular_pipeline(LogisticRegression(max_iter=1000))
    ready.set_params(
        tablevectorizer__high_cardinality=elmo,
        tablevectorizer__cardinality_threshold=5,
    )
    assert ready.fit(frame, LABELS).score(frame, LABELS) > 0.5


def test_data_ops_search_over_layers(elmo):
    frame = pd.DataFrame(COLUMNS | {"label": LABELS})
    data = skrub.var("data", frame)
    X = data[["title", "review"]].skb.mark_as_X()
    y = data["label"].skb.mark_as_y()
    layers = skrub.choose_from([0, 1], name="layers")
    features = X.skb.apply(elmo.set_params(layers=layers), cols=["title"]).skb.drop(
        "review"
    )
    predictions = features.skb.apply(LogisticRegression(max_iter=1000), y=y)
    search = predictions.skb.make_grid_search(cv=2, fitted=True)
    assert len(search.results_) == 2
    assert search.best_learner_.predict({"data": frame}).shape == (N_ROWS,)


def test_word_vectors_in_apply_to_cols(tmp_path, frame):
    path = tmp_path / "vectors.txt"
    path.write_text("great 1 0\nbad 0 1\nfilm 2 2\n")
    table = skrub.ApplyToCols(
        WordVectorVectorizer(path), cols=["title", "review"]
    ).fit_transform(frame)
    assert "review_wordvector_mean_1" in names_of(table)
