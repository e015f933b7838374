"""From import to the first row, and what worker processes share of a model.

    python tests/benchmarks/start.py [--shapes default original] [--workers 4]
    python tests/benchmarks/start.py --imports

Seconds from before ``import sklearn_elmo`` to the first row, best of three processes,
files in the disk's cache; most of it goes into imports. Memory is the proportional set
size (PSS: pages that n processes share count 1/n for each) of one worker and of several
that hold the model at the same time, in MiB; "bare" is a process that did the same with
a tiny model. Shapes other than the default get random weights.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from random_weights import model_of_shape

sys.path.insert(0, str(Path(__file__).parents[1]))
from reference_numpy import make_model

CHILD = """
import sys, time
begin = time.perf_counter()
from sklearn_elmo import ElmoVectorizer
ElmoVectorizer(sys.argv[1]).fit_transform(["The soup was cold ."])
print(time.perf_counter() - begin, flush=True)
sys.stdin.read()
"""


FIRST_ROW = (
    "from sklearn_elmo import ElmoVectorizer;"
    "ElmoVectorizer({}).fit_transform(['The soup was cold .'])"
)
LIBRARIES = ("sklearn", "torch", "nltk", "numpy", "h5py", "tqdm", "platformdirs")


def show_imports(cache: Path) -> None:
    """Print medians of fresh processes, and what the first row imports."""
    starts = {
        "import": ["-c", "from sklearn_elmo import ElmoVectorizer"],
        "first row": ["-c", FIRST_ROW.format("")],
        "first row, full cache": ["-c", FIRST_ROW.format(f"cache={str(cache)!r}")],
        "--help": ["-m", "sklearn_elmo", "--help"],
        "models list": ["-m", "sklearn_elmo", "models", "list"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in starts}
    for _ in range(6):  # in turn; the first round warms the disk and the cache
        for name, arguments in starts.items():
            begin = time.perf_counter()
            subprocess.run(
                [sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True
            )
            seconds[name].append(time.perf_counter() - begin)
    for name, taken in seconds.items():
        print(f"{name}: {statistics.median(taken[1:]):.2f} s")
    command = [sys.executable, "-X", "importtime", "-c", starts["first row"][1]]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    # A line: microseconds of its own | with its imports | indented name.
    lines = [line.split("|") for line in said.splitlines() if line.count("|") == 2]
    for library in LIBRARIES:
        taken = max(
            int(total)
            for _, total, name in lines
            if name.strip().partition(".")[0] == library
        )
        print(f"imported for the first row: {library} {taken / 1e6:.2f} s")


class Worker:
    """A process that holds a model until it is told to end."""

    def __init__(self, model: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, model],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate("")

    def wait(self) -> float:
        """Return the seconds to the first row."""
        assert self.process.stdout is not None
        return float(self.process.stdout.readline())

    def pss(self) -> float:
        """Return the proportional set size in MiB (Linux)."""
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        line = next(row for row in rollup.splitlines() if row.startswith("Pss:"))
        return int(line.split()[1]) / 1024


def pss_of(model: str, n_workers: int) -> float:
    """Return the sum over workers that run at the same time."""
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(model)) for _ in range(n_workers)]
        for worker in workers:
            worker.wait()
        return sum(worker.pss() for worker in workers)


def seconds_to_first_row(model: str) -> float:
    with Worker(model) as worker:
        return worker.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shapes = ["default", "small", "original"]
    parser.add_argument(
        "--shapes", nargs="+", default=["default", "original"], choices=shapes
    )
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--imports", action="store_true", help="only start-up times")
    options = parser.parse_args()
    if options.imports:
        with tempfile.TemporaryDirectory() as scratch:
            show_imports(Path(scratch))
        return
    n = options.workers
    print(
        "| shape | first row | bare | one, bare | one | all, bare | all | "
        "model: all / one |"
    )
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["SKLEARN_ELMO_HOME"] = scratch  # for the prepared weights
        tiny = str(make_model(Path(scratch) / "tiny"))
        for shape in options.shapes:
            model = model_of_shape(shape, Path(scratch))
            seconds = [
                min(seconds_to_first_row(name) for _ in range(3))
                for name in (model, tiny)
            ]
            bare, one = pss_of(tiny, 1), pss_of(model, 1)
            all_bare, together = pss_of(tiny, n), pss_of(model, n)
            ratio = (together - all_bare) / (one - bare)
            print(
                f"| {shape} | {seconds[0]:.2f} s | {seconds[1]:.2f} s | "
                f"{bare:.0f} | {one:.0f} | {all_bare:.0f} | {together:.0f} | "
                f"{ratio:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
