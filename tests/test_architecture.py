"""Who may import whom, and what an import costs."""

import ast
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "sklearn_elmo"

# From the ground up. A part may import from lower levels only, and from itself.
LEVELS = [
    ["errors", "bars", "choices", "pooling_table"],
    ["messages", "constraints", "atomic_files", "parallel", "plain_files"],
    ["compressed"],
    ["bilm", "text", "downloads", "pooling", "idf"],
    ["inference", "store"],
    ["models"],
    ["engine"],
    ["learned_mix", "parameters"],
    ["text_transformer"],
    ["base"],
    ["vectorizer", "token_vectorizer"],
    ["word_vectors", "pairs"],
    ["pretraining", "allennlp", "tagging"],
    ["inspection"],
    ["cli"],
    ["__main__"],
]
LEVEL_OF = {part: level for level, parts in enumerate(LEVELS) for part in parts}

# Parts that may know less than their level allows.
NARROWER = {
    "pooling": {"pooling_table"},
    "idf": set(),
    "bilm": {"errors", "atomic_files", "messages", "plain_files"},
    "inference": {"bilm", "parallel"},
    "text": {"errors", "messages"},
    # For the tokens of a str to export; it knows texts by their tokens else.
    "store": {
        "errors",
        "messages",
        "constraints",
        "atomic_files",
        "plain_files",
        "text",
    },
    "models": {"errors", "messages", "bilm", "downloads", "inference", "parallel"},
    "engine": {"errors", "messages", "inference", "store", "models", "pooling"},
    "learned_mix": {"errors", "messages"},
}

TORCH_AT_THE_TOP = {"bilm", "inference", "parallel", "pretraining", "allennlp"}
NO_TORCH_IN_BILM = {
    "options.py",
    "characters.py",
    "weights.py",
    "layout.py",
    "locations.py",
    "weight_file.py",
    "hdf5_checks.py",
}
# Which of the libraries that cost something each lower part may use at all.
HEAVY = {"torch", "sklearn", "pandas", "polars", "h5py", "scipy", "nltk"}
MAY_USE = {
    "errors": set(),
    "bars": set(),
    "choices": set(),
    "pooling_table": set(),
    "atomic_files": {"h5py"},
    "plain_files": set(),
    "parallel": {"torch"},
    "inference": {"torch"},
    "bilm": {"torch", "h5py"},
    "text": {"nltk"},
    "store": {"h5py"},
    "downloads": {"h5py"},
    "pooling": set(),
    "idf": set(),
    "models": {"torch"},
    "engine": set(),
}


class Import(NamedTuple):
    """One imported module, with what decides whether it is allowed."""

    file: Path
    line: int
    module: str
    at_the_top: bool

    @property
    def place(self) -> str:
        return f"{self.file.relative_to(PACKAGE.parent)}:{self.line}"

    @property
    def importer(self) -> str:
        """Part of the package that the file belongs to; a program is a part."""
        if self.file.name == "__main__.py":
            return "__main__"
        return self.file.relative_to(PACKAGE).with_suffix("").parts[0]

    @property
    def imported(self) -> str | None:
        """Part of the package that is imported; None for another package."""
        names = self.module.split(".")
        return names[1] if names[0] == "sklearn_elmo" and len(names) > 1 else None

    @property
    def library(self) -> str:
        return self.module.partition(".")[0]


def read_imports(file: Path) -> Iterator[Import]:
    """Find all imports of a file, also those inside functions and for types."""
    tree = ast.parse(file.read_text("utf-8"))
    inside = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        top = node not in inside
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name, top)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if module == "sklearn_elmo":
                for alias in node.names:
                    yield Import(file, node.lineno, f"{module}.{alias.name}", top)
            else:
                yield Import(file, node.lineno, module, top)


# The package's own __init__ only names what others hold.
FILES = [file for file in sorted(PACKAGE.rglob("*.py")) if file.parent != PACKAGE] + [
    file for file in sorted(PACKAGE.glob("*.py")) if file.name != "__init__.py"
]
IMPORTS = [found for file in FILES for found in read_imports(file)]


def test_read_imports_sees_every_kind(tmp_path):
    file = tmp_path / "example.py"
    file.write_text(
        "import torch.nn\nfrom sklearn_elmo import text, errors\n"
        "def f():\n    from sklearn_elmo.store.view import view_of\n"
        "from . import other\n"
    )
    found = {(i.module, i.at_the_top) for i in read_imports(file)}
    assert found == {
        ("torch.nn", True),
        ("sklearn_elmo.text", True),
        ("sklearn_elmo.errors", True),
        ("sklearn_elmo.store.view", False),
        (".", True),
    }


def test_every_part_has_a_level():
    parts = {file.relative_to(PACKAGE).with_suffix("").parts[0] for file in FILES}
    assert parts <= LEVEL_OF.keys(), "give the new part a level in LEVELS"


