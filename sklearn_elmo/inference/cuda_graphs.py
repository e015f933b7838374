"""Steps of a layer on a GPU, recorded once and replayed: CUDA graphs.

A step is a dozen small operations. Launching them one by one takes a GPU longer than
computing them, unless the step has many rows or wide cells. A recording is launched as
one, but for a fixed number of rows; so there is one for each power of two.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["CudaGraphs", "Record", "RowState", "Stage", "StepRecorder"]

logger = logging.getLogger(__name__)

# Above this many operations a step computes for longer than it is launched. A guess
# from data sheets: about 0.1 ms of float32 on current GPUs.
_MOST_OPERATIONS = 4e9
_LEAST_ROWS = 8
_TOLERANCE = 1e-3  # rounding of bfloat16 included

Record = Callable[[Callable[[], object]], Callable[[], object]]
"""A step -> what takes it again, over the same memory."""


@dataclass
class RowState:
    """The state of a layer's rows; changed in place as the rows read on.

    h is ``(B, P)``; ``doubled_cell`` is 2c, ``(B, C)``, see `PreparedLayer`.
    """

    h: Tensor
    doubled_cell: Tensor

    @property
    def cell(self) -> Tensor:
        """The cell c. *Shape:* ``(B, C)``."""
        return self.doubled_cell / 2

    def repeat(self, n_rows: int) -> "RowState":
        """Return ``n_rows`` copies of the one row, with memory of their own."""
        return RowState(self.h.repeat(n_rows, 1), self.doubled_cell.repeat(n_rows, 1))

    def first(self, n_rows: int) -> "RowState":
        """Return a view of the first rows."""
        return RowState(self.h[:n_rows], self.doubled_cell[:n_rows])

    def take_over(self, other: "RowState") -> None:
        """Copy the rows of another state."""
        self.h.copy_(other.h)
        self.doubled_cell.copy_(other.doubled_cell)


@dataclass(eq=False)
class Stage:
    """Memory for steps of some rows, and what takes a step there.

    Attributes
    ----------
    inputs : Tensor
        To be filled before a step. *Shape:* ``(R, width)``.
    state : RowState
        Of R rows.
    take_step : callable
        Told how many rows, from the first, count.
    """

    inputs: Tensor
    state: RowState
    take_step: Callable[[int], object]


class StepRecorder:
    """The recordings of one layer.

    Parameters
    ----------
    take_step : callable
        Takes inputs ``(R, width)`` and a state of R rows, which it changes in place.
    make_memory : callable
        Number of rows -> such inputs and state, of zeros.
    operations_per_row : float
        Multiplications and additions.
    record : callable
    """

    def __init__(
        self,
        take_step: Callable[[Tensor, RowState], object],
        make_memory: Callable[[int], tuple[Tensor, RowState]],
        operations_per_row: float,
        record: Record,
    ) -> None:
        self._take_step, self._make_memory = take_step, make_memory
        self._record = record
        self._most_rows = int(_MOST_OPERATIONS / operations_per_row)
        self._stages: dict[tuple[int, str], Stage | None] = {}
        # The stages' memory belongs to one reader at a time.
        self._lock = threading.Lock()
        self._last_turn: torch.cuda.Event | None = None

    @contextlib.contextmanager
    def turn(self, device: torch.device) -> Iterator[None]:
        """Keep other threads from the stages, and their work on a GPU behind ours."""
        with self._lock:
            if self._last_turn is not None:
                self._last_turn.wait()
            yield
            if device.type == "cuda":
                self._last_turn = torch.cuda.current_stream(device).record_event()

    def stage(self, n_rows: int) -> Stage | None:
        """Return the recording for a number of rows, or None if there is none."""
        if n_rows > self._most_rows:
            return None
        n_rows = max(_LEAST_ROWS, 1 << (n_rows - 1).bit_length())
        # Whether products are TF32 is recorded, too.
        key = (n_rows, torch.get_float32_matmul_precision())
        if key not in self._stages:
            self._stages[key] = self._make_stage(n_rows)
        return self._stages[key]

    def _make_stage(self, n_rows: int) -> Stage | None:
        inputs, state = self._make_memory(n_rows)
        try:
            replay = self._record(lambda: self._take_step(inputs, state))
        except RuntimeError as error:
            logger.warning("steps of %d rows are not recorded: %s", n_rows, error)
            return None
        if not self._is_right(inputs, state, replay):
            logger.warning("a recorded step of %d rows was wrong", n_rows)
            return None
        return Stage(inputs, state, lambda _: replay())

    def _is_right(
        self, inputs: Tensor, state: RowState, replay: Callable[[], object]
    ) -> bool:
        """Compare a replay with a step that is not recorded."""
        expected_inputs, expected = self._make_memory(len(inputs))
        generator = torch.Generator(inputs.device).manual_seed(0)  # not the user's
        for tensor in (expected_inputs, expected.h, expected.doubled_cell):
            tensor.uniform_(-1.0, 1.0, generator=generator)
        inputs.copy_(expected_inputs)
        state.take_over(expected)
        replay()
        self._take_step(expected_inputs, expected)
        return all(
            torch.allclose(found, wanted, rtol=_TOLERANCE, atol=_TOLERANCE)
            for found, wanted in (
                (state.h, expected.h),
                (state.doubled_cell, expected.doubled_cell),
            )
        )


class CudaGraphs:
    """Records steps as CUDA graphs.

    Parameters
    ----------
    device : torch.device
    """

    # One graph is captured at a time, also on other devices.
    _lock = threading.Lock()

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def __call__(self, take_step: Callable[[], object]) -> Callable[[], object]:
        """Capture a graph, after some steps that warm up what it calls."""
        with self._lock, torch.cuda.device(self._device):
            beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                for _ in range(3):
                    take_step()
            torch.cuda.current_stream().wait_stream(beside)
            graph = torch.cuda.CUDAGraph()
            # Else whatever another thread does with a GPU breaks the capture.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                take_step()
        return graph.replay
