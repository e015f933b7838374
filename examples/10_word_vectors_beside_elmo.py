"""Word vectors beside ELMo, and TF-IDF beside both.

The authors of ELMo found that GloVe beside it sometimes helps. `WordVectorVectorizer`
reads GloVe, word2vec and fastText files; here the file is made from the texts
themselves, so that the example needs no download.
"""

# %%
import csv
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import Normalizer, StandardScaler

from sklearn_elmo import ElmoVectorizer, WordVectorVectorizer

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
combinations = [["ELMo"], ["word vectors"], ["ELMo", "word vectors"], list(blocks)]
for names in combinations:
    features = make_union(*(blocks[name] for name in names))
    pipeline = make_pipeline(features, LogisticRegression(C=30, max_iter=2000))
    scores = cross_val_score(pipeline, messages["text"], messages["label"], cv=3)
    print(f"{' + '.join(names):30} {np.mean(scores):.3f}")
folder.cleanup()
