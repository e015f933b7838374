"""Documents: sentence by sentence, or as one text.

An LSTM reads word after word, so a long text takes long. ``split="sentences"`` reads
and caches each sentence by itself and pools over all tokens: an edited document
costs only the sentences that changed. Saves a plot to
``examples/output/09_documents.png``. Needs matplotlib (extra ``examples``).
"""

# %%
# A document of some hundred sentences, and a version with one of them edited.
import tempfile
import time
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sklearn_elmo import ElmoVectorizer, EmbeddingStore

mpl.use("agg")
HERE = Path(__file__).parent
pairs = pd.read_csv(HERE / "data" / "paraphrases.tsv", sep="\t")
document = " ".join([*pairs["first"], *pairs["second"]])
edited = document.replace("The train to Lyon", "The train to Mr. Fox's home", 1)
print(f"{len(document.split())} words")

# %%
# As one text every word waits for the one before, and after an edit everything is read
# again. Sentences are read side by side, and each one only once: the store knows all
# but the edited one.
seconds = {}
for split, name in ((None, "one text"), ("sentences", "by sentences")):
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddingStore(folder)
        vectorizer = ElmoVectorizer(split=split).fit([])
        vectorizer.transform(["The model is loaded."])
        vectorizer.set_params(cache=store)
        for run, text in (("first run", document), ("after one edit", edited)):
            start = time.perf_counter()
            vectorizer.transform([text])
            seconds[name, run] = time.perf_counter() - start
            (recipe,) = store.info()["recipes"]
            n_read = f"{recipe['misses']} texts read so far"
            print(f"{name}, {run}: {seconds[name, run]:.2f} s, {n_read}")

# %%
# The rows differ, since with ``split="sentences"`` each sentence starts from the same
# state. Use one of the two throughout.
rows = np.concatenate(
    [
        ElmoVectorizer(split=split, normalize=True).fit_transform([document])
        for split in (None, "sentences")
    ]
)
print(f"cosine of both rows: {rows[0] @ rows[1]:.2f}")

# %%
# The seconds as a plot.
figure, ax = plt.subplots(figsize=(6, 2.4), layout="constrained")
labels = [f"{name}, {run}" for name, run in seconds]
bars = ax.barh(labels, seconds.values(), color=2 * ["#D55E00"] + 2 * ["#0072B2"])
ax.bar_label(bars, fmt="%.2f s", padding=3)
ax.invert_yaxis()
ax.margins(x=0.15)
ax.set(xlabel="seconds", title=f"A document of {len(document.split())} words")
ax.spines[["top", "right"]].set_visible(False)
output = HERE / "output"
output.mkdir(exist_ok=True)
figure.savefig(output / "09_documents.png", dpi=120)
print(f"plot saved to {output / '09_documents.png'}")
