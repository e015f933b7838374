"""Plot of a training run, if matplotlib is installed."""

from pathlib import Path
from typing import Any

from sklearn_elmo.atomic_files import replacing

__all__ = ["save_loss_plot"]


def save_loss_plot(path: Path, history: list[dict[str, Any]]) -> bool:
    """Plot the losses over tokens; return False if matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    rows = [row for row in history if "smoothed_loss" in row]
    tokens = [row["tokens"] / 1e6 for row in rows]
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(tokens, [row["smoothed_loss"] for row in rows], label="language model")
    for name in ("teacher", "token_teacher"):
        if rows and f"{name}_loss" in rows[0]:
            losses = [row[f"{name}_loss"] for row in rows]
            axes.plot(tokens, losses, label=name.replace("_", " "))
    axes.set_xlabel("tokens read by each direction (millions)")
    axes.set_ylabel("loss (nats per word)")
    axes.grid(alpha=0.3)
    axes.legend()
    with replacing(path) as temporary, temporary.open("xb") as file:
        figure.savefig(file, dpi=120, format="png")
    return True
