"""`ElmoVectorizer` and `ElmoTokenVectorizer`: the promise to scikit-learn."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from sklearn_elmo.downloads import home_folder
from sklearn_elmo.engine import Reader
from sklearn_elmo.errors import (
    InvalidParameterError,
    ModelMismatchError,
    TextValueError,
    UnusedParameterWarning,
)
from sklearn_elmo.layer_weights import learn_layer_weights
from sklearn_elmo.models import open_model, resolve_device
from sklearn_elmo.parameters import check_parameters, pooling_names, resolve_layers
from sklearn_elmo.pooling import (
    WEIGHTED_SUM,
    mix_layers,
    needed_reductions,
    pool,
    scale_to_unit_length,
)
from sklearn_elmo.store import EmbeddingStore, text_key
from sklearn_elmo.text import as_texts, tokenize_texts

__all__ = ["ElmoTokenVectorizer", "ElmoVectorizer"]

FloatArray = npt.NDArray[np.float32]

# Texts and characters taken up at a time. Token lists and unmixed layers exist for one
# chunk only, so these bound the memory of a call beside its texts and its result.
_CHUNK_TEXTS = 4096
_CHUNK_CHARACTERS = 4 * 2**20


class _Setup(NamedTuple):
    """What checked parameters come to."""

    reader: Reader
    layers: tuple[int, ...]
    fixed_weights: npt.NDArray[np.float64] | None
    """Of the layers; None when they are learned or stand side by side."""


class _ElmoEstimator(TransformerMixin, BaseEstimator):
    """What both vectorizers do alike: check, open the model, tokenise, mix."""

    model_digest_: str
    layers_: tuple[int, ...]
    layer_weights_: npt.NDArray[np.float64]
    layer_scale_: float

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.allow_nan = self.missing == "zero"
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _open(self) -> _Setup:
        """Check the parameters and open the model."""
        name = type(self).__name__
        check_parameters(name, self.get_params(deep=False))
        model = open_model(self.model)
        layers = resolve_layers(self.layers, model.options.n_layers, name)
        reader = Reader(
            model=model,
            device=resolve_device(self.device),
            precision=self.precision,
            state=self.state,
            batch_tokens=self.batch_tokens,
            store=_as_store(self.cache),
        )
        return _Setup(reader, layers, self._fixed_weights(layers))

    def _fixed_weights(self, layers: tuple[int, ...]) -> npt.NDArray[np.float64] | None:
        if self.layer_mix == "average":
            return np.full(len(layers), 1 / len(layers))
        if isinstance(self.layer_mix, str):
            return None
        weights = np.asarray(self.layer_mix, dtype=np.float64)
        if len(weights) != len(layers):
            message = (
                f"The 'layer_mix' parameter of {type(self).__name__} has "
                f"{len(weights)} weights for the {len(layers)} layers "
                f"{', '.join(map(str, layers))}. Give one a layer."
            )
            raise InvalidParameterError(message)
        return weights

    def _open_fitted(self) -> _Setup:
        """Open the model again, and make sure that it is the one of `fit`."""
        check_is_fitted(self, "model_digest_")
        setup = self._open()
        found = setup.reader.model
        if found.digest != self.model_digest_:
            message = (
                f"The model {self.model!r} has other weights (sha256 "
                f"{found.digest[:16]}...) than when {type(self).__name__} was fitted "
                f"({self.model_digest_[:16]}...). Put the old files back, or fit again."
            )
            raise ModelMismatchError(message)
        if self._layout(setup.layers) != self._fitted_layout:
            message = (
                f"Parameters of {type(self).__name__} that decide what its features "
                "are were changed after fit. Fit again."
            )
            raise InvalidParameterError(message)
        return setup

    def _layout(self, layers: tuple[int, ...]) -> tuple[Any, ...]:
        """Return what decides which features there are."""
        mix = self.layer_mix
        return layers, mix if isinstance(mix, str) else tuple(map(float, mix))

    def _weights(self, setup: _Setup) -> npt.NDArray[np.float64] | None:
        """Return the factors of the layers; None puts them side by side."""
        if self.layer_mix == "learned":
            return self.layer_scale_ * self.layer_weights_
        return setup.fixed_weights

    def _width(self, setup: _Setup) -> int:
        """Return the width of the mixed layers."""
        n_side_by_side = len(setup.layers) if self.layer_mix == "concat" else 1
        return int(n_side_by_side * setup.reader.model.options.output_dim)

    def _record(self, setup: _Setup) -> None:
        """Note what `transform` will hold itself to."""
        self.model_digest_ = setup.reader.model.digest
        self.layers_ = setup.layers
        self._fitted_layout = self._layout(setup.layers)

    def _list_texts(self, X: Any) -> list[Any]:
        """Return the texts of any container; None for a missing one."""
        name = type(self).__name__
        texts: list[Any] = as_texts(
            X, estimator=name, pretokenized=self.tokenizer == "pretokenized"
        )
        if self.missing == "error" and None in texts:
            message = (
                f"Row {texts.index(None)} of the input is missing (None, NaN or NA), "
                f"which {name} refuses with missing='error'. Fill it, drop it, or set "
                "missing='zero'."
            )
            raise TextValueError(message)
        return texts

    def _token_chunks(self, texts: list[Any]) -> Iterator[tuple[int, list[list[str]]]]:
        """Yield the first row and the token lists of each chunk of texts."""
        first, n_characters = 0, 0
        for row, text in enumerate(texts, start=1):
            n_characters += len(text or "")
            full = row - first == _CHUNK_TEXTS or n_characters >= _CHUNK_CHARACTERS
            if full or row == len(texts):
                yield first, self._tokenize(texts[first:row], first)
                first, n_characters = row, 0

    def _tokenize(self, texts: list[Any], first_row: int) -> list[list[str]]:
        token_lists = tokenize_texts(
            texts,
            self.tokenizer,
            estimator=type(self).__name__,
            max_tokens=self.max_tokens,
            first_row=first_row,
        )
        return [tokens or [] for tokens in token_lists]

    def _progress(self, n_texts: int) -> "tqdm[Any]":
        return tqdm(
            total=n_texts,
            desc=type(self).__name__,
            unit="text",
            disable=not self.verbose,
        )


class ElmoVectorizer(_ElmoEstimator):
    """Turn texts into one vector each with a deep bidirectional language model.

    ELMo (Peters et al. 2018) reads a text with a language model of characters and
    gives each token one vector a layer. This transformer pools each layer over the
    tokens of a text and mixes the layers.

    A row depends on its text, the fitted parameters and the model alone: not on the
    other rows, their order, or the number of threads (float32: to 5e-6 absolute).

    Parameters
    ----------
    model : str, path, or pair of paths, default="default"
        A name that `sklearn_elmo.models.list_models` knows (``"default"`` comes with
        the package, the others have to be fetched once), a folder or zip file with
        options and weights in the layout of AllenNLP, bilm-tf or NLPL, or a pair
        (options file, weight file).
    layers : "all", "top", int or sequence of int, default="all"
        Layer 0 is the context-free token vector, layer k the k-th biLSTM layer;
        negative numbers count from the top. Only as many LSTM layers run as the
        highest one needs; layer 0 alone runs none.
    layer_mix : {"average", "concat", "learned"} or sequence of float, \
