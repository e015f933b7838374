"""The words that each training step reads."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sklearn_elmo.pretraining.corpus import EncodedText

__all__ = ["BatchStreams"]

IdArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BatchStreams:
    """A text cut into parallel streams; the LSTM state is carried along each of them.

    The forward direction reads streams of the text, the backward direction streams of
    the reversed text. Its state is therefore also that of the words just read, which
    reversing each piece on its own would not give.

    Attributes
    ----------
    text : EncodedText
    n_streams : int
        Streams that are read in parallel, the rows of a batch.
    n_steps : int
        Words of each stream that one training step reads.
    """

    text: EncodedText
    n_streams: int
    n_steps: int

    @classmethod
    def of_at_most(
        cls, text: EncodedText, n_streams: int, n_steps: int
    ) -> "BatchStreams":
        """Return streams that fit the text, with at most these numbers."""
        n_streams = min(n_streams, math.ceil(len(text.ids) / n_steps))
        most = cls(text, n_streams, n_steps)
        # Of equal length: a short last step would read much of the text again.
        return cls(
            text, n_streams, math.ceil(most.stream_length / most.steps_per_epoch)
        )

    @property
    def stream_length(self) -> int:
        """Words that each stream reads in an epoch."""
        return math.ceil(len(self.text.ids) / self.n_streams)

    @property
    def steps_per_epoch(self) -> int:
        """Training steps until every word has been read."""
        return math.ceil(self.stream_length / self.n_steps)

    @property
    def tokens_per_step(self) -> int:
        """Words that each direction reads in a training step."""
        return self.n_streams * self.n_steps

    def read(self, step: int) -> IdArray:
        """Return the words of a training step and the word after them.

        The streams start at other positions in each epoch. The last step of an epoch
        reads on into the next stream.

        Parameters
        ----------
        step : int

        Returns
        -------
        ndarray of shape (2, n_steps + 1, n_streams), int64
            Type numbers of the text and of the reversed text.
        """
        epoch, index = divmod(step, self.steps_per_epoch)
        n_tokens = len(self.text.ids)
        shift = epoch * 7919 * self.n_steps  # a prime: no two epochs are alike
        starts = np.arange(self.n_streams, dtype=np.int64) * self.stream_length
        steps = np.arange(self.n_steps + 1, dtype=np.int64) + index * self.n_steps
        positions = (starts + steps[:, None] + shift) % n_tokens
        return np.stack(
            [self.text.ids[positions], self.text.ids[n_tokens - 1 - positions]]
        ).astype(np.int64)
