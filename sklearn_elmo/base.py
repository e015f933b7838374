"""What both ELMo vectorizers share: configuration, chunks of tokens, feature names."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from sklearn_elmo.bars import Bar
from sklearn_elmo.downloads import home_folder
from sklearn_elmo.engine import Reader
from sklearn_elmo.errors import (
    InvalidParameterError,
    LongTokenWarning,
    ModelMismatchError,
    SklearnElmoWarning,
    UnusedParameterWarning,
)
from sklearn_elmo.idf import Idf
from sklearn_elmo.learned_mix import LearnedMix, learn_layer_weights
from sklearn_elmo.messages import quote, warn_caller
from sklearn_elmo.models import open_model, resolve_device
from sklearn_elmo.parameters import check_vectorizer_parameters, resolve_layers
from sklearn_elmo.store import EmbeddingStore, text_key
from sklearn_elmo.text import iterate_tokens, split_sentences
from sklearn_elmo.text_transformer import TextTransformer

__all__ = ["Chunk", "Configuration", "Document", "ElmoEstimator", "LongTokens"]

# Texts and characters per chunk. Token lists and unmixed layers exist for one chunk
# only, so these bound the memory of a call apart from its texts and its result.
_CHUNK_TEXTS = 4096
_CHUNK_CHARACTERS = 2**20

# Attributes that only some parameters set.
_LEARNED = ("layer_weights_", "layer_scale_", "idf_", "idf_unseen_")

Document = list[list[str]]
"""The token lists that a text is read as: one, or one per sentence; none if empty."""


class Configuration(NamedTuple):
    """Resolved estimator configuration."""

    reader: Reader
    layers: tuple[int, ...]
    weights: npt.NDArray[np.float64] | None
    """Weights of the layers' sum; None if the layers are concatenated."""
    idf: Idf | None = None
    """Token weights of the pooling "idf", once they are learned."""

    @property
    def mixed_width(self) -> int:
        """Width of the mixed layers, or of all layers if they are concatenated."""
        n_blocks = len(self.layers) if self.weights is None else 1
        return int(n_blocks * self.reader.model.options.output_dim)


@dataclass
class Chunk:
    """Some consecutive texts of a call.

    Attributes
    ----------
    documents : list of Document
        The distinct texts that no earlier chunk had, none of them empty.
    rows : list of int
        Row of each document.
    repeats, originals : list of int
        Rows of repeated texts, and the rows of their first occurrence.
    progress : callable
        Progress callback; receives the number of texts finished since the last call.
    """

    progress: Callable[[int], object]
    documents: list[Document] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    repeats: list[int] = field(default_factory=list)
    originals: list[int] = field(default_factory=list)

    @property
    def is_split(self) -> bool:
        """Whether any document has several parts."""
        return any(len(document) > 1 for document in self.documents)

    def distinct_parts(self) -> tuple[list[list[str]], npt.NDArray[np.int64]]:
        """Return the distinct token lists, and the index of each part among them.

        Documents are distinct, but sentences of different documents may be equal.
        """
        if not self.is_split:
            return [part for (part,) in self.documents], np.arange(len(self.documents))
        index: dict[bytes, int] = {}
        parts: list[list[str]] = []
        positions = []
        for document in self.documents:
            for part in document:
                position = index.setdefault(text_key(part), len(parts))
                if position == len(parts):
                    parts.append(part)
                positions.append(position)
        return parts, np.array(positions)

    @property
    def progress_of_parts(self) -> Callable[[int], object]:
        """Callback for the parts; if they are not texts, the bar moves per chunk."""
        return _ignore if self.is_split else self.progress

    def n_parts(self) -> list[int]:
        """Return the number of parts of each document."""
        return [len(document) for document in self.documents]


def _ignore(_: int) -> None:
    """Progress callback that shows nothing."""


