"""Settings of a training run that depend on neither text nor model."""

from dataclasses import dataclass

__all__ = ["Budget", "Settings", "learning_rate_factor"]

_WARM_UP_SHARE = 0.03
_LAST_RATE_FACTOR = 0.02


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes
    ----------
    batch_size : int
        Streams of text that are read in parallel.
    n_steps : int
        Words of each stream that gradients are propagated through.
    n_negative_samples : int or None
        Negative samples of the softmax; None uses the whole vocabulary.
    learning_rate : float
        Highest learning rate, see `learning_rate_factor`.
    dropout : float
        Share of the inputs of each layer that is set to 0.
    clip_norm : float
        Gradients with a larger norm are scaled down to it.
    frozen_share : float
        Share of the budget during which only the softmax is trained.
    teacher_weight : float
        Weight of the loss of each teacher; the language model has weight 1.
    anchor_weight : float
        Weight of the distance of the layers from those of the initial model.
    teacher_batch_size : int
        Texts per step, for all teachers together.
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
    anchor_weight: float = 0.0
    teacher_batch_size: int = 96
    seed: int = 0


@dataclass(frozen=True)
class Budget:
    """When to stop: at the first limit that is reached.

    Attributes
    ----------
    max_minutes, max_tokens, epochs : float or None
        Tokens are counted per direction, sentence boundaries included.
    """

    max_minutes: float | None = None
    max_tokens: float | None = None
    epochs: float | None = None

    def share_used(self, seconds: float, tokens: int, epochs: float) -> float:
        """Return the share of the budget that is used up; 1 or more means stop."""
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


def learning_rate_factor(share_used: float) -> float:
    """Return the learning rate relative to the highest one.

    It rises linearly over the first 3 % of the budget and falls linearly to 2 % at its
    end.
    """
    decayed = _LAST_RATE_FACTOR + (1 - _LAST_RATE_FACTOR) * (1 - share_used)
    return min(1.0, max(share_used, 1e-3) / _WARM_UP_SHARE) * decayed
