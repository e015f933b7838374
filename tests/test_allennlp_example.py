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


def test_how_to_names_every_name_of_the_stand_ins() -> None:
    how_to = Path(sklearn_elmo.allennlp.__file__).with_name("HOWTO.md").read_text()
    names = {name for names in NAMES.values() for name in names}
    assert [name for name in sorted(names) if f"`{name}`" not in how_to] == [
        "BasicIterator"  # as `iterators.BasicIterator`
    ]
