"""From simple_elmo and TF-Hub: the same vectors, as scikit-learn transformers.

What the calls of both become, and where the numbers differ on purpose. The bundled
model stands in for the old one; pass the folder or zip file that simple_elmo loaded, or
``"original"``, to use that instead. TF-Hub's own weights cannot be read. Draws
``examples/output/16_from_simple_elmo_and_tf_hub.png``.
"""

# %%
# Three sentences of different lengths. Both libraries pad a batch to the longest.
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from sklearn_elmo import ElmoEmbedder, ElmoTokenVectorizer, ElmoVectorizer

mpl.use("agg")
MODEL = "default"  # or "model.zip" of the NLPL repository, or a folder with its files
texts = [
    "The cat sat .",
    "Dogs bark at the moon all night long .",
    "A storm kept the boats in the harbour for three days , and nobody complained .",
]
tokens = [text.split() for text in texts]

# %%
# simple_elmo: ``model.get_elmo_vectors(tokens, layers="average")`` returns one array
# that is padded with zeros. `transform_padded` returns it with its mask, `transform` a
# list of arrays without padding. Its ``layers="top"`` is ``layers="top"`` here, and
# ``layers="all"`` is ``layer_mix="concat"``, with the layers side by side.
vectorizer = ElmoTokenVectorizer(MODEL, tokenizer="pretokenized").fit(tokens)
padded, mask = vectorizer.transform_padded(tokens)
print("padded:", padded.shape, "tokens:", mask.sum(axis=1).tolist())

# %%
# simple_elmo: ``model.get_elmo_vector_average(tokens)`` returns rows of unit length.
# Here that is ``normalize=True``. The rows do not depend on the other texts, so there
# is no ``warmup`` to ask for; ``state="warm"`` starts each text from one fixed state.
averages = ElmoVectorizer(MODEL, tokenizer="pretokenized", normalize=True)
alone = [averages.fit_transform([text])[0] for text in tokens]
print("largest difference:", np.abs(averages.transform(tokens) - alone).max().round(6))

# %%
# TF-Hub: the signature ``"default"`` takes strings and splits them at blanks
# (``tokenizer="whitespace"``), ``"tokens"`` takes token lists
# (``tokenizer="pretokenized"``). Its outputs, for `n` texts:
outputs = {
    "word_emb": ElmoTokenVectorizer(MODEL, tokenizer="whitespace", layers=0),
    "lstm_outputs1": ElmoTokenVectorizer(MODEL, tokenizer="whitespace", layers=1),
    "lstm_outputs2": ElmoTokenVectorizer(MODEL, tokenizer="whitespace", layers=2),
    "elmo": ElmoTokenVectorizer(MODEL, tokenizer="whitespace"),
    "default": ElmoVectorizer(MODEL, tokenizer="whitespace"),
}
for name, estimator in outputs.items():
    rows = estimator.fit_transform(texts)
    shape = rows.shape if name == "default" else [of_text.shape for of_text in rows]
    print(f"{name:14} {shape}")
# ``word_emb`` is half as wide there: layer 0 holds the same vector twice, as AllenNLP's
# does. The weights of ``elmo`` that TF-Hub trains are ``layer_mix="learned"`` here,
# with labels, or `sklearn_elmo.Elmo` in a PyTorch model.

# %%
# What changes: the older libraries carry the state of the LSTM from one batch to the
# next, so a text gets another vector each time it is read. `ElmoEmbedder` does the
# same, for old code's sake; the vectorizers always start from the same state.
embedder = ElmoEmbedder(model=MODEL)
old = [embedder.embed_sentence(tokens[0]).mean(axis=(0, 1)) for _ in range(8)]
new = [averages.set_params(normalize=False).transform(tokens[:1])[0] for _ in range(8)]
figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for label, rows in (("ElmoEmbedder: state carried", old), ("ElmoVectorizer", new)):
    moved = [np.linalg.norm(row - rows[0]) / np.linalg.norm(rows[0]) for row in rows]
    ax.plot(range(1, 9), moved, marker="o", label=label)
ax.set(
    xlabel=f'reading of "{texts[0]}"',
    ylabel="distance from the first row\n(first row has length 1)",
    title="One text, read eight times",
)
ax.legend(frameon=False, loc="center right")
picture = Path(__file__).parent / "output" / "16_from_simple_elmo_and_tf_hub.png"
picture.parent.mkdir(exist_ok=True)
figure.savefig(picture, dpi=100)
print(f"Picture in {picture.relative_to(Path(__file__).parent.parent)}")
