"""Learned layer weights: different tasks look at different layers.

With ``layer_mix="learned"`` the weights of the layers are learned from labels, as in
the ELMo paper. This script learns them for three tasks on the same text messages and
draws them to ``examples/output/05_learned_mix.png``. Needs matplotlib (the extra
``plot``).
"""

# %%
# Text messages, as many spam as not, shipped beside this file.
import csv
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd

from sklearn_elmo import ElmoTokenVectorizer, ElmoVectorizer
from sklearn_elmo.inspection import LayerWeightsDisplay

mpl.use("agg")
HERE = Path(__file__).parent
messages = pd.read_csv(
    HERE / "data" / "sms_spam.tsv.gz", sep="\t", quoting=csv.QUOTE_NONE
)
# The model reads 48 bytes of a token and warns of longer ones.
messages = messages[~messages["text"].str.contains(r"\S{49}")]
messages = messages.groupby("label").sample(100, random_state=1)
texts = messages["text"].tolist()

# %%
# Task 1 labels whole messages: spam or not.
spam = ElmoVectorizer(layer_mix="learned").fit(texts, messages["label"])

# %%
# Tasks 2 and 3 label tokens: what kind of token one is by its characters, and what kind
# its successor is. The first can be read off the token, the second depends on context.
# A tenth of the messages has tokens enough.
few = texts[::10]
tokens = ElmoTokenVectorizer().tokenize(few)


def kind(token: str) -> str:
    """Say what a token is made of."""
    if token.isalpha():
        return "capitalized" if token[0].isupper() else "lower case"
    return "number" if any(c.isdigit() for c in token) else "other"


kinds = [[kind(token) for token in of_text] for of_text in tokens]
next_kinds = [[*of_text[1:], "end"] for of_text in kinds]
own = ElmoTokenVectorizer(layer_mix="learned").fit(few, kinds)
successor = ElmoTokenVectorizer(layer_mix="learned").fit(few, next_kinds)

# %%
# The layers that each task weighs most.
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), sharey=True, layout="constrained")
tasks = {"spam": spam, "kind of token": own, "kind of next token": successor}
for ax, (task, vectorizer) in zip(axes, tasks.items(), strict=True):
    display = LayerWeightsDisplay.from_estimator(vectorizer, ax=ax)
    ax.set_title(f"{task} (scale {display.scale:.2f})")
    ax.label_outer()
    print(f"{task}: {vectorizer.layer_weights_.round(2)}")
axes[0].set_ylim(0, 1)
output = HERE / "output"
output.mkdir(exist_ok=True)
figure.savefig(output / "05_learned_mix.png", dpi=120)
print(f"plot saved to {output / '05_learned_mix.png'}")
