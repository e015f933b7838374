"""What a training run is told, apart from text and model."""

from dataclasses import dataclass

__all__ = ["Budget", "Settings"]

_WARM_UP_SHARE = 0.03
_LAST_RATE_SHARE = 0.02


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes
    ----------
    batch_size : int
        Lanes of text that are read side by side.
    n_steps : int
        Words of each lane that the gradient goes back through.
    n_negative_samples : int or None
        Words that a prediction is told from; None takes all of the vocabulary.
    learning_rate : float
        At its highest: it rises over the first 3 % of the budget, and falls in a
        straight line to 2 % at its end.
    dropout : float
        Share of each layer's inputs that is set to 0.
    clip_norm : float
        Longest gradient; longer ones are shortened.
    frozen_share : float
        Share of the budget in which only the softmax learns.
    teacher_weight : float
        How much each teacher counts beside the language model.
    teacher_batch_size : int
        Texts of the teachers in a step, of both together.
    seed : int
    """

    batch_size: int = 128
    n_steps: int = 20
    n_negative_samples: int | None = 4096
    learning_rate: float = 4e-3
    dropout: float = 0.1
    clip_norm: float = 1.0
    frozen_share: float = 0.0
    teacher_weight: float = 1.0
    teacher_batch_size: int = 96
    seed: int = 0


@dataclass(frozen=True)
class Budget:
    """When to stop: at the first limit that is reached.

    Attributes
    ----------
    max_minutes, max_tokens, epochs : float or None
        Tokens are those that each direction reads, boundaries included.
    """

    max_minutes: float | None = None
    max_tokens: float | None = None
    epochs: float | None = None

    def share(self, seconds: float, tokens: int, epochs: float) -> float:
        """Return how much of it is used up; 1 and more means stop."""
        shares = [
            used / limit
            for used, limit in (
                (seconds / 60, self.max_minutes),
                (tokens, self.max_tokens),
                (epochs, self.epochs),
            )
            if limit is not None
        ]
        return max(shares)


def rate_at(share: float) -> float:
    """Return the learning rate as a part of the highest."""
    decayed = _LAST_RATE_SHARE + (1 - _LAST_RATE_SHARE) * (1 - share)
    return min(1.0, max(share, 1e-3) / _WARM_UP_SHARE) * decayed
