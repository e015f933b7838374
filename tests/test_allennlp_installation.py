"""AllenNLP's module names, its program and its functions of files."""

import functools
import http.server
import importlib
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

from sklearn_elmo import ElmoVectorizer
from sklearn_elmo.allennlp import ElmoEmbedder
from sklearn_elmo.allennlp.model_files import cached_path
from sklearn_elmo.allennlp.names import NAMES
from sklearn_elmo.cli import allennlp_program
from sklearn_elmo.errors import InvalidParameterError, SklearnElmoError

ROOT = Path(__file__).parents[1]


def run_fresh(code: str, *arguments: str, cwd: Path = ROOT) -> str:
    """Run code in a new process after `install`, and return what it prints."""
    start = "from sklearn_elmo.allennlp import install\ninstall()\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", start + code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_name_has_a_home() -> None:
    for module, names in NAMES.items():
        for name, (home, name_here) in names.items():
            found = getattr(importlib.import_module(home), name_here)
            assert found is not None, f"{module}.{name}"


ALL_NAMES = """
import importlib
from sklearn_elmo.allennlp.names import NAMES

n_names = 0
for module, names in NAMES.items():
    imported = importlib.import_module(module)
    assert set(names) <= set(dir(imported))
    for name in names:
        exec(f"from {module} import {name}")
        n_names += 1
import allennlp, allennlp.modules.elmo, allennlp.nn.util as nn_util
assert allennlp.__version__ == "0.9.0"
assert allennlp.modules.elmo.remove_sentence_boundaries
from allennlp.modules.elmo import remove_sentence_boundaries
assert nn_util.remove_sentence_boundaries is remove_sentence_boundaries
from allennlp.modules import Elmo, ScalarMix, elmo, scalar_mix
assert elmo.Elmo is Elmo and scalar_mix.ScalarMix is ScalarMix
print(n_names)
"""


def test_every_name_can_be_imported() -> None:
    assert int(run_fresh(ALL_NAMES)) > 90


WHAT_IS_MISSING = """
statements = [
    "import allennlp.models",
    "import allennlp.modules.attention",
    "import allennlp.models.archival",
    "from allennlp.predictors import Predictor",
    "from allennlp.predictors.predictor import Predictor",
    "from allennlp.modules.elmo import Nothing",
    "from allennlp.modules import Seq2SeqEncoder",
    "from allennlp import predictors",
]
for statement in statements:
    try:
        exec(statement)
    except ImportError as error:
        assert isinstance(error, ModuleNotFoundError)
        assert error.name == "allennlp"
        assert "stand-in for AllenNLP" in str(error), error
        assert "HOWTO.md" in str(error)
    else:
        raise AssertionError(statement)
import allennlp.modules
try:
    allennlp.modules.Seq2SeqEncoder
except AttributeError as error:
    assert "stand-in for AllenNLP" in str(error)
assert not hasattr(allennlp, "predictors")
try:
    import allennlp_models
except ImportError as error:
    assert "stand-in" not in str(error)
print("done")
"""


def test_what_has_no_stand_in_says_so() -> None:
    assert run_fresh(WHAT_IS_MISSING).strip() == "done"


def test_stand_ins_are_imported_only_when_used() -> None:
    code = (
        "import sys, allennlp.modules.elmo, allennlp.commands.elmo\n"
        "print('torch' in sys.modules)"
    )
    assert run_fresh(code).strip() == "False"


def test_folder_with_tests_alone_stays_importable(tmp_path: Path) -> None:
    """A folder without __init__.py is not AllenNLP."""
    tests = tmp_path / "allennlp" / "tests"
    tests.mkdir(parents=True)
    (tests / "__init__.py").touch()
    (tests / "some_test.py").write_text("from allennlp.modules.elmo import Elmo\n")
    code = (
        "import allennlp.tests.some_test as some_test\n"
        "from allennlp.common.testing import AllenNlpTestCase\n"
        "print(some_test.Elmo.__module__, AllenNlpTestCase.TESTS_ROOT.is_dir())"
    )
    expected = "sklearn_elmo.allennlp.elmo True"
    assert run_fresh(code, cwd=tmp_path).strip() == expected


