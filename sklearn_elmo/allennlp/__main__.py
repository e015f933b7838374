"""``python -m sklearn_elmo.allennlp elmo IN OUT --all``: AllenNLP's program."""

import sys

from sklearn_elmo.cli.allennlp_program import run_program

if __name__ == "__main__":
    sys.exit(run_program())
