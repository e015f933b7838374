"""The clipped, projected LSTM with a gradient written by hand: the training form.

Three forms of this computation exist. `sklearn_elmo.bilm.lstm` is the readable
reference that this one is tested against; `sklearn_elmo.inference.lstm` is the fast
inference form.

It is faster than automatic gradients for two reasons: on the CPU each direction has a
core to itself (elsewhere both run in one batched product), and the gradient of the
weights is one product over all steps instead of one per step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sklearn_elmo.parallel import in_groups, row_blocks

__all__ = ["LstmWeights", "run_layer"]

# The 2 in shapes is the direction: the text, then the reversed text.


def cell_forward(
    gates: Tensor, cell: Tensor, clip: float | None
) -> tuple[Tensor, Tensor]:
    """Return the next cell state, and the output before its projection.

    *Shape:* gates ``(2, B, 4C)`` in the order i, f, g, o; cells ``(2, B, C)`` float32.
    """
    i, f, g, o = gates.float().chunk(4, dim=-1)
    new = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    if clip is not None:
        new = new.clamp(-clip, clip)
    return new, (torch.sigmoid(o) * torch.tanh(new)).to(gates.dtype)


def cell_backward(
    gates: Tensor,
    cell: Tensor,
    previous: Tensor,
    grad_output: Tensor,
    grad_cell: Tensor,
    clip: float | None,
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the previous cell and of the gates before activation."""
    i, f, g, o = gates.float().chunk(4, dim=-1)
    i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
    squashed = torch.tanh(cell)
    grad_output = grad_output.float()
    grad = grad_cell + grad_output * o * (1 - squashed * squashed)
    if clip is not None:
        grad = torch.where(cell.abs() < clip, grad, 0.0)
    grad_gates = torch.cat(
        [
            grad * g * i * (1 - i),
            grad * previous * f * (1 - f),
            grad * i * (1 - g * g),
            grad_output * squashed * o * (1 - o),
        ],
        dim=-1,
    )
    return grad_gates.to(gates.dtype), grad * f


def output_gradient(
    grad_output: Tensor, grad_recurrent: Tensor, output: Tensor, clip: float | None
) -> Tensor:
    """Add the gradients from above and from the next step; clipped values have none."""
    grad = grad_output.float() + grad_recurrent.float()
    if clip is not None:
        grad = torch.where(output.abs() < clip, grad, 0.0)
    return grad.to(grad_output.dtype)


@dataclass(frozen=True)
class LstmWeights:
    """Weights of one layer, both directions, in the data type of the products.

    *Shape:* inputs and recurrent ``(2, 4C, P)``, bias ``(2, 4C)``, projection
    ``(2, P, C)`` or None.
    """

    inputs: Tensor
    recurrent: Tensor
    bias: Tensor
    projection: Tensor | None
    cell_clip: float | None
    proj_clip: float | None


