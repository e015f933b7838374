"""`ElmoTokenEmbedderMultiLang`: one ELMo per language, aligned to each other."""

import contextlib
import pickle
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_elmo.allennlp.elmo import Elmo
from sklearn_elmo.allennlp.elmo_bilm import StateMode
from sklearn_elmo.allennlp.elmo_token_embedder import cached_words
from sklearn_elmo.allennlp.model_files import FileName, cached_path
from sklearn_elmo.allennlp.params import Params
from sklearn_elmo.allennlp.registrable import build
from sklearn_elmo.allennlp.token_embedder import TokenEmbedder
from sklearn_elmo.errors import InvalidParameterError

__all__ = ["ElmoTokenEmbedderMultiLang"]

FileNames = Mapping[str, FileName]

# What a pickled array of floats consists of, under its names in numpy 1 and 2. The
# released alignments are arrays; nothing else may be called by a file.
_RECONSTRUCT = np.zeros(0).__reduce__()[0]
_ARRAY_GLOBALS: list[Any] = [
    (_RECONSTRUCT, "numpy.core.multiarray._reconstruct"),
    (_RECONSTRUCT, "numpy._core.multiarray._reconstruct"),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(name)) for name in ("float32", "float64")),
]


@TokenEmbedder.register("elmo_token_embedder_multilang")
class ElmoTokenEmbedderMultiLang(TokenEmbedder):
    """ELMo vectors of several languages in one space (Schuster et al. 2019).

    Parameters
    ----------
    options_files, weight_files : mapping of str to path or URL
        The two files of each language's model, by language.
    do_layer_norm, dropout, requires_grad, vocab_to_cache, scalar_mix_parameters, state
        As in `Elmo`.
    projection_dim : int, optional
        Width of a learned linear map after the alignment; none by default.
    aligning_files : mapping of str to path or URL, optional
        Files written by ``torch.save`` with each language's matrix ``(D, D)``; the
        identity for languages without one. They are read with ``weights_only=True``.

    Raises
    ------
    InvalidParameterError
        If the languages differ, or the widths of their models, or if an alignment
        file is not a matrix of that width.

    Examples
    --------
    >>> from sklearn_elmo import batch_to_ids, models
    >>> from sklearn_elmo.allennlp import ElmoTokenEmbedderMultiLang
    >>> folder = models.describe("default")["source"]
    >>> elmo = ElmoTokenEmbedderMultiLang(
    ...     {"en": f"{folder}/options.json"}, {"en": f"{folder}/weights.hdf5"}
    ... )
    >>> elmo(batch_to_ids([["A", "cat"]]), lang="en").shape
    torch.Size([1, 2, 512])
    """

    def __init__(
        self,
        options_files: FileNames,
        weight_files: FileNames,
        do_layer_norm: bool = False,
        dropout: float = 0.5,
        requires_grad: bool = False,
        projection_dim: int | None = None,
        vocab_to_cache: Sequence[str] | None = None,
        scalar_mix_parameters: Sequence[float] | None = None,
        aligning_files: FileNames | None = None,
        *,
        state: StateMode = "carry",
    ) -> None:
        super().__init__()
        if options_files.keys() != weight_files.keys() or not options_files:
            message = (
                f"options_files has the languages {sorted(options_files)} and "
                f"weight_files {sorted(weight_files)}. Pass the same ones."
            )
            raise InvalidParameterError(message)
        self._languages = list(weight_files)
        for language in self._languages:
            elmo = Elmo(
                options_files[language],
                weight_files[language],
                1,
                requires_grad=requires_grad,
                do_layer_norm=do_layer_norm,
                dropout=dropout,
                vocab_to_cache=vocab_to_cache,
                scalar_mix_parameters=scalar_mix_parameters,
                state=state,
            )
            self.add_module(f"elmo_{language}", elmo)
        widths = {lang: self._elmo(lang).get_output_dim() for lang in self._languages}
        width = widths[self._languages[0]]
        if set(widths.values()) != {width}:
            message = f"The models have different widths: {widths}; expected one width."
            raise InvalidParameterError(message)
        self.output_dim = projection_dim or width
        # Before the matrices: AllenNLP's order of parameters.
        self._projection = nn.Linear(width, projection_dim) if projection_dim else None
        for language in self._languages:
            aligning = nn.Linear(width, width, bias=False)
            matrix = _read_matrix((aligning_files or {}).get(language), width)
            aligning.weight = nn.Parameter(matrix, requires_grad=False)
            self.add_module(f"aligning_{language}", aligning)

    @classmethod
    def from_params(  # type: ignore[override]  # AllenNLP's signature
        cls, vocab: Any = None, params: Any = None
    ) -> Self:
        """Build from a configuration.

        Parameters
        ----------
        vocab : Vocabulary or None
            Has the words of ``namespace_to_cache``.
        params : Params or mapping
            Arguments of this class; emptied if it is `Params`.
        """
        params = params if isinstance(params, Params) else Params(params)
        words = cached_words(vocab, params)
        params.pop("namespace_to_cache", None)
        if words is not None:
            params["vocab_to_cache"] = words
        return build(cls, params, "an 'elmo_token_embedder_multilang'")

    def get_output_dim(self) -> int:
        """Return the width of a token's vector."""
        return self.output_dim

    def _elmo(self, language: str) -> Elmo:
        return self.get_submodule(f"elmo_{language}")  # type: ignore[return-value]

    def forward(
        self, inputs: Tensor, lang: str, word_inputs: Tensor | None = None
    ) -> Tensor:
        """Embed a batch of one language.

        Parameters
        ----------
        inputs : Tensor
            Character ids. *Shape:* ``(..., T, 50)``.
        lang : str
            A key of `weight_files`.
        word_inputs : Tensor, optional
            As in `Elmo.forward`.

        Returns
        -------
        Tensor
            *Shape:* ``(..., T, output_dim)``.

        Raises
        ------
        InvalidParameterError
            If there is no model of this language.
        """
        if lang not in self._languages:
            message = (
                f"The 'lang' argument must be one of {', '.join(self._languages)}. "
                f"Got {lang!r} instead."
            )
            raise InvalidParameterError(message)
        output = self._elmo(lang)(inputs, word_inputs)
        vectors: Tensor = output["elmo_representations"][0]
        vectors = self.get_submodule(f"aligning_{lang}")(vectors)
        return vectors if self._projection is None else self._projection(vectors)


def _read_matrix(file: FileName | None, width: int) -> Tensor:
    """Return an alignment matrix. *Shape:* ``(width, width)``."""
    if not file:
        return torch.eye(width)
    # Older versions of PyTorch read tensors only.
    allow_arrays = (
        torch.serialization.safe_globals(_ARRAY_GLOBALS)
        if torch.__version__ >= "2.6"
        else contextlib.nullcontext()
    )
    try:
        with allow_arrays:
            content = torch.load(
                cached_path(file), map_location="cpu", weights_only=True
            )
        matrix = torch.as_tensor(content, dtype=torch.float32)
    except (pickle.UnpicklingError, RuntimeError, TypeError, ValueError) as error:
        message = (
            f"The alignment file {str(file)!r} cannot be read "
            f"({str(error).splitlines()[0]}). Expected a tensor, or with PyTorch 2.6 "
            "or later an array, that was written by torch.save."
        )
        raise InvalidParameterError(message) from error
    if matrix.shape != (width, width):
        message = (
            f"The alignment matrix in {str(file)!r} has the shape "
            f"{tuple(matrix.shape)}; expected ({width}, {width})."
        )
        raise InvalidParameterError(message)
    return matrix
