"""Attributes that old code knows and that cannot take any value."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from torch import nn

__all__ = ["OldPlaces", "ReadOnlyDict"]


class ReadOnlyDict(dict[str, Any]):
    """Dict, and dicts in it, that refuse new values, which nothing would read."""

    _message = ""

    @classmethod
    def of(cls, values: Mapping[str, Any], place: str, advice: str) -> Self:
        """Copy a mapping; `place` and `advice` go into messages."""
        copy = cls(
            (key, cls.of(value, place, advice) if isinstance(value, dict) else value)
            for key, value in values.items()
        )
        copy._message = (
            f"{place} cannot be changed: the new value would have no effect. {advice}"
        )
        return copy

    def __reduce__(self) -> Any:
        """Pickle and copy as a plain dict."""
        return dict, (dict(self),)

    def _refuse(self, *_: object, **__: object) -> Any:
        raise TypeError(self._message)

    __setitem__ = __delitem__ = _refuse
    update = pop = popitem = clear = setdefault = __ior__ = _refuse


class OldPlaces(nn.Module):
    """Module that never accepts an assignment and then ignores it.

    Old code reads and writes private attributes of AllenNLP's classes. Subclasses have
    those attributes, or list them here with the advice to give.
    """

    _read_only: ClassVar[Mapping[str, str]] = {}
    """Attributes that can be read but not set."""
    _absent: ClassVar[Mapping[str, str]] = {}
    """Attributes of AllenNLP's class that this one does not have."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; refuse it where nothing would read the new value."""
        advice = self._read_only.get(name) or self._absent.get(name)
        if advice is not None:
            message = (
                f"{type(self).__name__}.{name} cannot be set: the new value would have "
                f"no effect. {advice}"
            )
            raise AttributeError(message)
        if isinstance(getattr(type(self), name, None), property):
            # torch.nn.Module would register tensors and modules beside the property.
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        """Explain why an attribute of AllenNLP's class is missing."""
        if name in self._absent:
            message = (
                f"{type(self).__name__} has no attribute {name!r}, unlike AllenNLP's "
                f"class. {self._absent[name]}"
            )
            raise AttributeError(message)
        return super().__getattr__(name)
