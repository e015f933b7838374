"""`ElmoVectorizer`: texts -> one vector per text.

What happens in `ElmoVectorizer.fit_transform`, in order:

1. `_configure` checks the parameters, opens the model and resolves the layers.
2. `_fit` learns what the parameters ask for: token weights, layer weights.
3. `_pooled_rows` is the one loop over chunks of texts. For each chunk of distinct
   documents `_pool` has the engine read them, or the store look them up, and makes the
   poolings; then the layers are mixed into rows.
4. `_finish` scales the rows if they are to have unit length.

`transform` takes the configuration of `fit` and does 3 and 4.
"""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sklearn_elmo.bars import Bar
from sklearn_elmo.base import Chunk, Configuration, ElmoEstimator, LongTokens
from sklearn_elmo.idf import DocumentCounts, Idf
from sklearn_elmo.learned_mix import check_labels
from sklearn_elmo.parameters import pooling_names
from sklearn_elmo.pooling import (
    WEIGHTED_SUM,
    mix_layers,
    needed_reductions,
    pool,
    reduce_segments,
    scale_to_unit_length,
)

__all__ = ["ElmoVectorizer"]

FloatArray = npt.NDArray[np.float32]


class ElmoVectorizer(ElmoEstimator):
    """Turn texts into one vector each with a deep bidirectional language model.

    ELMo (Peters et al. 2018) reads a text with a character-based language model and
    gives each token one vector per layer. This transformer pools each layer over the
    tokens of a text and mixes the layers.

    A row depends only on its text, the fitted parameters and the model: not on the
    other rows, their order, or the number of threads (float32: to 5e-6 absolute).

    Parameters
    ----------
    model : str, path, pair of paths or ElmoPretrainer, default="default"
        A name from `sklearn_elmo.models.list_models` (``"default"`` ships with the
        package, the others must be fetched once), a folder or zip file with options and
        weights in the layout of AllenNLP, bilm-tf or NLPL, a pair (options file, weight
        file) of paths or URLs, or a fitted `ElmoPretrainer`, whose weights then are
        part of a pickle (save it and name the folder, to keep them out).
    layers : "all", "top", int or sequence of int, default="all"
        Layer 0 is the context-free token vector, layer k the k-th biLSTM layer;
        negative numbers count from the top. Only as many LSTM layers run as the
        highest one needs; layer 0 alone runs none.
    layer_mix : {"average", "concat", "learned"} or sequence of float, \
default="average"
        How the layers become one vector. A sequence holds one weight per layer, used as
        given. ``"learned"`` learns softmax weights and a scale in `fit` from the labels
        (classes, an indicator matrix, or numbers).
    pooling : str or sequence of str, default="mean"
        How tokens become one vector, each layer by itself: ``"mean"``, ``"max"``,
        ``"min"``, ``"sum"``, ``"first"``, ``"last"``, ``"final"`` (forward direction at
        the last token, backward direction at the first) or ``"idf"`` (mean weighted by
        the inverse document frequency learned in `fit`). Several poolings are
        concatenated in the given order.
    tokenizer : {"words", "whitespace", "pretokenized"} or callable, default="words"
        ``"words"`` is NLTK's Penn Treebank word tokenizer, except that quotation marks
        are left as they are. ``"pretokenized"`` takes lists of str, or of objects whose
        ``text`` is one, such as spaCy's tokens. A callable takes a str and returns such
        a list. Do not lowercase: the models are cased.
    state : {"zero", "warm"}, default="zero"
        LSTM state that every text starts from. ``"zero"`` gives the published numbers
        of a freshly loaded model. ``"warm"`` is the state after a fixed passage, for
        models that were trained with the state carried from sentence to sentence, as
        AllenNLP's were. With the bundled model the held-out perplexity is 150 from
        zero, 141 from warm and 139 with the state carried; downstream accuracy does not
        differ beyond noise (TREC +0.6, MR -0.4, SUBJ +0.1 points for warm; standard
        errors 0.6, 0.2, 0.2; ``tests/benchmarks/parameter.py``).
    missing : {"zero", "error"}, default="zero"
        What None, NaN and NA become: a row of zeros, or a ValueError that names the
        row. Empty texts are always rows of zeros.
    normalize : bool, default=False
        Scale rows to unit length; rows of zeros stay zero.
    max_tokens : int or None, default=None
        Number of tokens kept of each text; None keeps all, however long the text is.
    cache : None, bool, path or EmbeddingStore, default=None
        Where pooled layers are kept on disk, so that no text is read twice: a folder,
        which processes and machines may share, or True for the user's cache folder.
        None and False keep nothing.
    device : str or torch.device, default="auto"
        ``"auto"`` (the first CUDA device, else the CPU), ``"cpu"``, ``"cuda"``,
        ``"cuda:1"``, ``"mps"``.
    precision : {"float32", "bfloat16", "int8"}, default="float32"
        Precision of the LSTM's matrix products. Lower precision is faster on some
        processors and less exact. The output is always float32.
    batch_tokens : int or "auto", default="auto"
        Number of tokens read at once, which bounds the memory.
    split : None or "sentences", default=None
        ``"sentences"`` reads and caches a text sentence by sentence and pools over all
        of its tokens. Each sentence then starts from the same state, as in training,
        and an edited text costs only the sentences that changed. Rows differ from those
        of whole texts.
    verbose : bool or int, default=False
        Show a progress bar on stderr.

    Attributes
    ----------
    n_features_out_ : int
        Columns of the output: the model's width, times the layers if they are
        concatenated, times the poolings.
    feature_names_in_ : ndarray of shape (1,), object
        Name of the column of texts, if `fit` was given a named column.
    layers_ : tuple of int
        The layers, counted from 0.
    model_digest_ : str
        sha256 of the model's options and weights. `transform` refuses other weights.
    layer_weights_ : ndarray of shape (n_layers,)
        With ``layer_mix="learned"``: positive weights with a sum of 1.
    layer_scale_ : float
        With ``layer_mix="learned"``: the scale of the weighted sum.
    idf_ : dict of str to float
        With ``pooling="idf"``: log((1 + n) / (1 + df)) + 1 for every token seen.
    idf_unseen_ : float
        The same for tokens that were not seen.

    See Also
    --------
    ElmoTokenVectorizer : One vector per token.

    Notes
    -----
    Memory, apart from the texts and the result: one chunk of at most 4,096 texts or 1 M
    characters as tokens and pooled layers, ``batch_tokens`` tokens in the model, and
    some 150 bytes per distinct text to find repeated ones.

    The model reads 48 UTF-8 bytes of each token (more or fewer if its options say so);
    longer tokens are cut there, with one warning per call.

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

    # skrub's convention for transformers of one column, as ApplyToCols needs them.
    __single_column_transformer__ = True

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
        device: Any = "auto",
        precision: str = "float32",
        batch_tokens: int | str = "auto",
        split: str | None = None,
        verbose: bool | int = False,
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
        self.split = split
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Pin the model, and learn what the parameters ask for.

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
            If a parameter has an invalid value; both a ValueError and a TypeError.
        TextTypeError, TextValueError
            If X is not a column of texts; a TypeError and a ValueError.
        ModelFileError, ModelNotFetchedError
            If the model cannot be loaded.
        """
        self._fit(X, y)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Fit and return the rows of the same texts, which are read only once.

        Parameters and errors as in `fit`; returns what `transform` returns.
        """
        config, texts, layers = self._fit(X, y)
        if layers is None:
            return self._finish(self._pooled_rows(config, texts))
        return self._finish(_mix(layers, config.weights))

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
            If the model's files have changed since `fit`.
        TextTypeError, TextValueError
            If X is not a column of texts, or not the column that was fitted.
        """
        config = self._configure_fitted()
        return self._finish(self._pooled_rows(config, self._list_fitted_column(X)))

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[Any]:
        """Return the names of the columns.

        Parameters
        ----------
        input_features : array-like of one str, optional
            Name of the column of texts, if it had none in `fit`.

        Returns
        -------
        ndarray of shape (n_features_out_,), object
            ``elmo_layer2_mean_0``; for mixed layers ``elmo_layers0-1_average_mean_0``;
            of a column named "review" ``review_elmo_layer2_mean_0``.
        """
        return self._feature_names(input_features, pooling_names(self.pooling))

    def _fit(
        self, X: Any, y: Any
    ) -> tuple[Configuration, list[Any], FloatArray | None]:
        """Fit; return the configuration, the texts, and their layers if they were read.

        The layers have the shape (N, n_poolings, n_layers, D).
        """
        config = self._configure()
        texts = self._list_texts(X)
        self._warn_of_unused_parameters(config.layers)
        learned: dict[str, object] = {}
        layers = None
        if "idf" in pooling_names(self.pooling):
            config = config._replace(idf=self._learn_idf(config, [texts]))
        if self._mixes("learned"):
            check_labels(y, len(texts))
            layers = self._unmixed_layers(config, texts)
            found = self._learn_weights(layers.swapaxes(1, 2), y)
            config = config._replace(weights=found.scale * found.weights)
            learned = {"layer_weights_": found.weights, "layer_scale_": found.scale}
        self._record(config, X, learned)
        return config, texts, layers

    def _fit_stream(self, chunks: Iterable[list[Any]]) -> Self:
        """Fit without labels on lists of texts, none of which is kept."""
        config = self._configure()
        if "idf" in pooling_names(self.pooling):
            config = config._replace(idf=self._learn_idf(config, chunks))
        self._record(config, None, {})
        return self

    def _transform_some(
        self, texts: list[Any], bar: Bar, long_tokens: LongTokens
    ) -> FloatArray:
        """Do what `transform` does, for some of many texts.

        The bar counts all of them, and `long_tokens` collects instead of a warning.
        """
        config = self._configure_fitted()
        texts = self._list_texts(texts)
        return self._finish(self._pooled_rows(config, texts, bar, long_tokens))

    def _record(
        self, config: Configuration, X: Any, learned: dict[str, object]
    ) -> None:
        if config.idf is not None:
            learned |= {"idf_": config.idf.table, "idf_unseen_": config.idf.unseen}
        n_features = len(pooling_names(self.pooling)) * config.mixed_width
        self._record_fit(config, X, n_features, learned)

    def _feature_layout(self, layers: tuple[int, ...]) -> tuple[Any, ...]:
        return *super()._feature_layout(layers), pooling_names(self.pooling)

    def _learn_idf(self, config: Configuration, chunks: Iterable[list[Any]]) -> Idf:
        counts = DocumentCounts()
        for texts in chunks:
            for _, documents in self._document_chunks(config, texts):
                for document in documents:
                    counts.add([token for part in document for token in part])
        return counts.idf()

    def _unmixed_layers(self, config: Configuration, texts: list[Any]) -> FloatArray:
        """Return the pooled layers. *Shape:* ``(N, n_poolings, n_layers, D)``."""
        rows = self._pooled_rows(config._replace(weights=None), texts)
        n_poolings, n_layers = len(pooling_names(self.pooling)), len(config.layers)
        return rows.reshape(
            len(texts), n_poolings, n_layers, config.reader.model.options.output_dim
        )

    def _pooled_rows(
        self,
        config: Configuration,
        texts: list[Any],
        bar: Bar | None = None,
        long_tokens: LongTokens | None = None,
    ) -> FloatArray:
        """Return the mixed layers of each text; zeros for a text without tokens."""
        n_features = len(pooling_names(self.pooling)) * config.mixed_width
        rows = np.zeros((len(texts), n_features), dtype=np.float32)
        for chunk in self._chunks(config, texts, bar, long_tokens):
            if chunk.rows:
                rows[chunk.rows] = _mix(self._pool(config, chunk), config.weights)
            rows[chunk.repeats] = rows[chunk.originals]
        return rows

    def _pool(self, config: Configuration, chunk: Chunk) -> FloatArray:
        """Read a chunk. *Shape:* ``(n_documents, n_poolings, n_layers, D)``."""
        poolings = pooling_names(self.pooling)
        needed = needed_reductions(poolings)
        parts, index = chunk.distinct_parts()
        lengths = np.array([len(part) for part in parts])
        token_weights = totals = None
        if WEIGHTED_SUM in needed and config.idf is not None:
            token_weights = [config.idf.weigh(part) for part in parts]
            totals = np.array([sum(weights) for weights in token_weights])
        reduced = config.reader.reduce(
            parts,
            layers=config.layers,
            reductions=[name for name in needed if name != WEIGHTED_SUM],
            progress=chunk.progress_of_parts,
            token_weights=token_weights,
        )
        if chunk.is_split:
            n_parts = chunk.n_parts()
            starts = np.cumsum([0, *n_parts[:-1]])
            reduced = {
                name: reduce_segments(name, values[index], n_parts)
                for name, values in reduced.items()
            }
            lengths = np.add.reduceat(lengths[index], starts)
            if totals is not None:
                totals = np.add.reduceat(totals[index], starts)
        return np.stack(
            [pool(name, reduced, lengths, totals) for name in poolings], axis=1
        )

    def _finish(self, rows: FloatArray) -> FloatArray:
        return scale_to_unit_length(rows) if self.normalize else rows


def _mix(layers: FloatArray, weights: npt.NDArray[np.float64] | None) -> FloatArray:
    """``(N, n_poolings, n_layers, D)`` -> ``(N, n_features)``."""
    n_texts, n_poolings, n_layers, width = layers.shape
    mixed = mix_layers(layers.reshape(-1, n_layers, width), weights)
    return mixed.reshape(n_texts, n_poolings * mixed.shape[1])
