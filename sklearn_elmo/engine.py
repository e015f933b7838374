"""Token lists -> reduced layers: asks the store, plans batches, runs the encoder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sklearn_elmo.models import LoadedModel
from sklearn_elmo.pooling import WEIGHTED_SUM
from sklearn_elmo.store import EmbeddingStore, text_key

if TYPE_CHECKING:
    from sklearn_elmo.inference.encoder import Encoder, StartState
    from sklearn_elmo.inference.linear import Precision

__all__ = ["NUMERICS_VERSION", "Reader"]

FloatArray = npt.NDArray[np.float32]
TokenList = Sequence[str]

# Part of what stored numbers mean: raise it with every change that moves them by more
# than rounding.
NUMERICS_VERSION = 2

# Texts read side by side. More do not make products faster on a CPU; a GPU fills up
# later.
_ROWS_PER_BATCH = {"cpu": 256}
_ROWS_PER_BATCH_ON_ACCELERATORS = 1024
# Memory for the gates of all tokens of a window, from which "auto" counts the tokens.
_WINDOW_BYTES = {"cpu": 64 * 2**20}
_WINDOW_BYTES_ON_ACCELERATORS = 512 * 2**20
_MOST_WINDOW_TOKENS = 65536

# From these every pooling but "idf" can be made.
_STORED = ("sum", "max", "min", "first", "last")


@dataclass(frozen=True)
class Reader:
    """A model with all that decides how it reads texts.

    Parameters
    ----------
    model : LoadedModel
    device : str
        As `resolve_device` returns it.
    precision : {"float32", "bfloat16", "int8"}
    state : {"zero", "warm"}
    batch_tokens : int or "auto"
        Tokens in memory at once.
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
        advance: Callable[[int], object],
        token_weights: Sequence[Sequence[float]] | None = None,
    ) -> dict[str, FloatArray]:
        """Read texts and reduce the vectors of each one's tokens.

        With a store, whatever has to be read is kept with all that any pooling of the
        layers that ran can need. Weighted sums are the exception: their weights may
        change, so it is the token vectors that are kept for them.

        Parameters
        ----------
        texts : sequence of token lists
            N distinct texts, none of them empty.
        layers : sequence of int
            Layers wanted, from 0 to L.
        reductions : sequence of str
            As `sklearn_elmo.inference.reductions.reduce_texts` takes them.
        advance : callable
            Told how many texts have been read since it was called last.
        token_weights : sequence of sequences of float, optional
            A weight a token; adds the reduction ``"weighted_sum"``.

        Returns
        -------
        dict of str to ndarray
            *Shape:* ``(N, n_layers, D)`` each, float32.
        """
        if self.store is None:
            return self._compute_reductions(
                texts, layers, reductions, advance, token_weights
            )
        run = range(max(layers) + 1)
        results: dict[str, FloatArray] = {}
        if token_weights is None:

            def compute(positions: Sequence[int]) -> Mapping[str, FloatArray]:
                missing = [texts[position] for position in positions]
                return _as_fields(
                    self._compute_reductions(missing, run, _STORED, advance)
                )
        else:
            vectors = self.token_layers(texts, layers=run, advance=advance)
            results[WEIGHTED_SUM] = np.stack(
                [
                    np.einsum("tld,t->ld", v[:, layers], np.asarray(w, np.float32))
                    for v, w in zip(vectors, token_weights, strict=True)
                ]
            )

            def compute(positions: Sequence[int]) -> Mapping[str, FloatArray]:
                return _as_fields(_reduce_vectors([vectors[p] for p in positions]))

        # Also when only weighted sums are wanted: other poolings will find the rest.
        width = self.model.options.output_dim
        found = self.store.recipe(self._recipe("reductions")).get_or_compute(
            [text_key(text) for text in texts],
            {
                _field(name, layer): width
                for name in reductions or _STORED[:1]
                for layer in layers
            },
            compute,
        )
        for name in reductions:
            columns = [found[_field(name, layer)] for layer in layers]
            results[name] = np.stack(columns, axis=1)
        return results

    def token_layers(
        self,
        texts: Sequence[TokenList],
        *,
        layers: Sequence[int],
        advance: Callable[[int], object],
    ) -> list[FloatArray]:
        """Read texts and return the vectors of all tokens.

        Parameters
        ----------
        texts, layers, advance
            As in `reduce`.

        Returns
        -------
        list of ndarray
            One a text. *Shape:* ``(n_tokens, n_layers, D)``, float32.
        """
        if self.store is None:
            return self._compute_token_layers(texts, layers, advance)
        run = range(max(layers) + 1)

        def compute(positions: Sequence[int]) -> Mapping[str, FloatArray]:
            missing = [texts[position] for position in positions]
            computed = self._compute_token_layers(missing, run, advance)
            return {
                _field("token", layer): np.concatenate([v[:, layer] for v in computed])
                for layer in run
            }

        width = self.model.options.output_dim
        lengths = [len(text) for text in texts]
        found = self.store.recipe(self._recipe("tokens")).get_or_compute_ragged(
            [text_key(text) for text in texts],
            lengths,
            {_field("token", layer): width for layer in layers},
            compute,
        )
        stacked = np.stack([found[_field("token", layer)] for layer in layers], axis=1)
        return np.split(stacked, np.cumsum(lengths)[:-1])

    def _recipe(self, kind: str) -> dict[str, Any]:
        """Say what stored numbers depend on, apart from the text's tokens."""
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
        advance: Callable[[int], object],
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
            advance=advance,
        )
        places = np.argsort(order)
        return {name: values[places] for name, values in reduced.items()}

    def _compute_token_layers(
        self,
        texts: Sequence[TokenList],
        layers: Sequence[int],
        advance: Callable[[int], object],
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
            advance=advance,
        )
        results = dict(zip(order, vectors, strict=True))
        return [results[position] for position in range(len(texts))]

    def _encoder(self) -> "Encoder":
        return self.model.encoder(self.device, self.precision)

    def _rows_per_batch(self) -> int:
        return _ROWS_PER_BATCH.get(self.device, _ROWS_PER_BATCH_ON_ACCELERATORS)

    def _window_tokens(self) -> int:
        if self.batch_tokens != "auto":
            return int(self.batch_tokens)
        n_bytes = _WINDOW_BYTES.get(self.device, _WINDOW_BYTES_ON_ACCELERATORS)
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
    return {
        "sum": np.stack([values.sum(axis=0) for values in vectors]),
        "max": np.stack([values.max(axis=0) for values in vectors]),
        "min": np.stack([values.min(axis=0) for values in vectors]),
        "first": np.stack([values[0] for values in vectors]),
        "last": np.stack([values[-1] for values in vectors]),
    }
