"""A process that reads mutants, one for each line of its standard input.

A line names a kind, a seed and a number; the answer is a JSON object on one line.
"""

import contextlib
import json
import random
import shutil
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

from .kind import Kind, is_same
from .kinds import BY_NAME

MEMORY_BYTES = 2**30  # beyond what the process has after its imports


def prepare(root: Path, kind: Kind) -> None:
    """Write the valid files of a kind, unless they are there."""
    folder = root / kind.name
    if not folder.exists():
        folder.mkdir(parents=True)
        kind.make(folder)


def read_mutant(root: Path, kind: Kind, seed: int, number: int) -> dict[str, str]:
    """Damage a copy of the files, read it, and say what came of it.

    Returns
    -------
    dict
        ``outcome`` is "result", "error", or a fault; ``detail`` explains a fault.
    """
    rng = random.Random(f"{kind.name}-{seed}-{number}")
    folder = root / "mutants" / f"{kind.name}-{seed}-{number}"
    shutil.copytree(root / kind.name, folder)
    try:
        kind.damage(rng, folder)
        answer = _read(kind, folder, root)
    except MemoryError:
        answer = {"outcome": "out of memory", "detail": traceback.format_exc()}
    if answer["outcome"] in ("result", "error"):
        shutil.rmtree(folder)
    else:
        answer["folder"] = str(folder)
    return answer


def _read(kind: Kind, folder: Path, root: Path) -> dict[str, str]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            found = kind.read(folder)
        except kind.errors as error:
            if isinstance(error, MemoryError) or not str(error):
                return {"outcome": "bad message", "detail": repr(error)}
            return {"outcome": "error"}
        except MemoryError:
            raise
        except BaseException:
            return {"outcome": "exception", "detail": traceback.format_exc()}
    for warning in seen:
        if not issubclass(warning.category, kind.warnings):
            detail = f"{warning.category.__name__}: {warning.message}"
            return {"outcome": "warning", "detail": detail}
    if kind.exact and not is_same(found, _expected(kind, root)):
        return {"outcome": "wrong result", "detail": repr(found)[:500]}
    return {"outcome": "result"}


_results: dict[str, Any] = {}


def _expected(kind: Kind, root: Path) -> Any:
    if kind.name not in _results:
        copy = root / "mutants" / f"{kind.name}-valid-{random.getrandbits(64):x}"
        shutil.copytree(root / kind.name, copy)
        _results[kind.name] = kind.read(copy)
        shutil.rmtree(copy)
    return _results[kind.name]


def _limit_memory() -> None:
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main(root: Path) -> None:
    """Answer requests until standard input ends."""
    for kind in BY_NAME.values():
        if kind.exact and (root / kind.name).exists():
            _expected(kind, root)
    with contextlib.suppress(FileNotFoundError, ImportError):
        _limit_memory()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        name, seed, number = line.split()
        answer = read_mutant(root, BY_NAME[name], int(seed), int(number))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
