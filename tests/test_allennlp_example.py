"""The example of the how-to's settings runs, and trains."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import sklearn_elmo.allennlp
from sklearn_elmo.allennlp.names import NAMES

EXAMPLE = Path(__file__).parents[1] / "examples" / "11_fine_tuning_in_torch.py"


@pytest.mark.slow
def test_example_trains_a_classifier(make_model, tmp_path: Path) -> None:
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("free 1 0 0 0\nyou 0 1 0 0\n")
    model = ["--model", make_model(seed=7), "--word-vectors", vectors]
    arguments = map(str, [*model, "--messages", 120, "--epochs", 2])
    answer = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=EXAMPLE.parents[1],
    )
    assert answer.returncode == 0, answer.stderr
    losses = [float(value) for value in re.findall(r"loss ([\d.]+)", answer.stdout)]
    assert losses[1] < losses[0]
    found = re.search(r"layers: ([\d.]+) ([\d.]+) ([\d.]+); gamma", answer.stdout)
    assert found is not None
    weights = [float(value) for value in found.groups()]
    assert sum(weights) == pytest.approx(1, abs=0.002)
    assert weights != [0.333, 0.333, 0.333]


def test_old_script_runs_after_the_new_lines() -> None:
    example = EXAMPLE.with_name("migrate_from_allennlp.py")
    answer = subprocess.run(
        [sys.executable, "-W", "error", str(example)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=example.parents[1],
    )
    assert answer.returncode == 0, answer.stderr
    assert "predicted: [1, 1, 1, 0, 0, 0]" in answer.stdout
    assert "vectors of line 2: (5, 512)" in answer.stdout


def rows_of_how_to() -> list[tuple[set[str], set[str]]]:
    """The table of names: the modules of each row, and their names."""
    how_to = Path(sklearn_elmo.allennlp.__file__).with_name("HOWTO.md").read_text()
    table = how_to.partition("| module of AllenNLP |")[2].partition("\n\n")[0]
    rows = []
    for line in table.splitlines()[2:]:
        listed, named = line.split("|")[1:3]
        modules = {
            module
            for module in (name.removeprefix("allennlp").lstrip(".") for name in NAMES)
            if f"`{module or 'allennlp'}`" in listed
            or (
                "and its modules" in listed
                and any(
                    module.startswith(f"{part}.")
                    for part in re.findall(r"`([^`]+)`", listed)
                )
            )
        }
        names = {name.split(".")[-1] for name in re.findall(r"`([^`]+)`", named)}
        rows.append((modules, names))
    return rows


def names_of(module: str) -> set[str]:
    return set(NAMES.get(f"allennlp.{module}".rstrip("."), {}))


def test_how_to_names_every_name_of_every_module() -> None:
    rows = rows_of_how_to()
    for module in (name.removeprefix("allennlp").lstrip(".") for name in NAMES):
        listed = set().union(*(names for modules, names in rows if module in modules))
        assert names_of(module) - listed == set(), module


def test_how_to_names_nothing_that_is_not_there() -> None:
    for modules, names in rows_of_how_to():
        assert modules
        known = set().union(*map(names_of, modules))
        assert names - known <= {"dataset"}, modules  # the module of Dataset
