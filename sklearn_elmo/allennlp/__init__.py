"""What AllenNLP 0.9 offered of ELMo: same names, arguments and numbers.

Old code needs another import (``from sklearn_elmo.allennlp import Elmo``), or none:
`install` makes AllenNLP's own module names importable where no AllenNLP is.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sklearn_elmo.allennlp.config import TextFieldEmbedder, text_field_embedder
    from sklearn_elmo.allennlp.elmo import Elmo
    from sklearn_elmo.allennlp.embedder import ElmoEmbedder
    from sklearn_elmo.allennlp.indexers import (
        ELMoTokenCharactersIndexer,
        SingleIdTokenIndexer,
        batch_to_ids,
    )
    from sklearn_elmo.allennlp.installation import install
    from sklearn_elmo.allennlp.model_files import (
        DEFAULT_OPTIONS_FILE,
        DEFAULT_WEIGHT_FILE,
    )
    from sklearn_elmo.allennlp.scalar_mix import ScalarMix
    from sklearn_elmo.allennlp.token_embedder import ElmoTokenEmbedder

__all__ = [
    "DEFAULT_OPTIONS_FILE",
    "DEFAULT_WEIGHT_FILE",
    "ELMoTokenCharactersIndexer",
    "Elmo",
    "ElmoEmbedder",
    "ElmoTokenEmbedder",
    "ScalarMix",
    "SingleIdTokenIndexer",
    "TextFieldEmbedder",
    "batch_to_ids",
    "install",
    "text_field_embedder",
]

_HOMES = {
    "DEFAULT_OPTIONS_FILE": "model_files",
    "DEFAULT_WEIGHT_FILE": "model_files",
    "ELMoTokenCharactersIndexer": "indexers",
    "Elmo": "elmo",
    "ElmoEmbedder": "embedder",
    "ElmoTokenEmbedder": "token_embedder",
    "ScalarMix": "scalar_mix",
    "SingleIdTokenIndexer": "indexers",
    "TextFieldEmbedder": "config",
    "batch_to_ids": "indexers",
    "install": "installation",
    "text_field_embedder": "config",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
        return getattr(module, name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
