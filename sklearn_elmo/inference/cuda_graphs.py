"""CUDA graphs: LSTM steps on a GPU, captured once and replayed. Off by default.

Set the environment variable ``SKLEARN_ELMO_CUDA_GRAPHS=1`` to turn them on.

A step consists of a dozen small operations. Unless it has many rows or wide cells, a
GPU needs more time to launch them one by one than to compute them. A graph is launched
at once, but has a fixed number of rows, so there is one for each power of two.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from sklearn_elmo.inference.step_buffers import RowState, StepBuffers

__all__ = ["Capture", "CudaGraphs", "StepGraphs", "are_requested"]

logger = logging.getLogger(__name__)

_VARIABLE = "SKLEARN_ELMO_CUDA_GRAPHS"
# Steps with more operations take longer to compute than to launch. An estimate from
# data sheets: about 0.1 ms of float32 on current GPUs.
_MAX_OPERATIONS = 4e9
_MIN_ROWS = 8
_TOLERANCE = 1e-3  # covers the rounding of bfloat16

Capture = Callable[[Callable[[], object]], Callable[[], object]]
"""Turns a step into a function that repeats it in the same memory."""


def are_requested() -> bool:
    """Return whether the environment variable asks for CUDA graphs."""
    return os.environ.get(_VARIABLE) == "1"


class StepGraphs:
    """The captured steps of one layer.

    Parameters
    ----------
    take_step : callable
        Receives inputs ``(R, width)`` and a state of R rows, which it updates in place.
    make_buffers : callable
        Returns such inputs and state, all zeros, for a number of rows.
    operations_per_row : float
        Multiplications and additions.
    capture : callable
    """

    def __init__(
        self,
        take_step: Callable[[Tensor, RowState], object],
        make_buffers: Callable[[int], tuple[Tensor, RowState]],
        operations_per_row: float,
        capture: Capture,
    ) -> None:
        self._take_step, self._make_buffers = take_step, make_buffers
        self._capture = capture
        self._max_rows = int(_MAX_OPERATIONS / operations_per_row)
        self._buffers: dict[int, StepBuffers | None] = {}
        # One reader at a time may use the buffers.
        self._lock = threading.Lock()
        self._last_use: torch.cuda.Event | None = None

    @contextlib.contextmanager
    def exclusive(self, device: torch.device) -> Iterator[None]:
        """Reserve the buffers for the calling thread and its work on the GPU."""
        with self._lock:
            if self._last_use is not None:
                self._last_use.wait()
            yield
            if device.type == "cuda":
                self._last_use = torch.cuda.current_stream(device).record_event()

    def buffers(self, n_rows: int) -> StepBuffers | None:
        """Return the captured step for a number of rows, or None if there is none."""
        if n_rows > self._max_rows:
            return None
        n_rows = max(_MIN_ROWS, 1 << (n_rows - 1).bit_length())
        if n_rows not in self._buffers:
            self._buffers[n_rows] = self._capture_step(n_rows)
        return self._buffers[n_rows]

    def _capture_step(self, n_rows: int) -> StepBuffers | None:
        inputs, state = self._make_buffers(n_rows)
        try:
            replay = self._capture(lambda: self._take_step(inputs, state))
        except RuntimeError as error:
            logger.warning("cannot capture a step of %d rows: %s", n_rows, error)
            return None
        if not self._is_correct(inputs, state, replay):
            logger.warning("the captured step of %d rows is wrong", n_rows)
            return None
        return StepBuffers(inputs, state, lambda _: replay())

    def _is_correct(
        self, inputs: Tensor, state: RowState, replay: Callable[[], object]
    ) -> bool:
        """Compare a replay with an ordinary step."""
        expected_inputs, expected = self._make_buffers(len(inputs))
        # A generator of its own leaves the user's random numbers alone.
        generator = torch.Generator(inputs.device).manual_seed(0)
        for tensor in (expected_inputs, expected.h, expected.doubled_cell):
            tensor.uniform_(-1.0, 1.0, generator=generator)
        inputs.copy_(expected_inputs)
        state.copy_(expected)
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
    """Captures steps as CUDA graphs.

    Parameters
    ----------
    device : torch.device
    """

    # Only one graph can be captured at a time, even on different devices.
    _lock = threading.Lock()

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def __call__(self, take_step: Callable[[], object]) -> Callable[[], object]:
        """Capture a graph, after a few steps that warm up the libraries."""
        with self._lock, torch.cuda.device(self._device):
            side_stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side_stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side_stream):
                for _ in range(3):
                    take_step()
            torch.cuda.current_stream().wait_stream(side_stream)
            graph = torch.cuda.CUDAGraph()
            # With the default mode, other threads that use a GPU break the capture.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                take_step()
        return graph.replay
