"""A biLM that knows its files, and may leave its weights to them when it is saved."""

import hashlib
from typing import Any, Literal

import torch
from torch import Tensor

from sklearn_elmo.allennlp.model_files import FileName, read_files
from sklearn_elmo.bilm.layout import WeightLayout
from sklearn_elmo.bilm.model import BiLm
from sklearn_elmo.bilm.weights import ModelFiles
from sklearn_elmo.errors import InvalidParameterError, ModelMismatchError

__all__ = ["FileBiLm", "SavedWeights", "check_choice"]

SavedWeights = Literal["all", "trained"]

_DIGEST_KEY = "frozen_weights_digest"


class FileBiLm(BiLm):
    """A biLM read from files.

    Subclasses call `_finish` at the end of their ``__init__``.

    Parameters
    ----------
    options_file, weight_file : path, URL or None
        As for `Elmo`.
    saved_weights : {"all", "trained"}
        ``"trained"``: a frozen biLM leaves its weights out of ``state_dict()`` and of
        pickles, which then name its files and hold their digest. One that was trained
        and frozen again is saved whole.
    """

    def __init__(
        self,
        options_file: FileName | None,
        weight_file: FileName | None,
        saved_weights: SavedWeights,
    ) -> None:
        check_choice("saved_weights", saved_weights, ("all", "trained"))
        files = read_files(options_file, weight_file)
        layout = WeightLayout.of(files.options, files.arrays)
        super().__init__(
            files.options,
            has_output_projection=layout.has_output_projection,
            has_token_projection=layout.has_token_projection,
        )
        self.load_state_dict(_parameters_of(files))
        self.digest = files.digest
        self.saved_weights: SavedWeights = saved_weights
        self._files = (options_file, weight_file)
        self._arguments: dict[str, Any] = {}
        self._hash_as_read: bytes | None = None

    def _finish(self, requires_grad: bool, arguments: dict[str, Any]) -> None:
        """Freeze or not, and note what builds the like of this object again."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        self._arguments = arguments
        if self.saved_weights == "trained":
            self._hash_as_read = self._hash()

    @property
    def is_frozen(self) -> bool:
        """Whether no weight takes part in training."""
        return not any(parameter.requires_grad for parameter in self.parameters())

    def _weights_are_saved(self) -> bool:
        if self.saved_weights == "all" or not self.is_frozen:
            return True
        return self._hash() != self._hash_as_read  # trained, and frozen again

    def _hash(self) -> bytes:
        """Return a digest of the weights as they are now; 0.5 s for 400 MB."""
        digest = hashlib.sha256()
        for parameter in self.parameters():
            bits = parameter.detach().cpu().contiguous().view(-1).view(torch.uint8)
            digest.update(bits.numpy().data)
        return digest.digest()

    def state_dict(  # type: ignore[override]  # passed on as it comes
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
        """Take a state dict without the frozen weights: the files have them."""
        saved = state_dict.pop(prefix + _DIGEST_KEY, None)
        if saved is not None:
            files = read_files(*self._files)
            _check_digest(files.digest, bytes(saved.tolist()).hex())
            own = super().state_dict() | _parameters_of(files)
            for key, value in own.items():
                state_dict.setdefault(prefix + key, value)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle as the files' names and digest where the weights are not saved."""
        if self._weights_are_saved():
            return super().__reduce_ex__(protocol)
        return _read_again, (type(self), self._arguments, self.digest, self.training)


def _read_again(
    cls: type[FileBiLm], arguments: dict[str, Any], digest: str, training: bool
) -> FileBiLm:
    """Unpickle a biLM whose weights are in its files alone."""
    bilm = cls(**arguments)
    _check_digest(bilm.digest, digest)
    return bilm.train(training)


def _parameters_of(files: ModelFiles) -> dict[str, Tensor]:
    layout = WeightLayout.of(files.options, files.arrays)
    parameters = layout.to_parameters(files.arrays)
    return {name: torch.from_numpy(array) for name, array in parameters.items()}


def _check_digest(found: str, saved: str) -> None:
    if found != saved:
        message = (
            f"What was saved belongs to a biLM with the digest {saved[:12]}..., but "
            f"this one has {found[:12]}...; build it from the same files."
        )
        raise ModelMismatchError(message)


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise InvalidParameterError where a parameter of `Elmo` has a wrong value."""
    if value not in choices:
        message = (
            f"The {name!r} parameter of Elmo must be one of {', '.join(choices)}. "
            f"Got {value!r} instead."
        )
        raise InvalidParameterError(message)
