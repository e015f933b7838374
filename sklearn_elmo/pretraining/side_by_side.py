"""Parts of a training step that have nothing to do with each other, a core for each."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from sklearn_elmo.bilm.threads import n_workers, run_side_by_side

__all__ = ["in_groups", "row_blocks", "sums_over_groups"]

Result = TypeVar("Result")


def row_blocks(n_rows: int, n_at_once: int) -> list[slice]:
    """Cut rows into blocks."""
    return [slice(k, min(k + n_at_once, n_rows)) for k in range(0, n_rows, n_at_once)]


def in_groups(
    blocks: list[slice], task: Callable[[list[slice]], Result], device: torch.device
) -> list[Result]:
    """Do blocks in as many groups as there are cores, without gradients.

    Parameters
    ----------
    blocks : list of slice
        Group k of n gets the blocks k, k + n, ...
    task : callable
        Gets the blocks of one group. What it sums up should be of its own.
    device : torch.device
        Other devices than the CPU get one group; so does the CPU without blocks.

    Returns
    -------
    list
        What the task returned for each group, in the order of the groups.
    """
    n_groups = max(1, min(len(blocks), n_workers(device.type)))
    results: dict[int, Result] = {}

    def run(number: int) -> None:
        with torch.no_grad():  # counts for one thread
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
    """Do the same with a task that returns tensors, and add up those of all groups."""
    groups = in_groups(blocks, task, device)
    return [torch.stack(parts).sum(dim=0) for parts in zip(*groups, strict=True)]
