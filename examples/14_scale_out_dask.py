"""Scale out with Dask: partitions of texts, one shared store, each text read once.

Needs ``pip install "sklearn-elmo[dask]"``. The cluster here has two processes on this
machine; on real clusters only its address changes.
"""

# %%
import csv
import tempfile
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent


def main() -> None:
    import dask.dataframe as dd
    import joblib
    from dask.distributed import Client, LocalCluster
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    from sklearn_elmo import ElmoVectorizer, EmbeddingStore

    messages = pd.read_csv(
        HERE / "data" / "sms_spam.tsv.gz", sep="\t", quoting=csv.QUOTE_NONE
    )
    messages = messages.groupby("label").sample(150, random_state=2)
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        Client(cluster),
    ):
        # %%
        # Rows of a Dask frame, partition by partition. A fitted vectorizer is a few
        # hundred bytes to send: it carries no weights, and each worker loads the model
        # once.
        elmo = ElmoVectorizer(cache=folder).set_output(transform="pandas")
        elmo.fit(messages["text"])
        frame = dd.from_pandas(messages, npartitions=4)
        meta = elmo.transform(messages["text"].iloc[:0])
        features = frame["text"].map_partitions(elmo.transform, meta=meta).compute()
        print(f"features: {features.shape[0]} rows, {features.shape[1]} columns")

        # %%
        # Grid search on the same workers through joblib. The store has all texts by
        # now, so nothing is computed again.
        pipeline = make_pipeline(elmo, LogisticRegression(max_iter=1000))
        grid = {"elmovectorizer__pooling": ["mean", "max"]}
        search = GridSearchCV(pipeline, grid, cv=3)
        with joblib.parallel_backend("dask"):
            search.fit(messages["text"], messages["label"])
        print(f"best: {search.best_params_}, accuracy {search.best_score_:.3f}")
        (recipe,) = EmbeddingStore(folder).info()["recipes"]
        print(f"{recipe['entries']} distinct texts, {recipe['misses']} computed")


# Dask starts worker processes, which import this file.
if __name__ == "__main__":
    main()
