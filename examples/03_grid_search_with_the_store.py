"""Grid search with the store: twelve candidates for the price of one pass.

With ``cache=``, every text is read once by the model and all layers and poolings are
kept on disk, so a grid over layers, mixes and poolings costs one pass and the
classifiers.
"""

# %%
import csv
import tempfile
import time
from pathlib import Path

import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_elmo import ElmoVectorizer, EmbeddingStore

HERE = Path(__file__).parent
messages = pd.read_csv(
    HERE / "data" / "sms_spam.tsv.gz", sep="\t", quoting=csv.QUOTE_NONE
)
messages = messages.groupby("label").sample(150, random_state=2)

# %%
# The folder may be shared by processes and machines. ``n_jobs`` workers divide the
# texts among themselves.
folder = tempfile.TemporaryDirectory()
store = EmbeddingStore(folder.name)
pipeline = make_pipeline(
    ElmoVectorizer(cache=store),
    StandardScaler(),
    LogisticRegression(C=0.01, max_iter=1000),
)
grid = {
    "elmovectorizer__layers": [0, "top", "all"],
    "elmovectorizer__layer_mix": ["average", "concat"],
    "elmovectorizer__pooling": ["mean", ["mean", "max"]],
}
start = time.perf_counter()
search = GridSearchCV(pipeline, grid, cv=3).fit(messages["text"], messages["label"])
print(f"{len(search.cv_results_['params'])} candidates in three folds: ", end="")
print(f"{time.perf_counter() - start:.1f} s")

# %%
# How often the store was asked, and how much of it had to be computed.
(recipe,) = store.info()["recipes"]
print(f"{recipe['entries']} texts read once, {recipe['bytes'] / 2**20:.1f} MiB;")
print(f"{recipe['hits']:,} requests answered from disk, {recipe['misses']:,} computed")

# %%
# The best candidates.
results = pd.DataFrame(search.cv_results_).sort_values("rank_test_score")
results.columns = results.columns.str.replace("param_elmovectorizer__", "")
names = ["layers", "layer_mix", "pooling", "mean_test_score"]
print(results[names].head(5).to_string(index=False))
folder.cleanup()