def test_imports_are_absolute():
    relative = [i.place for i in IMPORTS if i.module.startswith(".")]
    assert relative == []


def test_no_import_points_upwards():
    wrong = [
        f"{i.place}: {i.importer} imports {i.module}"
        for i in IMPORTS
        if i.imported in LEVEL_OF
        and i.imported != i.importer
        and LEVEL_OF[i.imported] >= LEVEL_OF[i.importer]
    ]
    assert wrong == []


@pytest.mark.parametrize("part", NARROWER)
def test_part_knows_only_what_it_should(part):
    known = {i.imported for i in IMPORTS if i.importer == part} - {None, part}
    assert known <= NARROWER[part]


@pytest.mark.parametrize("part", MAY_USE)
def test_part_uses_no_library_of_others(part):
    wrong = [
        f"{i.place}: {i.module}"
        for i in IMPORTS
        if i.importer == part and i.library in HEAVY - MAY_USE[part]
    ]
    assert wrong == []


def test_nobody_takes_public_names_from_the_package_itself():
    """Else an arrow could hide behind ``sklearn_elmo.__getattr__``."""
    names = {"ElmoVectorizer", "ElmoTokenVectorizer", "EmbeddingStore", "ElmoTagger"}
    names |= {"ElmoPretrainer", "WordVectorVectorizer", "Elmo", "ElmoEmbedder"}
    assert [i.place for i in IMPORTS if i.imported in names] == []


def test_torch_is_imported_at_the_top_of_few_modules_only():
    wrong = [
        i.place
        for i in IMPORTS
        if i.library == "torch"
        and i.at_the_top
        and (
            i.importer not in TORCH_AT_THE_TOP
            or (i.importer == "bilm" and i.file.name in NO_TORCH_IN_BILM)
        )
    ]
    assert wrong == []


def run_fresh(code: str) -> str:
    """Run code in a new process and return its last line of output."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=PACKAGE.parent, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_import_of_the_package_imports_no_heavy_library():
    heavy = ["torch", "sklearn", "pandas", "polars", "h5py", "scipy", "nltk", "numpy"]
    loaded = json.loads(
        run_fresh(
            "import json, sys, sklearn_elmo\n"
            f"print(json.dumps([m for m in {heavy} if m in sys.modules]))"
        )
    )
    assert loaded == []


def test_import_of_the_package_takes_less_than_half_a_second():
    code = (
        "import time; start = time.perf_counter(); import sklearn_elmo; "
        "print(time.perf_counter() - start)"
    )
    assert statistics.median(float(run_fresh(code)) for _ in range(3)) < 0.5


def test_estimator_is_made_without_torch():
    code = (
        "import sys; from sklearn_elmo import ElmoVectorizer, ElmoTokenVectorizer; "
        "ElmoVectorizer().get_params(); repr(ElmoTokenVectorizer()); "
        "print('torch' in sys.modules)"
    )
    assert run_fresh(code) == "False"


def test_first_row_imports_no_compiler():
    # torch 2.3 imports some of them for any tensor without numbers.
    code = (
        "import json, sys, torch; from sklearn_elmo import ElmoVectorizer\n"
        "with torch.device('meta'): torch.zeros(1, 1)\n"
        "before = set(sys.modules)\n"
        "ElmoVectorizer(tokenizer='whitespace').fit_transform(['a b'])\n"
        "heavy = ['sympy', 'torch.fx.experimental.symbolic_shapes', 'torch._dynamo', "
        "'torch._inductor', 'nltk', 'matplotlib']\n"
        "print(json.dumps([m for m in heavy if m in sys.modules.keys() - before]))"
    )
    assert json.loads(run_fresh(code)) == []


def test_rows_of_a_full_cache_need_no_torch(tmp_path):
    code = (
        "import sys; from sklearn_elmo import ElmoVectorizer\n"
        f"rows = ElmoVectorizer(cache={str(tmp_path)!r}).fit_transform(['a b'])\n"
        "print('torch' in sys.modules)"
    )
    assert [run_fresh(code) for _ in range(2)] == ["True", "False"]


def test_every_public_name_can_be_imported():
    code = (
        "import sklearn_elmo; "
        "[getattr(sklearn_elmo, name) for name in sklearn_elmo.__all__]; "
        "print(set(sklearn_elmo.__all__) <= set(dir(sklearn_elmo)))"
    )
    assert run_fresh(code) == "True"


def test_unknown_name_is_an_attribute_error():
    code = (
        "import sklearn_elmo\n"
        "try:\n    sklearn_elmo.ElmoTransfomer\n"
        "except AttributeError as error:\n    print(error)"
    )
    assert "'ElmoTransfomer'" in run_fresh(code)
