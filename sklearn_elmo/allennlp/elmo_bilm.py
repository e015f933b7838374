"""The biLM inside `Elmo`: all layers of a batch, with a state that lives on."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from sklearn_elmo.allennlp.character_encoder import ElmoCharacterEncoder
from sklearn_elmo.allennlp.character_ids import batch_to_ids
from sklearn_elmo.allennlp.elmo_lstm import ElmoLstm
from sklearn_elmo.allennlp.embedding import Embedding
from sklearn_elmo.allennlp.model_files import FileName, parameters_of, read_files
from sklearn_elmo.allennlp.saved_weights import FileBiLm, SavedWeights, check_choice
from sklearn_elmo.allennlp.sequences import add_sentence_boundary_token_ids
from sklearn_elmo.bilm.characters import BEGIN_SENTENCE, END_SENTENCE
from sklearn_elmo.bilm.layout import WeightLayout
from sklearn_elmo.bilm.lstm import LstmState
from sklearn_elmo.bilm.model import BiLm
from sklearn_elmo.errors import SklearnElmoWarning, TextValueError
from sklearn_elmo.inference.encoder import Encoder
from sklearn_elmo.messages import warn_caller

__all__ = ["ElmoBiLm", "StateMode"]

StateMode = Literal["carry", "zero", "warm"]


class ElmoBiLm(FileBiLm):
    """A biLM with the attributes and outputs of AllenNLP's ``_ElmoBiLm``.

    Parameters
    ----------
    options_file, weight_file : path, URL or None
        As in `Elmo`.
    requires_grad : bool, default=False
        Whether the weights can be trained.
    vocab_to_cache : sequence of str, optional
        Words whose token vectors are computed once; index 0 is padding.
    state : {"carry", "zero", "warm"}, default="carry"
        State that row r of a batch starts from: the final state of row r of the
        previous batch, zeros, or one fixed state that depends only on the model.
    saved_weights : {"all", "trained"}, default="all"
        As in `Elmo`.
    """

    _read_only: ClassVar = {"num_layers": "Build another biLM from other files."}
    _absent: ClassVar = {"_states": "The state is in _elmo_lstm._states."}

    _bos_embedding: Tensor | None
    _eos_embedding: Tensor | None

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
        check_choice("saved_weights", saved_weights, ("all", "trained"))
        files = read_files(options_file, weight_file)
        super().__init__(files, (options_file, weight_file), saved_weights)
        self.state_mode: StateMode = state
        self._requires_grad = requires_grad
        self._warm_state: LstmState | None = None
        # The order of modules is AllenNLP's: optimizer states depend on it.
        self._token_embedder = ElmoCharacterEncoder(
            options_file, weight_file, requires_grad, files=files
        )
        self._word_embedding: Embedding | None = None
        self.register_buffer("_bos_embedding", None, persistent=False)
        self.register_buffer("_eos_embedding", None, persistent=False)
        if vocab_to_cache is not None and len(vocab_to_cache) > 0:
            if requires_grad:
                warn_caller(
                    "With requires_grad=True the vectors of vocab_to_cache are trained "
                    "independently of the character weights that they came from.",
                    SklearnElmoWarning,
                )
            self.create_cached_cnn_embeddings(vocab_to_cache)
        layout = WeightLayout.of(files.options, files.arrays)
        self._elmo_lstm = ElmoLstm.of_options(
            files.options, has_projection=layout.has_output_projection
        )
        self._elmo_lstm.load_state_dict(parameters_of(files, "_elmo_lstm."))
        self._elmo_lstm.requires_grad = requires_grad
        self._elmo_lstm.requires_grad_(requires_grad)
        self._elmo_lstm.stateful = state == "carry"
        arguments = {
            "options_file": options_file,
            "weight_file": weight_file,
            "requires_grad": requires_grad,
            "vocab_to_cache": vocab_to_cache,
            "state": state,
            "saved_weights": saved_weights,
        }
        self._remember_weights(arguments)

    @property
    def num_layers(self) -> int:
        """Number of layers, L + 1: layer 0 counts."""
        return self.options.n_layers + 1

    def get_output_dim(self) -> int:
        """Return the width D of a layer."""
        return self.options.output_dim

    def reset_states(self, mask: Tensor | None = None) -> None:
        """Forget the carried state; see `EncoderBase.reset_states`."""
        self._elmo_lstm.reset_states(mask)

    def create_cached_cnn_embeddings(self, tokens: Sequence[str]) -> None:
        """Compute the token vectors of words once, and those of ``<S>`` and ``</S>``.

        Sets ``_word_embedding``, ``_bos_embedding`` and ``_eos_embedding``, which
        `forward` uses for `word_inputs`.

        Parameters
        ----------
        tokens : sequence of str
            The word at index 0 stands for padding; its vector is 0.
        """
        ids = batch_to_ids(
            [[BEGIN_SENTENCE, END_SENTENCE, *tokens]],
            max_characters=self.options.max_characters,
        ).to(self._token_embedder._char_embedding_weights.device)
        with torch.no_grad():
            vectors = self._token_embedder(ids)["token_embedding"][0, 1:-1]
        self._bos_embedding, self._eos_embedding = vectors[0], vectors[1]
        self._word_embedding = Embedding(
            len(tokens),
            vectors.shape[1],
            weight=vectors[2:].clone(),
            padding_index=0,
            trainable=self._requires_grad,
        )

    def forward(
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
            Character ids. *Shape:* ``(B, T, max_characters)``. Not read where
            `word_inputs` has the index of a cached word.
        word_inputs : Tensor, optional
            Indices into `vocab_to_cache`, 0 for padding; words outside of it are read
            by their characters. *Shape:* ``(B, T)``.
        state_rows : Tensor, optional
            As in `ElmoLstm.forward`.

        Returns
        -------
        dict
            ``"activations"``: L + 1 tensors ``(B, T + 2, D)``, ``"mask"``:
            ``(B, T + 2)``, int64.
        """
        if self._word_embedding is None or word_inputs is None:
            encoded = self._token_embedder(inputs)
            vectors, mask = encoded["token_embedding"], encoded["mask"]
        else:
            vectors, mask = self._cached_vectors(inputs, word_inputs.long())
        layers = self._elmo_lstm(vectors, mask, **self._start(state_rows))
        doubled = torch.cat([vectors, vectors], dim=-1)
        token_layer = doubled * mask.unsqueeze(-1).to(doubled.dtype)
        return {"activations": [token_layer, *layers.unbind(0)], "mask": mask}

    def _cached_vectors(
        self, inputs: Tensor, word_inputs: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return token vectors, from the cache where it has the words, and the mask.

        *Shape:* ``(B, T + 2, P)`` and ``(B, T + 2)``.
        """
        assert self._word_embedding is not None
        assert self._bos_embedding is not None
        assert self._eos_embedding is not None
        is_cached = (word_inputs > 0) & (
            word_inputs < self._word_embedding.num_embeddings
        )
        is_token = is_cached
        vectors = self._word_embedding(word_inputs * is_cached)  # (B, T, P)
        is_other = (word_inputs != 0) & ~is_cached
        if is_other.any():
            if inputs.shape[:-1] != word_inputs.shape:
                message = (
                    f"word_inputs has {int(is_other.sum())} indices outside of the "
                    f"{self._word_embedding.num_embeddings} cached words, and inputs "
                    f"of the shape {tuple(inputs.shape)} hold no characters of them. "
                    "Pass character ids as well, or cache all words."
                )
                raise TextValueError(message)
            is_other = is_other & (inputs > 0).any(dim=-1)
            # One sentence per word: between boundaries, its vector is at position 1.
            encoded = self._token_embedder(inputs[is_other].unsqueeze(1))
            vectors = vectors.masked_scatter(
                is_other.unsqueeze(-1), encoded["token_embedding"][:, 1].to(vectors)
            )
            is_token = is_cached | is_other
        return add_sentence_boundary_token_ids(
            vectors, is_token, self._bos_embedding, self._eos_embedding
        )

    def _start(self, state_rows: Tensor | None) -> dict[str, Any]:
        """Return the keyword arguments that choose the state to start from."""
        if not isinstance(self._elmo_lstm, ElmoLstm):
            return {}  # replaced by the caller
        arguments: dict[str, Any] = {}
        if state_rows is not None:
            arguments["state_rows"] = state_rows
        if self.state_mode == "warm" and not self._elmo_lstm.stateful:
            arguments["initial_state"] = self._fixed_warm_state()
        return arguments

    def _fixed_warm_state(self) -> LstmState:
        """Return the model's warm state; computed again while it is being trained."""
        is_replica = getattr(self, "_is_replica", False)
        if self._warm_state is None or not (is_replica or self.is_frozen):
            h, c = Encoder(self._copy_as_bilm()).warm_state()
            # A clone made here is not an inference tensor, so that training may use it.
            with torch.inference_mode(False):
                self._warm_state = h.clone(), c.clone()
        return self._warm_state

    def _copy_as_bilm(self) -> BiLm:
        """Return the model in float32, in the form that the encoder reads."""
        weights = {
            name: parameter.detach().float()
            for name, parameter in self.named_parameters()
            if not name.startswith("_word_embedding.")
        }
        layout = WeightLayout.of_parameters(self.options, weights)
        with torch.device("meta"):
            model = BiLm(
                self.options,
                has_output_projection=layout.has_output_projection,
                has_token_projection=layout.has_token_projection,
            )
        model.load_state_dict(weights, assign=True)
        return model

    def _replicate_for_data_parallel(self) -> Any:
        """Give replicas the warm state: they cannot compute it."""
        if self.state_mode == "warm":
            self._fixed_warm_state()
        return super()._replicate_for_data_parallel()  # type: ignore[no-untyped-call]

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any
    ) -> None:
        self._warm_state = None
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _light_state(self) -> dict[str, Any]:
        lstm = self._elmo_lstm
        carried = {"_states": lstm._states, "stateful": lstm.stateful}
        return {**super()._light_state(), **carried}

    def _set_light_state(self, state: dict[str, Any]) -> None:
        super()._set_light_state(state)
        self._elmo_lstm._states = state["_states"]
        self._elmo_lstm.stateful = state["stateful"]
