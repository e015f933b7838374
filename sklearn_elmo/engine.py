"""Token lists -> reduced layers: asks the store, plans batches, runs the encoder.

`Reader` is the only module that knows the model, its fast inference and the store.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sklearn_elmo.messages import quote
from sklearn_elmo.models import LoadedModel, not_finite, resolve_device
from sklearn_elmo.pooling import STORED_REDUCTIONS, WEIGHTED_SUM, reduce_segments
from sklearn_elmo.store import EmbeddingStore, text_key

if TYPE_CHECKING:
    from sklearn_elmo.inference.encoder import Encoder, StartState
    from sklearn_elmo.inference.precision import Precision

__all__ = ["NUMERICS_VERSION", "Reader"]

FloatArray = npt.NDArray[np.float32]
TokenList = Sequence[str]

# Stored with the numbers: raise it with every change that moves them by more than
# rounding, and say in CHANGELOG.md what changed.
NUMERICS_VERSION = 2

# Texts per batch. More do not make products faster on a CPU, but keep a GPU busy.
_ROWS_PER_BATCH = {"cpu": 256}
_ROWS_PER_BATCH_ON_ACCELERATORS = 1024
# Memory for the gates of all tokens of a window; determines batch_tokens="auto".
_WINDOW_BYTES = {"cpu": 64 * 2**20}
_WINDOW_BYTES_ON_ACCELERATORS = 512 * 2**20
_MOST_WINDOW_TOKENS = 65536

# Token vectors held at once while they are reduced or mixed.
_TOKEN_VECTOR_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Reader:
    """A model and everything that determines how it reads texts.

    Parameters
    ----------
    model : LoadedModel
    device : str
        As returned by `resolve_device`, or "auto", which is resolved when the model
        has to run.
    precision : {"float32", "bfloat16", "int8"}
    state : {"zero", "warm"}
    batch_tokens : int or "auto"
        Number of tokens in memory at once.
    store : EmbeddingStore or None
        Where results are looked up and kept.
    """

    model: LoadedModel
    device: str
    precision: "Precision"
    state: "StartState"
    batch_tokens: int | str
    store: EmbeddingStore | None = None

    def reduce(
        self,
        texts: Sequence[TokenList],
        *,
        layers: Sequence[int],
        reductions: Sequence[str],
        progress: Callable[[int], object],
        token_weights: Sequence[Sequence[float]] | None = None,
    ) -> dict[str, FloatArray]:
        """Read texts and reduce the vectors of each text's tokens.

        With a store, a text that has to be read is stored with all reductions that any
        pooling of the layers that ran can need. Weighted sums are the exception: their
        weights may change, so the token vectors are stored for them.

        Parameters
        ----------
        texts : sequence of token lists
            N distinct texts, none of them empty.
        layers : sequence of int
            Layers to return, from 0 to L.
        reductions : sequence of str
            As in `sklearn_elmo.inference.reductions.reduce_texts`.
        progress : callable
            Progress callback; receives the number of texts finished since the last
            call.
        token_weights : sequence of sequences of float, optional
            One weight per token; adds the reduction ``"weighted_sum"``.

        Returns
        -------
        dict of str to ndarray
            Each of shape (N, n_layers, D), float32.
        """
        if self.store is None:
            return self._compute_reductions(
                texts, layers, reductions, progress, token_weights
            )
        if token_weights is None:
            return self._stored_reductions(texts, layers, reductions, progress)
        groups = [
            self._weighted_reductions(
                texts[group],
                layers,
                reductions,
                progress,
                token_weights[group],
            )
            for group in self.token_groups(list(map(len, texts)), layers)
        ]
        return {
            name: np.concatenate([group[name] for group in groups])
            for name in groups[0]
        }

    def _stored_reductions(
        self,
        texts: Sequence[TokenList],
        layers: Sequence[int],
        reductions: Sequence[str],
        progress: Callable[[int], object],
        vectors: Sequence[FloatArray] | None = None,
    ) -> dict[str, FloatArray]:
        """Look reductions up; make missing ones from token vectors, or read the texts.

        ``vectors`` hold all layers up to the highest of ``layers``.
        """
        run = range(max(layers) + 1)

        def compute(positions: Sequence[int]) -> dict[str, FloatArray]:
            if vectors is not None:
                return _as_fields(_reduce_vectors([vectors[p] for p in positions]))
            missing = [texts[position] for position in positions]
            return _as_fields(
                self._compute_reductions(missing, run, STORED_REDUCTIONS, progress)
            )

        assert self.store is not None
        found = self.store.recipe(self._recipe("reductions")).get_or_compute(
            [text_key(text) for text in texts],
            {
                _field(name, layer): self.model.options.output_dim
                for name in reductions
                for layer in layers
            },
            compute,
        )
        return {
            name: np.stack([found[_field(name, layer)] for layer in layers], axis=1)
            for name in reductions
        }

    def _weighted_reductions(
        self,
        texts: Sequence[TokenList],
        layers: Sequence[int],
        reductions: Sequence[str],
        progress: Callable[[int], object],
        token_weights: Sequence[Sequence[float]],
    ) -> dict[str, FloatArray]:
        """Make weighted sums from stored token vectors, and the reductions with them.

        Reductions are stored even if only weighted sums are wanted, so that another
        pooling does not read the texts again.
        """
        vectors = self.token_layers(
            texts, layers=range(max(layers) + 1), progress=progress
        )
        names = reductions or STORED_REDUCTIONS[:1]
        results = self._stored_reductions(texts, layers, names, progress, vectors)
        weighted = [
            np.einsum("tld,t->ld", values[:, layers], np.asarray(weights, np.float64))
            for values, weights in zip(vectors, token_weights, strict=True)
        ]
        return {name: results[name] for name in reductions} | {
            WEIGHTED_SUM: np.stack(weighted).astype(np.float32)
        }

    def token_groups(
        self, n_tokens: Sequence[int], layers: Sequence[int]
    ) -> Iterator[slice]:
        """Cut texts into groups whose token vectors take bounded memory.

        Parameters
        ----------
        n_tokens : sequence of int
            Tokens of each text. One with more than the bound is a group of its own.
        layers : sequence of int
            As in `token_layers`.

        Yields
        ------
        slice
        """
        bytes_per_token = 4 * (max(layers) + 1) * self.model.options.output_dim
        most = max(1, _TOKEN_VECTOR_BYTES // bytes_per_token)
        start, n_in_group = 0, 0
        for position, n in enumerate(n_tokens):
            if start < position and n_in_group + n > most:
                yield slice(start, position)
                start, n_in_group = position, 0
            n_in_group += n
        if n_tokens:
            yield slice(start, len(n_tokens))

    def token_layers(
        self,
        texts: Sequence[TokenList],
        *,
        layers: Sequence[int],
        progress: Callable[[int], object],
    ) -> list[FloatArray]:
        """Read texts and return the vectors of all tokens.

        They take 4 bytes times the model's width for each token and layer: cut many
        texts into `token_groups`.

        Parameters
        ----------
        texts, layers, progress
            As in `reduce`.

        Returns
        -------
        list of ndarray
            One per text, of shape (n_tokens, n_layers, D), float32.
        """
        if self.store is None:
            return self._compute_token_layers(texts, layers, progress)
        run = range(max(layers) + 1)

        def compute(positions: Sequence[int]) -> Mapping[str, FloatArray]:
            missing = [texts[position] for position in positions]
            computed = self._compute_token_layers(missing, run, progress)
            return {
                _field("token", layer): np.concatenate([v[:, layer] for v in computed])
                for layer in run
            }

        width = self.model.options.output_dim
        lengths = [len(text) for text in texts]
        joined = np.empty((sum(lengths), len(layers), width), np.float32)
        self.store.recipe(self._recipe("tokens")).get_or_compute_ragged(
            [text_key(text) for text in texts],
            lengths,
            {_field("token", layer): width for layer in layers},
            compute,
            out={
                _field("token", layer): joined[:, column]
                for column, layer in enumerate(layers)
            },
        )
        return np.split(joined, np.cumsum(lengths)[:-1])

    def _recipe(self, kind: str) -> dict[str, Any]:
        """Return what stored numbers depend on, apart from the text's tokens."""
        return {
            "kind": kind,
            "model": self.model.digest,
            "precision": self.precision,
            "state": self.state,
            "numerics": NUMERICS_VERSION,
        }

    def _compute_reductions(
        self,
        texts: Sequence[TokenList],
        layers: Sequence[int],
        reductions: Sequence[str],
        progress: Callable[[int], object],
        token_weights: Sequence[Sequence[float]] | None = None,
    ) -> dict[str, FloatArray]:
        from sklearn_elmo.inference.reductions import reduce_texts

        if token_weights is not None:
            reductions = [*reductions, WEIGHTED_SUM]
        order = _longest_first(texts)
        reduced = reduce_texts(
            self._encoder(),
            [texts[position] for position in order],
            layers=layers,
            reductions=reductions,
            state=self.state,
            window_tokens=self._window_tokens(),
            token_weights=None
            if token_weights is None
            else [token_weights[position] for position in order],
            rows_per_batch=self._rows_per_batch(),
            progress=progress,
        )
        for values in reduced.values():
            self._check_finite(values, [texts[position] for position in order])
        places = np.argsort(order)
        return {name: values[places] for name, values in reduced.items()}

    def _compute_token_layers(
        self,
        texts: Sequence[TokenList],
        layers: Sequence[int],
        progress: Callable[[int], object],
    ) -> list[FloatArray]:
        from sklearn_elmo.inference.reductions import token_layers

        order = _longest_first(texts)
        vectors = token_layers(
            self._encoder(),
            [texts[position] for position in order],
            layers=layers,
            state=self.state,
            window_tokens=self._window_tokens(),
            rows_per_batch=self._rows_per_batch(),
            progress=progress,
        )
        for position, values in zip(order, vectors, strict=True):
            self._check_finite(values[None], [texts[position]])
        results = dict(zip(order, vectors, strict=True))
        return [results[position] for position in range(len(texts))]

    def _check_finite(self, values: FloatArray, texts: Sequence[TokenList]) -> None:
        """Check the results of texts, the first axis of ``values``."""
        if np.isfinite(values).all():
            return
        row = np.argwhere(~np.isfinite(values))[0, 0]
        raise not_finite(self.model.source, f"the text {quote(' '.join(texts[row]))}")

    def _encoder(self) -> "Encoder":
        return self.model.encoder(resolve_device(self.device), self.precision)

    def _rows_per_batch(self) -> int:
        device = resolve_device(self.device)
        return _ROWS_PER_BATCH.get(device, _ROWS_PER_BATCH_ON_ACCELERATORS)

    def _window_tokens(self) -> int:
        if self.batch_tokens != "auto":
            return int(self.batch_tokens)
        device = resolve_device(self.device)
        n_bytes = _WINDOW_BYTES.get(device, _WINDOW_BYTES_ON_ACCELERATORS)
        bytes_per_token = 4 * 4 * self.model.options.cell_dim
        return min(_MOST_WINDOW_TOKENS, max(1, n_bytes // bytes_per_token))


def _longest_first(texts: Sequence[TokenList]) -> list[int]:
    return sorted(range(len(texts)), key=lambda i: len(texts[i]), reverse=True)


def _field(name: str, layer: int) -> str:
    return f"{name}/{layer}"


def _as_fields(reductions: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Name the layers of reductions ``(n, n_layers, D)``, which start from layer 0."""
    return {
        _field(name, layer): values[:, layer]
        for name, values in reductions.items()
        for layer in range(values.shape[1])
    }


def _reduce_vectors(vectors: Sequence[FloatArray]) -> dict[str, FloatArray]:
    """Make the stored reductions from token vectors ``(n_tokens, n_layers, D)``."""
    lengths = [len(values) for values in vectors]
    joined = np.concatenate(vectors)
    return {name: reduce_segments(name, joined, lengths) for name in STORED_REDUCTIONS}
