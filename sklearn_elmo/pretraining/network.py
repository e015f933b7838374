"""The trained network: a biLM, and the softmax that its two directions share.

The weights are those of `sklearn_elmo.bilm.model.BiLm`, the readable form of the model.
This form computes the same values in a way that suits training, see
`sklearn_elmo.pretraining.char_cnn_autograd` and
`sklearn_elmo.pretraining.lstm_autograd`.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sklearn_elmo.bilm.lstm import LstmLayer
from sklearn_elmo.bilm.model import BiLm
from sklearn_elmo.bilm.options import BiLmOptions
from sklearn_elmo.pretraining.char_cnn_autograd import pooled_features
from sklearn_elmo.pretraining.lstm_autograd import LstmWeights, run_layer

__all__ = [
    "LanguageModel",
    "States",
    "choose_compute_dtype",
    "initialize",
    "initialize_softmax",
]

_SOFTMAX_SCALE = 0.05
_CARRY_BIAS = 2.0  # sigmoid(2) = 0.88: highways start close to the identity


@dataclass
class States:
    """LSTM states of all layers and both directions, between two training steps.

    *Shape:* h ``(L, 2, B, P)``, c ``(L, 2, B, C)``, float32.
    """

    h: Tensor
    c: Tensor

    @classmethod
    def zeros(cls, options: BiLmOptions, n_rows: int, device: torch.device) -> "States":
        """Return the states before any text."""
        shape = (options.n_layers, 2, n_rows)
        return cls(
            torch.zeros(*shape, options.projection_dim, device=device),
            torch.zeros(*shape, options.cell_dim, device=device),
        )

    def to(self, device: torch.device) -> "States":
        """Return the same states on a device."""
        return States(self.h.to(device), self.c.to(device))


class LanguageModel(nn.Module):
    """A biLM with a softmax over its vocabulary.

    Parameters
    ----------
    bilm : BiLm
    n_words : int
        Size of the vocabulary, V.
    """

    def __init__(self, bilm: BiLm, n_words: int) -> None:
        super().__init__()
        self.bilm = bilm
        self.options = bilm.options
        self.softmax_weight = nn.Parameter(
            torch.zeros(n_words, self.options.projection_dim)
        )
        self.softmax_bias = nn.Parameter(torch.zeros(n_words))
        self.compute_dtype = torch.float32

    def token_vectors(self, character_ids: Tensor) -> Tensor:
        """Return the context-free vectors (layer 0) of words.

        Parameters
        ----------
        character_ids : Tensor
            *Shape:* ``(U, max_characters)``, int64.

        Returns
        -------
        Tensor
            *Shape:* ``(U, P)``, float32.
        """
        embedder = self.bilm._token_embedder
        dtype = self.compute_dtype
        convolutions = embedder.convolutions
        pooled = pooled_features(
            character_ids,
            embedder._char_embedding_weights,
            [convolution.weight for convolution in convolutions],
            dtype,
        )
        biases = [c.bias for c in convolutions if c.bias is not None]
        features = pooled + torch.cat(biases)
        if self.options.activation == "relu":
            features = torch.relu(features)
        else:
            features = torch.tanh(features)
        for layer in embedder._highways._layers:
            assert isinstance(layer, nn.Linear)
            both = nn.functional.linear(features.to(dtype), layer.weight.to(dtype))
            transform, carry = (both.float() + layer.bias).chunk(2, dim=1)
            carry = torch.sigmoid(carry)
            features = carry * features + (1 - carry) * torch.relu(transform)
        projection = embedder._projection
        if projection is None:
            return features
        weight = projection.weight.to(dtype)
        projected = nn.functional.linear(features.to(dtype), weight)
        return projected.float() + projection.bias

    def contextualize(
        self,
        inputs: Tensor,
        states: States,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> tuple[list[Tensor], States]:
        """Run token vectors through the layers of both directions.

        Parameters
        ----------
        inputs : Tensor
            The text, and the text reversed. *Shape:* ``(2, T, B, P)``.
        states : States
        dropout : float
            Share of each layer's inputs that is set to 0.
        generator : torch.Generator, optional
            Chooses them.

        Returns
        -------
        layers : list of Tensor
            One per layer, skip connection included, in the data type of the products.
            *Shape:* ``(2, T, B, P)``.
        states : States
        """
        current = inputs.to(self.compute_dtype)
        layers, all_h, all_c = [], [], []
        lstm = self.bilm._elmo_lstm
        pairs = zip(lstm.layers("forward"), lstm.layers("backward"), strict=True)
        for index, pair in enumerate(pairs):
            current = self.apply_dropout(current, dropout, generator)
            output, (h, c) = run_layer(
                current,
                self._stack(pair),
                (states.h[index], states.c[index]),
            )
            if index > 0 and self.options.use_skip_connections:
                output = output + current
            layers.append(output)
            all_h.append(h)
            all_c.append(c)
            current = output
        return layers, States(torch.stack(all_h), torch.stack(all_c))

    @staticmethod
    def apply_dropout(
        inputs: Tensor, rate: float, generator: torch.Generator | None
    ) -> Tensor:
        """Apply inverted dropout."""
        if rate == 0:
            return inputs
        kept = torch.empty_like(inputs).bernoulli_(1 - rate, generator=generator)
        return inputs * kept.div_(1 - rate)

    def _stack(self, pair: tuple[LstmLayer, LstmLayer]) -> LstmWeights:
        """Stack the weights of a layer's two directions."""
        dtype = self.compute_dtype
        projections = [
            layer.state_projection.weight
            for layer in pair
            if layer.state_projection is not None
        ]
        return LstmWeights(
            torch.stack([layer.input_linearity.weight for layer in pair]).to(dtype),
            torch.stack([layer.state_linearity.weight for layer in pair]).to(dtype),
            torch.stack([layer.state_linearity.bias for layer in pair]).to(dtype),
            torch.stack(projections).to(dtype) if projections else None,
            pair[0].cell_clip,
            pair[0].proj_clip,
        )


