"""`WordVectorVectorizer`: one vector per text, pooled from the vectors of its words."""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from sklearn_elmo.constraints import (
    POSITIVE_INT,
    Constraint,
    check_parameters,
    one_of,
    optional,
)
from sklearn_elmo.errors import (
    InvalidParameterError,
    ModelMismatchError,
)
from sklearn_elmo.idf import DocumentCounts, Idf
from sklearn_elmo.parameters import CONSTRAINTS, pooling_constraint, pooling_names
from sklearn_elmo.pooling import (
    POOLINGS,
    WEIGHTED_SUM,
    needed_reductions,
    pool,
    reduce_segments,
    scale_to_unit_length,
)
from sklearn_elmo.text import tokenize_texts
from sklearn_elmo.text_transformer import TextTransformer
from sklearn_elmo.word_vectors.reader import WordVectors, load_word_vectors

__all__ = ["WordVectorVectorizer"]

FloatArray = npt.NDArray[np.float32]

_POOLINGS = tuple(name for name in POOLINGS if name != "final")
_SHARED = ("tokenizer", "missing", "normalize", "max_tokens")
_CONSTRAINTS = {
    **{name: CONSTRAINTS[name] for name in _SHARED},
    "vectors": Constraint(
        lambda value: isinstance(value, str | os.PathLike), "a path or URL"
    ),
    # A word's vector does not have two directions, so there is no "final".
    "pooling": pooling_constraint(_POOLINGS),
    "case": one_of("fallback", "keep", "lower"),
    "unknown": one_of("skip", "zero", "mean"),
    "max_words": optional(POSITIVE_INT),
}


