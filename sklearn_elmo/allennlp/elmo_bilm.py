"""The biLM as AllenNLP's `Elmo` holds it: with a state that lives between calls."""

import copy
from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from sklearn_elmo.allennlp.file_bilm import FileBiLm, SavedWeights, check_choice
from sklearn_elmo.allennlp.indexers import batch_to_ids
from sklearn_elmo.allennlp.model_files import FileName
from sklearn_elmo.bilm.characters import BEGIN_SENTENCE, END_SENTENCE
from sklearn_elmo.bilm.lstm import LstmState
from sklearn_elmo.errors import SklearnElmoWarning, TextValueError
from sklearn_elmo.inference.encoder import Encoder
from sklearn_elmo.messages import warn_caller

__all__ = ["ElmoBiLm", "StateMode"]

StateMode = Literal["carry", "zero", "warm"]

TOKENS_PER_CONVOLUTION = 512


class ElmoBiLm(FileBiLm):
    """A biLM that answers as AllenNLP's ``_ElmoBiLm`` does.

    Parameters
    ----------
    options_file, weight_file : path, URL or None
        As for `Elmo`.
    requires_grad : bool, default=False
        Whether the weights take part in training.
    vocab_to_cache : sequence of str, optional
        Words whose token vectors are computed once; index 0 is padding.
    state : {"carry", "zero", "warm"}, default="carry"
        State that row r of a batch starts from: that which row r of the last batch
        ended with, zeros, or one fixed state that depends on the model alone.
    saved_weights : {"all", "trained"}, default="all"
        As for `FileBiLm`.
    """

    def __init__(
        self,
        options_file: FileName | None = None,
        weight_file: FileName | None = None,
        requires_grad: bool = False,
        vocab_to_cache: Sequence[str] | None = None,
        *,
        state: StateMode = "carry",
        saved_weights: SavedWeights = "all",
    ) -> None:
        check_choice("state", state, ("carry", "zero", "warm"))
        super().__init__(options_file, weight_file, saved_weights)
        self.state_mode: StateMode = state
        # Plain attributes, not buffers: as in AllenNLP the carried state is neither
        # saved nor moved, and a DataParallel replica's stays with the replica.
        self._states: LstmState | None = None
        self._warm_state: LstmState | None = None
        self._word_embedding: nn.Embedding | None = None
        if vocab_to_cache is not None:
            self._cache_words(vocab_to_cache)
            if requires_grad:
                warn_caller(
                    "With requires_grad=True the vectors of vocab_to_cache are trained "
                    "apart from the character weights that they came from.",
                    SklearnElmoWarning,
                )
        arguments = {
            "options_file": options_file,
            "weight_file": weight_file,
            "requires_grad": requires_grad,
            "vocab_to_cache": vocab_to_cache,
            "state": state,
            "saved_weights": saved_weights,
        }
        self._finish(requires_grad, arguments)

    @property
    def num_layers(self) -> int:
        """L + 1, layer 0 included."""
        return self.options.n_layers + 1

    def get_output_dim(self) -> int:
        """Return the width D of a layer."""
        return self.options.output_dim

    def reset_states(self, mask: Tensor | None = None) -> None:
        """Forget the carried state.

        Parameters
        ----------
        mask : Tensor, optional
            1 for rows to forget, 0 for rows to keep; all rows by default.
            *Shape:* ``(rows,)``, rows being those of the largest batch so far.

        Raises
        ------
        ValueError
            The mask has another length.
        """
        if mask is None:
            self._states = None
            return
        n_rows = 0 if self._states is None else self._states[0].shape[1]
        if mask.ndim != 1 or len(mask) != n_rows:
            message = (
                f"The mask has the shape {tuple(mask.shape)}, but the carried state "
                f"has {n_rows} rows; give one value a row, or no mask."
            )
            raise TextValueError(message)
        if self._states is not None:
            gone = (mask != 0)[None, :, None].to(self._states[0].device)
            h, c = (part.masked_fill(gone, 0.0) for part in self._states)
            self._states = (h, c)

    def forward(  # type: ignore[override]  # AllenNLP's signature, not BiLm's
        self,
        inputs: Tensor,
        word_inputs: Tensor | None = None,
        *,
        state_rows: Tensor | None = None,
    ) -> dict[str, list[Tensor] | Tensor]:
        """Run a batch, boundaries included.

        Parameters
        ----------
        inputs : Tensor
            Character ids. *Shape:* ``(B, T, max_characters)``, int64.
        word_inputs : Tensor, optional
            Indices into `vocab_to_cache`; words outside it are read by their
            characters. *Shape:* ``(B, T)``, int64.
        state_rows : Tensor, optional
            Which row of the carried state belongs to each row of the batch; 0, 1, ...
            by default. *Shape:* ``(B,)``, int64.

        Returns
        -------
        dict
            ``"activations"``: L + 1 tensors ``(B, T + 2, D)``, ``"mask"``:
            ``(B, T + 2)``, int64.
        """
        self._check_inputs(inputs)
        if word_inputs is not None and self._word_embedding is not None:
            # Index 0 is padding, another one a word, whatever the characters say.
            is_word = (word_inputs != 0).unsqueeze(-1)
            inputs = torch.where(is_word, inputs.clamp(min=1), 0)
        ids, mask = self.add_boundaries(inputs)
        if word_inputs is not None and self._word_embedding is not None:
            vectors = self._vectors_with_cache(ids, mask, word_inputs)
        else:
            flat = self._vectors(ids.flatten(0, 1))
            vectors = flat.reshape(*mask.shape, flat.shape[1])
        if state_rows is None:
            state_rows = torch.arange(len(inputs), device=vectors.device)
        start = self._start_state(state_rows, vectors)
        output = self.contextualize(vectors, mask, start)
        self._keep_state(output.state, state_rows)
        return {"activations": output.layers, "mask": mask.long()}

    def _check_inputs(self, inputs: Tensor) -> None:
        expected = self.options.max_characters
        if inputs.ndim != 3 or inputs.shape[-1] != expected:
            message = (
                f"The character ids have the shape {tuple(inputs.shape)}; this model "
                f"needs (..., tokens, {expected}), as batch_to_ids makes them with "
                f"max_characters={expected}."
            )
            raise TextValueError(message)

    def _vectors(self, ids: Tensor) -> Tensor:
        """Return token vectors. *Shape:* ``(N, max_characters)`` -> ``(N, P)``.

        Without gradients each different token is computed once, a few at a time: a
        batch's convolutions would else need some 400 kB a token.
        """
        if len(ids) == 0 or (torch.is_grad_enabled() and not self.is_frozen):
            vectors: Tensor = self._token_embedder(ids)
            return vectors
        unique, inverse = torch.unique(ids, dim=0, return_inverse=True)
        chunks = [
            self._token_embedder(chunk)
            for chunk in unique.split(TOKENS_PER_CONVOLUTION)
        ]
        return torch.cat(chunks)[inverse]

    def _vectors_with_cache(
        self, ids: Tensor, mask: Tensor, word_inputs: Tensor
    ) -> Tensor:
        """Return token vectors, from the cache where it has them.

        *Shape:* ``(B, T + 2, max_characters)`` -> ``(B, T + 2, P)``.
        """
        assert self._word_embedding is not None
        words = nn.functional.pad(word_inputs, (1, 1))  # (B, T + 2)
        is_cached = (words > 0) & (words < self._word_embedding.num_embeddings)
        from_characters = mask & ~is_cached
        lengths = mask.sum(dim=1)
        rows = torch.arange(len(ids), device=ids.device)
        from_characters[:, 0] = False
        from_characters[rows, lengths - 1] = False
        vectors = self._boundary_vectors.new_zeros(*words.shape, self._width)
        vectors[:, 0] = self._boundary_vectors[0]
        vectors[rows, lengths - 1] = self._boundary_vectors[1]
        vectors[is_cached] = self._word_embedding(words[is_cached])
        if from_characters.any():
            vectors[from_characters] = self._vectors(ids[from_characters])
        return vectors

    def _cache_words(self, words: Sequence[str]) -> None:
        """Compute the token vectors of words, and of ``<S>`` and ``</S>``."""
        tokens = [[BEGIN_SENTENCE, END_SENTENCE, *words]]
        ids = batch_to_ids(tokens, max_characters=self.options.max_characters)[0]
        with torch.no_grad():
            vectors = self._vectors(ids)
        # Named as AllenNLP names them.
        self._word_embedding = nn.Embedding(len(words), vectors.shape[1], padding_idx=0)
        self._word_embedding.weight = nn.Parameter(vectors[2:].clone())
        self.register_buffer("_boundary_vectors", vectors[:2], persistent=False)
        self._width = vectors.shape[1]

    _boundary_vectors: Tensor

    def _mode(self) -> StateMode:
        """Return `state_mode`, unless it is turned off in the way of old code.

        AllenNLP had no argument for it; ``elmo._elmo_lstm._elmo_lstm.stateful = False``
        was the way.
        """
        is_stateful = getattr(self._elmo_lstm, "stateful", True)
        return self.state_mode if is_stateful else "zero"

    def _start_state(self, rows: Tensor, like: Tensor) -> LstmState | None:
        if self._mode() == "zero":
            return None
        if self._mode() == "warm":
            h, c = (part.to(like) for part in self._fixed_warm_state())
            return h[:, None].repeat(1, len(rows), 1), c[:, None].repeat(
                1, len(rows), 1
            )
        if self._states is None:
            return None
        h, c = (_with_rows(part.to(like), rows)[:, rows] for part in self._states)
        return h, c

    def _fixed_warm_state(self) -> LstmState:
        """Return the model's warm state; computed anew while it is being trained."""
        is_replica = getattr(self, "_is_replica", False)
        if self._warm_state is None or not (is_replica or self.is_frozen):
            weight = next(self.parameters())
            # The encoder reads in float32.
            is_float32 = weight.dtype == torch.float32
            model = self if is_float32 else copy.deepcopy(self).float()
            h, c = Encoder(model).warm_state()
            # A clone made here is no inference tensor, so that training may use it.
            with torch.inference_mode(False):
                self._warm_state = h.clone(), c.clone()
        return self._warm_state

    def _keep_state(self, state: LstmState, rows: Tensor) -> None:
        if self._mode() != "carry":
            return
        kept = []
        for number, part in enumerate(state):
            new = part.detach()
            old = new[:, :0] if self._states is None else self._states[number].to(new)
            # A copy made here is no inference tensor, so that training may use it.
            with torch.inference_mode(False):
                whole = _with_rows(old, rows).clone()
                whole[:, rows] = new
            kept.append(whole)
        self._states = kept[0], kept[1]

    def _replicate_for_data_parallel(self) -> Any:
        """Give DataParallel's replicas the warm state: they cannot compute it."""
        if self.state_mode == "warm":
            self._fixed_warm_state()
        return super()._replicate_for_data_parallel()  # type: ignore[no-untyped-call]

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any
    ) -> None:
        self._warm_state = None
        super()._load_from_state_dict(state_dict, prefix, *args)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the carried state out of pickles."""
        return {**self.__dict__, "_states": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copy the weights and the carried state."""
        new = type(self).__new__(type(self))
        memo[id(self)] = new
        new.__dict__ = copy.deepcopy(self.__dict__, memo)
        return new


def _with_rows(part: Tensor, rows: Tensor) -> Tensor:
    """Add rows of zeros until `rows` are there. ``(L, n, ...)`` -> ``(L, m, ...)``."""
    if len(rows) == 0:
        return part
    missing = int(rows.max()) + 1 - part.shape[1]
    return nn.functional.pad(part, (0, 0, 0, max(missing, 0)))
