"""Every public name shows how it is used."""

import importlib
import inspect

import pytest

PUBLIC = {
    "sklearn_elmo": None,
    "sklearn_elmo.models": ["list_models", "describe", "fetch", "load", "verify"],
    "sklearn_elmo.allennlp": None,
    "sklearn_elmo.inspection": None,
    "sklearn_elmo.pairs": None,
    "sklearn_elmo.tagging": None,
}
NAMES = [
    (module, name)
    for module, names in PUBLIC.items()
    for name in names or importlib.import_module(module).__all__
]


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_docstring_of_a_public_name_has_an_example(module: str, name: str) -> None:
    value = getattr(importlib.import_module(module), name)
    if callable(value):  # else a module, or a file name
        assert ">>>" in (inspect.getdoc(value) or "")