class WordVectorVectorizer(TextTransformer):
    """Turn texts into one vector each from the vectors of their words.

    For GloVe, word2vec and fastText beside ELMo in a `FeatureUnion`: the authors of
    ELMo found that both together sometimes beat ELMo alone.

    Parameters
    ----------
    vectors : path or URL
        GloVe text, word2vec text or binary, or fastText ``.vec``; plain, gz, bz2 or
        xz, or ``(archive.zip)#member``. A URL is fetched once, in `fit`. A compressed
        file that holds over 100 times its size on disk (and over 64 MiB) is refused.
    pooling : str or sequence of str, default="mean"
        ``"mean"``, ``"max"``, ``"min"``, ``"sum"``, ``"first"``, ``"last"`` or
        ``"idf"`` (mean weighted by the inverse document frequency learned in `fit`),
        over the words that have a vector. Several poolings are concatenated.
    tokenizer : {"words", "whitespace", "pretokenized"} or callable, default="words"
        As in `ElmoVectorizer`.
    case : {"fallback", "keep", "lower"}, default="fallback"
        How a token is looked up: unchanged and, if that fails, in lower case; only
        unchanged; or only in lower case.
    unknown : {"skip", "zero", "mean"}, default="skip"
        How a token without a vector counts: not at all, as zeros, or as the mean of all
        vectors.
    missing : {"zero", "error"}, default="zero"
        What None, NaN and NA become: a row of zeros, or an error. Texts without any
        known word are always rows of zeros.
    normalize : bool, default=False
        Scale rows to unit length; rows of zeros stay zero.
    max_tokens : int or None, default=None
        Number of tokens kept of each text; None keeps all.
    max_words : int or None, default=None
        Number of words read from the start of the file, where the frequent ones are;
        bounds the memory (4 bytes per number).

    Attributes
    ----------
    n_features_out_ : int
        Columns of the output: the vectors' width times the poolings.
    vectors_digest_ : str
        sha256 of the file. `transform` refuses another file.
    idf_ : dict of str to float
        With ``pooling="idf"``: log((1 + n) / (1 + df)) + 1 for every word seen.
    idf_unseen_ : float
        The same for words that were not seen.

    See Also
    --------
    ElmoVectorizer : Vectors that depend on a word's context.

    Notes
    -----
    A pickle holds the path and the digest, not the vectors; objects of one process
    share one loaded copy.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn_elmo.word_vectors import WordVectorVectorizer
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/toy.txt"
    ...     with open(path, "w") as file:
    ...         _ = file.write("a 1 0\\ncat 0 2\\n")
    ...     WordVectorVectorizer(path).fit_transform(["A cat", "unheard-of"])
    array([[0.5, 1. ],
           [0. , 0. ]], dtype=float32)
    """

    __single_column_transformer__ = True

    def __init__(
        self,
        vectors: Any,
        *,
        pooling: Any = "mean",
        tokenizer: Any = "words",
        case: str = "fallback",
        unknown: str = "skip",
        missing: str = "zero",
        normalize: bool = False,
        max_tokens: int | None = None,
        max_words: int | None = None,
    ) -> None:
        self.vectors = vectors
        self.pooling = pooling
        self.tokenizer = tokenizer
        self.case = case
        self.unknown = unknown
        self.missing = missing
        self.normalize = normalize
        self.max_tokens = max_tokens
        self.max_words = max_words

    def fit(self, X: Any, y: Any = None) -> Self:
        """Pin the file, and learn document frequencies if ``pooling`` has ``"idf"``.

        Parameters
        ----------
        X : iterable of str
            List, tuple, array, pandas or polars Series, ``(n, 1)`` frame, generator.
        y : ignored

        Returns
        -------
        WordVectorVectorizer

        Raises
        ------
        InvalidParameterError
            If a parameter has an invalid value; both a ValueError and a TypeError.
        TextTypeError, TextValueError
            If X is not a column of texts.
        ModelFileError
            If the file cannot be read.
        """
        self._fit_texts(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Fit and return the rows of the same texts; X may be a generator."""
        return self._transform_texts(*self._fit_texts(X))

    def transform(self, X: Any) -> Any:
        """Return one row per text.

        Parameters
        ----------
        X : iterable of str
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_texts, n_features_out_), float32
            Or a frame, after `set_output`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        ModelMismatchError
            If the file is not the one of `fit`.
        ModelNotFetchedError
            If `vectors` is a URL that has not been fetched on this machine.
        TextTypeError, TextValueError
            If X is not a column of texts.
        """
        check_is_fitted(self, "vectors_digest_")
        self._check_parameters()
        table = load_word_vectors(
            self.vectors, max_words=self.max_words, may_fetch=False
        )
        if table.digest != self.vectors_digest_:
            message = (
                f"The word vectors {str(self.vectors)!r} have changed since "
                f"{type(self).__name__} was fitted (sha256 {table.digest[:16]}... "
                f"instead of {self.vectors_digest_[:16]}...). Restore the file, or fit "
                "again."
            )
            raise ModelMismatchError(message)
        if pooling_names(self.pooling) != self._fitted_poolings:
            message = (
                f"The 'pooling' parameter of {type(self).__name__} was changed after "
                "fit. Fit again."
            )
            raise InvalidParameterError(message)
        return self._transform_texts(table, self._list_fitted_column(X))

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[Any]:
        """Return the names of the columns: ``wordvector_mean_0`` and so on.

        Parameters
        ----------
        input_features : array-like of one str, optional
            As in `ElmoVectorizer.get_feature_names_out`.

        Returns
        -------
        ndarray of shape (n_features_out_,), object
        """
        check_is_fitted(self, "vectors_digest_")
        width = self.n_features_out_ // len(self._fitted_poolings)
        names = [
            f"wordvector_{name}_{column}"
            for name in self._fitted_poolings
            for column in range(width)
        ]
        return self._with_column_name(names, input_features)

    def _fit_texts(self, X: Any) -> tuple[WordVectors, list[Any]]:
        """Fit; return the word vectors and the texts."""
        self._check_parameters()
        texts = self._list_texts(X)
        table = load_word_vectors(self.vectors, max_words=self.max_words)
        poolings = pooling_names(self.pooling)
        idf = self._learn_idf(table, texts) if "idf" in poolings else None
        for name in ("idf_", "idf_unseen_"):  # of an older fit
            if hasattr(self, name):
                delattr(self, name)
        if idf is not None:
            self.idf_, self.idf_unseen_ = idf
        self._record_column(X)
        self.vectors_digest_ = table.digest
        self.n_features_out_ = len(poolings) * table.width
        self._fitted_poolings = poolings
        return table, texts

    def _transform_texts(self, table: WordVectors, texts: list[Any]) -> FloatArray:
        rows = np.zeros((len(texts), self.n_features_out_), dtype=np.float32)
        for number, words in enumerate(self._look_up(table, texts)):
            if words:
                rows[number] = self._pool(table, words)
        return scale_to_unit_length(rows) if self.normalize else rows

    def _check_parameters(self) -> None:
        check_parameters(type(self).__name__, self.get_params(deep=False), _CONSTRAINTS)

    def _look_up(
        self, table: WordVectors, texts: Sequence[Any]
    ) -> Iterable[list[str | None]]:
        """Yield the words of each text as spelled in the table; None if unknown."""
        spellings: dict[str, Callable[[str], tuple[str, ...]]] = {
            "fallback": lambda token: (token, token.lower()),
            "keep": lambda token: (token,),
            "lower": lambda token: (token.lower(),),
        }
        spell = spellings[self.case]
        for row, text in enumerate(texts):
            (tokens,) = tokenize_texts(
                [text],
                self.tokenizer,
                estimator=type(self).__name__,
                max_tokens=self.max_tokens,
                first_row=row,
            )
            words = [
                next((word for word in spell(token) if word in table.rows), None)
                for token in tokens or ()
            ]
            if self.unknown == "skip":
                words = [word for word in words if word is not None]
            yield words

    def _learn_idf(self, table: WordVectors, texts: Sequence[Any]) -> Idf:
        counts = DocumentCounts()
        for words in self._look_up(table, texts):
            counts.add([word for word in words if word is not None])
        return counts.idf()

    def _pool(self, table: WordVectors, words: list[str | None]) -> FloatArray:
        """Return a text's row. ``words`` is not empty."""
        vectors = np.zeros((len(words), table.width), dtype=np.float32)
        known = [number for number, word in enumerate(words) if word is not None]
        vectors[known] = table.matrix[[table.rows[words[i] or ""] for i in known]]
        if self.unknown == "mean" and len(known) < len(words):
            others = [number for number, word in enumerate(words) if word is None]
            vectors[others] = table.mean_vector
        lengths = np.array([len(words)])
        weights = totals = None
        if WEIGHTED_SUM in (needed := needed_reductions(self._fitted_poolings)):
            idf = Idf(self.idf_, self.idf_unseen_)
            weights = np.array(idf.weigh(word or "" for word in words))
            totals = weights.sum(keepdims=True)
        reductions = {
            name: reduce_segments(
                name,
                _weighted(vectors, weights if name == WEIGHTED_SUM else None)[:, None],
                lengths,
            )
            for name in needed
        }
        return np.concatenate(
            [
                pool(name, reductions, lengths, totals)[0, 0]
                for name in self._fitted_poolings
            ]
        )


def _weighted(
    vectors: FloatArray, weights: npt.NDArray[np.float64] | None
) -> FloatArray:
    return vectors if weights is None else (weights[:, None] * vectors).astype("f4")
