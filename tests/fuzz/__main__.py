"""The command: ``python -m tests.fuzz --mutants 20000 --seed 0``.

A fault is printed with its kind and number. To see it again, with the traceback:
``python -m tests.fuzz --kinds KIND --only NUMBER --seed SEED``.
"""

import argparse
import sys
import tempfile
from pathlib import Path

# The kinds use the helpers of the other tests.
sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from fuzz.campaign import GOOD, run_campaign  # noqa: E402
from fuzz.kinds import KINDS  # noqa: E402
from fuzz.worker import prepare, read_mutant  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description="Read damaged files of every kind.")
    parser.add_argument("--mutants", type=int, default=20_000, help="of all kinds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument(
        "--kinds", nargs="+", choices=sorted(KINDS), default=sorted(KINDS)
    )
    parser.add_argument("--out", type=Path, help="keeps the files; must not exist")
    parser.add_argument("--only", type=int, help="read this mutant in this process")
    arguments = parser.parse_args()
    root = arguments.out or Path(tempfile.mkdtemp(prefix="fuzz-"))
    root.mkdir(parents=True, exist_ok=True)
    if arguments.only is not None:
        for name in arguments.kinds:
            prepare(root, KINDS[name])
            answer = read_mutant(root, KINDS[name], arguments.seed, arguments.only)
            print(name, *answer.values(), sep="\n")
        return 0
    findings = run_campaign(
        root,
        arguments.kinds,
        arguments.mutants,
        arguments.seed,
        n_processes=arguments.jobs,
        on_fault=lambda fault: print(fault, end="\n\n", flush=True),
    )
    outcomes = [*GOOD, *sorted({o for _, o in findings.counts} - set(GOOD))]
    print(f"{'kind':20}", *(f"{outcome:>14}" for outcome in outcomes))
    for name in arguments.kinds:
        cells = [findings.counts[name, outcome] for outcome in outcomes]
        print(f"{name:20}", *(f"{cell:>14,}" for cell in cells))
    print(f"{len(findings.faults)} faults; files in {root}")
    return int(bool(findings.faults))


if __name__ == "__main__":
    sys.exit(main())
