"""Layers and poolings: a grid search, and its scores as a heat map.

Which layers of the model to take, and how to pool the tokens of a text, depends on the
task. This script searches both for spam detection on 200 text messages and saves the
scores to ``examples/output/04_layers_and_poolings.png``. Needs matplotlib (the extra
``plot``).
"""

# %%
# Text messages, as many spam as not, shipped beside this file.
import csv
import tempfile
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_elmo import ElmoVectorizer
from sklearn_elmo.inspection import GridScoresDisplay

mpl.use("agg")
HERE = Path(__file__).parent
messages = pd.read_csv(
    HERE / "data" / "sms_spam.tsv.gz", sep="\t", quoting=csv.QUOTE_NONE
)
# The model reads 48 bytes of a token and warns of longer ones.
messages = messages[~messages["text"].str.contains(r"\S{49}")]
messages = messages.groupby("label").sample(100, random_state=1)

# %%
# The vectorizer is a step like any other, so its parameters can be searched. With a
# cache the model reads each message once, whatever the number of candidates: layers are
# mixed, and most poolings made, from what is stored.
with tempfile.TemporaryDirectory() as cache:
    pipeline = make_pipeline(
        ElmoVectorizer(layer_mix="concat", cache=cache),
        StandardScaler(),
        LogisticRegression(C=0.01, max_iter=1000),
    )
    grid = {
        "elmovectorizer__layers": [0, 1, "top", "all"],
        "elmovectorizer__pooling": ["mean", "idf", "max", ["mean", "max"]],
    }
    search = GridSearchCV(pipeline, grid, cv=5)
    search.fit(messages["text"], messages["label"])
print(f"best: {search.best_params_}, accuracy {search.best_score_:.3f}")

# %%
# One row per choice of layers, one column per pooling. Differences of a point mean
# little with 200 messages.
display = GridScoresDisplay.from_estimator(search)
output = HERE / "output"
output.mkdir(exist_ok=True)
display.figure_.savefig(output / "04_layers_and_poolings.png", dpi=120)
print(f"plot saved to {output / '04_layers_and_poolings.png'}")
