"""Explain a prediction: what each token adds to the decision.

The decision of a linear model on pooled vectors is a sum over the tokens. This script
trains a spam filter on text messages, shows for two new ones what each token adds, and
writes the second as HTML and as a plot to ``examples/output``. Needs matplotlib (the
extra ``plot``).
"""

# %%
# A spam filter: any linear model will do, with or without a `StandardScaler` before it.
import csv
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_elmo import ElmoVectorizer
from sklearn_elmo.inspection import explain_text

mpl.use("agg")
HERE = Path(__file__).parent
messages = pd.read_csv(
    HERE / "data" / "sms_spam.tsv.gz", sep="\t", quoting=csv.QUOTE_NONE
)
# The model reads 48 bytes of a token and warns of longer ones.
messages = messages[~messages["text"].str.contains(r"\S{49}")]
messages = messages.groupby("label").sample(300, random_state=1)
model = make_pipeline(
    ElmoVectorizer(layer_mix="concat"),
    StandardScaler(),
    LogisticRegression(C=0.01, max_iter=1000),
)
model.fit(messages["text"], messages["label"])

# %%
# ``print`` colours the text in a terminal and writes a table elsewhere; a notebook
# shows the object as coloured text.
print(explain_text(model, "Hi Ann, are you free for dinner at six?"), end="\n\n")
message = "Dear Ann, you have won a free holiday! Call 0800 123456 now. Love, Mum"
explanation = explain_text(model, message)
print(explanation.to_ansi())

# %%
# The contributions and the intercept add up to the model's decision.
decision = explanation.intercept + explanation.contributions.sum()
print(f"{decision:.4f} = {model.decision_function([message])[0]:.4f}")

# %%
# The same as HTML, in which everything from the text is escaped, and as a plot.
output = HERE / "output"
output.mkdir(exist_ok=True)
page = output / "06_explain_a_prediction.html"
page.write_text(explanation.to_html(), encoding="utf-8")
explanation.plot()
explanation.figure_.savefig(output / "06_explain_a_prediction.png", dpi=120)
print(f"plot saved to {output / '06_explain_a_prediction.png'}")
