"""AllenNLP's configuration dicts, whose keys are taken out one by one."""

import copy
import json
import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, ClassVar, Self, TypeVar

from sklearn_elmo.allennlp.model_files import cached_path
from sklearn_elmo.errors import InvalidParameterError

__all__ = ["Params", "plain_dict"]

_T = TypeVar("_T")
_REQUIRED = object()


class Params(MutableMapping[str, Any]):
    """A configuration dict whose keys are taken out one by one.

    Parameters
    ----------
    params : mapping
    history : str
        Where the dict is in the whole configuration, for messages.
    files_to_archive : dict of str to str, optional
        Filled by `add_file_to_archive`.

    Examples
    --------
    >>> params = Params({"dropout": "0.5", "files": {"en": "a"}})
    >>> params.pop_float("dropout"), params.pop("files").as_dict()
    (0.5, {'en': 'a'})
    >>> params.assert_empty("Elmo")
    """

    DEFAULT: ClassVar = _REQUIRED

    def __init__(
        self,
        params: Mapping[str, Any],
        history: str = "",
        files_to_archive: dict[str, str] | None = None,
    ) -> None:
        self.params: dict[str, Any] = plain_dict(params)
        self.history = history
        self.files_to_archive = {} if files_to_archive is None else files_to_archive

    @classmethod
    def from_file(cls, params_file: str | os.PathLike[str]) -> Self:
        """Read a JSON file. Jsonnet is not evaluated."""
        with open(cached_path(params_file), encoding="utf-8") as file:
            try:
                return cls(json.load(file))
            except ValueError as error:
                message = (
                    f"{os.fspath(params_file)!r} is not JSON ({error}). Jsonnet is not "
                    "supported: convert the file with the program jsonnet first."
                )
                raise InvalidParameterError(message) from error

    def add_file_to_archive(self, name: str) -> None:
        """Note the path that a key holds in `files_to_archive`."""
        self.files_to_archive[self.history + name] = cached_path(self.get(name))

    def pop(
        self, key: str, default: Any = _REQUIRED, keep_as_dict: bool = False
    ) -> Any:
        """Take a value out; a dict is returned as `Params` unless `keep_as_dict`.

        Raises
        ------
        InvalidParameterError
            If the key is missing and there is no default.
        """
        if key not in self.params and default is _REQUIRED:
            message = (
                f"The configuration has no key {self.history + key!r}; it is required. "
                f"Found {', '.join(map(repr, self.params)) or 'no keys'}."
            )
            raise InvalidParameterError(message)
        value = self.params.pop(key, default)
        return value if keep_as_dict else self._wrap(key, value)

    def pop_int(self, key: str, default: Any = _REQUIRED) -> int | None:
        """Take a whole number out; it may be written as a string."""
        return _convert(int, self.history + key, self.pop(key, default))

    def pop_float(self, key: str, default: Any = _REQUIRED) -> float | None:
        """Take a number out; it may be written as a string."""
        return _convert(float, self.history + key, self.pop(key, default))

    def pop_bool(self, key: str, default: Any = _REQUIRED) -> bool | None:
        """Take true or false out; it may be written as a string."""
        value = self.pop(key, default)
        return _convert(_to_bool, self.history + key, value)

    def pop_choice(
        self, key: str, choices: list[Any], default_to_first_choice: bool = False
    ) -> Any:
        """Take out one of several values."""
        value = self.pop(key, choices[0] if default_to_first_choice else _REQUIRED)
        if value not in choices:
            message = (
                f"The configuration's {self.history + key!r} must be one of "
                f"{', '.join(map(repr, choices))}. Got {value!r} instead."
            )
            raise InvalidParameterError(message)
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value and leave it in place; a dict is returned as `Params`."""
        return self._wrap(key, self.params.get(key, default))

    def as_dict(self, quiet: bool = True) -> dict[str, Any]:
        """Return the remaining keys as a dict, silently whatever `quiet` is."""
        return self.params

    def duplicate(self) -> "Params":
        """Return an independent copy."""
        return Params(copy.deepcopy(self.params), self.history)

    def assert_empty(self, class_name: str) -> None:
        """Refuse keys that nobody took out.

        Raises
        ------
        InvalidParameterError
            If there are any.
        """
        if self.params:
            message = (
                f"The configuration of {class_name} has unknown keys: "
                f"{', '.join(map(repr, self.params))}. Remove them, or correct their "
                "names."
            )
            raise InvalidParameterError(message)

    def _wrap(self, key: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return Params(value, f"{self.history}{key}.", self.files_to_archive)
        if isinstance(value, list):
            return [self._wrap(f"{key}.{i}", item) for i, item in enumerate(value)]
        return value

    def __getitem__(self, key: str) -> Any:
        """Return a value; a dict is returned as `Params`."""
        return self._wrap(key, self.params[key])

    def __setitem__(self, key: str, value: Any) -> None:
        """Set a value."""
        self.params[key] = value

    def __delitem__(self, key: str) -> None:
        """Delete a value."""
        del self.params[key]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the remaining keys."""
        return iter(self.params)

    def __len__(self) -> int:
        """Return the number of remaining keys."""
        return len(self.params)


def plain_dict(config: Any) -> Any:
    """Return dicts and lists in place of nested `Params` and other mappings."""
    if isinstance(config, Params):
        config = config.params
    if isinstance(config, Mapping):
        return {key: plain_dict(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [plain_dict(value) for value in config]
    return config


def _to_bool(value: Any) -> bool:
    named = {"true": True, "false": False, True: True, False: False}
    if value not in named:
        message = "not true or false"
        raise ValueError(message)
    return named[value]


def _convert(kind: Callable[[Any], _T], place: str, value: Any) -> _T | None:
    try:
        return None if value is None else kind(value)
    except (ValueError, TypeError) as error:
        expected = {int: "a whole number", float: "a number"}
        message = (
            f"The configuration's {place!r} must be "
            f"{expected.get(kind, 'true or false')}. Got {value!r} instead."  # type: ignore[call-overload]
        )
        raise InvalidParameterError(message) from error
