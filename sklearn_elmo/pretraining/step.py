"""One step of training: words in, one change of the weights out."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_elmo.pretraining.corpus import BEGIN, END
from sklearn_elmo.pretraining.network import LanguageModel, States
from sklearn_elmo.pretraining.objective import (
    full_softmax,
    log_uniform_sample,
    sampled_softmax,
)
from sklearn_elmo.pretraining.settings import Settings
from sklearn_elmo.pretraining.teacher import Sentences, TeacherHeads, pool_layers

__all__ = ["Losses", "TrainingStep"]

_STEPS_PER_SEED = 2**31


@dataclass(frozen=True)
class Losses:
    """What a step found before it changed the weights.

    Attributes
    ----------
    language : float
        Cross entropy of a word, mean of both directions; an estimate if the softmax
        is sampled.
    teacher : float
        0 without a teacher.
    gradient_norm : float
    """

    language: float
    teacher: float
    gradient_norm: float


class TrainingStep:
    """The loss of a piece of text, and the change of weights that it asks for.

    Parameters
    ----------
    model : LanguageModel
    character_ids : Tensor
        Of each type. *Shape:* ``(n_types, max_characters)``.
    targets : Tensor
        Each type's number in the vocabulary. *Shape:* ``(n_types,)``, int64.
    optimizer : torch.optim.Optimizer
        Of all parameters, those of `heads` included.
    settings : Settings
    heads : TeacherHeads, optional
    """

    def __init__(
        self,
        model: LanguageModel,
        character_ids: Tensor,
        targets: Tensor,
        optimizer: torch.optim.Optimizer,
        settings: Settings,
        heads: TeacherHeads | None = None,
    ) -> None:
        self.model = model
        self.heads = heads
        self.character_ids = character_ids
        self.targets = targets
        self.optimizer = optimizer
        self.settings = settings
        self.parameters = [
            parameter
            for group in optimizer.param_groups
            for parameter in group["params"]
        ]

    def __call__(
        self,
        number: int,
        ids: Tensor,
        states: States,
        sentences: Sentences | None = None,
    ) -> tuple[Losses, States]:
        """Take a step.

        Parameters
        ----------
        number : int
            All that is random in the step depends on it and on the seed.
        ids : Tensor
            Type numbers, as `Lanes.read` returns them. *Shape:* ``(2, T + 1, B)``.
        states : States
            After the words before.
        sentences : Sentences, optional

        Returns
        -------
        losses : Losses
            If one is not finite, the weights have not been changed.
        states : States
        """
        self.optimizer.zero_grad(set_to_none=True)
        generator = torch.Generator(ids.device)
        generator.manual_seed(self.settings.seed * _STEPS_PER_SEED + number)
        parts = [ids[:, :-1].flatten()]
        if sentences is not None:
            parts.append(sentences.ids.flatten())
        unique, inverse = torch.unique(torch.cat(parts), return_inverse=True)
        vectors = self.model.token_vectors(self.character_ids[unique].long())
        n_stream = len(parts[0])
        inputs = vectors[inverse[:n_stream]].view(*ids[:, :-1].shape, -1)
        layers, states = self.model.contextualize(
            inputs, states, self.settings.dropout, generator
        )
        hidden = self.model.drop(layers[-1], self.settings.dropout, generator)
        language = self._language_loss(number, hidden, ids[:, 1:])
        loss, teacher = language, torch.zeros(())
        if sentences is not None and self.heads is not None:
            inputs = vectors[inverse[n_stream:]].view(*sentences.ids.shape, -1)
            teacher = self._teacher_loss(inputs, sentences)
            loss = loss + self.settings.teacher_weight * teacher
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm)
        losses = Losses(language.item(), teacher.item(), norm.item())
        if np.isfinite([losses.language, losses.teacher, losses.gradient_norm]).all():
            self.optimizer.step()
        return losses, states

    def _language_loss(self, number: int, hidden: Tensor, following: Tensor) -> Tensor:
        # The boundary that follows another is no achievement.
        weights = torch.stack([following[0] != BEGIN, following[1] != END]).float()
        totals = weights.sum(dim=(1, 2), keepdim=True).clamp_min(1)
        weights = (weights / totals / 2).flatten()
        targets = self.targets[following].flatten()
        hidden = hidden.flatten(0, 2)
        weight, bias = self.model.softmax_weight, self.model.softmax_bias
        n_samples = self.settings.n_negative_samples
        if n_samples is None or n_samples >= len(bias):
            return full_softmax(hidden, weight, bias, targets, weights)
        drawn, n_tries = log_uniform_sample(
            len(bias), n_samples, np.random.default_rng([self.settings.seed, number])
        )
        samples = torch.from_numpy(drawn).to(hidden.device)
        return sampled_softmax(hidden, weight, bias, targets, weights, samples, n_tries)

    def _teacher_loss(self, inputs: Tensor, sentences: Sentences) -> Tensor:
        assert self.heads is not None
        n_steps, n_rows = inputs.shape[1:3]
        start = States.zeros(self.model.options, n_rows, inputs.device)
        contextual, _ = self.model.contextualize(inputs, start)
        layers = torch.stack([inputs.to(contextual[0].dtype), *contextual])
        # (L + 1, 2, T, R, P). Words stand between the boundaries in both directions.
        steps = torch.arange(n_steps, device=inputs.device)[:, None]
        mask = (steps > 0) & (steps < sentences.lengths - 1)  # (T, R)
        pooled = torch.cat(
            [pool_layers(layers[:, half], mask) for half in (0, 1)], dim=-1
        )
        loss: Tensor = self.heads(pooled, sentences.vectors)
        return loss
