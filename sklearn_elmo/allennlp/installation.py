"""AllenNLP's module names for code that was written against AllenNLP 0.9."""

import importlib.util
import sys
from types import ModuleType

from sklearn_elmo.errors import SklearnElmoError

__all__ = ["install"]

# Module -> name there -> (module, name) here.
_HERE = "sklearn_elmo.allennlp"
_NAMES: dict[str, dict[str, tuple[str, str]]] = {
    "allennlp.modules.elmo": {
        "Elmo": (f"{_HERE}.elmo", "Elmo"),
        "ScalarMix": (f"{_HERE}.scalar_mix", "ScalarMix"),
        "_ElmoBiLm": (f"{_HERE}.elmo_bilm", "ElmoBiLm"),
        "_ElmoCharacterEncoder": (f"{_HERE}.character_encoder", "ElmoCharacterEncoder"),
        "batch_to_ids": (f"{_HERE}.indexers", "batch_to_ids"),
    },
    "allennlp.modules.scalar_mix": {
        "ScalarMix": (f"{_HERE}.scalar_mix", "ScalarMix"),
    },
    "allennlp.modules.token_embedders": {
        "ElmoTokenEmbedder": (f"{_HERE}.token_embedder", "ElmoTokenEmbedder"),
    },
    "allennlp.modules.token_embedders.elmo_token_embedder": {
        "ElmoTokenEmbedder": (f"{_HERE}.token_embedder", "ElmoTokenEmbedder"),
    },
    "allennlp.commands.elmo": {
        "DEFAULT_BATCH_SIZE": (f"{_HERE}.embedder", "DEFAULT_BATCH_SIZE"),
        "DEFAULT_OPTIONS_FILE": (f"{_HERE}.model_files", "DEFAULT_OPTIONS_FILE"),
        "DEFAULT_WEIGHT_FILE": (f"{_HERE}.model_files", "DEFAULT_WEIGHT_FILE"),
        "ElmoEmbedder": (f"{_HERE}.embedder", "ElmoEmbedder"),
        "batch_to_ids": (f"{_HERE}.indexers", "batch_to_ids"),
    },
    "allennlp.data.token_indexers": {
        "ELMoTokenCharactersIndexer": (
            f"{_HERE}.indexers",
            "ELMoTokenCharactersIndexer",
        ),
    },
    "allennlp.data.token_indexers.elmo_indexer": {
        "ELMoTokenCharactersIndexer": (
            f"{_HERE}.indexers",
            "ELMoTokenCharactersIndexer",
        ),
    },
    "allennlp.common.checks": {
        "ConfigurationError": ("sklearn_elmo.errors", "SklearnElmoError"),
    },
}


class AllenNlpIsInstalledError(SklearnElmoError, ImportError):
    """There is a real AllenNLP, which is never shadowed."""


class _StandIn(ModuleType):
    """A module of ours under a name of AllenNLP's; loads what is asked for."""

    def __init__(self, name: str, contents: dict[str, tuple[str, str]]) -> None:
        super().__init__(name, "Stand-in of sklearn_elmo.allennlp.install().")
        self.__path__: list[str] = []
        self.__all__ = sorted(contents)
        self._contents = contents

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") or name not in self._contents:
            message = (
                f"module {self.__name__!r} has no attribute {name!r}: this is "
                "sklearn_elmo's stand-in, which holds AllenNLP's ELMo and nothing else"
            )
            raise AttributeError(message)
        home, real_name = self._contents[name]
        return getattr(importlib.import_module(home), real_name)

    def __dir__(self) -> list[str]:
        return self.__all__


def install() -> None:
    """Make AllenNLP 0.9's names of ELMo importable as ours.

    After it, ``from allennlp.modules.elmo import Elmo, batch_to_ids`` and
    ``from allennlp.commands.elmo import ElmoEmbedder`` work in code of others, too.
    ``allennlp.common.checks.ConfigurationError`` is our `SklearnElmoError`, the base of
    all errors that are raised on purpose. Calling it again does nothing.

    Raises
    ------
    ImportError
        A real AllenNLP is installed; it is left alone.

    Examples
    --------
    >>> from sklearn_elmo.allennlp import install
    >>> install()  # doctest: +SKIP
    >>> from allennlp.modules.elmo import batch_to_ids  # doctest: +SKIP
    """
    present = sys.modules.get("allennlp")
    if isinstance(present, _StandIn):
        return
    if present is not None or importlib.util.find_spec("allennlp") is not None:
        message = (
            "AllenNLP itself is installed, and is not shadowed. Uninstall it, or "
            "import from sklearn_elmo.allennlp."
        )
        raise AllenNlpIsInstalledError(message)
    for name, contents in _NAMES.items():
        parts = name.split(".")
        for length in range(1, len(parts)):
            package = ".".join(parts[:length])
            if package not in sys.modules:
                _add(package, _NAMES.get(package, {}))
        if name not in sys.modules:
            _add(name, contents)


def _add(name: str, contents: dict[str, tuple[str, str]]) -> None:
    module = _StandIn(name, contents)
    module.__spec__ = importlib.util.spec_from_loader(name, loader=None)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