def run_layer(
    inputs: Tensor,
    weights: LstmWeights,
    state: tuple[Tensor, Tensor],
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Run one layer of both directions over all steps.

    Parameters
    ----------
    inputs : Tensor
        *Shape:* ``(2, T, B, P)``.
    weights : LstmWeights
    state : tuple of Tensor
        h ``(2, B, P)`` and c ``(2, B, C)``, float32; they get no gradient.

    Returns
    -------
    outputs : Tensor
        *Shape:* ``(2, T, B, P)``.
    state : tuple of Tensor
        After the last step, detached from the graph.
    """
    outputs, h, c = _Recurrence.apply(  # type: ignore[no-untyped-call]
        inputs,
        weights.inputs,
        weights.recurrent,
        weights.bias,
        weights.projection,
        *state,
        weights.cell_clip,
        weights.proj_clip if weights.projection is not None else None,
    )
    return outputs, (h, c)


class _Saved(NamedTuple):
    """What the backward pass needs from the forward pass."""

    inputs: Tensor
    w_inputs: Tensor
    w_recurrent: Tensor
    w_projection: Tensor | None
    h_first: Tensor
    gates: Tensor  # before activation
    cells: Tensor
    exposed: Tensor  # cell outputs before their projection
    outputs: Tensor


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        w_inputs: Tensor,
        w_recurrent: Tensor,
        bias: Tensor,
        w_projection: Tensor | None,
        h: Tensor,
        c: Tensor,
        cell_clip: float | None,
        proj_clip: float | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        _, n_steps, n_rows, width = inputs.shape
        n_cells = c.shape[2]
        h_first = h.to(inputs.dtype)
        gates = inputs.new_empty(2, n_steps, n_rows, 4 * n_cells)
        cells = c.new_empty(2, n_steps + 1, n_rows, n_cells)
        exposed = inputs.new_empty(2, n_steps, n_rows, n_cells)
        outputs = inputs.new_empty(2, n_steps, n_rows, width)

        def run(part: slice) -> None:
            torch.baddbmm(
                bias[part].unsqueeze(1),
                inputs[part].flatten(1, 2),
                w_inputs[part].transpose(1, 2),
                out=gates[part].view(-1, n_steps * n_rows, 4 * n_cells),
            )
            w_recurrent_t = w_recurrent[part].transpose(1, 2)
            current, cells[part, 0] = h_first[part], c[part]
            for step in range(n_steps):
                step_gates = gates[part, step].baddbmm_(current, w_recurrent_t)
                cells[part, step + 1], current = cell_forward(
                    step_gates, cells[part, step], cell_clip
                )
                exposed[part, step] = current
                if w_projection is not None:
                    current = torch.bmm(current, w_projection[part].transpose(1, 2))
                    if proj_clip is not None:
                        current = current.clamp_(-proj_clip, proj_clip)
                outputs[part, step] = current

        _run_directions(run, inputs.device)
        ctx.save_for_backward(
            *_Saved(
                inputs, w_inputs, w_recurrent, w_projection, h_first, gates, cells,
                exposed, outputs,
            )
        )  # fmt: skip
        ctx.cell_clip, ctx.proj_clip = cell_clip, proj_clip
        last_h, last_c = outputs[:, -1].float().clone(), cells[:, -1].clone()
        ctx.mark_non_differentiable(last_h, last_c)
        return outputs, last_h, last_c

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        saved = _Saved(*ctx.saved_tensors)
        grad = grad.to(saved.inputs.dtype)
        grads_h = torch.empty_like(saved.outputs)
        grads_gates = torch.empty_like(saved.gates)
        grad_inputs = torch.empty_like(saved.inputs)
        grad_w_inputs = torch.empty_like(saved.w_inputs)
        grad_w_recurrent = torch.empty_like(saved.w_recurrent)
        grad_projection = (
            None if saved.w_projection is None else torch.empty_like(saved.w_projection)
        )

        def run(part: slice) -> None:
            _steps_backward(
                saved, part, grad, grads_h, grads_gates, ctx.cell_clip, ctx.proj_clip
            )
            flat_gates = grads_gates[part].flatten(1, 2)  # (2, TB, 4C)
            flat_gates_t = flat_gates.transpose(1, 2)
            inputs = saved.inputs[part].flatten(1, 2)
            earlier = [saved.h_first[part].unsqueeze(1), saved.outputs[part, :-1]]
            before = torch.cat(earlier, dim=1).flatten(1, 2)
            flat_grad_inputs = grad_inputs[part].flatten(1, 2)
            torch.bmm(flat_gates, saved.w_inputs[part], out=flat_grad_inputs)
            torch.bmm(flat_gates_t, inputs, out=grad_w_inputs[part])
            torch.bmm(flat_gates_t, before, out=grad_w_recurrent[part])
            if grad_projection is not None:
                flat_h_t = grads_h[part].flatten(1, 2).transpose(1, 2)
                exposed = saved.exposed[part].flatten(1, 2)
                torch.bmm(flat_h_t, exposed, out=grad_projection[part])

        _run_directions(run, saved.inputs.device)
        grad_bias = grads_gates.sum(dim=(1, 2))
        no_gradient = (None,) * 4  # states and clips
        return (
            grad_inputs,
            grad_w_inputs,
            grad_w_recurrent,
            grad_bias,
            grad_projection,
            *no_gradient,
        )


def _steps_backward(
    saved: _Saved,
    part: slice,
    grad: Tensor,
    grads_h: Tensor,
    grads_gates: Tensor,
    cell_clip: float | None,
    proj_clip: float | None,
) -> None:
    """Fill in the gradients of outputs and gates, from the last step to the first."""
    grad_cell = torch.zeros_like(saved.cells[part, 0])
    recurrent = torch.zeros_like(saved.outputs[part, 0])
    for step in reversed(range(saved.inputs.shape[1])):
        grad_h = output_gradient(
            grad[part, step], recurrent, saved.outputs[part, step], proj_clip
        )
        grad_out = grad_h
        if saved.w_projection is not None:
            grad_out = torch.bmm(grad_h, saved.w_projection[part])
        grad_gates, grad_cell = cell_backward(
            saved.gates[part, step],
            saved.cells[part, step + 1],
            saved.cells[part, step],
            grad_out,
            grad_cell,
            cell_clip,
        )
        recurrent = torch.bmm(grad_gates, saved.w_recurrent[part])
        grads_h[part, step] = grad_h
        grads_gates[part, step] = grad_gates


def _run_directions(task: Callable[[slice], None], device: torch.device) -> None:
    """Run both directions: in parallel on the CPU, as one batch elsewhere."""
    n_at_once = 1 if device.type == "cpu" else 2

    def run(parts: list[slice]) -> None:
        for part in parts:
            task(part)

    in_groups(row_blocks(2, n_at_once), run, device)
