"""`ElmoVectorizer`: texts -> one vector each."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from sklearn_elmo.base import ElmoEstimator, Idf, Setup, feature_names
from sklearn_elmo.learned_mix import check_labels, learn_layer_weights
from sklearn_elmo.parameters import pooling_names
from sklearn_elmo.pooling import (
    WEIGHTED_SUM,
    mix_layers,
    needed_reductions,
    pool,
    scale_to_unit_length,
)
from sklearn_elmo.store import text_key

__all__ = ["ElmoVectorizer"]

FloatArray = npt.NDArray[np.float32]


class ElmoVectorizer(ElmoEstimator):
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
        With the model in the box: held-out perplexity 150 from zero, 141 from warm
        (139 with the state carried), and no difference in downstream accuracy beyond
        noise (TREC +0.6, MR -0.4, SUBJ +0.1 points for warm; standard errors 0.6, 0.2,
        0.2; ``tests/benchmarks/parameter.py``).
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
    Memory, beside the texts and the result: one chunk of at most 4,096 texts or 1 M
    characters as tokens and pooled layers, ``batch_tokens`` tokens in the model, and 16
    bytes a distinct text to find repeated ones. On the CPU the processes of a machine
    share a model's weights through a file in the user's cache folder.

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
        return feature_names(*self._fitted_layout, n_features=self.n_features_out_)

    def _fit_texts(self, X: Any, y: Any) -> tuple[Setup, list[Any], FloatArray | None]:
        """Fit; return what has been made on the way."""
        setup = self._open()
        texts = self._list_texts(X)
        self._warn_of_unused_parameters(setup.layers)
        poolings = pooling_names(self.pooling)
        learned: dict[str, object] = {}
        if "idf" in poolings:
            idf = self._learn_idf(texts)
            setup = setup._replace(idf=idf)
            learned |= {"idf_": idf.table, "idf_unseen_": idf.unseen}
        pooled = None
        if self._mixes("learned"):
            check_labels(y, len(texts))
            pooled = self._pool_texts(setup, texts)
            # (N, n_layers, n_poolings * D)
            n_texts, n_poolings, n_layers, width = pooled.shape
            samples = pooled.swapaxes(1, 2).reshape(
                n_texts, n_layers, n_poolings * width
            )
            found = learn_layer_weights(samples, y)
            setup = setup._replace(weights=found.scale * found.weights)
            learned |= {"layer_weights_": found.weights, "layer_scale_": found.scale}
        self._record(setup, len(poolings) * self._width(setup), learned)
        return setup, texts, pooled

    def _layout(self, layers: tuple[int, ...]) -> tuple[Any, ...]:
        return *super()._layout(layers), pooling_names(self.pooling)

    def _learn_idf(self, texts: list[Any]) -> Idf:
        frequencies: Counter[str] = Counter()
        for _, token_lists in self._token_chunks(texts):
            for tokens in token_lists:
                frequencies.update(set(tokens))
        return Idf.of(frequencies, len(texts))

    def _transform_texts(self, setup: Setup, texts: list[Any]) -> FloatArray:
        rows = np.zeros((len(texts), self.n_features_out_), dtype=np.float32)
        self._fill_rows(setup, texts, rows, lambda pooled: self._mix(pooled, setup))
        return rows

    def _pool_texts(self, setup: Setup, texts: list[Any]) -> FloatArray:
        """Return ``(N, n_poolings, n_layers, D)``: the layers before they are mixed."""
        n_poolings = len(pooling_names(self.pooling))
        width = setup.reader.model.options.output_dim
        shape = (len(texts), n_poolings, len(setup.layers), width)
        pooled = np.zeros(shape, dtype=np.float32)
        self._fill_rows(setup, texts, pooled, lambda values: values)
        return pooled

    def _mix(self, pooled: FloatArray, setup: Setup) -> FloatArray:
        """``(N, n_poolings, n_layers, D)`` -> ``(N, n_features_out_)``."""
        blocks = pooled.reshape(-1, *pooled.shape[2:])
        mixed = mix_layers(blocks, setup.weights)
        rows = mixed.reshape(len(pooled), pooled.shape[1] * mixed.shape[1])
        return scale_to_unit_length(rows) if self.normalize else rows

    def _fill_rows(
        self,
        setup: Setup,
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
        setup: Setup,
        token_lists: Sequence[list[str]],
        advance: Callable[[int], object],
    ) -> FloatArray:
        """Read token lists; return ``(N, n_poolings, n_layers, D)``."""
        poolings = pooling_names(self.pooling)
        needed = needed_reductions(poolings)
        token_weights, totals = None, None
        if WEIGHTED_SUM in needed and setup.idf is not None:
            token_weights = [setup.idf.weigh(tokens) for tokens in token_lists]
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
