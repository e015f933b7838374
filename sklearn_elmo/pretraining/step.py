"""One training step: loss, gradients and update of the weights."""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_elmo.pretraining.corpus import BEGIN, END
from sklearn_elmo.pretraining.distillation.heads import (
    TeacherHeads,
    pool_layers,
    sentence_loss,
    token_loss,
    word_layers,
)
from sklearn_elmo.pretraining.distillation.teacher import Sentences
from sklearn_elmo.pretraining.network import LanguageModel, States
from sklearn_elmo.pretraining.objective import (
    full_softmax,
    log_uniform_sample,
    sampled_softmax,
)
from sklearn_elmo.pretraining.settings import Settings

__all__ = ["Losses", "TrainingStep"]

_STEPS_PER_SEED = 2**31


@dataclass(frozen=True)
class Losses:
    """Losses of a step, before the update of the weights.

    Attributes
    ----------
    language : float
        Cross entropy per word in nats, mean of both directions; an estimate if the
        softmax is sampled.
    teacher, token_teacher : float
        0 without this teacher.
    anchor : float
        Relative squared distance of the layers from those of the initial model; 0
        without an anchor.
    gradient_norm : float
        Before clipping.
    """

    language: float
    teacher: float
    token_teacher: float
    anchor: float
    gradient_norm: float

    def are_finite(self) -> bool:
        """Return True if all values are finite."""
        return bool(np.isfinite(list(asdict(self).values())).all())


class TrainingStep:
    """Computes the loss of a batch and updates the weights.

    Parameters
    ----------
    model : LanguageModel
    character_ids : Tensor
        Of each type. *Shape:* ``(n_types, max_characters)``.
    targets : Tensor
        Vocabulary position of each type. *Shape:* ``(n_types,)``, int64.
    optimizer : torch.optim.Optimizer
        Of all parameters, including those of the heads.
    settings : Settings
    heads, token_heads : TeacherHeads, optional
    anchor : LanguageModel, optional
        The initial model. The layers are kept close to its layers, so that what it has
        learned from other text and from teachers is not forgotten.

    Attributes
    ----------
    anchor_states : States or None
        States of the anchor after the last step.
    """

    def __init__(
        self,
        model: LanguageModel,
        character_ids: Tensor,
        targets: Tensor,
        optimizer: torch.optim.Optimizer,
        settings: Settings,
        heads: TeacherHeads | None = None,
        token_heads: TeacherHeads | None = None,
        anchor: LanguageModel | None = None,
    ) -> None:
        self.model = model
        self.heads = heads
        self.token_heads = token_heads
        self.anchor = anchor
        self.anchor_states: States | None = None
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
        tokens: Sentences | None = None,
    ) -> tuple[Losses, States]:
        """Take a step.

        Parameters
        ----------
        number : int
            Number of the step. Together with the seed, it determines everything that is
            random in the step.
        ids : Tensor
            Type numbers, from `BatchStreams.read`. *Shape:* ``(2, T + 1, B)``.
        states : States
            After the previous step.
        sentences, tokens : Sentences, optional
            Texts for `heads` and for `token_heads`.

        Returns
        -------
        losses : Losses
            If one of them is not finite, the weights are unchanged.
        states : States
        """
        self.optimizer.zero_grad(set_to_none=True)
        generator = torch.Generator(ids.device)
        generator.manual_seed(self.settings.seed * _STEPS_PER_SEED + number)
        taught = [batch.ids for batch in (sentences, tokens) if batch is not None]
        stream, *inputs = self._token_vectors(self.model, [ids[:, :-1], *taught])
        layers, states = self.model.contextualize(
            stream, states, self.settings.dropout, generator
        )
        hidden = self.model.apply_dropout(layers[-1], self.settings.dropout, generator)
        language = self._language_loss(number, hidden, ids[:, 1:])
        loss = language
        teacher = token_teacher = anchor = torch.zeros(())
        if sentences is not None:
            teacher = self._sentence_loss(inputs.pop(0), sentences)
            loss = loss + self.settings.teacher_weight * teacher
        if tokens is not None:
            token_teacher = self._token_loss(inputs.pop(0), tokens)
            loss = loss + self.settings.teacher_weight * token_teacher
        if self.anchor is not None:
            anchor = self._anchor_loss(self.anchor, ids[:, :-1], [stream, *layers])
            loss = loss + self.settings.anchor_weight * anchor
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm)
        losses = Losses(
            language.item(),
            teacher.item(),
            token_teacher.item(),
            anchor.item(),
            norm.item(),
        )
        if losses.are_finite():
            self.optimizer.step()
        return losses, states

    def _token_vectors(self, model: LanguageModel, parts: list[Tensor]) -> list[Tensor]:
        """Return layer 0 of type numbers of any shapes; each type is computed once."""
        flat = torch.cat([part.flatten() for part in parts])
        unique, inverse = torch.unique(flat, return_inverse=True)
        vectors = model.token_vectors(self.character_ids[unique].long())
        pieces = inverse.split([part.numel() for part in parts])
        return [
            vectors[piece].view(*part.shape, -1)
            for piece, part in zip(pieces, parts, strict=True)
        ]

    def _language_loss(self, number: int, hidden: Tensor, following: Tensor) -> Tensor:
        # After one boundary the other one always follows: that is not counted.
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

    def _anchor_loss(
        self, anchor: LanguageModel, ids: Tensor, layers: list[Tensor]
    ) -> Tensor:
        """Return the mean over the layers of their relative distance from the anchor's.

        *Shape:* ids ``(2, T, B)``, layers ``(2, T, B, P)`` each.
        """
        if self.anchor_states is None:
            self.anchor_states = States.zeros(anchor.options, ids.shape[2], ids.device)
        with torch.no_grad():
            (inputs,) = self._token_vectors(anchor, [ids])
            contextual, self.anchor_states = anchor.contextualize(
                inputs, self.anchor_states
            )
        distances = [
            (layer.float() - target.float()).square().sum()
            / target.float().square().sum()
            for layer, target in zip(layers, [inputs, *contextual], strict=True)
        ]
        return torch.stack(distances).mean()

    def _sentence_loss(self, inputs: Tensor, sentences: Sentences) -> Tensor:
        assert self.heads is not None
        layers, mask = self._run_texts(inputs, sentences.lengths)
        pooled = torch.cat(
            [pool_layers(layers[:, direction], mask) for direction in (0, 1)], dim=-1
        )
        return sentence_loss(self.heads, pooled, sentences.vectors)

    def _token_loss(self, inputs: Tensor, tokens: Sentences) -> Tensor:
        assert self.token_heads is not None
        layers, mask = self._run_texts(inputs, tokens.lengths)
        words = word_layers(layers, mask, tokens.lengths)
        return token_loss(self.token_heads, words, tokens.vectors)

    def _run_texts(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return all layers of texts, from a zero state, and the mask of words.

        *Shape:* inputs ``(2, T, R, P)``, lengths ``(R,)`` -> ``(L + 1, 2, T, R, P)``
        and ``(T, R)``.
        """
        n_steps, n_rows = inputs.shape[1:3]
        start = States.zeros(self.model.options, n_rows, inputs.device)
        contextual, _ = self.model.contextualize(inputs, start)
        layers = torch.stack([inputs.to(contextual[0].dtype), *contextual])
        # Words are between the boundaries in both directions.
        steps = torch.arange(n_steps, device=inputs.device)[:, None]
        return layers, (steps > 0) & (steps < lengths - 1)
