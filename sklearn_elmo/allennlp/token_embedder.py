"""Base of the modules that turn the ids of tokens into vectors."""

from typing import ClassVar

from torch import nn

from sklearn_elmo.allennlp.registrable import Registrable

__all__ = ["TokenEmbedder"]


class TokenEmbedder(nn.Module, Registrable):
    """Module from ids ``(B, T)`` or ``(B, T, n_characters)`` to vectors ``(B, T, D)``.

    Subclasses get a name in configurations with ``@TokenEmbedder.register("name")``.
    """

    default_implementation: ClassVar = "embedding"
    _homes: ClassVar = {
        "character_encoding": "sklearn_elmo.allennlp.character_encoding",
        "elmo_token_embedder": "sklearn_elmo.allennlp.elmo_token_embedder",
        "elmo_token_embedder_multilang": (
            "sklearn_elmo.allennlp.elmo_token_embedder_multilang"
        ),
        "embedding": "sklearn_elmo.allennlp.embedding",
    }

    def get_output_dim(self) -> int:
        """Return the width D of a token's vector."""
        raise NotImplementedError
