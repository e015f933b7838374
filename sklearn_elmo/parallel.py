"""Parallel work on the CPU: one Python thread per core, one core per matrix product.

PyTorch's own threads split each product and wait for each other after it, thousands of
times per second; if another process takes one of their cores, all of them wait.
Independent tasks do not, and are as fast on a quiet machine. All calls of a process
share the threads, so that many callers do not oversubscribe the cores.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

__all__ = [
    "in_groups",
    "n_workers",
    "row_blocks",
    "run_on_one_core",
    "run_side_by_side",
    "sums_over_groups",
]

Result = TypeVar("Result")

_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}


def n_workers(device: str) -> int:
    """Return how many tasks run at the same time.

    On the CPU as many as PyTorch has threads in the calling thread, so that
    ``torch.set_num_threads``, ``OMP_NUM_THREADS`` and the limits that joblib sets for
    its workers apply here too.
    """
    return torch.get_num_threads() if device == "cpu" else 1


def run_side_by_side(
    tasks: Sequence[Callable[[], object]], device: str
) -> Iterator[int]:
    """Run tasks in parallel, and yield the number of each task when it has finished.

    Parameters
    ----------
    tasks : sequence of callables
        Independent of each other; each uses one core.
    device : str
        On devices other than ``"cpu"`` the tasks run one after the other.

    Raises
    ------
    Exception
        The first that a task raises; tasks that have not started are dropped.
    """
    n_threads = n_workers(device)
    if n_threads == 1 or len(tasks) < 2:
        for number, task in enumerate(tasks):
            task()
            yield number
        return
    pool = _pool(n_threads)
    numbers = {pool.submit(task): number for number, task in enumerate(tasks)}
    try:
        for future in as_completed(numbers):
            future.result()
            yield numbers[future]
    finally:
        for future in numbers:
            future.cancel()
        wait(numbers)


def run_on_one_core(task: Callable[[], Result]) -> Result:
    """Run a task on one core and return its result.

    A thread that has used several cores through PyTorch would hang after a fork: the
    child waits for threads of its parent.
    """
    n_threads = torch.get_num_threads()
    return task() if n_threads == 1 else _pool(n_threads).submit(task).result()


def row_blocks(n_rows: int, n_at_once: int) -> list[slice]:
    """Cut rows into blocks of at most ``n_at_once``."""
    return [slice(k, min(k + n_at_once, n_rows)) for k in range(0, n_rows, n_at_once)]


def in_groups(
    blocks: list[slice], task: Callable[[list[slice]], Result], device: torch.device
) -> list[Result]:
    """Process blocks in as many groups as there are cores, without gradients.

    Parameters
    ----------
    blocks : list of slice
        Group k of n gets the blocks k, k + n, ...
    task : callable
        Receives the blocks of one group. Groups must not write to the same tensors.
    device : torch.device
        Devices other than the CPU process one group; so does the CPU without blocks.

    Returns
    -------
    list
        What the task returned for each group, in the order of the groups.
    """
    n_groups = max(1, min(len(blocks), n_workers(device.type)))
    results: dict[int, Result] = {}

    def run(number: int) -> None:
        with torch.no_grad():  # a setting of the thread
            results[number] = task(blocks[number::n_groups])

    tasks = [partial(run, number) for number in range(n_groups)]
    for _ in run_side_by_side(tasks, device.type):
        pass
    return [results[number] for number in range(n_groups)]


def sums_over_groups(
    blocks: list[slice],
    task: Callable[[list[slice]], tuple[Tensor, ...]],
    device: torch.device,
) -> list[Tensor]:
    """Do as `in_groups` with a task that returns tensors; return their sums."""
    groups = in_groups(blocks, task, device)
    return [torch.stack(parts).sum(dim=0) for parts in zip(*groups, strict=True)]


def _pool(n_threads: int) -> ThreadPoolExecutor:
    with _lock:
        if n_threads not in _pools:
            pool = ThreadPoolExecutor(
                n_threads,
                thread_name_prefix="sklearn-elmo",
                initializer=_take_one_core,
            )
            # `set_num_threads` applies to the calling thread and to all that start
            # later. So start all of ours now, then restore the number.
            everyone = threading.Barrier(n_threads + 1)
            for _ in range(n_threads):
                pool.submit(everyone.wait)
            everyone.wait()
            torch.set_num_threads(n_threads)
            _pools[n_threads] = pool
        return _pools[n_threads]


def _take_one_core() -> None:
    # A thread takes over the number of the process when it first asks PyTorch for it,
    # even after `set_num_threads`. So ask first.
    torch.get_num_threads()
    torch.set_num_threads(1)


def _forget_pools() -> None:
    """Forget the threads of the parent: a fork does not copy them."""
    global _lock
    _lock = threading.Lock()
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pools)
