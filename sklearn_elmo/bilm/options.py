"""Hyper-parameters of a bidirectional language model, as in ``options.json``."""

import difflib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Self

from sklearn_elmo.errors import ModelFileError
from sklearn_elmo.messages import quote

__all__ = ["BiLmOptions"]

_MISSING = object()
# Far beyond any model, so that larger numbers are damage.
_MOST_LAYERS = 100
_LARGEST_WIDTH = 10**9
_MOST_FILTERS = 1000
_MOST_CHARACTERS = 10_000


@dataclass(frozen=True)
class BiLmOptions:
    """Hyper-parameters of a bidirectional language model (biLM).

    Parameters
    ----------
    char_dim : int
        Width of a character embedding.
    filters : tuple of (width, count)
        Convolutions over characters; ``n_filters`` is the sum of the counts.
    n_highway : int
        Highway layers after the convolutions.
    activation : {"relu", "tanh"}
        Activation of the convolutions.
    max_characters : int
        Characters kept per token, including the marks of its beginning and end.
    n_characters : int
        262 in models that are ready to use, 261 in those that bilm-tf has just trained.
        The weights are the same.
    n_layers : int
        biLSTM layers, L.
    cell_dim, projection_dim : int
        Width of an LSTM cell, C, and of its projected output, P.
    cell_clip, proj_clip : float or None
        Bounds of the cell and of the projected output; None means no clipping.
    use_skip_connections : bool
        Whether a layer's input is added to its output from the second layer on.
    """

    char_dim: int
    filters: tuple[tuple[int, int], ...]
    n_highway: int
    activation: str
    max_characters: int
    n_characters: int
    n_layers: int
    cell_dim: int
    projection_dim: int
    cell_clip: float | None
    proj_clip: float | None
    use_skip_connections: bool

    @property
    def n_filters(self) -> int:
        """Width of the convolutions' output, F."""
        return sum(count for _, count in self.filters)

    @property
    def output_dim(self) -> int:
        """Width of a layer, D: the forward and the backward direction together."""
        return 2 * self.projection_dim

    @classmethod
    def from_dict(cls, options: Mapping[str, Any], source: str) -> Self:
        """Parse options in the layout of AllenNLP and bilm-tf.

        Keys that do not change the numbers are ignored. Keys that bilm-tf may leave
        out have bilm-tf's defaults: no clipping, no highway, no skip connections, one
        layer.

        Parameters
        ----------
        options : mapping
            The parsed ``options.json``.
        source : str
            Where the options come from, for messages.

        Raises
        ------
        ModelFileError
            If a key is missing or has an impossible value.
        """
        reader = _Reader(options, source)
        return cls(
            char_dim=reader.integer("char_cnn", "embedding", "dim"),
            filters=reader.filters(),
            n_highway=reader.integer(
                "char_cnn", "n_highway", least=0, most=_MOST_LAYERS, default=0
            ),
            activation=reader.choice(
                "char_cnn", "activation", choices=("relu", "tanh")
            ),
            max_characters=reader.integer(
                "char_cnn", "max_characters_per_token", least=3, most=_MOST_CHARACTERS
            ),
            n_characters=reader.choice(
                "char_cnn", "n_characters", choices=(262, 261), default=262
            ),
            n_layers=reader.integer("lstm", "n_layers", most=_MOST_LAYERS, default=1),
            cell_dim=reader.integer("lstm", "dim"),
            projection_dim=reader.integer("lstm", "projection_dim"),
            cell_clip=reader.clip("cell_clip"),
            proj_clip=reader.clip("proj_clip"),
            use_skip_connections=reader.choice(
                "lstm", "use_skip_connections", choices=(False, True), default=False
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the options in the layout of AllenNLP's ``options.json``."""
        return {
            "lstm": {
                "use_skip_connections": self.use_skip_connections,
                "projection_dim": self.projection_dim,
                "cell_clip": self.cell_clip,
                "proj_clip": self.proj_clip,
                "dim": self.cell_dim,
                "n_layers": self.n_layers,
            },
            "char_cnn": {
                "activation": self.activation,
                "filters": [list(pair) for pair in self.filters],
                "n_highway": self.n_highway,
                "embedding": {"dim": self.char_dim},
                "n_characters": self.n_characters,
                "max_characters_per_token": self.max_characters,
            },
        }


class _Reader:
    """Typed access to nested options; errors name the key and the value."""

    def __init__(self, options: Mapping[str, Any], source: str) -> None:
        if not isinstance(options, Mapping):
            message = (
                f"The options in {source} are a {type(options).__name__}; expected a "
                "JSON object with the keys 'lstm' and 'char_cnn'."
            )
            raise ModelFileError(message)
        self._options = options
        self._source = source

    def integer(
        self,
        *path: str,
        least: int = 1,
        most: int = _LARGEST_WIDTH,
        default: object = _MISSING,
    ) -> int:
        value = self._get(path, default)
        if type(value) is not int or not least <= value <= most:
            self._refuse(path, value, f"a whole number from {least} to {most}")
        return int(value)

    def choice(
        self, *path: str, choices: tuple[Any, ...], default: object = _MISSING
    ) -> Any:
        value = self._get(path, default)
        if not any(type(value) is type(good) and value == good for good in choices):
            self._refuse(path, value, "one of " + ", ".join(map(repr, choices)))
        return value

    def clip(self, key: str) -> float | None:
        value = self._get(("lstm", key), None)
        if value is None:
            return None
        # Comparisons, because an int of JSON may be too large for math.isfinite.
        if type(value) not in (int, float) or not 0 <= value <= sys.float_info.max:
            self._refuse(("lstm", key), value, "a number of at least 0, or null")
        # AllenNLP tests the truth of the value, so 0 means the same as null.
        return float(value) or None

    def filters(self) -> tuple[tuple[int, int], ...]:
        path = ("char_cnn", "filters")
        value = self._get(path, _MISSING)
        expected = f"1 to {_MOST_FILTERS} pairs [width, number of filters]"
        if not isinstance(value, list | tuple) or not 0 < len(value) <= _MOST_FILTERS:
            self._refuse(path, value, expected)
        pairs = []
        for pair in value:
            good = isinstance(pair, list | tuple) and len(pair) == 2
            if not good or not all(
                type(n) is int and 0 < n <= _LARGEST_WIDTH for n in pair
            ):
                self._refuse(path, value, expected)
            pairs.append((pair[0], pair[1]))
        widest = max(width for width, _ in pairs)
        longest = self.integer("char_cnn", "max_characters_per_token", least=3)
        if widest > longest:
            self._refuse(
                path,
                value,
                f"filters no wider than the {longest} characters of a token",
            )
        return tuple(pairs)

    def _get(self, path: tuple[str, ...], default: object) -> Any:
        node: Any = self._options
        for depth, key in enumerate(path):
            if not isinstance(node, Mapping):
                self._refuse(path[:depth], node, "a JSON object")
            if key not in node:
                if default is not _MISSING and depth == len(path) - 1:
                    self._refuse_misspelling(path, node)
                    return default
                found = ", ".join(repr(k) for k in list(node)[:8]) or "no key"
                message = (
                    f"The options in {self._source} have no key {'.'.join(path)!r} "
                    f"(found {found[:200]}). Use the options.json that belongs to the "
                    "weights, in the layout of AllenNLP or bilm-tf."
                )
                raise ModelFileError(message)
            node = node[key]
        return node

    def _refuse_misspelling(
        self, path: tuple[str, ...], node: Mapping[str, Any]
    ) -> None:
        """Refuse a key that is almost the missing one: its value would be ignored."""
        names = [key for key in node if isinstance(key, str) and len(key) < 100]
        similar = difflib.get_close_matches(path[-1], names, n=1, cutoff=0.85)
        if similar:
            message = (
                f"The options in {self._source} have a key {similar[0]!r}, but no key "
                f"{'.'.join(path)!r}. Correct its spelling, or remove it."
            )
            raise ModelFileError(message)

    def _refuse(self, path: tuple[str, ...], value: object, expected: str) -> NoReturn:
        message = (
            f"The options in {self._source} have {'.'.join(path)} = "
            f"{quote(value)}; expected {expected}."
        )
        raise ModelFileError(message)
