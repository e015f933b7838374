"""What the README says runs."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    text = README.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_readme_begins_with_the_two_commands() -> None:
    install_and_run, install_and_test = blocks("bash")[:2]
    assert install_and_run.rstrip().endswith("python examples/quickstart.py")
    assert install_and_test.rstrip().endswith("python -m pytest")


def test_readme_python_runs(tmp_path: Path) -> None:
    """The blocks make one script: later ones use names of the first."""
    imports = "from sklearn.model_selection import GridSearchCV\n"
    script = tmp_path / "readme.py"
    script.write_text(imports + "\n".join(blocks("python")), encoding="utf-8")
    finished = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert re.fullmatch(r"\[[01] [01]\]\n", finished.stdout)
