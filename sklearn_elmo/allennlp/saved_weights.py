"""A biLM that may leave its frozen weights to their files when it is saved."""

import copy
import hashlib
from collections.abc import Mapping
from typing import Any, Literal, Self

import torch

from sklearn_elmo.allennlp.model_files import FileName, parameters_of, read_files
from sklearn_elmo.allennlp.old_places import OldPlaces
from sklearn_elmo.bilm.weights import ModelFiles
from sklearn_elmo.errors import InvalidParameterError, ModelMismatchError

__all__ = ["FileBiLm", "SavedWeights", "check_choice"]

SavedWeights = Literal["all", "trained"]

_DIGEST_KEY = "frozen_weights_digest"


class FileBiLm(OldPlaces):
    """Module whose weights come from model files.

    Subclasses add their layers and call `_remember_weights` at the end of ``__init__``.

    Parameters
    ----------
    files : ModelFiles
    file_names : pair of path, URL or None
        Where the files were read from.
    saved_weights : {"all", "trained"}
        ``"trained"``: a frozen model leaves its weights out of ``state_dict()`` and of
        pickles, which hold the digest instead. A model that was trained and frozen
        again is saved with its weights.
    """

    def __init__(
        self,
        files: ModelFiles,
        file_names: tuple[FileName | None, FileName | None],
        saved_weights: SavedWeights,
    ) -> None:
        super().__init__()
        self.options = files.options
        self.digest = files.digest
        self.saved_weights: SavedWeights = saved_weights
        self._file_names = file_names
        self._arguments: dict[str, Any] = {}
        self._original_hash: bytes | None = None

    def _remember_weights(self, arguments: dict[str, Any]) -> None:
        """Note the weights as read, and the arguments that build this object."""
        self._arguments = arguments
        if self.saved_weights == "trained":
            self._original_hash = self._hash()

    @property
    def is_frozen(self) -> bool:
        """Whether no weight can be trained."""
        return not any(parameter.requires_grad for parameter in self.parameters())

    def _weights_are_saved(self) -> bool:
        if self.saved_weights == "all" or not self.is_frozen:
            return True
        return self._hash() != self._original_hash  # trained, and frozen again

    def _hash(self) -> bytes:
        """Return a digest of the current weights; takes 0.5 s for 400 MB."""
        digest = hashlib.sha256()
        for parameter in self.parameters():
            bits = parameter.detach().cpu().contiguous().view(-1).view(torch.uint8)
            digest.update(bits.numpy().data)
        return digest.digest()

    def state_dict(  # type: ignore[override]  # passes everything on
        self, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Return the weights, or only their digest (see `saved_weights`)."""
        if self._weights_are_saved():
            return super().state_dict(*args, **kwargs)
        destination: dict[str, Any] | None = kwargs.get("destination")
        if destination is None:
            destination = {}
        prefix = kwargs.get("prefix", "")
        digest = torch.tensor(list(bytes.fromhex(self.digest)), dtype=torch.uint8)
        destination[prefix + _DIGEST_KEY] = digest
        return destination

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any
    ) -> None:
        """Accept a state dict without the frozen weights, which the files have."""
        saved = state_dict.pop(prefix + _DIGEST_KEY, None)
        if saved is not None:
            files = read_files(*self._file_names)
            _check_digest(files.digest, bytes(saved.tolist()).hex())
            own: Mapping[str, Any] = super().state_dict() | dict(parameters_of(files))
            for key, value in own.items():
                state_dict.setdefault(prefix + key, value)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _light_state(self) -> dict[str, Any]:
        """Return what a pickle without weights keeps besides the arguments."""
        return {"training": self.training}

    def _set_light_state(self, state: dict[str, Any]) -> None:
        self.train(state["training"])

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle as names of files and their digest if the weights are not saved."""
        if self._weights_are_saved():
            return super().__reduce_ex__(protocol)
        arguments = (type(self), self._arguments, self.digest, self._light_state())
        return _read_again, arguments

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copy the weights in memory; the files are not read again."""
        new = type(self).__new__(type(self))
        memo[id(self)] = new
        new.__dict__ = copy.deepcopy(self.__dict__, memo)
        return new


def _read_again(
    cls: type[FileBiLm],
    arguments: dict[str, Any],
    digest: str,
    light_state: dict[str, Any],
) -> FileBiLm:
    """Unpickle a biLM whose weights are only in its files."""
    bilm = cls(**arguments)
    _check_digest(bilm.digest, digest)
    bilm._set_light_state(light_state)
    return bilm


def _check_digest(found: str, saved: str) -> None:
    if found != saved:
        message = (
            f"The saved state belongs to a biLM with the digest {saved[:12]}..., but "
            f"this one has {found[:12]}... Build it from the same files."
        )
        raise ModelMismatchError(message)


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise InvalidParameterError if a parameter of `Elmo` has an unknown value."""
    if value not in choices:
        message = (
            f"The {name!r} parameter of Elmo must be one of {', '.join(choices)}. "
            f"Got {value!r} instead."
        )
        raise InvalidParameterError(message)
