"""The data sets of a weight file, and how they map to the parameters of the model.

Files hold TensorFlow's order (gates i, j, f, o; weights as ``x @ W``; no forget bias),
the model holds PyTorch's (gates i, f, g, o; weights as ``W @ x``; forget bias 1 added).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from sklearn_elmo.bilm.options import BiLmOptions

__all__ = ["WeightLayout"]

FloatArray = npt.NDArray[np.float32]

_DIRECTIONS = ("forward", "backward")
_CNN = "_token_embedder."
_LSTM = "_elmo_lstm."


@dataclass(frozen=True)
class WeightLayout:
    """Names and shapes of the data sets of a model.

    Parameters
    ----------
    options : BiLmOptions
    has_output_projection : bool
        Whether there is a ``W_P_0``; bilm-tf leaves it out when C = P.
    has_token_projection : bool
        Whether there is a ``CNN_proj``; bilm-tf leaves it out when F = P.
    """

    options: BiLmOptions
    has_output_projection: bool = True
    has_token_projection: bool = True

    @classmethod
    def of(cls, options: BiLmOptions, dataset_names: Iterable[str]) -> Self:
        """Infer the layout from the names in a weight file.

        A projection may be missing only if the widths on both sides of it are equal.
        Otherwise it is expected, and a file without it is damaged.
        """
        names = set(dataset_names)
        return cls(
            options,
            has_output_projection=options.cell_dim != options.projection_dim
            or any(name.endswith("/W_P_0") for name in names),
            has_token_projection=options.n_filters != options.projection_dim
            or not names.isdisjoint(("CNN_proj/W_proj", "CNN_proj/b_proj")),
        )

    @classmethod
    def of_parameters(cls, options: BiLmOptions, names: Iterable[str]) -> Self:
        """Infer the layout from the names of the parameters of a model."""
        names = set(names)
        return cls(
            options,
            has_output_projection=(
                f"{_LSTM}forward_layer_0.state_projection.weight" in names
            ),
            has_token_projection=f"{_CNN}_projection.weight" in names,
        )

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every data set by its name."""
        o = self.options
        shapes: dict[str, tuple[int, ...]] = {"char_embed": (261, o.char_dim)}
        for i, (width, count) in enumerate(o.filters):
            shapes[f"CNN/W_cnn_{i}"] = (1, width, o.char_dim, count)
            shapes[f"CNN/b_cnn_{i}"] = (count,)
        for k in range(o.n_highway):
            for part in ("transform", "carry"):
                shapes[f"CNN_high_{k}/W_{part}"] = (o.n_filters, o.n_filters)
                shapes[f"CNN_high_{k}/b_{part}"] = (o.n_filters,)
        if self.has_token_projection:
            shapes["CNN_proj/W_proj"] = (o.n_filters, o.projection_dim)
            shapes["CNN_proj/b_proj"] = (o.projection_dim,)
        for _, _, group in self._cells():
            shapes[f"{group}/W_0"] = (2 * o.projection_dim, 4 * o.cell_dim)
            shapes[f"{group}/B"] = (4 * o.cell_dim,)
            if self.has_output_projection:
                shapes[f"{group}/W_P_0"] = (o.cell_dim, o.projection_dim)
        return shapes

    def to_parameters(self, arrays: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Convert data sets to parameters of the model.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            Float32, with the names and shapes of `shapes`.
        """
        o = self.options
        parameters = {
            # Row 0 means "no token".
            f"{_CNN}_char_embedding_weights": np.pad(
                arrays["char_embed"], ((1, 0), (0, 0))
            )
        }
        for i in range(len(o.filters)):
            name = f"{_CNN}char_conv_{i}"
            parameters[f"{name}.weight"] = arrays[f"CNN/W_cnn_{i}"][0].transpose(
                2, 1, 0
            )
            parameters[f"{name}.bias"] = arrays[f"CNN/b_cnn_{i}"]
        for k in range(o.n_highway):
            name, group = f"{_CNN}_highways._layers.{k}", f"CNN_high_{k}"
            # The "carry" gate of the file scales the new value, ours the old one.
            parameters[f"{name}.weight"] = np.concatenate(
                [arrays[f"{group}/W_transform"].T, -arrays[f"{group}/W_carry"].T]
            )
            parameters[f"{name}.bias"] = np.concatenate(
                [arrays[f"{group}/b_transform"], -arrays[f"{group}/b_carry"]]
            )
        if self.has_token_projection:
            parameters[f"{_CNN}_projection.weight"] = arrays["CNN_proj/W_proj"].T
            parameters[f"{_CNN}_projection.bias"] = arrays["CNN_proj/b_proj"]
        for direction, index, group in self._cells():
            name = f"{_LSTM}{direction}_layer_{index}"
            kernel = _gates_to_torch(arrays[f"{group}/W_0"]).T  # (4C, 2P)
            bias = _gates_to_torch(arrays[f"{group}/B"])
            bias[o.cell_dim : 2 * o.cell_dim] += 1.0
            parameters[f"{name}.input_linearity.weight"] = kernel[:, : o.projection_dim]
            parameters[f"{name}.state_linearity.weight"] = kernel[:, o.projection_dim :]
            parameters[f"{name}.state_linearity.bias"] = bias
            if self.has_output_projection:
                projection = arrays[f"{group}/W_P_0"].T
                parameters[f"{name}.state_projection.weight"] = projection
        return {key: np.ascontiguousarray(value) for key, value in parameters.items()}

    def to_arrays(self, parameters: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Convert parameters to data sets; the inverse of `to_parameters`."""
        o = self.options
        arrays = {"char_embed": parameters[f"{_CNN}_char_embedding_weights"][1:]}
        for i in range(len(o.filters)):
            name = f"{_CNN}char_conv_{i}"
            kernel = parameters[f"{name}.weight"].transpose(2, 1, 0)
            arrays[f"CNN/W_cnn_{i}"] = kernel[None]
            arrays[f"CNN/b_cnn_{i}"] = parameters[f"{name}.bias"]
        for k in range(o.n_highway):
            name, group = f"{_CNN}_highways._layers.{k}", f"CNN_high_{k}"
            transform, carry = np.split(parameters[f"{name}.weight"], 2)
            arrays[f"{group}/W_transform"], arrays[f"{group}/W_carry"] = (
                transform.T,
                -carry.T,
            )
            transform, carry = np.split(parameters[f"{name}.bias"], 2)
            arrays[f"{group}/b_transform"], arrays[f"{group}/b_carry"] = (
                transform,
                -carry,
            )
        if self.has_token_projection:
            arrays["CNN_proj/W_proj"] = parameters[f"{_CNN}_projection.weight"].T
            arrays["CNN_proj/b_proj"] = parameters[f"{_CNN}_projection.bias"]
        for direction, index, group in self._cells():
            name = f"{_LSTM}{direction}_layer_{index}"
            kernel = np.concatenate(
                [
                    parameters[f"{name}.input_linearity.weight"],
                    parameters[f"{name}.state_linearity.weight"],
                ],
                axis=1,
            )
            bias = parameters[f"{name}.state_linearity.bias"].copy()
            bias[o.cell_dim : 2 * o.cell_dim] -= 1.0
            arrays[f"{group}/W_0"] = _gates_to_tensorflow(kernel.T)
            arrays[f"{group}/B"] = _gates_to_tensorflow(bias)
            if self.has_output_projection:
                projection = parameters[f"{name}.state_projection.weight"].T
                arrays[f"{group}/W_P_0"] = projection
        return {key: np.ascontiguousarray(value) for key, value in arrays.items()}

    def _cells(self) -> Iterable[tuple[str, int, str]]:
        """Yield direction, layer and HDF5 group of every LSTM cell."""
        for number, direction in enumerate(_DIRECTIONS):
            for index in range(self.options.n_layers):
                group = f"RNN_{number}/RNN/MultiRNNCell/Cell{index}/LSTMCell"
                yield direction, index, group


def _gates_to_torch(array: FloatArray) -> FloatArray:
    """Reorder the last axis from i, j, f, o to i, f, j, o."""
    i, j, f, o = np.split(array, 4, axis=-1)
    return np.concatenate([i, f, j, o], axis=-1)


# Exchanging the two middle gates undoes itself.
_gates_to_tensorflow = _gates_to_torch
