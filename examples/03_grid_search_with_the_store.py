"""Grid search with the store: twelve candidates for the price of one pass.

With ``cache=``, every text is read once by the model and all layers and poolings are
kept on disk, so a grid over layers, mixes and poolings costs one pass and the
classifiers. Saves a plot to ``examples/output/03_grid_search_with_the_store.png``.
Needs matplotlib (extra ``examples``).
"""

# %%
import csv
import tempfile
import time
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_elmo import ElmoVectorizer, EmbeddingStore

mpl.use("agg")
HERE = Path(__file__).parent
messages = pd.read_csv(
    HERE / "data" / "sms_spam.tsv.gz", sep="\t", quoting=csv.QUOTE_NONE
)
messages = messages.groupby("label").sample(150, random_state=2)

# %%
# The folder may be shared by processes and machines. ``n_jobs`` workers divide the
# texts among themselves. "all" stands first in the grid: layer 0 needs no LSTM, so a
# pass for it alone would store nothing else.
folder = tempfile.TemporaryDirectory()
store = EmbeddingStore(folder.name)
pipeline = make_pipeline(
    ElmoVectorizer(cache=store),
    StandardScaler(),
    LogisticRegression(C=0.01, max_iter=1000),
)
grid = {
    "elmovectorizer__layers": ["all", "top", 0],
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

# %%
# All scores, and what the search asked of the store.
best_last = results[::-1]
labels = [
    f"{layers}, {mix}, {pooling if isinstance(pooling, str) else ' + '.join(pooling)}"
    for layers, mix, pooling in best_last[names[:3]].itertuples(index=False)
]
figure, (left, right) = plt.subplots(
    1, 2, figsize=(7, 3.4), width_ratios=[3, 2], layout="constrained"
)
left.errorbar(
    best_last["mean_test_score"], labels, xerr=best_last["std_test_score"], fmt="o"
)
left.set(xlabel="accuracy ± std of three folds", ylabel="layers, mix, pooling")
left.set_title(f"{len(labels)} candidates")
left.grid(axis="x", alpha=0.3)
asked = recipe["hits"] + recipe["misses"]
bars = right.bar(
    ["asked of\nthe store", "read by\nthe model"],
    [asked, recipe["misses"]],
    color="#0072B2",
)
right.bar_label(bars, fmt="{:,.0f}", padding=2)
right.margins(y=0.15)
right.set(ylabel="texts", title="One pass for all")
right.spines[["top", "right"]].set_visible(False)
output = HERE / "output"
output.mkdir(exist_ok=True)
figure.savefig(output / "03_grid_search_with_the_store.png", dpi=120)
print(f"plot saved to {output / '03_grid_search_with_the_store.png'}")
