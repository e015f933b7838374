"""The training loop: steps, evaluation, checkpoints."""

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sklearn_elmo.errors import TrainingError
from sklearn_elmo.pretraining.batches import BatchStreams
from sklearn_elmo.pretraining.checkpoint import (
    check_signature,
    save_checkpoint,
    write_history,
    writing_errors,
)
from sklearn_elmo.pretraining.corpus import Corpus, EncodedText
from sklearn_elmo.pretraining.distillation.heads import TeacherHeads
from sklearn_elmo.pretraining.distillation.teacher import Teachers, TeacherTexts
from sklearn_elmo.pretraining.evaluation import Perplexity, measure_perplexity
from sklearn_elmo.pretraining.freed_memory import return_freed_memory
from sklearn_elmo.pretraining.network import LanguageModel, States
from sklearn_elmo.pretraining.progress import ProgressCallback, TrainingProgress
from sklearn_elmo.pretraining.settings import (
    Budget,
    Settings,
    learning_rate_factor,
)
from sklearn_elmo.pretraining.step import Losses, TrainingStep

__all__ = ["Trainer", "run_signature"]

logger = logging.getLogger(__name__)

_BETAS = (0.9, 0.99)
_STEPS_PER_REPORT = 20
_STEPS_PER_RELEASE = 10  # of freed memory
_SECONDS_PER_CHECKPOINT = 300.0
# Held-out tokens that are evaluated at the end, and after each quarter before it.
_HELD_OUT_TOKENS, _FEW_HELD_OUT_TOKENS = 200_000, 20_000
# Increase of the smoothed loss above its minimum, in nats, that stops a run.
_DIVERGENCE = 2.0
_SMOOTHING = 0.95


@dataclass
class Progress:
    """State of a run, apart from its weights."""

    step: int = 0
    seconds: float = 0.0
    smoothed: float = math.nan
    lowest: float = math.inf