# The program.


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    path = tmp_path / "sentences.txt"
    path.write_text("Michael went to the store .\nHe bought eggs .\n")
    return path


def arguments_of(sentences: Path, model: Path) -> list[str]:
    files = [
        "--options-file",
        str(model / "options.json"),
        "--weight-file",
        str(model / "weights.hdf5"),
    ]
    output = sentences.with_suffix(".hdf5")
    return ["elmo", str(sentences), str(output), "--all", *files]


def check_output(sentences: Path, model: Path) -> None:
    embedder = ElmoEmbedder(model / "options.json", model / "weights.hdf5")
    tokens = [line.split() for line in sentences.read_text().splitlines()]
    expected = embedder.embed_batch(tokens)
    with h5py.File(sentences.with_suffix(".hdf5")) as file:
        for number, vectors in enumerate(expected):
            np.testing.assert_array_equal(file[str(number)][...], vectors)


def test_module_is_the_program(sentences: Path, tiny_model: Path) -> None:
    arguments = arguments_of(sentences, tiny_model)
    done = subprocess.run(
        [sys.executable, "-m", "sklearn_elmo.allennlp", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    check_output(sentences, tiny_model)


def test_main_of_commands_reads_the_arguments_of_the_process(
    sentences: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["run.py", *arguments_of(sentences, tiny_model)]
    monkeypatch.setattr(sys, "argv", arguments)
    assert allennlp_program.call() is None
    check_output(sentences, tiny_model)
    sentences.write_text("A\n\nB\n")
    with pytest.raises(SklearnElmoError, match=r"indexes \[1\]"):
        allennlp_program.call()


def test_main_of_commands_takes_further_commands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []

    class Command:
        def add_subparser(self, name: str, parser: object) -> None:
            subparser = parser.add_parser(name)  # type: ignore[attr-defined]
            subparser.add_argument("word")
            subparser.set_defaults(func=lambda arguments: said.append(arguments.word))

    monkeypatch.setattr(sys, "argv", ["run.py", "say", "hello"])
    allennlp_program.call(subcommand_overrides={"say": Command()})
    assert said == ["hello"]


@pytest.mark.parametrize("arguments", [[], ["train"], ["elmo"]])
def test_program_exits_2_for_wrong_usage(
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["allennlp", *arguments])
    assert allennlp_program.run_program() == 2
    assert "usage: allennlp" in capsys.readouterr().err


@pytest.mark.filterwarnings("default")
def test_program_without_a_model_says_that_the_default_is_another_one(
    sentences: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sklearn_elmo.allennlp.embedder._has_warned", False)
    output = str(sentences.with_suffix(".hdf5"))
    arguments = ["allennlp", "elmo", str(sentences), output, "--top"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert allennlp_program.run_program() == 0
    assert "models fetch original" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", [*arguments, "--model", "default"])
    monkeypatch.setattr("sklearn_elmo.allennlp.embedder._has_warned", False)
    assert allennlp_program.run_program() == 0
    assert "models fetch original" not in capsys.readouterr().err


# Files.


def test_cached_path_is_the_path_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert cached_path(tmp_path / "file") == str(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match="nothing"):
        cached_path(tmp_path / "nothing")
    with pytest.raises(InvalidParameterError, match="SKLEARN_ELMO_HOME"):
        cached_path(tmp_path / "file", cache_dir="elsewhere")


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


def test_urls_are_fetched_for_old_code_and_for_estimators(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKLEARN_ELMO_HOME", str(tmp_path))
    handler = functools.partial(QuietHandler, directory=str(tiny_model))
    texts = ["The cat sat .", "It slept ."]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        pair = f"{url}/options.json", f"{url}/weights.hdf5"
        options = Path(cached_path(pair[0]))
        found = ElmoVectorizer(model=pair).fit_transform(texts)
        server.shutdown()
        thread.join()
    assert options.read_bytes() == (tiny_model / "options.json").read_bytes()
    assert options.is_relative_to(tmp_path)
    expected = ElmoVectorizer(model=tiny_model).fit_transform(texts)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    # Without the server: both files are there.
    again = ElmoVectorizer(model=list(pair)).fit_transform(texts)
    np.testing.assert_allclose(again, expected, atol=1e-6)
