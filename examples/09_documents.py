"""Documents: sentence by sentence, or as one text.

An LSTM reads word after word, so a long text takes long. ``split="sentences"`` reads
and caches each sentence by itself and pools over all tokens: an edited document
costs only the sentences that changed.
"""

# %%
# A document of sentences that the store knows already, and one edited sentence.
import tempfile
import time

import numpy as np

from sklearn_elmo import ElmoVectorizer, EmbeddingStore

SENTENCES = [
    "The library opened in spring.",
    "Mr. Fox, who had planned it for ten years, gave a speech.",
    "Did anybody listen?",
    "Most visitors looked at the glass roof instead.",
    "By noon all 200 chairs were taken!",
]
document = " ".join(SENTENCES * 40)
print(f"{len(document.split())} words")

# %%
# As one text every word waits for the one before; sentences are read side by side, and
# equal ones once.
for split in (None, "sentences"):
    vectorizer = ElmoVectorizer(split=split).fit([])
    vectorizer.transform(["The model is loaded."])
    start = time.perf_counter()
    vectorizer.transform([document])
    print(f"split={split!r}: {time.perf_counter() - start:.2f} s")

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
# With a store, an edit costs one sentence.
with tempfile.TemporaryDirectory() as folder:
    store = EmbeddingStore(folder)
    vectorizer = ElmoVectorizer(split="sentences", cache=store).fit([])
    vectorizer.transform([document])
    vectorizer.transform([document.replace("in spring", "in autumn")])
    (recipe,) = store.info()["recipes"]
    print(f"{recipe['entries']} sentences were read for both versions")
