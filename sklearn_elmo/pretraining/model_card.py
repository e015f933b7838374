"""``MODEL_CARD.md`` beside the weights."""

import datetime
import json
import platform
from collections.abc import Mapping
from typing import Any

import torch

__all__ = ["model_card"]


def model_card(
    *,
    options: Mapping[str, Any],
    n_parameters: int,
    n_words: int,
    parameters: Mapping[str, Any],
    corpus: Mapping[str, Any],
    last_rows: Mapping[str, Any],
    device: str,
) -> str:
    """Return what is known about a model, as Markdown.

    What only a person can know (where the text is from, its licence) is left open and
    says so.
    """
    settings = "\n".join(f"| {name} | {value} |" for name, value in parameters.items())
    judged = "\n".join(
        f"| {name} | {last_rows[key]:.2f} |"
        for name, key in (
            ("forward", "held_out_forward"),
            ("backward", "held_out_backward"),
            ("average", "held_out_average"),
        )
        if key in last_rows
    )
    taught = _name_teachers(parameters)
    return f"""# Model card

A bidirectional language model (ELMo, Peters et al. 2018) trained with
`sklearn_elmo.ElmoPretrainer` on {datetime.date.today().isoformat()}.

| | |
| --- | --- |
| weights | {n_parameters:,}, and {n_words:,} words in the softmax |
| text | {corpus["n_tokens"]:,} tokens with sentence boundaries, \
{corpus["n_types"]:,} different words |
| read | {last_rows.get("tokens", 0):,} tokens by each direction \
({last_rows.get("epochs", 0)} epochs) in {last_rows.get("seconds", 0):,.0f} s |
| hardware | {device}, {platform.machine()}, torch {torch.__version__} |
| teacher | {taught} |
| origin and licence of the text | to be filled in by who trained it |
| licence of the weights | to be filled in by who trained it |

## Perplexity on held-out text

Full softmax, state carried; the boundary that opens the next sentence is not counted,
words outside the vocabulary count as `<UNK>`.

| direction | perplexity |
| --- | --- |
{judged}

## Settings

| parameter | value |
| --- | --- |
{settings}

```json
{json.dumps(options, indent=1)}
```
"""


def _name_teachers(parameters: Mapping[str, Any]) -> str:
    lessons = [
        f"{teacher}, towards whose vectors {what} were led"
        for name, what in (
            ("teacher", "pooled layers"),
            ("token_teacher", "the layers of words"),
        )
        if (teacher := parameters.get(name)) is not None
    ]
    if not lessons:
        return "none: a language model alone"
    return (
        f"{'; '.join(lessons)}. Nothing of it is in the weights' files, but name it, "
        "and mind its licence, when passing them on"
    )
