"""Word vectors from files, for use beside ELMo: ``reader`` and ``vectorizer``.

The three formats are simple and are read in some 100 lines. gensim reads them too, but
of that compiled package and its dependency smart_open only `KeyedVectors` would be
used.
"""

from sklearn_elmo.word_vectors.reader import WordVectors, load_word_vectors
from sklearn_elmo.word_vectors.vectorizer import WordVectorVectorizer

__all__ = ["WordVectorVectorizer", "WordVectors", "load_word_vectors"]