def choose_compute_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the data type of the products for a ``precision`` parameter."""
    if precision == "auto":
        precision = "bfloat16" if _has_bfloat16(device) else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]


def _has_bfloat16(device: torch.device) -> bool:
    """Return True if products are faster in bfloat16 than in float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # PyTorch has no public way to ask the processor.
    ask = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cpu" and ask is not None and bool(ask())


def initialize(
    model: LanguageModel, counts: Tensor, generator: torch.Generator
) -> None:
    """Set random weights, and a softmax bias of log word frequencies, in place.

    Parameters
    ----------
    model : LanguageModel
        On the CPU.
    counts : Tensor
        Occurrences of the words of the vocabulary. *Shape:* ``(V,)``.
    generator : torch.Generator
    """
    with torch.no_grad():
        embedder = model.bilm._token_embedder
        embedder._char_embedding_weights.normal_(0.0, 1.0, generator=generator)
        for convolution in embedder.convolutions:
            fan_in = convolution.weight[0].numel()
            convolution.weight.normal_(0.0, fan_in**-0.5, generator=generator)
            assert convolution.bias is not None
            convolution.bias.zero_()
        for layer in embedder._highways._layers:
            assert isinstance(layer, nn.Linear)
            width = layer.in_features
            layer.weight.normal_(0.0, width**-0.5, generator=generator)
            layer.bias.zero_()
            layer.bias[width:] = _CARRY_BIAS
        if embedder._projection is not None:
            width = embedder._projection.in_features
            embedder._projection.weight.normal_(0.0, width**-0.5, generator=generator)
            embedder._projection.bias.zero_()
        for direction in ("forward", "backward"):
            for cell in model.bilm._elmo_lstm.layers(direction):
                _initialize_cell(cell, generator)
        initialize_softmax(model, counts, generator)


def initialize_softmax(
    model: LanguageModel, counts: Tensor, generator: torch.Generator
) -> None:
    """Set small random weights, and a bias of log word frequencies, in place."""
    with torch.no_grad():
        model.softmax_weight.normal_(0.0, _SOFTMAX_SCALE, generator=generator)
        counts = counts.double().clamp_min(1.0)
        model.softmax_bias.copy_((counts / counts.sum()).log())


def _initialize_cell(cell: LstmLayer, generator: torch.Generator) -> None:
    fan_in = 2 * cell.state_linearity.in_features
    scale = 1 / math.sqrt(fan_in)
    cell.input_linearity.weight.normal_(0.0, scale, generator=generator)
    cell.state_linearity.weight.normal_(0.0, scale, generator=generator)
    width = cell.state_linearity.out_features // 4
    cell.state_linearity.bias.zero_()
    cell.state_linearity.bias[width : 2 * width] = 1.0  # forget gates start open
    if cell.state_projection is not None:
        width = cell.state_projection.in_features
        cell.state_projection.weight.normal_(0.0, width**-0.5, generator=generator)
