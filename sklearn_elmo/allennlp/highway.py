"""Highway layers under the arguments and attributes of AllenNLP's class."""

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn

from sklearn_elmo.allennlp.old_places import OldPlaces
from sklearn_elmo.bilm import char_cnn

__all__ = ["Highway"]


class Highway(OldPlaces, char_cnn.Highway):
    """Highway layers that carry their inputs at first, as AllenNLP's.

    Parameters
    ----------
    input_dim : int
    num_layers : int, default=1
    activation : callable, default=torch.nn.functional.relu
    """

    _read_only: ClassVar = {"_input_dim": "Build another Highway for another width."}

    def __init__(
        self,
        input_dim: int,
        num_layers: int = 1,
        activation: Callable[[Tensor], Tensor] = nn.functional.relu,
    ) -> None:
        super().__init__(input_dim, num_layers)
        self._width = input_dim
        self._activation = activation
        for layer in self._layers:
            assert isinstance(layer, nn.Linear)
            layer.bias.data[input_dim:] = 1.0

    @property
    def _input_dim(self) -> int:
        """Width of the inputs and outputs."""
        return self._width
