"""Print the lowest versions that pyproject.toml admits, as constraints for pip.

python .ci/lowest.py > FILE && python -m pip install -c FILE ".[test]"
"""

import re
import sys
import tomllib
from itertools import chain
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
# matplotlib 3.8 calls what later versions deprecate, and warnings are errors in tests.
OF_OTHERS = ["pyparsing<3.3"]


def main() -> None:
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    for requirement in sorted({*project["dependencies"], *chain(*extras)}):
        name, bound = re.fullmatch(
            r"([\w.-]+)(?:\[\w+\])?[>=]=([\w.]+)(?:;.*)?", requirement
        ).groups()
        sys.stdout.write(f"{name}=={bound}\n")
    sys.stdout.writelines(f"{constraint}\n" for constraint in OF_OTHERS)


if __name__ == "__main__":
    main()
