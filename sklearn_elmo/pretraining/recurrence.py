"""The clipped, projected LSTM of both directions with a back-propagation of its own.

The numbers are those of `sklearn_elmo.bilm.lstm.LstmLayer`. What differs is how they
come about: both directions run in one batched product, and the gradient of the weights
is one product over all steps instead of one a step.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["LayerWeights", "run_layer"]

# The 2 in shapes is the direction: text as it is, then text reversed.


def cell_forward(
    gates: Tensor, cell: Tensor, clip: float | None
) -> tuple[Tensor, Tensor]:
    """Return the next cell, and the cell's output before its projection.

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
    """Return the gradients of the gates (before activation) and the previous cell."""
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
    """Add what comes from above and from the next step; nothing passes a clip."""
    grad = grad_output.float() + grad_recurrent.float()
    if clip is not None:
        grad = torch.where(output.abs() < clip, grad, 0.0)
    return grad.to(grad_output.dtype)


@dataclass(frozen=True)
class LayerWeights:
    """One layer's weights of both directions, in the type of the products.

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
    weights: LayerWeights,
    state: tuple[Tensor, Tensor],
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Run one layer of both directions over all steps.

    Parameters
    ----------
    inputs : Tensor
        *Shape:* ``(2, T, B, P)``.
    weights : LayerWeights
    state : tuple of Tensor
        h ``(2, B, P)`` and c ``(2, B, C)``, float32; no gradient flows into it.

    Returns
    -------
    outputs : Tensor
        *Shape:* ``(2, T, B, P)``.
    state : tuple of Tensor
        After the last step, cut off from the graph.
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
        n_steps, n_rows = inputs.shape[1:3]
        gates = torch.baddbmm(
            bias.unsqueeze(1), inputs.flatten(1, 2), w_inputs.transpose(1, 2)
        ).view(2, n_steps, n_rows, -1)  # (2, T, B, 4C)
        h_first = h.to(inputs.dtype)
        cells, exposed, outputs = [c], [], []
        h = h_first
        w_recurrent_t = w_recurrent.transpose(1, 2)
        for step in range(n_steps):
            # In place: what is left in `gates` is what the gradient needs.
            step_gates = gates[:, step].baddbmm_(h, w_recurrent_t)
            c, out = cell_forward(step_gates, c, cell_clip)
            cells.append(c)
            exposed.append(out)
            h = out
            if w_projection is not None:
                h = torch.bmm(out, w_projection.transpose(1, 2))
                if proj_clip is not None:
                    h = h.clamp_(-proj_clip, proj_clip)
            outputs.append(h)
        stacked = torch.stack(outputs, dim=1)  # (2, T, B, P)
        ctx.save_for_backward(
            inputs,
            w_inputs,
            w_recurrent,
            w_projection,
            h_first,
            gates,
            torch.stack(cells, dim=1),
            torch.stack(exposed, dim=1),
            stacked,
        )
        ctx.cell_clip, ctx.proj_clip = cell_clip, proj_clip
        last_h = h.float()
        ctx.mark_non_differentiable(last_h, c)
        return stacked, last_h, c

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        (
            inputs,
            w_inputs,
            w_recurrent,
            w_projection,
            h_first,
            gates,
            cells,
            exposed,
            outputs,
        ) = ctx.saved_tensors
        n_steps = inputs.shape[1]
        grad = grad.to(inputs.dtype)
        grad_cell = torch.zeros_like(cells[:, 0])
        recurrent = torch.zeros_like(outputs[:, 0])
        grads_h, grads_gates = [], []
        for step in reversed(range(n_steps)):
            grad_h = output_gradient(
                grad[:, step], recurrent, outputs[:, step], ctx.proj_clip
            )
            grad_out = grad_h
            if w_projection is not None:
                grad_out = torch.bmm(grad_h, w_projection)
            grad_gates, grad_cell = cell_backward(
                gates[:, step],
                cells[:, step + 1],
                cells[:, step],
                grad_out,
                grad_cell,
                ctx.cell_clip,
            )
            recurrent = torch.bmm(grad_gates, w_recurrent)
            grads_h.append(grad_h)
            grads_gates.append(grad_gates)
        flat_gates = torch.stack(grads_gates[::-1], dim=1).flatten(1, 2)  # (2, TB, 4C)
        flat_gates_t = flat_gates.transpose(1, 2)
        grad_projection = None
        if w_projection is not None:
            flat_h = torch.stack(grads_h[::-1], dim=1).flatten(1, 2)
            grad_projection = torch.bmm(flat_h.transpose(1, 2), exposed.flatten(1, 2))
        before = torch.cat([h_first.unsqueeze(1), outputs[:, :-1]], dim=1).flatten(1, 2)
        return (
            torch.bmm(flat_gates, w_inputs).view(inputs.shape),
            torch.bmm(flat_gates_t, inputs.flatten(1, 2)),
            torch.bmm(flat_gates_t, before),
            flat_gates.sum(dim=1),
            grad_projection,
            None,
            None,
            None,
            None,
        )