default="average"
        How the layers become one vector. A sequence holds one weight a layer, used as
        given. ``"learned"`` finds softmax weights and a scale in `fit` from the labels
        (classes, an indicator matrix, or numbers).
    pooling : str or sequence of str, default="mean"
        How tokens become one vector, each layer by itself: ``"mean"``, ``"max"``,
        ``"min"``, ``"sum"``, ``"first"``, ``"last"``, ``"final"`` (forward half at the
        last token, backward half at the first) or ``"idf"`` (mean weighted by the
        inverse document frequency learned in `fit`). Several are put side by side.
    tokenizer : {"words", "whitespace", "pretokenized"} or callable, default="words"
        ``"words"`` is NLTK's word tokenizer in the manner of the Penn Treebank, with
        quotation marks left as they are. ``"pretokenized"`` takes lists of str. A
        callable takes a str and returns a list of str. Keep case: the models know it.
    state : {"zero", "warm"}, default="zero"
        LSTM state that every text starts from. ``"zero"`` gives the published
        numbers of a fresh model. ``"warm"`` is the model's state after a fixed passage,
        for models that were trained with the state carried on, as AllenNLP's were.
    missing : {"zero", "error"}, default="zero"
        What becomes of None, NaN and NA: a row of zeros, or a ValueError that names the
        row. Empty texts are rows of zeros always.
    normalize : bool, default=False
        Scale rows to unit length; rows of zeros stay as they are.
    max_tokens : int or None, default=None
        Tokens of a text that count; None takes all, however long the text is.
    cache : None, True, path or EmbeddingStore, default=None
        Where pooled layers are kept on disk, so that no text is read twice: a folder,
        which processes and machines may share, or True for the user's cache folder.
    device : str, default="auto"
        ``"auto"`` (the first CUDA device, else the CPU), ``"cpu"``, ``"cuda"``,
        ``"cuda:1"``, ``"mps"``.
    precision : {"float32", "bfloat16", "int8"}, default="float32"
        Of the LSTM's products; what is lower than float32 is faster on some processors
        and less exact. The output is float32 always.
    batch_tokens : int or "auto", default="auto"
        Tokens that are read at once, which bounds the memory.
    verbose : bool, default=False
        Show a progress bar on stderr.

    Attributes
    ----------
    n_features_out_ : int
        Columns of the output: the model's width, times the layers if they are
        concatenated, times the poolings.
    layers_ : tuple of int
        The layers, counted from 0.
    model_digest_ : str
        sha256 of the model's options and weights. `transform` refuses others.
    layer_weights_ : ndarray of shape (n_layers,)
        With ``layer_mix="learned"``: positive weights with a sum of 1.
    layer_scale_ : float
        With ``layer_mix="learned"``: the factor of the weighted sum.
    idf_ : dict of str to float
        With ``pooling="idf"``: log((1 + n) / (1 + df)) + 1 for every token seen.
    idf_unseen_ : float
        The same for tokens that were not seen.

    See Also
    --------
    ElmoTokenVectorizer : One vector a token.

    Notes
    -----
    Memory, beside the texts and the result: one chunk of at most 4,096 texts or 4 M
    characters as tokens and pooled layers, ``batch_tokens`` tokens in the model, and 16
    bytes a distinct text to find repeated ones.

    References
    ----------
    M. Peters et al., "Deep contextualized word representations", NAACL 2018.

    Examples
    --------
    >>> from sklearn_elmo import ElmoVectorizer
    >>> vectorizer = ElmoVectorizer(pooling=["mean", "max"])
    >>> rows = vectorizer.fit_transform(["A cat sat.", "Dogs bark at the moon."])
    >>> rows.shape == (2, vectorizer.n_features_out_)
    True
    >>> vectorizer.get_feature_names_out()[0]
    'elmo_layers0-1-2_average_mean_0'
    """

    def __init__(
        self,
        model: Any = "default",
        *,
        layers: Any = "all",
        layer_mix: Any = "average",
        pooling: Any = "mean",
        tokenizer: Any = "words",
        state: str = "zero",
        missing: str = "zero",
        normalize: bool = False,
        max_tokens: int | None = None,
        cache: Any = None,
        device: str = "auto",
        precision: str = "float32",
        batch_tokens: int | str = "auto",
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.layers = layers
        self.layer_mix = layer_mix
        self.pooling = pooling
        self.tokenizer = tokenizer
        self.state = state
        self.missing = missing
        self.normalize = normalize
        self.max_tokens = max_tokens
        self.cache = cache
        self.device = device
        self.precision = precision
        self.batch_tokens = batch_tokens
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Pin the model, and learn what the parameters ask to be learned.

        Parameters
        ----------
        X : iterable of str
            List, tuple, array, pandas or polars Series, ``(n, 1)`` frame, generator.
        y : array-like of shape (n_texts,) or (n_texts, n_outputs), optional
            Labels, for ``layer_mix="learned"``.

        Returns
        -------
        ElmoVectorizer

        Raises
        ------
        InvalidParameterError
            If a parameter has a value it cannot have; is a ValueError and TypeError.
        TextTypeError, TextValueError
            If X is no column of texts; a TypeError and a ValueError.
        ModelFileError, ModelNotFetchedError
            If the model cannot be loaded.
        """
        self._fit_texts(X, y)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Fit and return the rows of the same texts, which are read only once.

        Parameters and errors as in `fit`; returns what `transform` returns.
        """
        setup, texts, pooled = self._fit_texts(X, y)
        if pooled is None:
            return self._transform_texts(setup, texts)
        return self._mix(pooled, setup)

    def transform(self, X: Any) -> Any:
        """Return one row a text.

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
            If the model's files have changed since `fit`.
        TextTypeError, TextValueError
            If X is no column of texts.
        """
        setup = self._open_fitted()
        return self._transform_texts(setup, self._list_texts(X))

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[Any]:
        """Return the names of the columns.

        Parameters
        ----------
        input_features : ignored
            The input is one column of texts, whatever its name.

        Returns
        -------
        ndarray of shape (n_features_out_,), object
            ``elmo_layer2_mean_0``; of several layers ``elmo_layers0-1_average_mean_0``.
        """
        check_is_fitted(self, "model_digest_")
        return _feature_names(*self._fitted_layout, n_features=self.n_features_out_)

    def _fit_texts(self, X: Any, y: Any) -> tuple[_Setup, list[Any], FloatArray | None]:
        """Fit; return what has been made on the way."""
        setup = self._open()
        texts = self._list_texts(X)
        self._warn_of_unused_parameters(setup.layers)
        poolings = pooling_names(self.pooling)
        if "idf" in poolings:
            self._learn_idf(texts)
        pooled = None
        if self.layer_mix == "learned":
            pooled = self._pool_texts(setup, texts)
            # One row a text and layer: (N, n_layers, n_poolings * D).
            learned = learn_layer_weights(
                pooled.swapaxes(1, 2).reshape(len(texts), len(setup.layers), -1), y
            )
            self.layer_weights_, self.layer_scale_ = learned.weights, learned.scale
        self._record(setup)
        self.n_features_out_ = len(poolings) * self._width(setup)
        return setup, texts, pooled

    def _layout(self, layers: tuple[int, ...]) -> tuple[Any, ...]:
        return *super()._layout(layers), pooling_names(self.pooling)

    def _warn_of_unused_parameters(self, layers: tuple[int, ...]) -> None:
        if layers == (0,) and self.state == "warm":
            message = (
                "state='warm' has no effect with layers=0: the context-free token "
                "vector does not depend on the LSTM's state."
            )
            warnings.warn(message, UnusedParameterWarning, stacklevel=4)
        if len(layers) == 1 and self.layer_mix == "learned":
            message = (
                "layer_mix='learned' has a single layer to weigh and learns only its "
                "scale. Choose several layers, or layer_mix='average'."
            )
            warnings.warn(message, UnusedParameterWarning, stacklevel=4)

    def _learn_idf(self, texts: list[Any]) -> None:
        frequencies: Counter[str] = Counter()
        for _, token_lists in self._token_chunks(texts):
            for tokens in token_lists:
                frequencies.update(set(tokens))
        # As scikit-learn's TfidfTransformer(smooth_idf=True).
        self.idf_unseen_ = float(np.log(1 + len(texts)) + 1)
        self.idf_ = {
            token: float(np.log((1 + len(texts)) / (1 + count)) + 1)
            for token, count in frequencies.items()
        }

    def _transform_texts(self, setup: _Setup, texts: list[Any]) -> FloatArray:
        rows = np.zeros((len(texts), self.n_features_out_), dtype=np.float32)
        self._fill_rows(setup, texts, rows, lambda pooled: self._mix(pooled, setup))
        return rows

    def _pool_texts(self, setup: _Setup, texts: list[Any]) -> FloatArray:
        """Return ``(N, n_poolings, n_layers, D)``: the layers before they are mixed."""
        n_poolings = len(pooling_names(self.pooling))
        width = setup.reader.model.options.output_dim
        shape = (len(texts), n_poolings, len(setup.layers), width)
        pooled = np.zeros(shape, dtype=np.float32)
        self._fill_rows(setup, texts, pooled, lambda values: values)
        return pooled

    def _mix(self, pooled: FloatArray, setup: _Setup) -> FloatArray:
        """``(N, n_poolings, n_layers, D)`` -> ``(N, n_features_out_)``."""
        blocks = pooled.reshape(-1, *pooled.shape[2:])
        mixed = mix_layers(blocks, self._weights(setup))
        rows = mixed.reshape(len(pooled), pooled.shape[1] * mixed.shape[1])
        return scale_to_unit_length(rows) if self.normalize else rows

    def _fill_rows(
        self,
        setup: _Setup,
        texts: list[Any],
        rows: FloatArray,
        make_rows: Callable[[FloatArray], FloatArray],
    ) -> None:
        """Fill in the row of every text that has tokens; equal texts are read once."""
        row_of: dict[bytes, int] = {}
        with self._progress(len(texts)) as progress:
            for first, token_lists in self._token_chunks(texts):
                new: dict[int, list[str]] = {}
                repeated: list[tuple[int, int]] = []
                for row, tokens in enumerate(token_lists, start=first):
                    if tokens:
                        original = row_of.setdefault(text_key(tokens), row)
                        if original == row:
                            new[row] = tokens
                        else:
                            repeated.append((row, original))
                if new:
                    pooled = self._read(setup, list(new.values()), progress.update)
                    rows[list(new)] = make_rows(pooled)
                for row, original in repeated:
                    rows[row] = rows[original]
                progress.update(first + len(token_lists) - progress.n)

    def _read(
        self,
        setup: _Setup,
        token_lists: Sequence[list[str]],
        advance: Callable[[int], object],
    ) -> FloatArray:
        """Read token lists; return ``(N, n_poolings, n_layers, D)``."""
        poolings = pooling_names(self.pooling)
        needed = needed_reductions(poolings)
        token_weights, totals = None, None
        if WEIGHTED_SUM in needed:
            token_weights = [
                [self.idf_.get(token, self.idf_unseen_) for token in tokens]
                for tokens in token_lists
            ]
            totals = np.array([sum(weights) for weights in token_weights])
        reduced = setup.reader.reduce(
            token_lists,
            layers=setup.layers,
            reductions=[name for name in needed if name != WEIGHTED_SUM],
            advance=advance,
            token_weights=token_weights,
        )
        lengths = np.array([len(tokens) for tokens in token_lists])
        return np.stack(
            [pool(name, reduced, lengths, totals) for name in poolings], axis=1
        )


class ElmoTokenVectorizer(  # type: ignore[call-arg]
    _ElmoEstimator,
    auto_wrap_output_keys=None,  # set_output can't wrap lists of arrays
):
    """Turn texts into one vector a token with a deep bidirectional language model.

    Parameters
    ----------
    model, layers, tokenizer, state, missing, max_tokens, device, precision, \
