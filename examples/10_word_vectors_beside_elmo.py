"""Word vectors beside ELMo, and TF-IDF beside both.

The authors of ELMo found that GloVe beside it sometimes helps. `WordVectorVectorizer`
reads GloVe, word2vec and fastText files; here the file is made from the texts
themselves, so that the example needs no download. Saves a plot to
``examples/output/10_word_vectors_beside_elmo.png``. Needs matplotlib (extra
``examples``).
"""

# %%
import csv
import tempfile
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import Normalizer, StandardScaler

from sklearn_elmo import ElmoVectorizer, WordVectorVectorizer

mpl.use("agg")
HERE = Path(__file__).parent
messages = pd.read_csv(
    HERE / "data" / "sms_spam.tsv.gz", sep="\t", quoting=csv.QUOTE_NONE
)
messages = messages.groupby("label").sample(200, random_state=7)
folder = tempfile.TemporaryDirectory()

# %%
# Word vectors from the words' contexts (latent semantic analysis), in GloVe's format.
# With real ones: ``WordVectorVectorizer("glove.6B.100d.txt.gz")``, a path or a URL.
counts = CountVectorizer(token_pattern=r"\S+", min_df=2)
documents = counts.fit_transform(messages["text"])
vectors = TruncatedSVD(50, random_state=0).fit_transform(documents.T)
path = Path(folder.name) / "vectors.txt"
with path.open("w", encoding="utf-8") as file:
    for word, vector in zip(counts.get_feature_names_out(), vectors, strict=True):
        file.write(f"{word} {' '.join(f'{number:.4f}' for number in vector)}\n")

# %%
# Each block is scaled by itself, so that none drowns the others.
elmo = ElmoVectorizer(layer_mix="concat", cache=Path(folder.name) / "cache")
blocks = {
    "ELMo": make_pipeline(elmo, StandardScaler(), Normalizer()),
    "word vectors": make_pipeline(
        WordVectorVectorizer(path, tokenizer="whitespace"),
        StandardScaler(),
        Normalizer(),
    ),
    "TF-IDF": TfidfVectorizer(sublinear_tf=True),
}
scores = pd.DataFrame()
for n_blocks in range(1, len(blocks) + 1):
    for names in combinations(blocks, n_blocks):
        features = make_union(*(blocks[name] for name in names))
        pipeline = make_pipeline(features, LogisticRegression(C=30, max_iter=2000))
        scores[" + ".join(names)] = cross_val_score(
            pipeline, messages["text"], messages["label"], cv=3
        )
print(scores.mean().round(3).to_string())
folder.cleanup()

# %%
# The same as a plot, with a dot per fold. With 400 messages, differences of a point or
# two are chance.
figure, ax = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
rows = range(scores.shape[1])
ax.plot(scores.T, rows, "o", color="#0072B2", alpha=0.35)
ax.plot(scores.mean(), rows, "D", color="#D55E00")
ax.set_yticks(rows, scores.columns)
ax.invert_yaxis()
ax.set(
    xlabel="accuracy (dots: three folds, diamond: their mean)",
    title="Spam or not: features alone and together",
)
ax.grid(axis="x", alpha=0.3)
output = HERE / "output"
output.mkdir(exist_ok=True)
figure.savefig(output / "10_word_vectors_beside_elmo.png", dpi=120)
print(f"plot saved to {output / '10_word_vectors_beside_elmo.png'}")
