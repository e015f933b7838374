"""Columns of a frame: texts beside numbers in one ColumnTransformer.

Text messages with two numbers each become one table of features with readable column
names, and a pipeline that is fitted and used on frames. Saves a plot to
``examples/output/02_columns_of_a_frame.png``. Needs matplotlib (extra ``examples``).
"""

# %%
# A frame with a column of texts and two of numbers. Here the numbers are counted in the
# texts; other data would bring its own.
import csv
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from sklearn_elmo import ElmoVectorizer

mpl.use("agg")
HERE = Path(__file__).parent
messages = pd.read_csv(
    HERE / "data" / "sms_spam.tsv.gz", sep="\t", quoting=csv.QUOTE_NONE
)
messages = messages.groupby("label").sample(200, random_state=7)
messages["n_characters"] = messages["text"].str.len()
messages["n_digits"] = messages["text"].str.count(r"\d")
messages.loc[messages.index[:3], "text"] = None  # missing texts are allowed

# %%
# The name of the column is part of the names of its features, so two text columns
# never collide. Rows of scaled ELMo features get length 1, so that 512 columns do not
# drown two.
elmo = make_pipeline(ElmoVectorizer(layers="top"), StandardScaler(), Normalizer())
columns = make_column_transformer(
    (elmo, "text"),
    (StandardScaler(), ["n_characters", "n_digits"]),
    verbose_feature_names_out=False,
).set_output(transform="pandas")
table = columns.fit_transform(messages)
print(table.iloc[:4, [0, 1, -2, -1]].round(3).to_string())

# %%
# As one step of a pipeline.
train, test = train_test_split(messages, random_state=0, stratify=messages["label"])
pipeline = make_pipeline(columns, LogisticRegression(C=100, max_iter=1000))
pipeline.fit(train, train["label"])
print(f"accuracy on {len(test)} messages: {pipeline.score(test, test['label']):.3f}")

# %%
# A frame without the column, or with another one, is an error that names both.
try:
    pipeline[0].named_transformers_["pipeline"].transform(
        test[["text"]].rename(columns={"text": "body"})
    )
except ValueError as error:
    print(f"ValueError: {error}")

# %%
# What each column is worth: five-fold cross-validation on parts of the table. The names
# of the features find those of a column again.
parts = {
    "n_digits": table[["n_digits"]],
    "n_characters": table[["n_characters"]],
    "both numbers": table[["n_characters", "n_digits"]],
    "text": table.filter(like="text_elmo"),
    "all columns": table,
}
classifier = LogisticRegression(C=100, max_iter=1000)
scores = pd.DataFrame(
    {
        name: cross_val_score(classifier, part, messages["label"], cv=5)
        for name, part in parts.items()
    }
)
print(scores.mean().round(3).to_string())

# %%
# The same as a plot, with a dot per fold.
figure, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
rows = range(len(parts))
ax.plot(scores.T, rows, "o", color="#0072B2", alpha=0.35)
ax.plot(scores.mean(), rows, "D", color="#D55E00")
ax.set_yticks(rows, parts)
ax.set(
    xlabel="accuracy (dots: five folds, diamond: their mean)",
    title="Spam or not, from some columns or all",
)
ax.grid(axis="x", alpha=0.3)
output = HERE / "output"
output.mkdir(exist_ok=True)
figure.savefig(output / "02_columns_of_a_frame.png", dpi=120)
print(f"plot saved to {output / '02_columns_of_a_frame.png'}")
