"""On a real Dask cluster and a real Spark session, with one store for all workers."""

import os
import shutil
import signal
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_elmo import ElmoVectorizer, EmbeddingStore

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    # The schedulers' own loops, sockets and deprecated calls.
    pytest.mark.filterwarnings("ignore"),
]

ATOL = 5e-6
WORDS = ["the", "cat", "sat", "on", "a", "mat", "dogs", "bark", ".", "why", "not", "?"]
N_DISTINCT = 60


@pytest.fixture
def texts():
    rng = np.random.default_rng(0)
    distinct = [
        f"{number} " + " ".join(rng.choice(WORDS, rng.integers(1, 30)))
        for number in range(N_DISTINCT)
    ]
    return pd.Series([*distinct, None, "", *distinct[:20]], name="text")


@pytest.fixture
def vectorizer(tiny_model, tmp_path):
    return ElmoVectorizer(str(tiny_model), cache=tmp_path / "cache").fit([])


@pytest.fixture
def expected(vectorizer, texts):
    return vectorizer.set_params(cache=None).transform(texts)


def computed(vectorizer):
    """Return how many texts were computed and how many are stored."""
    (recipe,) = EmbeddingStore(vectorizer.cache).info()["recipes"]
    return recipe["misses"], recipe["entries"]


@pytest.fixture
def cluster():
    distributed = pytest.importorskip("dask.distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_dask_partitions_share_the_store(
    cluster, vectorizer, texts, expected, tmp_path
):
    dd = pytest.importorskip("dask.dataframe")
    vectorizer.set_params(cache=str(tmp_path / "cache")).set_output(transform="pandas")
    frame = dd.from_pandas(texts.to_frame(), npartitions=4)
    frame = dd.concat([frame, frame.loc[frame.index > 10**6]])  # empty partitions
    meta = vectorizer.transform(texts.iloc[:0])
    rows = frame["text"].map_partitions(vectorizer.transform, meta=meta).compute()
    np.testing.assert_allclose(rows.to_numpy(), expected, rtol=0, atol=ATOL)
    assert list(rows.index) == list(texts.index)
    assert computed(vectorizer) == (N_DISTINCT, N_DISTINCT)


def test_dask_runs_a_grid_search(cluster, vectorizer, texts, tmp_path):
    import joblib

    vectorizer.set_params(cache=str(tmp_path / "cache"))
    texts = texts.iloc[:N_DISTINCT]
    labels = np.arange(N_DISTINCT) % 2
    pipeline = make_pipeline(vectorizer, LogisticRegression(max_iter=1000))
    grid = {"elmovectorizer__layers": [0, 1], "elmovectorizer__pooling": ["mean"]}
    search = GridSearchCV(pipeline, grid, cv=2)
    with joblib.parallel_config(backend="dask"):
        search.fit(texts, labels)
    alone = GridSearchCV(pipeline, grid, cv=2).fit(texts, labels)
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"]
    )


def test_a_dask_worker_killed_in_mid_run_loses_nothing(
    cluster, vectorizer, texts, expected, tmp_path
):
    vectorizer.set_params(cache=str(tmp_path / "cache"))
    pids = list(cluster.run(os.getpid).values())
    pieces = [texts.iloc[start : start + 8] for start in range(0, len(texts), 8)]
    futures = cluster.map(vectorizer.transform, pieces, pure=False)
    killer = threading.Timer(0.5, os.kill, (pids[0], signal.SIGKILL))
    killer.start()
    rows = np.concatenate(cluster.gather(futures))
    killer.join()
    np.testing.assert_allclose(rows, expected, rtol=0, atol=ATOL)
    assert EmbeddingStore(vectorizer.cache).verify() == []
    deadline = time.monotonic() + 30
    while pids[0] in cluster.run(os.getpid).values() and time.monotonic() < deadline:
        time.sleep(0.2)


@pytest.fixture(scope="module")
def spark():
    sql = pytest.importorskip("pyspark.sql")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        sql.SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "16")
        .getOrCreate()
    )
    yield session
    session.stop()


def test_spark_functions_share_the_store(spark, vectorizer, texts, expected, tmp_path):
    from pyspark.sql.functions import pandas_udf

    # Fitted on a named column: Spark passes columns under names of its own.
    vectorizer.set_params(cache=str(tmp_path / "cache")).fit(texts.iloc[:0])
    table = pd.DataFrame({"number": range(len(texts)), "text": list(texts)})
    frame = spark.createDataFrame(table, "number int, text string").repartition(3)

    def embed(column: pd.Series) -> pd.Series:
        return pd.Series(list(vectorizer.transform(column)))

    def embed_batches(batches):
        for batch in batches:
            yield batch.assign(row=list(vectorizer.transform(batch[["text"]])))

    scalar = frame.withColumn("row", pandas_udf(embed, "array<float>")("text"))
    mapped = frame.mapInPandas(
        embed_batches, "number int, text string, row array<float>"
    )
    for result in (scalar, mapped):
        rows = result.toPandas().sort_values("number")["row"]
        np.testing.assert_allclose(np.stack(list(rows)), expected, rtol=0, atol=ATOL)
    assert computed(vectorizer) == (N_DISTINCT, N_DISTINCT)
