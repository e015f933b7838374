"""The memory in which an LSTM layer takes its steps."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

__all__ = ["RowState", "StepBuffers"]


@dataclass
class RowState:
    """The LSTM state of each row of a batch, updated in place.

    Attributes
    ----------
    h : Tensor
        Projected output. *Shape:* ``(B, P)``.
    doubled_cell : Tensor
        2c, see `sklearn_elmo.inference.lstm.FastLstmLayer`. *Shape:* ``(B, C)``.
    """

    h: Tensor
    doubled_cell: Tensor

    @property
    def cell(self) -> Tensor:
        """The cell c. *Shape:* ``(B, C)``."""
        return self.doubled_cell / 2

    def repeat(self, n_rows: int) -> "RowState":
        """Return ``n_rows`` copies of a single row, in new memory."""
        return RowState(self.h.repeat(n_rows, 1), self.doubled_cell.repeat(n_rows, 1))

    def first(self, n_rows: int) -> "RowState":
        """Return a view of the first rows."""
        return RowState(self.h[:n_rows], self.doubled_cell[:n_rows])

    def copy_(self, other: "RowState") -> None:
        """Copy another state into this one."""
        self.h.copy_(other.h)
        self.doubled_cell.copy_(other.doubled_cell)


@dataclass(eq=False)
class StepBuffers:
    """Input and state of a step, and the function that takes it there.

    Attributes
    ----------
    inputs : Tensor
        To be filled before each step. *Shape:* ``(R, width)``.
    state : RowState
        R rows.
    take_step : callable
        Receives the number of leading rows that are in use.
    """

    inputs: Tensor
    state: RowState
    take_step: Callable[[int], object]
