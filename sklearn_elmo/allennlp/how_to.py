"""The number in AllenNLP's how-to: ``python -m sklearn_elmo.allennlp.how_to``.

One `ElmoEmbedder` embeds two sentences in turn. The how-to gives the cosine distance
between the top-layer vectors of "apple" and "carrot". It was computed with the original
model and depends on the state that the first sentence leaves behind.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sklearn_elmo.errors import SklearnElmoError

if TYPE_CHECKING:
    from sklearn_elmo.allennlp.embedder import ElmoEmbedder

__all__ = ["PUBLISHED_DISTANCE", "apple_to_carrot", "main"]

PUBLISHED_DISTANCE = 0.18020617961883545
"""From AllenNLP's how-to of 2018, for the original model (93.6 million weights)."""

SENTENCES = (
    ("I", "ate", "an", "apple", "for", "breakfast"),
    ("I", "ate", "a", "carrot", "for", "breakfast"),
)
FOOD = 3  # position of "apple" and "carrot"


def apple_to_carrot(elmo: "ElmoEmbedder") -> float:
    """Return the cosine distance that the how-to computes.

    Parameters
    ----------
    elmo : ElmoEmbedder
        A new one: the result depends on the carried state.
    """
    import numpy as np

    apple, carrot = (
        elmo.embed_sentence(sentence)[-1, FOOD].astype(np.float64)
        for sentence in SENTENCES
    )
    lengths = np.linalg.norm(apple) * np.linalg.norm(carrot)
    return float(1.0 - apple @ carrot / lengths)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the distance and the published one.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments of the process by default.

    Returns
    -------
    int
        1 if the model is the original and the two disagree, or if it cannot be read;
        otherwise 0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m sklearn_elmo.allennlp.how_to",
        description="Cosine distance of 'apple' and 'carrot', as in AllenNLP's how-to.",
    )
    parser.add_argument(
        "--model",
        default="default",
        help="the how-to has 'original', which must be fetched once with 'sklearn-elmo "
        "models fetch original' (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)
    from sklearn_elmo.allennlp.embedder import ElmoEmbedder

    try:
        distance = apple_to_carrot(ElmoEmbedder(arguments.model))
    except SklearnElmoError as error:
        sys.stderr.write(f"{parser.prog}: error: {error}\n")
        return 1
    sys.stdout.write(
        f"apple to carrot, model {arguments.model!r}: {distance:.17g}\n"
        f"published, model 'original':  {PUBLISHED_DISTANCE:.17g}\n"
    )
    if arguments.model != "original":
        return 0
    difference = abs(distance - PUBLISHED_DISTANCE)
    agrees = difference < TOLERANCE
    verdict = "agree" if agrees else "DISAGREE"
    sys.stdout.write(f"They {verdict}: the difference is {difference:.1e}.\n")
    return 0 if agrees else 1


TOLERANCE = 1e-5  # float32 on other processors

if __name__ == "__main__":
    sys.exit(main())
