"""Word vectors from files, to stand beside ELMo: ``files`` reads, ``vectorizer`` pools.

The formats are three and simple, so they are read here in some 100 lines. gensim,
which reads them too, was weighed and left out: of a compiled package that
brings smart_open along, only `KeyedVectors` would be used.
"""

from sklearn_elmo.word_vectors.reader import WordVectors, load_word_vectors
from sklearn_elmo.word_vectors.vectorizer import WordVectorVectorizer

__all__ = ["WordVectorVectorizer", "WordVectors", "load_word_vectors"]