class Trainer:
    """Trains one model on one corpus.

    Parameters
    ----------
    model : LanguageModel
        On the device to train on; changed in place.
    corpus : Corpus
    targets : ndarray of shape (n_types,), int64
        Vocabulary position of each type.
    settings : Settings
    budget : Budget
    teachers : Teachers, optional
    anchor : LanguageModel, optional
        The initial model, see `TrainingStep`; on the same device.
    init_digest : str, optional
        Digest of the initial model.
    folder : Path, optional
        Where checkpoints and metrics are written.
    checkpoint : mapping, optional
        Checkpoint to continue from.
    progress_callback : callable, optional
        Called after each step and each evaluation.
    """

    def __init__(
        self,
        model: LanguageModel,
        corpus: Corpus,
        targets: np.ndarray,
        settings: Settings,
        budget: Budget,
        *,
        teachers: Teachers | None = None,
        anchor: LanguageModel | None = None,
        init_digest: str | None = None,
        folder: Path | None = None,
        checkpoint: Mapping[str, Any] | None = None,
        progress_callback: ProgressCallback | None = None,
    ) -> None:
        self.model = model
        self.corpus = corpus
        self.settings = settings
        self.budget = budget
        self.teachers = teachers or Teachers()
        self.init_digest = init_digest
        self.folder = folder
        self.progress_callback = progress_callback
        self.device = model.softmax_bias.device
        self.history: list[dict[str, Any]] = []
        self.progress = Progress()
        self.streams = BatchStreams.of_at_most(
            corpus.train, settings.batch_size, settings.n_steps
        )
        self.states = States.zeros(model.options, self.streams.n_streams, self.device)
        max_characters = model.options.max_characters
        self.character_ids = torch.from_numpy(
            corpus.train.character_ids(max_characters)
        ).to(self.device)
        self.targets = torch.from_numpy(targets).to(self.device)
        self.heads = self._create_heads(self.teachers.sentences)
        self.token_heads = self._create_heads(self.teachers.tokens)
        parameters = [
            parameter
            for part in (model, self.heads, self.token_heads)
            if part is not None
            for parameter in part.parameters()
        ]
        self.optimizer = torch.optim.Adam(
            parameters, lr=0.0, betas=_BETAS, foreach=False
        )
        self.step = TrainingStep(
            model,
            self.character_ids,
            self.targets,
            self.optimizer,
            settings,
            self.heads,
            self.token_heads,
            anchor,
        )
        if checkpoint is not None:
            self._resume(checkpoint)

    def run(self) -> None:
        """Train until the budget is used up.

        Raises
        ------
        TrainingError
            The loss is not finite or grows, or a checkpoint cannot be written. The
            last good checkpoint is kept.
        """
        last_checkpoint = time.monotonic()
        start = last_checkpoint - self.progress.seconds
        reported = self.progress.step, self.progress.seconds
        while self._share_used() < 1:
            quarter = int(4 * self._share_used())
            losses = self._step()
            self.progress.seconds = time.monotonic() - start
            self._check(losses)
            self._show_progress()
            if self.progress.step % _STEPS_PER_REPORT == 0 or self._share_used() >= 1:
                self._record(losses, *reported)
                reported = self.progress.step, self.progress.seconds
            if quarter < int(4 * self._share_used()) < 4:
                self._evaluate(_FEW_HELD_OUT_TOKENS)
            if self.progress.step % _STEPS_PER_RELEASE == 0:
                return_freed_memory()
            if time.monotonic() - last_checkpoint > _SECONDS_PER_CHECKPOINT:
                self.save()
                last_checkpoint = time.monotonic()
        self.model.requires_grad_(True)
        if not self.history or "held_out_average" not in self.history[-1]:
            self._evaluate(_HELD_OUT_TOKENS)
            self.save()

    def save(self) -> None:
        """Write a checkpoint and the metrics, if there is a folder for them."""
        if self.folder is None:
            return
        content = {
            "signature": self._signature(),
            "model": self.model.state_dict(),
            "heads": None if self.heads is None else self.heads.state_dict(),
            "token_heads": (
                None if self.token_heads is None else self.token_heads.state_dict()
            ),
            "optimizer": self.optimizer.state_dict(),
            "states": vars(self.states),
            "anchor_states": _as_dict(self.step.anchor_states),
            "progress": asdict(self.progress),
            "history": self.history,
        }
        save_checkpoint(self.folder, content)
        with writing_errors(self.folder):
            write_history(self.folder, self.history)

    def perplexity(self, max_tokens: int) -> Perplexity | None:
        """Return the perplexity on the held-out text, None if there is none."""
        held_out = self.corpus.held_out
        if len(held_out.ids) < 2:
            return None
        return measure_perplexity(
            self.model,
            EncodedText(held_out.ids[:max_tokens], held_out.types),
            self.character_ids,
            self.targets,
        )

    def _step(self) -> Losses:
        number = self.progress.step
        share = self._share_used()
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * learning_rate_factor(share)
        self.model.bilm.requires_grad_(share >= self.settings.frozen_share)
        ids = torch.from_numpy(self.streams.read(number)).to(self.device)
        drawn = self.teachers.draw(
            self.settings.teacher_batch_size, self.settings.seed, number
        )
        on_device = (None if part is None else part.to(self.device) for part in drawn)
        losses, self.states = self.step(number, ids, self.states, *on_device)
        self.progress.step += 1
        return losses

    def _create_heads(self, taught: TeacherTexts | None) -> TeacherHeads | None:
        if taught is None:
            return None
        options = self.model.options
        width = taught.vectors.shape[1]
        heads = TeacherHeads(options.n_layers, options.projection_dim, width)
        heads.initialize(self.settings.seed)
        return heads.to(self.device)

    def _share_used(self) -> float:
        step = self.progress.step
        return self.budget.share_used(
            self.progress.seconds,
            step * self.streams.tokens_per_step,
            step / self.streams.steps_per_epoch,
        )

    def _check(self, losses: Losses) -> None:
        progress = self.progress
        if not losses.are_finite():
            message = (
                f"The loss of step {progress.step} is not finite (language model "
                f"{losses.language}, teacher {losses.teacher}, token teacher "
                f"{losses.token_teacher}, anchor {losses.anchor}, gradient "
                f"{losses.gradient_norm}); the weights were not changed."
            )
            raise self._failure(message)
        if math.isnan(progress.smoothed):
            progress.smoothed = losses.language
        progress.smoothed += (1 - _SMOOTHING) * (losses.language - progress.smoothed)
        progress.lowest = min(progress.lowest, progress.smoothed)
        if progress.smoothed > progress.lowest + _DIVERGENCE:
            message = (
                f"The loss diverges: it is {progress.smoothed:.2f} at step "
                f"{progress.step}, after a minimum of {progress.lowest:.2f}."
            )
            raise self._failure(message)

    def _failure(self, reason: str) -> TrainingError:
        kept = (
            "Set checkpoint_dir to keep checkpoints."
            if self.folder is None
            else f"Checkpoints, if any, are in {str(self.folder)!r}."
        )
        return TrainingError(f"{reason} {kept} Try a lower learning_rate.")

    def _record(self, losses: Losses, last_step: int, last_seconds: float) -> None:
        progress = self.progress
        n_tokens = (progress.step - last_step) * self.streams.tokens_per_step
        row = {
            "step": progress.step,
            "tokens": progress.step * self.streams.tokens_per_step,
            "epochs": round(progress.step / self.streams.steps_per_epoch, 4),
            "seconds": round(progress.seconds, 2),
            "seconds_left": round(self._seconds_left(), 1),
            "tokens_per_second": round(
                n_tokens / max(progress.seconds - last_seconds, 1e-9), 1
            ),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "loss": losses.language,
            "smoothed_loss": progress.smoothed,
            "gradient_norm": losses.gradient_norm,
        }
        if self.heads is not None:
            row["teacher_loss"] = losses.teacher
        if self.token_heads is not None:
            row["token_teacher_loss"] = losses.token_teacher
        if self.step.anchor is not None:
            row["anchor_loss"] = losses.anchor
        self._add(row)

    def _evaluate(self, max_tokens: int) -> None:
        perplexity = self.perplexity(max_tokens)
        if perplexity is not None:
            if not math.isfinite(perplexity.average):
                message = (
                    f"The held-out perplexity at step {self.progress.step} is not "
                    "finite: the loss has diverged."
                )
                raise self._failure(message)
            row = {"step": self.progress.step, "held_out_tokens": perplexity.n_tokens}
            for name in ("forward", "backward", "average"):
                row[f"held_out_{name}"] = getattr(perplexity, name)
            self._add(row)

    def _add(self, row: dict[str, Any]) -> None:
        self.history.append(row)
        logger.info("%s", row)
        if self.progress_callback is not None and "held_out_average" in row:
            self.progress_callback(self._shown(), row["held_out_average"])

    def _show_progress(self) -> None:
        if self.progress_callback is not None:
            self.progress_callback(self._shown(), None)

    def _shown(self) -> TrainingProgress:
        return TrainingProgress(
            share=self._share_used(),
            n_tokens=self.progress.step * self.streams.tokens_per_step,
            seconds_left=self._seconds_left(),
            loss=self.progress.smoothed,
        )

    def _seconds_left(self) -> float:
        share = self._share_used()
        return self.progress.seconds * max(0.0, 1 - share) / max(share, 1e-9)

    def _signature(self) -> dict[str, Any]:
        run = run_signature(self.model, self.settings, self.corpus, self.init_digest)
        return run | self.teachers.signature()

    def _resume(self, content: Mapping[str, Any]) -> None:
        check_signature(self.folder, content, self._signature())
        self.model.load_state_dict(content["model"])
        if self.heads is not None:
            self.heads.load_state_dict(content["heads"])
        if self.token_heads is not None:
            self.token_heads.load_state_dict(content["token_heads"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.states = States(**content["states"]).to(self.device)
        if content["anchor_states"] is not None:
            self.step.anchor_states = States(**content["anchor_states"]).to(self.device)
        self.progress = Progress(**content["progress"])
        self.history = content["history"]
        logger.info("Continuing at step %d", self.progress.step)


def _as_dict(states: States | None) -> dict[str, torch.Tensor] | None:
    return None if states is None else vars(states)


def run_signature(
    model: LanguageModel, settings: Settings, corpus: Corpus, init_digest: str | None
) -> dict[str, Any]:
    """Return what a checkpoint and the run that continues it have in common.

    What the teachers add is not known before they have answered.
    """
    named = asdict(settings)
    return {
        "random_state": named.pop("seed"),
        **named,
        "options": model.options.to_dict(),
        "corpus": corpus.digest,
        "n_words": len(model.softmax_bias),
        "init": init_digest,
    }
