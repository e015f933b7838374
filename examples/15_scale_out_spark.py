"""Scale out with Spark: a pandas function over partitions, one shared store.

Needs ``pip install "sklearn-elmo[spark,plot]"`` and Java 17. The session here is local;
on a cluster the workers need the package and, for the store, a folder that all of them
see. Saves a plot to ``examples/output/15_scale_out_spark.png``.
"""

# %%
import csv
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from pyspark.sql import SparkSession
from pyspark.sql.functions import pandas_udf, spark_partition_id
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from sklearn_elmo import ElmoVectorizer, EmbeddingStore

mpl.use("agg")
HERE = Path(__file__).parent
messages = pd.read_csv(
    HERE / "data" / "sms_spam.tsv.gz", sep="\t", quoting=csv.QUOTE_NONE
)
messages = messages.groupby("label").sample(100, random_state=2).reset_index(drop=True)

# Workers use the Python that runs this file.
os.environ["PYSPARK_PYTHON"] = sys.executable
spark = (
    SparkSession.builder.master("local[2]")
    .appName("sklearn_elmo")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.shuffle.partitions", "2")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")
folder = tempfile.TemporaryDirectory()
elmo = ElmoVectorizer(cache=folder.name).fit(messages["text"])

# %%
# An iterator function: each worker process loads the model once and takes one batch of
# texts after the other. Nulls become rows of zeros.
frame = spark.createDataFrame(messages).repartition(2)


@pandas_udf("array<float>")
def embed(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
    for texts in batches:
        yield pd.Series(list(elmo.transform(texts)))


rows = (
    frame.withColumn("partition", spark_partition_id())
    .withColumn("features", embed("text"))
    .toPandas()
)
print(f"{len(rows)} rows of {len(rows['features'][0])} features")

# %%
# The same through `mapInPandas`, which keeps other columns and may change the number of
# rows. The store knows all texts by now.


def add_norm(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    for batch in batches:
        vectors = elmo.transform(batch["text"].tolist())
        yield batch.assign(norm=(vectors**2).sum(axis=1) ** 0.5)


norms = frame.mapInPandas(add_norm, "label string, text string, norm double").toPandas()
print(norms.groupby("label")["norm"].mean().round(3).to_string())
(recipe,) = EmbeddingStore(folder.name).info()["recipes"]
print(f"{recipe['entries']} distinct texts, {recipe['misses']} computed")
spark.stop()
folder.cleanup()

# %%
# The vectors as a map. Each partition was embedded by its own process; the vectors do
# not depend on which.
places = PCA(2).fit_transform(
    StandardScaler().fit_transform(np.stack(rows["features"]))
)
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for partition, marker in enumerate("os"):
    for label, color in (("ham", "#0072B2"), ("spam", "#D55E00")):
        chosen = (rows["partition"] == partition) & (rows["label"] == label)
        name = f"{label}, partition {partition + 1}"
        ax.scatter(*places[chosen].T, s=18, marker=marker, color=color, label=name)
ax.set(
    xlabel="first principal component",
    ylabel="second principal component",
    title="Messages embedded in two partitions",
)
ax.legend(fontsize="small")
output = HERE / "output"
output.mkdir(exist_ok=True)
figure.savefig(output / "15_scale_out_spark.png", dpi=120)
print(f"plot saved to {output / '15_scale_out_spark.png'}")
