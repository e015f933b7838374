"""Word vectors from files, to stand beside ELMo: ``files`` reads, ``vectorizer`` pools.

The formats are three and simple, so they are read here in some 100 lines. gensim,
the library that also reads them, was weighed and left out: it would bring smart_open
and a compiled package of a hundred times the size for `KeyedVectors` alone.
"""

from sklearn_elmo.word_vectors.files import WordVectors, load_word_vectors
from sklearn_elmo.word_vectors.vectorizer import WordVectorVectorizer

__all__ = ["WordVectorVectorizer", "WordVectors", "load_word_vectors"]
