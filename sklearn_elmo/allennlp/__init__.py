"""Drop-ins for AllenNLP 0.9's ELMo: same names, arguments and numbers.

Old code needs another import (``from sklearn_elmo.allennlp import Elmo``), or none:
`install` makes AllenNLP's module names importable where AllenNLP is not installed.

Reading order: ``character_ids`` (tokens to ids), ``character_encoder`` (ids to token
vectors), ``elmo_lstm`` (token vectors to layers, with the carried state), ``elmo_bilm``
(both), ``scalar_mix`` and ``elmo`` (the mix of layers), ``elmo_token_embedder``.
``embedder`` and ``hdf5_output`` are the numpy side; ``config`` builds several embedders
from a configuration. The other modules are small stand-ins for what old code imports
besides ELMo; ``installation`` has the list.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sklearn_elmo.allennlp.basic_text_field_embedder import TextFieldEmbedder
    from sklearn_elmo.allennlp.character_ids import batch_to_ids
    from sklearn_elmo.allennlp.config import text_field_embedder
    from sklearn_elmo.allennlp.elmo import Elmo
    from sklearn_elmo.allennlp.elmo_token_embedder import ElmoTokenEmbedder
    from sklearn_elmo.allennlp.elmo_token_embedder_multilang import (
        ElmoTokenEmbedderMultiLang,
    )
    from sklearn_elmo.allennlp.embedder import ElmoEmbedder
    from sklearn_elmo.allennlp.indexers import (
        ELMoTokenCharactersIndexer,
        SingleIdTokenIndexer,
    )
    from sklearn_elmo.allennlp.installation import install
    from sklearn_elmo.allennlp.model_files import (
        DEFAULT_OPTIONS_FILE,
        DEFAULT_WEIGHT_FILE,
    )
    from sklearn_elmo.allennlp.scalar_mix import ScalarMix
    from sklearn_elmo.allennlp.vocabulary import Vocabulary

__all__ = [
    "DEFAULT_OPTIONS_FILE",
    "DEFAULT_WEIGHT_FILE",
    "ELMoTokenCharactersIndexer",
    "Elmo",
    "ElmoEmbedder",
    "ElmoTokenEmbedder",
    "ElmoTokenEmbedderMultiLang",
    "ScalarMix",
    "SingleIdTokenIndexer",
    "TextFieldEmbedder",
    "Vocabulary",
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
    "ElmoTokenEmbedder": "elmo_token_embedder",
    "ElmoTokenEmbedderMultiLang": "elmo_token_embedder_multilang",
    "ScalarMix": "scalar_mix",
    "SingleIdTokenIndexer": "indexers",
    "TextFieldEmbedder": "basic_text_field_embedder",
    "Vocabulary": "vocabulary",
    "batch_to_ids": "character_ids",
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
