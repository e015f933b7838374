"""Tagging: parts of speech and names with a classifier on token vectors.

`ElmoTagger` gives each token of a text a tag. The classifier is scikit-learn's; that
the vector of a token depends on the whole sentence is ELMo's part. A few dozen tagged
sentences are enough to start with. Saves a plot to ``examples/output/07_tagging.png``.
Needs matplotlib (extra ``examples``).
"""

# %%
# 75 sentences of a novel, tagged by two annotators with the parts of speech of
# Universal Dependencies. X and y are lists of lists of equal lengths.
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.model_selection import KFold, cross_val_score
from sklearn.svm import LinearSVC

from sklearn_elmo import ElmoTagger, ElmoTokenVectorizer
from sklearn_elmo.tagging import entity_report

mpl.use("agg")
HERE = Path(__file__).parent
path = HERE / "data" / "hound_upos.txt"
sentences = [
    [line.split(" ") for line in block.splitlines()]
    for block in path.read_text("utf-8").split("\n\n")
]
X = [[token for token, _ in sentence] for sentence in sentences]
y = [[tag for _, tag in sentence] for sentence in sentences]
print(f"{len(X)} sentences, {sum(map(len, X))} tokens")
print(" ".join(f"{token}/{tag}" for token, tag in zip(X[1], y[1], strict=True)))

# %%
# Learn from 55 sentences and tag the others.
tagger = ElmoTagger().fit(X[:55], y[:55])
print(f"accuracy on {sum(map(len, X[55:]))} tokens: {tagger.score(X[55:], y[55:]):.3f}")

# %%
# The same word gets different tags in different places: "to" before a name or a verb,
# and "walk", which is in none of the 55 sentences. So few sentences do not teach
# everything: this "home" is an ADV, and "long" an ADJ.
for text in (
    "He went to London .",
    "He wanted to sleep .",
    "They walk home .",
    "The walk was long .",
    "She saw that dog .",
):
    (tags,) = tagger.predict([text.split()])
    print(f"{text:24}{' '.join(tags)}")

# %%
# Probabilities come as one array per text, with columns in the order of ``classes_``.
# They are the classifier's alone, which does not know what to make of "that". The
# tagger also knows which tags follow each other (a DET often stands before a NOUN) and
# has chosen the best sequence.
tokens = ["She", "saw", "that", "dog", "."]
(probabilities,) = tagger.predict_proba([tokens])
table = pd.DataFrame(probabilities, index=tokens, columns=tagger.classes_)
print(table[["DET", "NOUN", "PRON", "SCONJ", "VERB"]].round(2).to_string())

# %%
# Any classifier and any layers will do. ``window=1`` puts the vectors of both
# neighbours beside a token's own, which takes more sentences than these to pay;
# ``decoding="independent"`` tags each token by itself. Layer 0, which knows no context,
# falls behind. The other differences are too small to count on so few sentences.
taggers = {
    "default": ElmoTagger(),
    "layer 0, no context": ElmoTagger(
        vectorizer=ElmoTokenVectorizer(tokenizer="pretokenized", layers=0)
    ),
    "window of 1": ElmoTagger(window=1),
    "token by token": ElmoTagger(decoding="independent"),
    "linear SVM": ElmoTagger(LinearSVC(C=0.01)),
}
folds = KFold(3, shuffle=True, random_state=0)
for name, tagger in taggers.items():
    scores = cross_val_score(tagger, X, y, cv=folds)
    print(f"{name:20}{scores.mean():.3f} ± {scores.std():.3f}")

# %%
# Names are runs of PROPN. As IOB2 tags, in which B begins a name and I continues it,
# they can be judged as wholes: a name counts only if its first and its last token are
# right.


def name_tags(tags: list[str]) -> list[str]:
    return [
        "O" if tag != "PROPN" else "I-NAME" if before == "PROPN" else "B-NAME"
        for before, tag in pairwise(["", *tags])
    ]


y_true, y_pred = [], []
for train, test in folds.split(X):
    tagger = ElmoTagger()
    tagger.fit([X[i] for i in train], [name_tags(y[i]) for i in train])
    y_true += [name_tags(y[i]) for i in test]
    y_pred += tagger.predict([X[i] for i in test])
print(entity_report(y_true, y_pred).round(3).to_string())

# %%
# Sentences that the first tagger has not seen, one colour per tag. A tag in red is not
# the annotators'.
tagger = ElmoTagger().fit(X[:55], y[:55])
shown = [i for i in range(55, len(X)) if len(X[i]) <= 12][:6]
palette = [*plt.get_cmap("Set3").colors, *plt.get_cmap("Pastel2").colors]
colors = dict(zip(tagger.classes_, palette, strict=False))
figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for row, i in enumerate(shown):
    left = 0
    (tags,) = tagger.predict([X[i]])
    for token, tag, true_tag in zip(X[i], tags, y[i], strict=True):
        width = max(len(token), len(tag)) + 1
        ax.barh(row, width - 0.2, left=left, align="edge", color=colors[tag])
        center = left + width / 2
        ax.text(center, row + 0.3, token, ha="center", va="center", fontsize=9)
        ax.text(
            center,
            row + 0.62,
            tag,
            ha="center",
            va="center",
            fontsize=6,
            color="black" if tag == true_tag else "red",
        )
        left += width
ax.invert_yaxis()
ax.set_axis_off()
output = HERE / "output"
output.mkdir(exist_ok=True)
figure.savefig(output / "07_tagging.png", dpi=120)
print(f"plot saved to {output / '07_tagging.png'}")
