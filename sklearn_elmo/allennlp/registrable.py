"""Classes that have names in configurations and are built from them."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from sklearn_elmo.allennlp.params import Params, plain_dict
from sklearn_elmo.errors import InvalidParameterError

__all__ = ["Registrable", "build"]

_T = TypeVar("_T")


def build(cls: Callable[..., _T], config: Mapping[str, Any], name: str = "") -> _T:
    """Call a class with the keys of a configuration as arguments.

    Strings are converted where the class's default is a number or a truth value, and a
    dict is built where the argument is annotated with a `Registrable` class. The key
    ``type`` is left out.

    Parameters
    ----------
    cls : class
    config : mapping
        Emptied if it is `Params`, as AllenNLP does it.
    name : str
        What to call the class in messages; its own name by default.

    Raises
    ------
    InvalidParameterError
        If a key is unknown or a required one is missing.
    """
    params = config if isinstance(config, Params) else Params(config)
    params.pop("type", None)
    arguments: dict[str, Any] = {}
    for argument in inspect.signature(cls).parameters.values():
        if argument.name in params:
            arguments[argument.name] = _pop_argument(params, argument)
    params.assert_empty(name or getattr(cls, "__name__", "the configuration"))
    try:
        inspect.signature(cls).bind(**arguments)
    except TypeError as error:
        message = f"The configuration of {name or cls} is incomplete: {error}."
        raise InvalidParameterError(message) from error
    return cls(**arguments)


def _pop_argument(params: Params, argument: inspect.Parameter) -> Any:
    name, default = argument.name, argument.default
    if isinstance(default, bool):
        return params.pop_bool(name)
    if isinstance(default, float):
        return params.pop_float(name)
    if isinstance(default, int):
        return params.pop_int(name)
    value = params.pop(name)
    kind = argument.annotation
    is_registrable = inspect.isclass(kind) and issubclass(kind, Registrable)
    if isinstance(value, Params) and is_registrable:
        return kind.from_params(value)
    return plain_dict(value)


class Registrable:
    """Base of classes whose subclasses have names in configurations.

    Examples
    --------
    >>> class Encoder(Registrable):
    ...     pass
    >>> @Encoder.register("sum")
    ... class SumEncoder(Encoder):
    ...     def __init__(self, width: int = 3):
    ...         self.width = width
    >>> Encoder.from_params(Params({"type": "sum", "width": 5})).width
    5
    """

    _registry: ClassVar[dict[type, dict[str, type]]] = {}
    default_implementation: ClassVar[str | None] = None
    _homes: ClassVar[Mapping[str, str]] = {}
    """Modules of this package that register a name when they are imported."""

    @classmethod
    def register(cls, name: str, exist_ok: bool = False) -> Callable[[type], type]:
        """Return a class decorator that gives a subclass its name."""
        names = Registrable._registry.setdefault(cls, {})

        def add(subclass: type) -> type:
            if name in names and not exist_ok:
                message = (
                    f"{name!r} is already the name of {names[name].__name__}. Choose "
                    "another name, or pass exist_ok=True."
                )
                raise InvalidParameterError(message)
            names[name] = subclass
            return subclass

        return add

    @classmethod
    def by_name(cls, name: str) -> Any:
        """Return the subclass of a name.

        Raises
        ------
        InvalidParameterError
            If there is none; the message has those that there are.
        """
        if name in cls._homes:
            importlib.import_module(cls._homes[name])
        names = Registrable._registry.get(cls, {})
        if name not in names:
            known = sorted({*names, *cls._homes})
            message = (
                f"{name!r} is not a known type of {cls.__name__}; there are "
                f"{', '.join(map(repr, known))}. Import the module that "
                "registers it first, or write it with torch.nn."
            )
            raise InvalidParameterError(message)
        return names[name]

    @classmethod
    def list_available(cls) -> list[str]:
        """Return all names, the default one first."""
        names = {**cls._homes, **Registrable._registry.get(cls, {})}
        return sorted(names, key=lambda name: name != cls.default_implementation)

    @classmethod
    def from_params(cls, params: Any, **extras: Any) -> Any:
        """Build the subclass that ``type`` names, or this class if it has no names.

        Parameters
        ----------
        params : Params or mapping
        **extras
            Passed on where they are accepted, for example ``vocab``.
        """
        params = params if isinstance(params, Params) else Params(params)
        if cls in Registrable._registry:
            kind = params.pop("type", cls.default_implementation or Params.DEFAULT)
            chosen = cls.by_name(kind)
            accepted = inspect.signature(chosen.from_params).parameters
            if not any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
                extras = {k: v for k, v in extras.items() if k in accepted}
            return chosen.from_params(params=params, **extras)
        accepted = inspect.signature(cls).parameters
        for name, value in extras.items():
            if name in accepted:
                params[name] = value
        return build(cls, params)
