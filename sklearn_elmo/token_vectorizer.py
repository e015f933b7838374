"""`ElmoTokenVectorizer`: texts -> one vector per token."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from sklearn_elmo.base import Chunk, Configuration, ElmoEstimator
from sklearn_elmo.errors import InvalidParameterError
from sklearn_elmo.learned_mix import check_labels
from sklearn_elmo.messages import quote
from sklearn_elmo.parameters import check_vectorizer_parameters
from sklearn_elmo.pooling import mix_layers, reduce_segments
from sklearn_elmo.text import split_sentences, tokenize_with_spans

__all__ = ["ElmoTokenVectorizer"]

FloatArray = npt.NDArray[np.float32]


class ElmoTokenVectorizer(  # type: ignore[call-arg]
    ElmoEstimator,
    auto_wrap_output_keys=None,  # set_output cannot wrap lists of arrays
):
    """Turn texts into one vector per token with a deep bidirectional language model.

    Parameters
    ----------
    model, layers, tokenizer, state, missing, max_tokens, device, precision, \
batch_tokens, split, verbose
        As in `ElmoVectorizer`. A missing text has no tokens.
    layer_mix : {"average", "concat", "learned"} or sequence of float, \
default="average"
        As in `ElmoVectorizer`. ``"learned"`` takes one label per token (a list for
        each text) or one per text; with labels of tokens, `fit` holds all layers of all
        tokens.
    cache : None, bool, path or EmbeddingStore, default=None
        Where the vectors of all tokens are kept, which takes much more space than the
        pooled layers that `ElmoVectorizer` keeps: 4 bytes times the model's width for
        each token and layer.

    Attributes
    ----------
    n_features_out_ : int
        Columns of each array.
    feature_names_in_, layers_, model_digest_, layer_weights_, layer_scale_
        As in `ElmoVectorizer`.

    See Also
    --------
    ElmoVectorizer : One vector per text.
    ElmoTagger : Token classification on these vectors.

    Examples
    --------
    >>> from sklearn_elmo import ElmoTokenVectorizer
    >>> vectorizer = ElmoTokenVectorizer(layers=0)
    >>> [rows.shape[0] for rows in vectorizer.fit_transform(["A cat sat.", ""])]
    [4, 0]
    """

    def __init__(
        self,
        model: Any = "default",
        *,
        layers: Any = "all",
        layer_mix: Any = "average",
        tokenizer: Any = "words",
        state: str = "zero",
        missing: str = "zero",
        max_tokens: int | None = None,
        cache: Any = None,
        device: Any = "auto",
        precision: str = "float32",
        batch_tokens: int | str = "auto",
        split: str | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.model = model
        self.layers = layers
        self.layer_mix = layer_mix
        self.tokenizer = tokenizer
        self.state = state
        self.missing = missing
        self.max_tokens = max_tokens
        self.cache = cache
        self.device = device
        self.precision = precision
        self.batch_tokens = batch_tokens
        self.split = split
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Pin the model, and learn layer weights if ``layer_mix="learned"``.

        Parameters
        ----------
        X : iterable of str, or of lists of str
            As in `ElmoVectorizer.fit`.
        y : sequence of length n_texts, optional
            For ``layer_mix="learned"``: for each text a list of labels, one per token;
            or one label per text.

        Returns
        -------
        ElmoTokenVectorizer

        Raises
        ------
        InvalidParameterError, TextTypeError, TextValueError, ModelFileError, \
ModelNotFetchedError
            As in `ElmoVectorizer.fit`.
        """
        self._fit(X, self._list_texts(X), y)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> list[FloatArray]:
        """Fit, and return what `transform` returns; X may be a generator."""
        texts = self._list_texts(X)
        return self._token_rows(self._fit(X, texts, y), texts)

    def transform(self, X: Any) -> list[FloatArray]:
        """Return one array per text, with one row per token.

        Parameters
        ----------
        X : iterable of str, or of lists of str

        Returns
        -------
        list of ndarray
            Each of shape (n_tokens, n_features_out_), float32; the tokens are those
            that `tokenize` returns. A missing or empty text has no rows.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ModelMismatchError, TextTypeError, \
TextValueError
            As in `ElmoVectorizer.transform`.
        """
        return self._token_rows(self._configure_fitted(), self._list_fitted_column(X))

    def iter_distinct(self, X: Any) -> Iterator[tuple[int, int, FloatArray | None]]:
        """Yield what `transform` returns text by text, with repeated texts named only.

        The vectors of all texts need not fit into memory.

        Parameters
        ----------
        X : iterable of str, or of lists of str

        Yields
        ------
        row : int
            Position of a text in X. Texts without tokens are left out.
        original : int
            Position of the first equal text, which came before; `row` if there is none.
        vectors : ndarray of shape (n_tokens, n_features_out_), float32, or None
            None for a repeated text.

        Examples
        --------
        >>> from sklearn_elmo import ElmoTokenVectorizer
        >>> vectorizer = ElmoTokenVectorizer(layers=0).fit([])
        >>> texts = ["Stop!", "", "Stop!"]
        >>> for row, original, vectors in vectorizer.iter_distinct(texts):
        ...     print(row, original, None if vectors is None else len(vectors))
        0 0 2
        2 0 None
        """
        yield from self._iterate(self._configure_fitted(), self._list_fitted_column(X))

    def transform_padded(self, X: Any) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Return the vectors of all tokens in one array, for neural networks.

        Parameters
        ----------
        X : iterable of str, or of lists of str

        Returns
        -------
        vectors : ndarray of shape (n_texts, n_most_tokens, n_features_out_), float32
            Zeros after the last token of each text.
        mask : ndarray of shape (n_texts, n_most_tokens), bool
            True where there is a token.

        Examples
        --------
        >>> from sklearn_elmo import ElmoTokenVectorizer
        >>> vectorizer = ElmoTokenVectorizer(layers=0).fit([])
        >>> vectors, mask = vectorizer.transform_padded(["A cat sat.", "Stop!"])
        >>> vectors.shape == (2, 4, vectorizer.n_features_out_), mask.sum(axis=1)
        (True, array([4, 2]))
        """
        rows = self.transform(X)
        n_most = max(map(len, rows), default=0)
        vectors = np.zeros((len(rows), n_most, self.n_features_out_), np.float32)
        mask = np.zeros((len(rows), n_most), dtype=bool)
        for number, values in enumerate(rows):
            vectors[number, : len(values)] = values
            mask[number, : len(values)] = True
        return vectors, mask

    def tokenize(
        self, X: Any, *, return_offsets: bool = False
    ) -> list[list[str]] | tuple[list[list[str]], list[list[tuple[int, int]]]]:
        """Return the tokens that the rows of `transform` stand for.

        Parameters
        ----------
        X : iterable of str, or of lists of str
        return_offsets : bool, default=False
            Also return where the tokens are in the text.

        Returns
        -------
        tokens : list of list of str
            Empty for missing and empty texts.
        offsets : list of list of (int, int)
            Only with `return_offsets`: start and end of each token, so that
            ``text[start:end]`` is what it stands for.

        Raises
        ------
        InvalidParameterError
            With `return_offsets`, if ``tokenizer="pretokenized"``: token lists have no
            offsets.
        TextValueError
            With `return_offsets`, if a token of a callable tokenizer does not occur in
            the text.

        Examples
        --------
        >>> from sklearn_elmo import ElmoTokenVectorizer
        >>> ElmoTokenVectorizer().tokenize(["A cat."], return_offsets=True)
        ([['A', 'cat', '.']], [[(0, 1), (2, 5), (5, 6)]])
        """
        check_vectorizer_parameters(type(self).__name__, self.get_params(deep=False))
        texts = self._list_texts(X)
        if not return_offsets:
            # Copies, because token lists may be the caller's own.
            documents = self._documents(texts, first_row=0)
            return [list(chain.from_iterable(document)) for document in documents]
        if self.tokenizer == "pretokenized":
            message = (
                "return_offsets=True needs texts, but the 'tokenizer' parameter of "
                f"{type(self).__name__} is 'pretokenized'. Choose another tokenizer."
            )
            raise InvalidParameterError(message)
        spans = [self._spans(text or "", row) for row, text in enumerate(texts)]
        return (
            [[token for token, _, _ in of_text] for of_text in spans],
            [[(start, end) for _, start, end in of_text] for of_text in spans],
        )

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[Any]:
        """Return the names of the columns of each array.

        Parameters
        ----------
        input_features : array-like of one str, optional
            As in `ElmoVectorizer.get_feature_names_out`.

        Returns
        -------
        ndarray of shape (n_features_out_,), object
        """
        return self._feature_names(input_features)

    def _fit(self, X: Any, texts: list[Any], y: Any) -> Configuration:
        config = self._configure()
        self._warn_of_unused_parameters(config.layers)
        learned: dict[str, object] = {}
        if self._mixes("learned"):
            found = self._learn_mix(config, texts, y)
            config = config._replace(weights=found.scale * found.weights)
            learned = {"layer_weights_": found.weights, "layer_scale_": found.scale}
        self._record_fit(config, X, config.mixed_width, learned)
        return config

    def _learn_mix(self, config: Configuration, texts: list[Any], y: Any) -> Any:
        """Learn layer weights from labels of tokens, or of texts and their means."""
        has_token_labels = _has_token_labels(y)
        labels, n_rows = y, [1] * len(texts)
        if has_token_labels:
            labels, n_rows = self._join_labels(texts, list(y))
        check_labels(labels, sum(n_rows))
        # One array, since tokens are many, with views of the rows of each text.
        shape = len(config.layers), config.reader.model.options.output_dim
        samples = np.zeros((sum(n_rows), *shape), dtype=np.float32)
        rows = np.split(samples, np.cumsum(n_rows[:-1]))
        unmixed = config._replace(weights=None)
        for row, original, vectors in self._iterate(unmixed, texts):
            if vectors is None:
                rows[row][:] = rows[original]
            elif has_token_labels:
                rows[row][:] = vectors.reshape(-1, *shape)
            else:
                layers = vectors.reshape(-1, *shape)
                rows[row][:] = reduce_segments("sum", layers, [len(layers)])
                rows[row] /= len(layers)
        return self._learn_weights(samples, labels)

    def _spans(self, text: str, row: int) -> list[tuple[str, int, int]]:
        """Return each token of a text with its start and end."""
        spans: list[tuple[str, int, int]] = []
        offset = 0
        for part in [text] if self.split is None else split_sentences(text):
            spans += [
                (token, offset + start, offset + end)
                for token, start, end in tokenize_with_spans(
                    part, self.tokenizer, estimator=type(self).__name__, row=row
                )
            ]
            offset += len(part)
        return spans[: self.max_tokens]

    def _join_labels(
        self, texts: list[Any], labels: list[Any]
    ) -> tuple[list[Any], list[int]]:
        """Concatenate the labels of all tokens but cut ones; count those of a text."""
        if len(labels) != len(texts):
            message = (
                f"y has {len(labels)} entries for {len(texts)} texts; "
                "layer_mix='learned' needs one for each text."
            )
            raise InvalidParameterError(message)
        uncut = clone(self).set_params(max_tokens=None)
        joined: list[Any] = []
        n_labels = []
        for row, (tokens, of_text) in enumerate(
            zip(uncut.tokenize(texts), labels, strict=True)
        ):
            if not _is_list(of_text) or len(of_text) != len(tokens):
                found = (
                    f"{len(of_text)} labels" if _is_list(of_text) else quote(of_text)
                )
                message = (
                    f"Row {row} has {len(tokens)} tokens, but y has {found} for it; "
                    "layer_mix='learned' needs one label per token, or one per text "
                    "for all texts."
                )
                raise InvalidParameterError(message)
            kept = list(of_text)[: self.max_tokens]
            joined += kept
            n_labels.append(len(kept))
        return joined, n_labels

    def _token_rows(self, config: Configuration, texts: list[Any]) -> list[FloatArray]:
        """Return the mixed layers of all tokens, one array per text."""
        shape = (0, config.mixed_width)
        results = [np.zeros(shape, dtype=np.float32) for _ in texts]
        for row, original, vectors in self._iterate(config, texts):
            # An array of its own, which a caller may change.
            results[row] = results[original].copy() if vectors is None else vectors
        return results

    def _iterate(
        self, config: Configuration, texts: Sequence[Any]
    ) -> Iterator[tuple[int, int, FloatArray | None]]:
        for chunk in self._chunks(config, list(texts)):
            if chunk.rows:
                for row, vectors in self._read(config, chunk):
                    yield row, row, vectors
            for row, original in zip(chunk.repeats, chunk.originals, strict=True):
                yield row, original, None

    def _read(
        self, config: Configuration, chunk: Chunk
    ) -> Iterator[tuple[int, FloatArray]]:
        """Yield the row and the mixed token vectors of each document."""
        n_tokens = [sum(map(len, document)) for document in chunk.documents]
        for group in config.reader.token_groups(n_tokens, config.layers):
            documents, rows = chunk.documents[group], chunk.rows[group]
            yield from self._read_group(
                config, replace(chunk, documents=documents, rows=rows)
            )

    def _read_group(
        self, config: Configuration, group: Chunk
    ) -> Iterator[tuple[int, FloatArray]]:
        """Do so for documents whose vectors fit into memory."""
        parts, index = group.distinct_parts()
        vectors = config.reader.token_layers(
            parts, layers=config.layers, progress=group.progress_of_parts
        )
        starts = np.cumsum([0, *group.n_parts()])
        for row, start, stop in zip(group.rows, starts, starts[1:], strict=False):
            of_document = [vectors[position] for position in index[start:stop]]
            layers = np.concatenate(of_document)
            yield row, mix_layers(layers, config.weights)


def _has_token_labels(y: Any) -> bool:
    """Return True if there is a list of labels for any text, not one label or row."""
    is_one_column = getattr(y, "ndim", 1) == 1 and hasattr(y, "__iter__")
    return is_one_column and any(map(_is_list, y))


def _is_list(labels: Any) -> bool:
    return hasattr(labels, "__len__") and not isinstance(labels, str | bytes)
