"""How well sentence splitters find the sentence boundaries of UD English EWT.

    python tests/benchmarks/sentences.py --data FOLDER [--part dev]

The sentences of ten at a time are joined with one space, as a text without line breaks.
A boundary counts as found if a splitter cuts at exactly that place. Splitters that are
not installed are left out. EWT's web text is hard: its sentences often end without a
period, and headings and signatures count as sentences.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from nltk.tokenize.punkt import PunktSentenceTokenizer
from nltk.tokenize.treebank import TreebankWordDetokenizer
from task_data import read_tagged

SENTENCES_PER_TEXT = 10

Splitter = Callable[[str], list[str]]


def splitters() -> Iterator[tuple[str, Splitter]]:
    from sklearn_elmo.text.sentences import split_sentences

    yield "sklearn_elmo", split_sentences
    punkt = PunktSentenceTokenizer()
    yield "NLTK Punkt, untrained", punkt.tokenize
    if importlib.util.find_spec("syntok"):
        from syntok import segmenter

        def syntok(text: str) -> list[str]:
            sentences = [s for p in segmenter.analyze(text) for s in p]
            starts = [sentence[0].offset for sentence in sentences]
            ends = [*starts[1:], len(text)]
            return [text[a:b] for a, b in zip(starts, ends, strict=True)]

        yield "syntok", syntok
    if importlib.util.find_spec("pysbd"):
        import pysbd

        yield "pysbd", pysbd.Segmenter(language="en", clean=False).segment


def ends_of(parts: list[str]) -> set[int]:
    """Return the ends of all but the last part, counted without white space."""
    ends, n_characters = set(), 0
    for part in parts:
        n_characters += len("".join(part.split()))
        ends.add(n_characters)
    return ends - {n_characters}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--part", default="dev", choices=["train", "dev", "test"])
    options = parser.parse_args()
    tokens, _ = read_tagged(options.data, "pos", options.part)
    join = TreebankWordDetokenizer().detokenize
    sentences = [join(of_sentence) for of_sentence in tokens]
    texts = [
        sentences[start : start + SENTENCES_PER_TEXT]
        for start in range(0, len(sentences), SENTENCES_PER_TEXT)
    ]
    print("| splitter | precision | recall | F1 | characters/s |")
    print("| --- | --- | --- | --- | --- |")
    for name, split in splitters():
        n_right = n_found = n_true = n_characters = 0
        begin = time.perf_counter()
        for parts in texts:
            text = " ".join(parts)
            n_characters += len(text)
            found, true = ends_of(split(text)), ends_of(parts)
            n_right += len(found & true)
            n_found, n_true = n_found + len(found), n_true + len(true)
        speed = n_characters / (time.perf_counter() - begin)
        precision, recall = n_right / n_found, n_right / n_true
        f1 = 2 * precision * recall / (precision + recall)
        print(
            f"| {name} | {100 * precision:.1f} | {100 * recall:.1f} | {100 * f1:.1f} "
            f"| {speed:,.0f} |"
        )


if __name__ == "__main__":
    main()
