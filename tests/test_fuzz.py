"""A short run of the fuzzer; ``python -m tests.fuzz`` is a long one."""

import random
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("needs pipes that can be waited for", allow_module_level=True)

from fuzz import mutations
from fuzz.campaign import run_campaign
from fuzz.kinds import KINDS
from fuzz.kinds.self_test import VARIABLE

SHORT_RUN_S = 30.0


@pytest.mark.slow
def test_no_damaged_file_crashes_hangs_or_gives_other_results(tmp_path: Path) -> None:
    findings = run_campaign(
        tmp_path, sorted(KINDS), n_mutants=2_000, seed=1, max_seconds=SHORT_RUN_S
    )
    assert not findings.faults, "\n\n".join(map(str, findings.faults))
    assert findings.counts.total() >= len(KINDS)


@pytest.mark.parametrize(
    "mutator", {*mutations.HDF5, *mutations.JSON, *mutations.TEXT}, ids=str
)
@pytest.mark.parametrize("data", [b"", b"{}", b'{"a": [1, 2]}', bytes(5000)], ids=len)
def test_mutators_take_any_bytes_and_repeat_themselves(mutator, data) -> None:
    for seed in range(20):
        mutant = mutator(random.Random(seed), data)
        assert isinstance(mutant, bytes)
        assert mutator(random.Random(seed), data) == mutant


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("crash", "crash"),
        ("hang", "hang"),
        ("exception", "exception"),
        ("out of memory", "out of memory"),
        ("wrong", "wrong result"),
    ],
)
def test_fuzzer_notices_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, outcome: str
) -> None:
    """A fuzzer that finds nothing might not be able to."""
    monkeypatch.setattr("fuzz.campaign.TIMEOUT_S", 3.0)
    monkeypatch.setenv(VARIABLE, fault)
    findings = run_campaign(tmp_path, ["self-test"], n_mutants=2, seed=0)
    assert [found.outcome for found in findings.faults] == [outcome] * 2
