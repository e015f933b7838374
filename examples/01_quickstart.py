"""Quickstart: spam or not, with ELMo features beside TF-IDF.

Cross-validates three pipelines on 5,574 text messages, prints a table and saves a
plot to ``examples/output/01_quickstart.png``. Needs matplotlib (extra ``examples``).
"""

# %%
# Real labelled texts, shipped beside this file.
import csv
import tempfile
import time
import warnings
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, make_scorer, matthews_corrcoef
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from sklearn_elmo import ElmoVectorizer
from sklearn_elmo.errors import LongTokenWarning

HERE = Path(__file__).parent
messages = pd.read_csv(
    HERE / "data" / "sms_spam.tsv.gz", sep="\t", quoting=csv.QUOTE_NONE
)
print(f"{len(messages)} messages, {(messages['label'] == 'spam').mean():.0%} spam")

# %%
# Three kinds of features. ELMo's columns are standardized; in the union its rows are
# also scaled to TF-IDF's length, so that neither side dominates. Thanks to the cache,
# cross-validation reads each message once. A few messages have run-together words that
# are longer than the 48 bytes that the model reads, which the warning would repeat for
# each fold.
warnings.simplefilter("ignore", LongTokenWarning)
cache = tempfile.TemporaryDirectory()
elmo = ElmoVectorizer(layer_mix="concat", cache=cache.name)
tfidf = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
union = FeatureUnion(
    [("tfidf", tfidf), ("elmo", make_pipeline(elmo, StandardScaler(), Normalizer()))]
)
pipelines = {
    "TF-IDF": make_pipeline(tfidf, LogisticRegression(C=100, max_iter=1000)),
    "ELMo": make_pipeline(
        elmo, StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)
    ),
    "TF-IDF + ELMo": make_pipeline(union, LogisticRegression(C=100, max_iter=1000)),
}

# %%
# Five-fold cross-validation, the same folds for all.
scoring = {
    "accuracy": "accuracy",
    "spam F1": make_scorer(f1_score, pos_label="spam"),
    "MCC": make_scorer(matthews_corrcoef),
}
folds = StratifiedKFold(n_splits=5, shuffle=True, random_state=0)
rows = {}
for name, pipeline in pipelines.items():
    start = time.perf_counter()
    scores = cross_validate(
        pipeline, messages["text"], messages["label"], cv=folds, scoring=scoring
    )
    rows[name] = {score: scores[f"test_{score}"].mean() for score in scoring}
    rows[name]["± accuracy"] = scores["test_accuracy"].std()
    rows[name]["seconds"] = time.perf_counter() - start
table = pd.DataFrame(rows).T
print(table.round({"seconds": 1}).round(4).to_string())
cache.cleanup()

# %%
# The same as a plot.
mpl.use("agg")
axes = table[list(scoring)].plot.barh(figsize=(7, 3.5), xlim=(0.85, 1.0))
axes.set_title("SMS spam, 5-fold cross-validation")
axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
output = HERE / "output"
output.mkdir(exist_ok=True)
axes.figure.savefig(output / "01_quickstart.png", bbox_inches="tight", dpi=120)
print(f"plot saved to {output / '01_quickstart.png'}")
