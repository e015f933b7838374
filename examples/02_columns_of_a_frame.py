"""Columns of a frame: texts beside numbers in one ColumnTransformer.

Messages with their length and hour become one table of features with readable column
names, in pandas or polars, and a pipeline that is fitted and used on frames.
"""

# %%
# A frame with a column of texts and two of numbers. The hours are made up; real data
# would bring its own.
import csv
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_elmo import ElmoVectorizer

HERE = Path(__file__).parent
messages = pd.read_csv(
    HERE / "data" / "sms_spam.tsv.gz", sep="\t", quoting=csv.QUOTE_NONE
)
messages = messages.groupby("label").sample(200, random_state=7)
messages["n_characters"] = messages["text"].str.len()
messages["hour"] = np.random.default_rng(0).integers(0, 24, len(messages))
messages.loc[messages.index[:3], "text"] = None  # missing texts become rows of zeros

# %%
# The name of the column is part of the names of its features, so two text columns
# never collide.
columns = make_column_transformer(
    (ElmoVectorizer(layers="top"), "text"),
    (StandardScaler(), ["n_characters", "hour"]),
    verbose_feature_names_out=False,
).set_output(transform="pandas")
table = columns.fit_transform(messages)
print(table.iloc[:4, [0, 1, -2, -1]].round(3).to_string())

# %%
# As one step of a pipeline.
train, test = train_test_split(messages, random_state=0, stratify=messages["label"])
pipeline = make_pipeline(columns, StandardScaler(), LogisticRegression(C=0.01))
pipeline.fit(train, train["label"])
print(f"accuracy on {len(test)} messages: {pipeline.score(test, test['label']):.3f}")

# %%
# A frame without the column, or with another one, is an error that names both.
try:
    pipeline[0].named_transformers_["elmovectorizer"].transform(
        test[["text"]].rename(columns={"text": "body"})
    )
except ValueError as error:
    print(f"ValueError: {error}")
