"""Scale out with Dask: partitions of texts, one shared store, each text read once.

Needs ``pip install "sklearn-elmo[dask,plot]"``. The cluster here has two processes on
this machine; on real clusters only its address changes. Saves a plot to
``examples/output/14_scale_out_dask.png``.
"""

# %%
import csv
import tempfile
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd

mpl.use("agg")
HERE = Path(__file__).parent


def plot_passes(passes: dict[str, list[dict]]) -> None:
    """Draw which worker was busy with a partition, and when."""
    figure, axes = plt.subplots(
        2, 1, figsize=(6.5, 3), layout="constrained", sharex=True, sharey=True
    )
    for ax, (name, tasks) in zip(axes, passes.items(), strict=True):
        workers = sorted({task["worker"] for task in tasks})
        spans = [
            (workers.index(task["worker"]), span["start"], span["stop"])
            for task in tasks
            for span in task["startstops"]
            if span["action"] == "compute"
        ]
        begin = min(start for _, start, _ in spans)
        for worker, start, stop in spans:
            ax.barh(
                worker,
                stop - start,
                left=start - begin,
                color="#0072B2",
                edgecolor="white",
            )
        ax.set_yticks([0, 1], ["worker 1", "worker 2"])
        ax.set_title(name, fontsize="medium")
    axes[-1].set_xlabel("seconds since the first task of the pass")
    output = HERE / "output"
    output.mkdir(exist_ok=True)
    figure.savefig(output / "14_scale_out_dask.png", dpi=120)
    print(f"plot saved to {output / '14_scale_out_dask.png'}")


def main() -> None:
    import dask.dataframe as dd
    import joblib
    from dask.distributed import Client, LocalCluster, get_task_stream
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
        Client(cluster) as client,
    ):
        # %%
        # Rows of a Dask frame, partition by partition. A fitted vectorizer is a few
        # hundred bytes to send: it carries no weights, and each worker loads the model
        # once; here they do so before the first partition comes.
        elmo = ElmoVectorizer(cache=folder).set_output(transform="pandas")
        elmo.fit(messages["text"])
        client.run(ElmoVectorizer().fit([]).transform, ["Load the model."])
        frame = dd.from_pandas(messages.sample(frac=1, random_state=0), npartitions=8)
        meta = elmo.transform(messages["text"].iloc[:0])
        rows = frame["text"].map_partitions(elmo.transform, meta=meta)
        with get_task_stream(client) as first:
            features = rows.compute()
        print(f"features: {features.shape[0]} rows, {features.shape[1]} columns")

        # %%
        # The same again: now every text is in the store.
        with get_task_stream(client) as second:
            rows.compute()
        plot_passes(
            {
                "first pass: the workers read the texts of 8 partitions": first.data,
                "second pass: they find them in the store": second.data,
            }
        )

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
