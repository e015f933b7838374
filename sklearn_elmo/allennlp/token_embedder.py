"""Base of the modules that turn the ids of tokens into vectors."""

from typing import ClassVar

from torch import nn

from sklearn_elmo.allennlp.params import Registrable

__all__ = ["TokenEmbedder"]


class TokenEmbedder(nn.Module, Registrable):
    """Module from ids ``(B, T)`` or ``(B, T, n_characters)`` to vectors ``(B, T, D)``.

    Subclasses get a name in configurations with ``@TokenEmbedder.register("name")``.
    """

    default_implementation: ClassVar = "embedding"

    def get_output_dim(self) -> int:
        """Return the width D of a token's vector."""
        raise NotImplementedError