class ElmoEstimator(TextTransformer):
    """What both ELMo vectorizers share: configuration, chunks, feature names."""

    model_digest_: str
    layers_: tuple[int, ...]
    n_features_out_: int
    layer_weights_: npt.NDArray[np.float64]
    layer_scale_: float
    idf_: dict[str, float]
    idf_unseen_: float

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self._mixes("learned")
        return tags

    def __sklearn_clone__(self) -> Self:
        """Clone the parameters, but share the model.

        A model in memory takes the place of a path. scikit-learn would replace a fitted
        `ElmoPretrainer` by an unfitted one, which is useless here.
        """
        cloned: Self = super().__sklearn_clone__()
        cloned.model = self.model
        return cloned

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include parameters of parameters. Those of `model` never are: a
            fitted `ElmoPretrainer` is shared by clones, and setting them would change
            it without training it again.
        """
        found = super().get_params(deep).items()
        return {name: value for name, value in found if not name.startswith("model__")}

    def set_params(self, **params: Any) -> Self:
        """Set the parameters; those of `model` cannot be set.

        Raises
        ------
        InvalidParameterError
            If a name starts with ``model__``.
        """
        for name in params:
            if name.startswith("model__"):
                message = (
                    f"{type(self).__name__} cannot set {name!r}: a model is fitted and "
                    "shared by clones. Fit another ElmoPretrainer, and set 'model'."
                )
                raise InvalidParameterError(message)
        super().set_params(**params)
        return self

    def _warn_of_another_tokenizer(self) -> None:
        """Warn if a model in memory was trained on another kind of tokens."""
        trained = getattr(self.model, "tokenizer", self.tokenizer)
        both = (trained, self.tokenizer)
        # Clones of callables are not equal.
        are_callables = not any(isinstance(one, str) for one in both)
        if trained == self.tokenizer or are_callables or "pretokenized" in both:
            return
        message = (
            f"The model of {type(self).__name__} was trained with tokenizer="
            f"{quote(trained)}, but its 'tokenizer' parameter is "
            f"{quote(self.tokenizer)}. Pass the same tokenizer to both."
        )
        warn_caller(message, SklearnElmoWarning)

    def _configure(self) -> Configuration:
        """Check the parameters and open the model."""
        name = type(self).__name__
        check_vectorizer_parameters(name, self.get_params(deep=False))
        if self.split is not None and self.tokenizer == "pretokenized":
            message = (
                f"The 'split' parameter of {name} must be None with "
                "tokenizer='pretokenized': token lists cannot be split into sentences. "
                "Pass strings, or one list of tokens per sentence."
            )
            raise InvalidParameterError(message)
        model = open_model(self.model)
        self._warn_of_another_tokenizer()
        layers = resolve_layers(self.layers, model.options.n_layers, name)
        device = str(self.device)
        reader = Reader(
            model=model,
            # Only PyTorch knows what "auto" is, and a full cache needs no PyTorch.
            device=device if device == "auto" else resolve_device(device),
            precision=self.precision,
            state=self.state,
            batch_tokens=self.batch_tokens,
            store=_as_store(self.cache),
        )
        return Configuration(reader, layers, self._fixed_weights(layers))

    def _configure_fitted(self) -> Configuration:
        """Do the same after `fit`, and check that model and features are those of fit.

        Learned weights are part of the configuration.
        """
        check_is_fitted(self, "model_digest_")
        config = self._configure()
        found = config.reader.model
        if found.digest != self.model_digest_:
            message = (
                f"The weights of the model {self.model!r} have changed since "
                f"{type(self).__name__} was fitted (sha256 {found.digest[:16]}... "
                f"instead of {self.model_digest_[:16]}...). Restore the files, or fit "
                "again."
            )
            raise ModelMismatchError(message)
        if self._feature_layout(config.layers) != self._fitted_layout:
            message = (
                f"Parameters of {type(self).__name__} that determine its features have "
                "changed since it was fitted. Fit again."
            )
            raise InvalidParameterError(message)
        if self._mixes("learned"):
            config = config._replace(weights=self.layer_scale_ * self.layer_weights_)
        if hasattr(self, "idf_"):
            config = config._replace(idf=Idf(self.idf_, self.idf_unseen_))
        return config

    def _mixes(self, name: str) -> bool:
        """Return True if ``layer_mix`` is this name; it may be an array of weights."""
        return isinstance(self.layer_mix, str) and self.layer_mix == name

    def _fixed_weights(self, layers: tuple[int, ...]) -> npt.NDArray[np.float64] | None:
        """Return the weights that do not have to be learned; None for "concat"."""
        if self._mixes("average"):
            return np.full(len(layers), 1 / len(layers))
        if isinstance(self.layer_mix, str):
            return None
        weights = np.asarray(self.layer_mix, dtype=np.float64)
        if len(weights) != len(layers):
            message = (
                f"The 'layer_mix' parameter of {type(self).__name__} has "
                f"{len(weights)} weights for the {len(layers)} layers "
                f"{', '.join(map(str, layers))}. Pass one weight per layer."
            )
            raise InvalidParameterError(message)
        return weights

    def _feature_layout(self, layers: tuple[int, ...]) -> tuple[Any, ...]:
        """Return what determines the features."""
        mix = self.layer_mix
        return layers, mix if isinstance(mix, str) else tuple(map(float, mix))

    def _record_fit(
        self, config: Configuration, X: Any, n_features: int, learned: dict[str, object]
    ) -> None:
        """Set all fitted attributes, and remove those of an earlier fit."""
        for name in _LEARNED:
            if hasattr(self, name):
                delattr(self, name)
        self._record_column(X)
        self.model_digest_ = config.reader.model.digest
        self.layers_ = config.layers
        self.n_features_out_ = n_features
        self._fitted_layout = self._feature_layout(config.layers)
        for name, value in learned.items():
            setattr(self, name, value)

    def _chunks(
        self,
        config: Configuration,
        texts: list[Any],
        bar: Bar | None = None,
        long_tokens: "LongTokens | None" = None,
    ) -> Iterator[Chunk]:
        """Yield the distinct texts of a call, chunk by chunk, with their rows.

        A progress bar counts the texts: `bar`, if they are some of many. One warning
        tells of tokens that the model does not read to their end, unless `long_tokens`
        collects them for the caller.
        """
        row_of: dict[bytes, int] = {}
        found = long_tokens or LongTokens()
        own_bar = self._progress_bar(len(texts)) if bar is None else nullcontext(bar)
        with own_bar as bar:
            n_before = bar.n
            for first, documents in self._document_chunks(config, texts, found):
                chunk = Chunk(bar.update)
                for row, document in enumerate(documents, start=first):
                    if not document:
                        continue
                    original = row_of.setdefault(_document_key(document), row)
                    if original == row:
                        chunk.rows.append(row)
                        chunk.documents.append(document)
                    else:
                        chunk.repeats.append(row)
                        chunk.originals.append(original)
                yield chunk
                bar.update(n_before + first + len(documents) - bar.n)
        if long_tokens is None:
            found.warn()

    def _document_chunks(
        self,
        config: Configuration,
        texts: list[Any],
        long_tokens: "LongTokens | None" = None,
    ) -> Iterator[tuple[int, list[Document]]]:
        """Yield the first row and the documents of each chunk of texts.

        Tokens are cut to what the model reads of them.
        """
        long_tokens = long_tokens or LongTokens()
        # One mark before and one after the bytes of a token.
        most_bytes = config.reader.model.options.max_characters - 2
        first, n_characters = 0, 0
        for row, text in enumerate(texts, start=1):
            n_characters += _n_characters(text)
            full = row - first == _CHUNK_TEXTS or n_characters >= _CHUNK_CHARACTERS
            if full or row == len(texts):
                documents = self._documents(texts[first:row], first)
                # One after the other, so that no two texts' whole tokens are held.
                yield (
                    first,
                    [
                        long_tokens.cut(document, number, most_bytes)
                        for number, document in enumerate(documents, start=first)
                    ],
                )
                first, n_characters = row, 0

    def _documents(self, texts: list[Any], first_row: int) -> Iterator[Document]:
        """Tokenise texts, sentence by sentence if ``split`` says so."""
        if self.split == "sentences":
            for row, text in enumerate(texts, start=first_row):
                yield self._split_document(text or "", row)
            return
        for tokens in self._tokenize(texts, first_row, self.max_tokens):
            yield [tokens] if tokens else []

    def _split_document(self, text: str, row: int) -> Document:
        document: Document = []
        n_left = self.max_tokens
        for sentence in split_sentences(text):
            (tokens,) = self._tokenize([sentence], row, n_left)
            if tokens:
                document.append(tokens)
            if n_left is not None:
                n_left -= len(tokens)
                if n_left == 0:
                    break
        return document

    def _tokenize(
        self, texts: list[Any], first_row: int, max_tokens: int | None
    ) -> Iterator[list[str]]:
        """Yield the tokens of each text; none for a missing or an empty one."""
        for tokens in iterate_tokens(
            texts,
            self.tokenizer,
            estimator=type(self).__name__,
            max_tokens=max_tokens,
            first_row=first_row,
        ):
            yield tokens or []

    def _learn_weights(self, layers: npt.NDArray[np.float32], y: Any) -> LearnedMix:
        """Learn layer weights from layers ``(n_samples, n_layers, ...)``."""
        with self._progress_bar(None, "layer weights", "step") as bar:
            return learn_layer_weights(layers, y, bar.update)

    def _warn_of_unused_parameters(self, layers: tuple[int, ...]) -> None:
        if layers == (0,) and self.state == "warm":
            message = (
                "state='warm' has no effect with layers=0: the context-free token "
                "vector does not depend on the LSTM state."
            )
            warn_caller(message, UnusedParameterWarning)
        if len(layers) == 1 and self._mixes("learned"):
            message = (
                "layer_mix='learned' has a single layer to weigh and learns only its "
                "scale. Choose several layers, or layer_mix='average'."
            )
            warn_caller(message, UnusedParameterWarning)

    def _progress_bar(
        self, total: int | None, what: str = "", unit: str = "text"
    ) -> Bar:
        return Bar(
            total=total,
            desc=f"{type(self).__name__} {what}".rstrip(),
            unit=unit,
            disable=not self.verbose,
        )

    def _feature_names(
        self, input_features: Any, poolings: tuple[str, ...] = ()
    ) -> npt.NDArray[Any]:
        """Name features after column, layers, mix, pooling and position.

        ``elmo_layer2_mean_0`` for a single layer or concatenated ones,
        ``elmo_layers0-1_average_mean_0`` for mixed ones, with the name of the column
        before it if it has one.
        """
        check_is_fitted(self, "model_digest_")
        layers, mix = self._fitted_layout[:2]
        if mix == "concat" or len(layers) == 1:
            blocks = [f"elmo_layer{layer}" for layer in layers]
        else:
            kind = mix if isinstance(mix, str) else "weighted"
            blocks = [f"elmo_layers{'-'.join(map(str, layers))}_{kind}"]
        if poolings:
            blocks = [f"{block}_{name}" for name in poolings for block in blocks]
        width = self.n_features_out_ // len(blocks)
        names = [f"{block}_{i}" for block in blocks for i in range(width)]
        return self._with_column_name(names, input_features)


class LongTokens:
    """Cuts tokens to the bytes that the model reads, and remembers where.

    Attributes
    ----------
    place : callable
        Names a row of the current call in the warning; calls of a longer run set it.
    """

    def __init__(self) -> None:
        self.place: Callable[[int], str] = "Row {}".format
        self._first: tuple[str, str, int] | None = None
        self._n_texts = 0

    def cut(self, document: Document, row: int, most_bytes: int) -> Document:
        """Return a document whose tokens are as long as the model can tell.

        A token of n characters has at least n UTF-8 bytes, so a cut after as many
        characters as the model reads bytes changes no numbers.
        """
        tokens = [
            token for part in document for token in part if _is_long(token, most_bytes)
        ]
        if not tokens:
            return document
        self._n_texts += 1
        self._first = self._first or (self.place(row), tokens[0], most_bytes)
        return [[token[:most_bytes] for token in part] for part in document]

    def warn(self) -> None:
        """Warn once if any token was cut."""
        if self._first is None:
            return
        place, token, most_bytes = self._first
        n_others = self._n_texts - 1
        others = f" (and {n_others} other text{'s' * (n_others > 1)})" * (n_others > 0)
        message = (
            f"{place}{others} has tokens longer than the {most_bytes} UTF-8 bytes that "
            f"the model reads, the first of them {quote(token)}; the rest of such a "
            "token is ignored, so different texts may have equal rows. Choose a "
            "tokenizer that splits them, for example a callable that returns single "
            "characters or subwords."
        )
        warn_caller(message, LongTokenWarning)


def _is_long(token: str, most_bytes: int) -> bool:
    if 4 * len(token) <= most_bytes:
        return False
    return (
        len(token) > most_bytes
        or len(token.encode("utf-8", "surrogatepass")) > most_bytes
    )


def _n_characters(text: str | list[str] | None) -> int:
    if text is None:
        return 0
    return len(text) if isinstance(text, str) else sum(map(len, text))


def _document_key(document: Document) -> bytes:
    """Return a key that equal documents share."""
    if len(document) == 1:
        return text_key(document[0])
    return b"parts" + text_key([text_key(part).hex() for part in document])


def _as_store(cache: Any) -> EmbeddingStore | None:
    """Return the store of a checked ``cache`` parameter."""
    if cache is None or cache is False:
        return None
    if isinstance(cache, EmbeddingStore):
        return cache
    return EmbeddingStore(home_folder() / "embeddings" if cache is True else cache)
