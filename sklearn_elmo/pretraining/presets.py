"""Named model shapes."""

from typing import Any

from sklearn_elmo.bilm.options import BiLmOptions

__all__ = ["PRESETS", "resolve_size"]

_OFFICIAL_FILTERS = [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]]
_DEFAULT_FILTERS = [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512]]


def _options(
    filters: list[list[int]], n_highway: int, cell_dim: int, projection_dim: int
) -> dict[str, Any]:
    return {
        "lstm": {
            "use_skip_connections": True,
            "projection_dim": projection_dim,
            "cell_clip": 3,
            "proj_clip": 3,
            "dim": cell_dim,
            "n_layers": 2,
        },
        "char_cnn": {
            "activation": "relu",
            "filters": filters,
            "n_highway": n_highway,
            "embedding": {"dim": 16},
            "n_characters": 262,
            "max_characters_per_token": 50,
        },
    }


PRESETS: dict[str, dict[str, Any]] = {
    "default": _options(_DEFAULT_FILTERS, 1, 512, 256),
    "small": _options(_OFFICIAL_FILTERS, 1, 1024, 128),
    "medium": _options(_OFFICIAL_FILTERS, 1, 2048, 256),
    "original": _options(_OFFICIAL_FILTERS, 2, 4096, 512),
}
"""``default`` is the shape of the bundled model; the others are AllenNLP's."""


def resolve_size(size: str | dict[str, Any], *, source: str) -> BiLmOptions:
    """Return the options of a ``size`` parameter.

    Parameters
    ----------
    size : str or dict
        A name in `PRESETS`, or options in the layout of ``options.json``.
    source : str
        What messages call the options.

    Raises
    ------
    ModelFileError
        The options are incomplete or invalid.
    """
    options = PRESETS[size] if isinstance(size, str) else size
    return BiLmOptions.from_dict(options, source)
