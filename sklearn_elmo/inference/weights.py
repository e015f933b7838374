"""A model's numbers in the form in which an encoder reads them."""

from dataclasses import dataclass, field

from torch import Tensor

from sklearn_elmo.inference.linear import (
    Activation,
    Precision,
    PreparedWeight,
    Product,
    prepare_weight,
)

__all__ = ["PreparedWeights"]


@dataclass
class PreparedWeights:
    """Named factors of products, and named tensors beside them.

    Attributes
    ----------
    factors : dict of str to PreparedWeight
    tensors : dict of str to Tensor
        A product's bias has the product's name.
    """

    factors: dict[str, PreparedWeight] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)

    @property
    def n_bytes(self) -> int:
        """Size of all numbers."""
        tensors = [
            *self.tensors.values(),
            *(t for factor in self.factors.values() for t in factor.tensors),
        ]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def add(
        self, name: str, weight: Tensor, bias: Tensor | None, precision: Precision
    ) -> None:
        """Prepare the factor of a product.

        Parameters
        ----------
        name : str
        weight : Tensor
            *Shape:* ``(n_out, n_in)``, float32.
        bias : Tensor or None
            *Shape:* ``(n_out,)``, float32.
        precision : {"float32", "bfloat16", "int8"}
        """
        self.factors[name] = prepare_weight(weight, precision)
        if bias is not None:
            self.tensors[name] = bias.detach()

    def product(self, name: str, activation: Activation = "none") -> Product:
        """Return a function for ``activation(x @ weight.T + bias)``."""
        return self.factors[name].product(self.tensors.get(name), activation)

    def product_if_any(self, name: str) -> Product | None:
        """Return the same, or None if there is no such factor."""
        return self.product(name) if name in self.factors else None

    def include(self, name: str, part: "PreparedWeights") -> None:
        """Take over another's weights as ``name/...``."""
        self.factors.update({f"{name}/{k}": v for k, v in part.factors.items()})
        self.tensors.update({f"{name}/{k}": v for k, v in part.tensors.items()})

    def part(self, name: str) -> "PreparedWeights":
        """Return those that `include` took over as ``name/...``."""
        start = f"{name}/"
        return PreparedWeights(
            {
                k.removeprefix(start): v
                for k, v in self.factors.items()
                if k.startswith(start)
            },
            {
                k.removeprefix(start): v
                for k, v in self.tensors.items()
                if k.startswith(start)
            },
        )
