"""Search, duplicates, pairs and clusters.

Nearest neighbours of a word in its context and of whole texts, features of pairs of
texts, and a map of clusters, all with scikit-learn's own tools. Saves
``examples/output/08_search_and_pairs.png`` and ``08_clusters.png``. Needs matplotlib
(the extra ``plot``).
"""

# %%
# Sentences with the word "play" in two senses, after the example of the ELMo paper.
import csv
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_elmo import ElmoTokenVectorizer, ElmoVectorizer
from sklearn_elmo.inspection import WordContextsDisplay
from sklearn_elmo.pairs import TextPairFeatures

mpl.use("agg")
HERE = Path(__file__).parent
output = HERE / "output"
output.mkdir(exist_ok=True)
senses = pd.read_csv(HERE / "data" / "play_senses.tsv", sep="\t")
token_elmo = ElmoTokenVectorizer(layers=1).fit([])


def vectors_of(word: str, texts: list[str]) -> np.ndarray:
    """Return the vector of the first occurrence of a word in each text."""
    token_lists = token_elmo.tokenize(texts)
    places = [tokens.index(word) for tokens in token_lists]
    rows = token_elmo.transform(texts)
    return np.stack([row[place] for row, place in zip(rows, places, strict=True)])


# %%
# The nearest neighbours of "play" in new sentences. What all occurrences of a word have
# in common says nothing about its sense, so it is subtracted first.
play = StandardScaler(with_std=False)
index = NearestNeighbors(n_neighbors=3, metric="cosine")
index.fit(play.fit_transform(vectors_of("play", senses["text"].tolist())))
queries = [
    "Ruiz made a spectacular play and the crowd cheered.",
    "They went to see a play about a king and his daughters.",
]
_, neighbors = index.kneighbors(play.transform(vectors_of("play", queries)))
for query, rows in zip(queries, neighbors, strict=True):
    print(f"\n{query}")
    for sense, text in senses.iloc[rows].itertuples(index=False):
        print(f"  {sense:8} {text}")
display = WordContextsDisplay.from_estimator(
    token_elmo, senses["text"], "play", labels=senses["sense"]
)
display.figure_.savefig(output / "08_search_and_pairs.png", dpi=120)

# %%
# Near duplicates among text messages: the pairs with the largest cosines.
messages = pd.read_csv(
    HERE / "data" / "sms_spam.tsv.gz", sep="\t", quoting=csv.QUOTE_NONE
)
# The model reads 48 bytes of a token and warns of longer ones.
messages = messages[~messages["text"].str.contains(r"\S{49}")]
messages = messages.drop_duplicates("text").groupby("label").head(300)
texts = messages["text"].tolist()
rows = ElmoVectorizer(pooling="idf", normalize=True).fit_transform(texts)
index = NearestNeighbors(n_neighbors=2, metric="cosine").fit(rows)
distances, neighbors = index.kneighbors()
print("\nmost similar messages:")
closest = np.argsort(distances[:, 0])
for row in [row for row in closest if row < neighbors[row, 0]][:3]:
    other = neighbors[row, 0]
    print(f"  {1 - distances[row, 0]:.3f}  {texts[row][:66]}")
    print(f"         {texts[other][:66]}")

# %%
# Pairs: does the second sentence say the same as the first? The cosine alone, and what
# a classifier learns from differences and products of the vectors.
pairs = pd.read_csv(HERE / "data" / "paraphrases.tsv", sep="\t")
elmo = ElmoVectorizer(pooling="idf")
print()
for comparisons in ("cosine", ("difference", "product")):
    classifier = make_pipeline(
        TextPairFeatures(elmo, comparisons=comparisons),
        StandardScaler(),
        LogisticRegression(C=0.01),
    )
    scores = cross_val_score(classifier, pairs[["first", "second"]], pairs["same"])
    print(f"pairs, {comparisons}: accuracy {scores.mean():.2f}")

# %%
# A map of clusters: three groups that k-means finds, and what is in them.
scaled = StandardScaler().fit_transform(rows)
clusters = KMeans(3, n_init=10, random_state=0).fit_predict(scaled)
print("\n", pd.crosstab(clusters, messages["label"].to_numpy(), rownames=["cluster"]))
places = PCA(2).fit_transform(scaled)
figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
for cluster, marker in enumerate("osD"):
    for label, color in (("ham", "#0072B2"), ("spam", "#D55E00")):
        chosen = (clusters == cluster) & (messages["label"] == label).to_numpy()
        name = f"cluster {cluster}, {label}"
        if chosen.any():
            ax.scatter(*places[chosen].T, s=14, marker=marker, color=color, label=name)
ax.set(xticks=[], yticks=[], title="Text messages: k-means clusters on a PCA map")
ax.legend(fontsize="small")
figure.savefig(output / "08_clusters.png", dpi=120)
print(f"plots saved to {output}")