batch_tokens, verbose
        As in `ElmoVectorizer`. A missing text has no tokens.
    layer_mix : {"average", "concat", "learned"} or sequence of float, \
default="average"
        As in `ElmoVectorizer`. The labels that ``"learned"`` learns from are one a
        token (a list for each text) or one a text.
    cache : None, True, path or EmbeddingStore, default=None
        Where the vectors of all tokens are kept, which takes much more room than the
        pooled layers that `ElmoVectorizer` keeps: 4 bytes times the model's width for
        each token and layer.

    Attributes
    ----------
    n_features_out_ : int
        Columns of each array.
    layers_, model_digest_, layer_weights_, layer_scale_
        As in `ElmoVectorizer`.

    See Also
    --------
    ElmoVectorizer : One vector a text.

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
        device: str = "auto",
        precision: str = "float32",
        batch_tokens: int | str = "auto",
        verbose: bool = False,
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
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Pin the model, and learn layer weights if ``layer_mix="learned"``.

        Parameters
        ----------
        X : iterable of str, or of lists of str
            As in `ElmoVectorizer.fit`.
        y : sequence of length n_texts, optional
            For ``layer_mix="learned"``: a list of labels, one a token, for each text;
            or one label for each text.

        Returns
        -------
        ElmoTokenVectorizer

        Raises
        ------
        InvalidParameterError, TextTypeError, TextValueError, ModelFileError, \
