"""Scale out with Spark: a pandas function over partitions, one shared store.

Needs ``pip install "sklearn-elmo[spark]"`` and Java 17. The session here is local; on a
cluster the workers need the package and, for the store, a folder that all of them see.
"""

# %%
import csv
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from pyspark.sql import SparkSession
from pyspark.sql.functions import pandas_udf

from sklearn_elmo import ElmoVectorizer, EmbeddingStore

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


rows = frame.withColumn("features", embed("text")).toPandas()
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
