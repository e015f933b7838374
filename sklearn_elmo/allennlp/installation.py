"""AllenNLP's module names, for code that was written against AllenNLP 0.9."""

import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType

from sklearn_elmo.allennlp.names import NAMES, OUT_OF_SCOPE, Home
from sklearn_elmo.errors import SklearnElmoError

__all__ = ["install"]


class AllenNlpIsInstalledError(SklearnElmoError, ImportError):
    """AllenNLP itself is installed; it is never shadowed."""


class NotInStandInError(SklearnElmoError, ModuleNotFoundError):
    """Old code imports a part of AllenNLP that has no stand-in."""


class _StandIn(ModuleType):
    """A module under one of AllenNLP's names; loads what is asked for."""

    def __init__(
        self, name: str, contents: Mapping[str, Home], search_path: Sequence[str] = ()
    ) -> None:
        super().__init__(name, "Stand-in of sklearn_elmo.allennlp.install().")
        # A package to Python, so that `import` asks the finder below for submodules.
        self.__path__ = list(search_path)
        self.__all__ = sorted(contents)
        self._contents = contents

    def __getattr__(self, name: str) -> object:
        if name not in self._contents:
            message = f"module {self.__name__!r} has no attribute {name!r}: "
            raise AttributeError(message + _explain())
        module, name_here = self._contents[name]
        return getattr(importlib.import_module(module), name_here)

    def __dir__(self) -> list[str]:
        return self.__all__


class _Explainer:
    """Finder after all others: says why a submodule does not exist."""

    @staticmethod
    def find_spec(
        name: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Raise NotInStandInError for names below ``allennlp``."""
        if not name.startswith("allennlp."):
            return None
        message = f"{name!r} cannot be imported: " + _explain()
        # The name of a failed submodule would make `from package import name` replace
        # the message; old code that looks at it asks whether AllenNLP is there.
        raise NotInStandInError(message, name="allennlp")


def _explain() -> str:
    return f"this is sklearn_elmo's stand-in for AllenNLP; {OUT_OF_SCOPE}"


def install() -> None:
    """Make AllenNLP 0.9's names of ELMo importable.

    Afterwards ``from allennlp.modules.elmo import Elmo, batch_to_ids`` and
    ``from allennlp.commands.elmo import ElmoEmbedder`` work, in other people's code,
    too. ``allennlp.common.checks.ConfigurationError`` is `SklearnElmoError`, the base
    of all errors that this package raises on purpose. Calling it again does nothing.

    Raises
    ------
    ImportError
        If AllenNLP itself is installed; it is left alone.

    Examples
    --------
    >>> from sklearn_elmo.allennlp import install
    >>> install()  # doctest: +SKIP
    >>> from allennlp.modules.elmo import batch_to_ids  # doctest: +SKIP
    """
    present = sys.modules.get("allennlp")
    if isinstance(present, _StandIn):
        return
    spec = None if present is not None else importlib.util.find_spec("allennlp")
    if present is not None or (spec is not None and spec.origin is not None):
        message = (
            "AllenNLP itself is installed, and is not shadowed. Uninstall it, or "
            "import from sklearn_elmo.allennlp."
        )
        raise AllenNlpIsInstalledError(message)
    # A folder `allennlp` without __init__.py, such as one with its tests only, stays
    # importable under the stand-in.
    folders = (spec.submodule_search_locations or ()) if spec is not None else ()
    packages = {
        ".".join(module.split(".")[:length])
        for module in NAMES
        for length in range(1, module.count(".") + 2)
    }
    for name in sorted(packages, key=lambda module: module.count(".")):
        if name not in sys.modules:
            _add(name, NAMES.get(name, {}), folders if name == "allennlp" else ())
    sys.meta_path.append(_Explainer)


def _add(name: str, contents: Mapping[str, Home], search_path: Sequence[str]) -> None:
    module = _StandIn(name, contents, search_path)
    module.__spec__ = importlib.util.spec_from_loader(name, loader=None)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