ModelNotFetchedError
            As `ElmoVectorizer.fit`.
        """
        setup = self._open()
        texts = self._list_texts(X)
        if self.layer_mix == "learned":
            self._learn_layer_weights(setup, texts, y)
        self._record(setup)
        self.n_features_out_ = self._width(setup)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> list[FloatArray]:
        """Fit, and return what `transform` returns; X may be a generator."""
        texts = self._list_texts(X)
        return self.fit(texts, y).transform(texts)

    def transform(self, X: Any) -> list[FloatArray]:
        """Return one array a text, one row a token.

        Parameters
        ----------
        X : iterable of str, or of lists of str

        Returns
        -------
        list of ndarray
            Of shape (n_tokens, n_features_out_) each, float32; the tokens are those
            that `tokenize` returns.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ModelMismatchError, TextTypeError, \
TextValueError
            As `ElmoVectorizer.transform`.
        """
        setup = self._open_fitted()
        weights = self._weights(setup)
        return self._read_tokens(
            setup, self._list_texts(X), lambda vectors: mix_layers(vectors, weights)
        )

    def tokenize(self, X: Any) -> list[list[str]]:
        """Return the tokens that the rows of `transform` stand for.

        Parameters
        ----------
        X : iterable of str, or of lists of str

        Returns
        -------
        list of list of str
            Empty for missing and empty texts.
        """
        check_parameters(type(self).__name__, self.get_params(deep=False))
        return self._tokenize(self._list_texts(X), first_row=0)

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[Any]:
        """Return the names of the columns of each array.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of shape (n_features_out_,), object
        """
        check_is_fitted(self, "model_digest_")
        return _feature_names(*self._fitted_layout, n_features=self.n_features_out_)

    def _learn_layer_weights(self, setup: _Setup, texts: list[Any], y: Any) -> None:
        vectors = self._read_tokens(setup, texts, lambda values: values)
        if y is not None and len(y) and isinstance(y[0], list | tuple | np.ndarray):
            samples, labels = np.concatenate(vectors), _labels_of_tokens(y, vectors)
        else:
            shape = (len(texts), *vectors[0].shape[1:]) if vectors else (0, 1, 1)
            samples, labels = np.zeros(shape, dtype=np.float32), y
            for row, values in enumerate(vectors):
                if len(values):
                    samples[row] = values.mean(axis=0)
        learned = learn_layer_weights(samples, labels)
        self.layer_weights_, self.layer_scale_ = learned.weights, learned.scale

    def _read_tokens(
        self,
        setup: _Setup,
        texts: list[Any],
        make_rows: Callable[[FloatArray], FloatArray],
    ) -> list[FloatArray]:
        """Read texts, each distinct one of a chunk once."""
        width = setup.reader.model.options.output_dim
        nothing = np.zeros((0, len(setup.layers), width), dtype=np.float32)
        results: list[FloatArray] = []
        with self._progress(len(texts)) as progress:
            for first, token_lists in self._token_chunks(texts):
                distinct = {
                    text_key(tokens): tokens for tokens in token_lists if tokens
                }
                vectors = (
                    setup.reader.token_layers(
                        list(distinct.values()),
                        layers=setup.layers,
                        advance=progress.update,
                    )
                    if distinct
                    else []
                )
                found = dict(zip(distinct, vectors, strict=True))
                # Arrays of their own, which a caller may change.
                results += [
                    make_rows(found[text_key(tokens)] if tokens else nothing).copy()
                    for tokens in token_lists
                ]
                progress.update(first + len(token_lists) - progress.n)
        return results


def _feature_names(
    layers: tuple[int, ...],
    mix: str | tuple[float, ...],
    poolings: tuple[str, ...] = (),
    *,
    n_features: int,
) -> npt.NDArray[Any]:
    """Name columns after their layers, mix, pooling and place.

    Parameters
    ----------
    layers : tuple of int
    mix : str or tuple of float
        As the parameter ``layer_mix``.
    poolings : tuple of str
        Empty for token vectors.
    n_features : int
        Columns in all.
    """
    if mix == "concat" or len(layers) == 1:
        blocks = [f"elmo_layer{layer}" for layer in layers]
    else:
        kind = mix if isinstance(mix, str) else "weighted"
        blocks = [f"elmo_layers{'-'.join(map(str, layers))}_{kind}"]
    if poolings:
        blocks = [f"{block}_{name}" for name in poolings for block in blocks]
    width = n_features // len(blocks)
    names = [f"{block}_{i}" for block in blocks for i in range(width)]
    return np.array(names, dtype=object)


def _labels_of_tokens(y: Any, vectors: list[FloatArray]) -> list[Any]:
    """Put the labels of all tokens in a row; labels of tokens cut off are left out."""
    labels: list[Any] = []
    for row, (of_text, values) in enumerate(zip(y, vectors, strict=True)):
        if len(of_text) < len(values):
            message = (
                f"Row {row} has {len(values)} tokens, but y has {len(of_text)} labels "
                "for it; layer_mix='learned' needs one a token."
            )
            raise InvalidParameterError(message)
        labels += list(of_text[: len(values)])
    return labels


def _as_store(cache: Any) -> EmbeddingStore | None:
    """Turn a checked ``cache`` parameter into a store."""
    if cache is None or isinstance(cache, EmbeddingStore):
        return cache
    return EmbeddingStore(home_folder() / "embeddings" if cache is True else cache)
