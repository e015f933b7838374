"""A grid search with a cache reads every distinct text once, by whichever process."""

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_elmo.inference import reductions
from sklearn_elmo.store import EmbeddingStore
from sklearn_elmo.vectorizer import ElmoVectorizer

# One of the sentences contains a long address.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn_elmo.errors.LongTokenWarning")

GRID = {
    "elmovectorizer__tokenizer": ["whitespace"],
    "elmovectorizer__layers": ["all", "top"],
    "elmovectorizer__layer_mix": ["average", "concat"],
    "elmovectorizer__pooling": ["mean", ["max", "final"]],
    "logisticregression__C": [0.1, 1.0],
}


@pytest.fixture(scope="module")
def texts(real_sentences):
    """60 texts, all different."""
    return [" ".join(tokens) for tokens in real_sentences]


def search(tiny_model, cache, **arguments):
    pipeline = make_pipeline(
        ElmoVectorizer(str(tiny_model), cache=cache), LogisticRegression(max_iter=1000)
    )
    return GridSearchCV(pipeline, GRID, cv=5, **arguments)


@pytest.fixture
def read_texts(monkeypatch):
    """List the texts that the model reads in this process."""
    read = []
    reduce_texts = reductions.reduce_texts

    def count(encoder, texts, **arguments):
        read.extend(texts)
        return reduce_texts(encoder, texts, **arguments)

    monkeypatch.setattr(reductions, "reduce_texts", count)
    return read


@pytest.mark.slow
def test_grid_search_reads_every_text_once(tiny_model, texts, tmp_path, read_texts):
    labels = [0, 1] * 30
    cached = search(tiny_model, str(tmp_path)).fit(texts, labels)
    assert len(read_texts) == len(texts)
    other = search(tiny_model, EmbeddingStore(tmp_path), refit=False)
    other.fit(texts, labels)
    assert len(read_texts) == len(texts)
    assert other.best_score_ == cached.best_score_
    cached.predict(texts)
    assert len(read_texts) == len(texts)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_parallel_grid_search_divides_the_texts(tiny_model, texts, tmp_path, backend):
    from joblib import parallel_config

    labels = [0, 1] * 30
    with parallel_config(backend, n_jobs=2):
        parallel = search(tiny_model, str(tmp_path)).fit(texts, labels)
    info = EmbeddingStore(tmp_path).info()
    assert info["entries"] == len(texts)
    assert len(texts) <= info["misses"] <= 1.05 * len(texts)
    assert info["hits"] > 10 * len(texts)
    alone = search(tiny_model, str(tmp_path), refit=False).fit(texts, labels)
    assert parallel.best_score_ == pytest.approx(alone.best_score_)


def test_uncached_and_cached_rows_are_equal(tiny_model, texts, tmp_path):
    parameters = {"pooling": ["mean", "idf"], "layer_mix": "concat"}
    plain = ElmoVectorizer(str(tiny_model), **parameters).fit_transform(texts)
    for _ in range(2):
        cached = ElmoVectorizer(str(tiny_model), cache=tmp_path, **parameters)
        assert abs(cached.fit_transform(texts) - plain).max() < 5e-6
