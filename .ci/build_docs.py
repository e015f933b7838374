"""Build the API reference of the public names with pdoc; any warning is an error.

    python .ci/build_docs.py [FOLDER]      (default: build/docs)

Needs the extra "docs". Open FOLDER/sklearn_elmo.html.
"""

import os
import sys
import warnings
from pathlib import Path

import pdoc

import sklearn_elmo
import sklearn_elmo.allennlp

MODULES = (
    "sklearn_elmo",  # with sklearn_elmo.models
    "sklearn_elmo.allennlp",
    "sklearn_elmo.errors",
    "sklearn_elmo.inspection",
    "sklearn_elmo.pairs",
    "sklearn_elmo.tagging",
)


def main(folder: str = "build/docs") -> None:
    warnings.simplefilter("error")
    # pdoc does not call the package's __getattr__, which imports names on first use.
    for package in (sklearn_elmo, sklearn_elmo.allennlp):
        for name in package.__all__:
            setattr(package, name, getattr(package, name))
    pdoc.render.configure(docformat="numpy", show_source=True)
    target = Path(folder).resolve()
    target.mkdir(parents=True, exist_ok=True)
    # pdoc warns where a name could mean a folder instead of the installed package.
    os.chdir(target)
    pdoc.pdoc(*MODULES, output_directory=target)
    sys.stdout.write(f"{len(list(target.rglob('*.html')))} pages in {target}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
