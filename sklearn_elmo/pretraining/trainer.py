"""The loop: steps, judgements, checkpoints."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sklearn_elmo.atomic_files import write_bytes
from sklearn_elmo.errors import TrainingError
from sklearn_elmo.pretraining.batches import Lanes
from sklearn_elmo.pretraining.checkpoint import (
    load_checkpoint,
    save_checkpoint,
    to_json_lines,
)
from sklearn_elmo.pretraining.corpus import Corpus, EncodedText
from sklearn_elmo.pretraining.distillation.heads import TeacherHeads
from sklearn_elmo.pretraining.distillation.teacher import Teachers, TeacherTexts
from sklearn_elmo.pretraining.evaluation import Perplexity, measure_perplexity
from sklearn_elmo.pretraining.network import LanguageModel, States
from sklearn_elmo.pretraining.settings import Budget, Settings, rate_at
from sklearn_elmo.pretraining.step import Losses, TrainingStep

__all__ = ["Trainer"]

logger = logging.getLogger(__name__)

METRICS_NAME = "metrics.jsonl"
_BETAS = (0.9, 0.99)
_STEPS_PER_REPORT = 20
_SECONDS_PER_CHECKPOINT = 300.0
# Judged by at the end, and at each quarter before it.
_HELD_OUT_TOKENS, _FEW_HELD_OUT_TOKENS = 200_000, 20_000
# Loss of the last steps against the lowest so far, both smoothed, in nats.
_DIVERGENCE = 2.0
_SMOOTHING = 0.95


@dataclass
class Progress:
    """How far a run has come."""

    step: int = 0
    seconds: float = 0.0
    smoothed: float = math.nan
    lowest: float = math.inf


class Trainer:
    """Trains one model on one corpus.

    Parameters
    ----------
    model : LanguageModel
        On the device to train on; it is changed.
    corpus : Corpus
    targets : ndarray of shape (n_types,), int64
        Each type's number in the vocabulary.
    settings : Settings
    budget : Budget
    teachers : Teachers, optional
    folder : Path, optional
        Gets checkpoints and metrics, and may have them from a run that was stopped.
    report : callable, optional
        Called with each row of the history.
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
        folder: Path | None = None,
        report: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.model = model
        self.corpus = corpus
        self.settings = settings
        self.budget = budget
        self.teachers = teachers or Teachers()
        self.folder = folder
        self.report = report
        self.device = model.softmax_bias.device
        self.history: list[dict[str, Any]] = []
        self.progress = Progress()
        self.lanes = _fitting_lanes(corpus, settings)
        self.states = States.zeros(model.options, self.lanes.n_lanes, self.device)
        max_characters = model.options.max_characters
        self.character_ids = torch.from_numpy(
            corpus.train.character_ids(max_characters)
        ).to(self.device)
        self.targets = torch.from_numpy(targets).to(self.device)
        self.heads = self._begin_heads(self.teachers.sentences)
        self.token_heads = self._begin_heads(self.teachers.tokens)
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
        )

    def run(self) -> None:
        """Train until the budget is used up.

        Raises
        ------
        TrainingError
            The loss is not finite or grows, or a checkpoint cannot be written. The
            checkpoint before is kept.
        """
        self._resume()
        last_checkpoint = time.monotonic()
        begin = last_checkpoint - self.progress.seconds
        reported = self.progress.step, self.progress.seconds
        while self._share() < 1:
            quarter = int(4 * self._share())
            losses = self._step()
            self.progress.seconds = time.monotonic() - begin
            self._check(losses)
            if self.progress.step % _STEPS_PER_REPORT == 0 or self._share() >= 1:
                self._report(losses, *reported)
                reported = self.progress.step, self.progress.seconds
            if quarter < int(4 * self._share()) < 4:
                self._judge(_FEW_HELD_OUT_TOKENS)
            if time.monotonic() - last_checkpoint > _SECONDS_PER_CHECKPOINT:
                self.save()
                last_checkpoint = time.monotonic()
        self.model.requires_grad_(True)
        if not self.history or "held_out_average" not in self.history[-1]:
            self._judge(_HELD_OUT_TOKENS)
            self.save()

    def save(self) -> None:
        """Write a checkpoint, if there is a folder for it."""
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
            "states": {"h": self.states.h, "c": self.states.c},
            "progress": asdict(self.progress),
            "history": self.history,
        }
        save_checkpoint(self.folder, content)
        write_bytes(self.folder / METRICS_NAME, to_json_lines(self.history).encode())

    def perplexity(self, max_tokens: int) -> Perplexity | None:
        """Judge the model on the held-out text, None if there is none."""
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
        share = self._share()
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * rate_at(share)
        self.model.bilm.requires_grad_(share >= self.settings.frozen_share)
        ids = torch.from_numpy(self.lanes.read(number)).to(self.device)
        drawn = self.teachers.draw(
            self.settings.teacher_batch_size, self.settings.seed, number
        )
        on_device = (None if part is None else part.to(self.device) for part in drawn)
        losses, self.states = self.step(number, ids, self.states, *on_device)
        self.progress.step += 1
        return losses

    def _begin_heads(self, taught: TeacherTexts | None) -> TeacherHeads | None:
        if taught is None:
            return None
        options = self.model.options
        width = taught.vectors.shape[1]
        heads = TeacherHeads(options.n_layers, options.projection_dim, width)
        heads.fill(self.settings.seed)
        return heads.to(self.device)

    def _share(self) -> float:
        step = self.progress.step
        return self.budget.share(
            self.progress.seconds,
            step * self.lanes.tokens_per_step,
            step / self.lanes.steps_per_epoch,
        )

    def _check(self, losses: Losses) -> None:
        progress = self.progress
        kept = (
            f"The last good checkpoint is in {str(self.folder)!r}."
            if self.folder is not None
            else "Set checkpoint_dir to keep what was learned."
        )
        if not losses.are_finite():
            message = (
                f"The loss of step {progress.step} is not finite (language model "
                f"{losses.language}, teacher {losses.teacher}, token teacher "
                f"{losses.token_teacher}, gradient {losses.gradient_norm}); the step "
                f"was not taken. {kept} Try a lower learning_rate."
            )
            raise TrainingError(message)
        if math.isnan(progress.smoothed):
            progress.smoothed = losses.language
        progress.smoothed += (1 - _SMOOTHING) * (losses.language - progress.smoothed)
        progress.lowest = min(progress.lowest, progress.smoothed)
        if progress.smoothed > progress.lowest + _DIVERGENCE:
            message = (
                f"The loss grows: {progress.smoothed:.2f} about step {progress.step}, "
                f"after {progress.lowest:.2f} at best. {kept} Try a lower "
                "learning_rate."
            )
            raise TrainingError(message)

    def _report(self, losses: Losses, last_step: int, last_seconds: float) -> None:
        progress = self.progress
        share = self._share()
        n_tokens = (progress.step - last_step) * self.lanes.tokens_per_step
        row = {
            "step": progress.step,
            "tokens": progress.step * self.lanes.tokens_per_step,
            "epochs": round(progress.step / self.lanes.steps_per_epoch, 4),
            "seconds": round(progress.seconds, 2),
            "seconds_left": round(progress.seconds * (1 - share) / max(share, 1e-9), 1),
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
        self._add(row)

    def _judge(self, max_tokens: int) -> None:
        perplexity = self.perplexity(max_tokens)
        if perplexity is not None:
            row = {"step": self.progress.step, "held_out_tokens": perplexity.n_tokens}
            for name in ("forward", "backward", "average"):
                row[f"held_out_{name}"] = getattr(perplexity, name)
            self._add(row)

    def _add(self, row: dict[str, Any]) -> None:
        self.history.append(row)
        logger.info("%s", row)
        if self.report is not None:
            self.report(row)

    def _signature(self) -> dict[str, Any]:
        """Return what a checkpoint must have in common with a run that uses it."""
        return {
            "options": self.model.options.to_dict(),
            "settings": asdict(self.settings),
            "corpus": self.corpus.digest,
            "n_words": len(self.model.softmax_bias),
            "teacher": self.heads is not None,
            "token_teacher": self.token_heads is not None,
        }

    def _resume(self) -> None:
        content = None if self.folder is None else load_checkpoint(self.folder)
        if content is None:
            return
        signature = self._signature()
        for name, value in signature.items():
            # Checkpoints from before token teachers know nothing of them.
            if content["signature"].get(name, False) != value:
                message = (
                    f"The checkpoint in {str(self.folder)!r} is of another run: its "
                    f"{name} differs. Choose another checkpoint_dir, or delete it."
                )
                raise TrainingError(message)
        self.model.load_state_dict(content["model"])
        if self.heads is not None:
            self.heads.load_state_dict(content["heads"])
        if self.token_heads is not None:
            self.token_heads.load_state_dict(content["token_heads"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.states = States(
            content["states"]["h"].to(self.device),
            content["states"]["c"].to(self.device),
        )
        self.progress = Progress(**content["progress"])
        self.history = content["history"]
        logger.info("Going on at step %d", self.progress.step)


def _fitting_lanes(corpus: Corpus, settings: Settings) -> Lanes:
    """Return lanes that a short text can fill."""
    n_tokens = len(corpus.train.ids)
    n_steps = max(1, min(settings.n_steps, n_tokens - 1))
    n_lanes = max(1, min(settings.batch_size, n_tokens // (n_steps + 1)))
    return Lanes(corpus.train, n_lanes, n_steps)
