# PYTHON_ARGCOMPLETE_OK
"""``python -m sklearn_elmo`` is ``sklearn-elmo``."""

import sys

from sklearn_elmo.cli import main

if __name__ == "__main__":
    sys.exit(main())
