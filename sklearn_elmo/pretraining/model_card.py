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
    """Return the model card as Markdown.

    What the program cannot know (origin and licence of the text) is left to be filled
    in.
    """
    settings = "\n".join(f"| {name} | {value} |" for name, value in parameters.items())
    perplexities = "\n".join(
        f"| {name} | {last_rows[key]:.2f} |"
        for name, key in (
            ("forward", "held_out_forward"),
            ("backward", "held_out_backward"),
            ("average", "held_out_average"),
        )
        if key in last_rows
    )
    teachers = _name_teachers(parameters)
    return f"""# Model card

A bidirectional language model (ELMo, Peters et al. 2018) trained with
`sklearn_elmo.ElmoPretrainer` on {datetime.date.today().isoformat()}.

| | |
| --- | --- |
| weights | {n_parameters:,}, and {n_words:,} words in the softmax |
| text | {corpus["n_tokens"]:,} tokens with sentence boundaries, \
{corpus["n_types"]:,} distinct words |
| read | {last_rows.get("tokens", 0):,} tokens by each direction \
({last_rows.get("epochs", 0)} epochs) in {last_rows.get("seconds", 0):,.0f} s |
| hardware | {device}, {platform.machine()}, torch {torch.__version__} |
| teacher | {teachers} |
| origin and licence of the text | to be filled in |
| licence of the weights | to be filled in |

## Perplexity on held-out text

Full softmax, state carried; the boundary that opens the next sentence is not counted,
words outside the vocabulary count as `<UNK>`.

| direction | perplexity |
| --- | --- |
{perplexities}

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
        f"{teacher} (its vectors were targets for {what})"
        for name, what in (
            ("teacher", "the pooled layers"),
            ("token_teacher", "the layers of words"),
        )
        if (teacher := parameters.get(name)) is not None
    ]
    if parameters.get("init") is not None and parameters.get("anchor_weight"):
        lessons.append(f"{parameters['init']} (the layers were kept close to its own)")
    if not lessons:
        return "none: a language model alone"
    return (
        f"{'; '.join(lessons)}. The weight files contain no part of it, but name it, "
        "and respect its licence, when you share them"
    )
