"""Many mutants in few processes; a process that crashes or hangs is replaced."""

import json
import os
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

TIMEOUT_S = 30.0
START_TIMEOUT_S = 300.0
GOOD = ("result", "error")
_JOBS_PER_PROCESS = 1000  # caches of open stores and models grow with the mutants

Job = tuple[str, int, int]


@dataclass
class Fault:
    """A mutant that was not handled."""

    kind: str
    number: int
    outcome: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind} {self.number}: {self.outcome}\n{self.detail}"


@dataclass
class Findings:
    """What came of all mutants."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)


class Process:
    """A worker that is started again when it has ended."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._errors = root / f"errors-{id(self)}"
        self._process: subprocess.Popen[bytes] | None = None
        self._n_jobs = 0

    def answer(self, job: Job) -> dict[str, str]:
        if self._process is None or self._n_jobs >= _JOBS_PER_PROCESS:
            self._start()
        self._n_jobs += 1
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, job)).encode() + b"\n")
        self._process.stdin.flush()
        line = self._line(TIMEOUT_S)
        if line:
            return dict(json.loads(line))
        if line is None:
            self.stop()
            return {"outcome": "hang", "detail": f"no answer for {TIMEOUT_S:.0f} s"}
        code = self._process.wait(timeout=60)
        tail = self._errors.read_text(errors="replace")[-2000:]
        self.stop()
        return {"outcome": "crash", "detail": f"exit code {code}\n{tail}"}

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _line(self, timeout_s: float) -> bytes | None:
        """Return a line of the process, empty if it has ended, None if none comes."""
        assert self._process is not None
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], timeout_s)
        return self._process.stdout.readline() if ready else None

    def _start(self) -> None:
        self.stop()
        tests = Path(__file__).parents[1]
        places = [str(tests.parent), str(tests), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(places),
            "OMP_NUM_THREADS": "1",
            "PYTHONFAULTHANDLER": "1",
            # Arrow's own allocator reserves the whole of the limited address space.
            "ARROW_DEFAULT_MEMORY_POOL": "system",
        }
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fuzz.worker", str(self._root)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
            )
        self._n_jobs = 0
        if not self._line(START_TIMEOUT_S):  # it says when its imports are done
            message = f"the worker does not start: see {self._errors}"
            raise RuntimeError(message)


def run_campaign(
    root: Path,
    names: Sequence[str],
    n_mutants: int,
    seed: int,
    *,
    n_processes: int = 1,
    max_seconds: float = float("inf"),
    on_fault: Callable[[Fault], None] = lambda fault: None,
) -> Findings:
    """Read mutants of all kinds in turn.

    Parameters
    ----------
    root : Path
        Gets the valid files, and the damaged files that are not handled.
    names : sequence of str
        Kinds to read.
    n_mutants : int
        Of all kinds together.
    seed : int
    n_processes : int, default=1
    max_seconds : float, optional
        Begin no mutant after this time.
    on_fault : callable, optional
        Receives each fault as it is found.
    """
    from .kinds import BY_NAME
    from .worker import prepare

    for name in names:
        prepare(root, BY_NAME[name])
    jobs: SimpleQueue[Job] = SimpleQueue()
    for number in range(n_mutants):
        jobs.put((names[number % len(names)], seed, number))
    findings = Findings()
    deadline = time.monotonic() + max_seconds

    def work(_: int) -> None:
        process = Process(root)
        try:
            while time.monotonic() < deadline:
                name, _, number = job = jobs.get_nowait()
                answer = process.answer(job)
                findings.counts[name, answer["outcome"]] += 1
                if answer["outcome"] not in GOOD:
                    detail = "\n".join([answer.get("folder", ""), answer["detail"]])
                    fault = Fault(name, number, answer["outcome"], detail.strip())
                    findings.faults.append(fault)
                    on_fault(fault)
        except Empty:
            pass
        finally:
            process.stop()

    with ThreadPoolExecutor(n_processes) as pool:
        list(pool.map(work, range(n_processes)))
    return findings
