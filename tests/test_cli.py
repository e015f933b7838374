"""The command line's frame: exit codes, messages, signals, whole files or none."""

import argparse
import errno
import gc
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from sklearn_elmo import cli
from sklearn_elmo.atomic_files import new_output, replacing
from sklearn_elmo.cli import main
from sklearn_elmo.cli.signals import Ended, signals_as_exceptions
from sklearn_elmo.errors import (
    ModelFileError,
    OutputFileError,
    UnusedParameterWarning,
)

PYTHON_M = [sys.executable, "-m", "sklearn_elmo"]


class FakeCommand:
    """A command ``fail`` that raises what it is told to."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error

    def add_parser(self, subparsers: argparse._SubParsersAction) -> None:
        subparsers.add_parser("fail")

    def run(self, arguments: argparse.Namespace) -> None:
        if self.error is not None:
            raise self.error


def run_fake(
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException | None,
    argv: Sequence[str] = ("fail",),
) -> int:
    monkeypatch.setattr(cli, "_MODULES", ("sklearn_elmo.cli.fake",))
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: FakeCommand(error))
    return main(argv)


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "vectorize" in shown
    assert "elmo" in shown


def test_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    import sklearn_elmo

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"sklearn-elmo {sklearn_elmo.__version__}\n"


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["nonsense"],
        ["vectorize"],
        ["vectorize", "a.csv", "b.npy", "--nonsense"],
        ["pretrain", "folder", "a.txt", "--options-file", "b.json", "--size", "small"],
        ["pretrain", "folder", "a.txt", "--anchor-weight", "1"],
    ],
)
def test_wrong_usage_is_exit_code_2(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("usage: sklearn-elmo")


@pytest.mark.parametrize("argv", [["--help"], ["nonsense"], ["vectorize", "--help"]])
def test_help_and_usage_errors_import_nothing_heavy(argv: list[str]) -> None:
    code = (
        "import sys; from sklearn_elmo.cli import main; main(sys.argv[1:]); "
        "heavy = {'torch', 'sklearn', 'numpy', 'pandas', 'h5py', 'pyarrow', 'nltk'}; "
        "sys.exit(repr(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *argv], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_python_m_runs_the_command_line() -> None:
    done = subprocess.run(
        [*PYTHON_M, "--version"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert done.stdout.startswith("sklearn-elmo ")


def test_success_is_exit_code_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_fake(monkeypatch, None) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ModelFileError("a.hdf5 is broken.\n  Get it again."), "a.hdf5 is broken. Get"),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "x.csv"),
            "No such file or directory: 'x.csv'. Check the path.",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "Free some space"),
        (MemoryError(), "--batch-tokens"),
        (RuntimeError("boom\nbang"), "RuntimeError: boom bang. This was not foreseen"),
        (KeyError("name"), "KeyError: 'name'."),
        (RuntimeError("x" * 100_000), "RuntimeError: xxx"),
        (ModelFileError("\x1b[2J\u202ehdf5.exe"), r"error: \x1b[2J\u202ehdf5.exe"),
    ],
)
def test_failure_is_one_line_and_exit_code_1(
    error: Exception,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_fake(monkeypatch, error) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("sklearn-elmo fail: error: ")
    assert expected in captured.err
    assert captured.err.count("\n") == 1
    assert len(captured.err) < 1100


@pytest.mark.parametrize("argv", [["--debug", "fail"], ["fail", "--debug"]])
def test_debug_shows_the_traceback(
    argv: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_fake(monkeypatch, ModelFileError("broken"), argv=argv) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("sklearn-elmo fail: error: broken\n")


def test_ctrl_c_is_quiet_and_exit_code_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_fake(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("argv", "interrupted", "remedy"),
    [
        (
            ["vectorize", "in.txt", "out.npy"],
            "sklearn_elmo.cli.vectorize._vectorize",
            "With --cache FOLDER, the same command",
        ),
        (
            ["vectorize", "in.txt", "out.npy", "--user-cache"],
            "sklearn_elmo.cli.vectorize._vectorize",
            "Run the same command again to go on from what is in the cache.",
        ),
        (
            ["cache", "fill", "in.txt", "--cache", "folder"],
            "sklearn_elmo.vectorizer.ElmoVectorizer._transform_some",
            "Run the same command again to go on from what is in the cache.",
        ),
        (
            ["pretrain", "folder", "in.txt", "-q"],
            "sklearn_elmo.pretraining.pretrainer.ElmoPretrainer.fit",
            "With --checkpoint-dir FOLDER, the same command",
        ),
        (
            ["pretrain", "folder", "in.txt", "-q", "--checkpoint-dir", "points"],
            "sklearn_elmo.pretraining.pretrainer.ElmoPretrainer.fit",
            "No checkpoint had been written to 'points' yet",
        ),
        (
            ["models", "fetch", "small"],
            "sklearn_elmo.downloads.fetch",
            "Run the same command again to go on where the download stopped.",
        ),
    ],
)
def test_interrupted_command_says_how_to_go_on(
    argv: list[str],
    interrupted: str,
    remedy: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(interrupted, interrupt)
    monkeypatch.chdir(tmp_path)
    Path("in.txt").write_text("A text .\n")
    assert main(argv) == 130
    (told,) = capsys.readouterr().err.splitlines()
    command = " ".join(argv[:2]) if argv[0] in ("cache", "models") else argv[0]
    assert told.startswith(f"sklearn-elmo {command}: interrupted. {remedy}")


@pytest.mark.parametrize("name", ["checkpoint.pt", "checkpoint-previous.pt"])
def test_interrupted_pretrain_goes_on_from_a_checkpoint_written_meanwhile(
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    points = tmp_path / "points"

    def write_and_interrupt(*_: object) -> None:
        points.mkdir()
        (points / name).touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(
        "sklearn_elmo.pretraining.pretrainer.ElmoPretrainer.fit", write_and_interrupt
    )
    text = tmp_path / "in.txt"
    text.write_text("A text .\n")
    command = ["pretrain", str(tmp_path / "folder"), str(text), "-q"]
    assert main([*command, "--checkpoint-dir", str(points)]) == 130
    told = capsys.readouterr().err
    assert "Run the same command again to go on from the last checkpoint." in told


def test_warnings_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def warn(self: FakeCommand, arguments: argparse.Namespace) -> None:
        warnings.simplefilter("always")
        warnings.warn("no\neffect\x1b", UnusedParameterWarning, stacklevel=1)

    monkeypatch.setattr(FakeCommand, "run", warn)
    assert run_fake(monkeypatch, None) == 0
    assert capsys.readouterr().err == "sklearn-elmo fail: warning: no effect\\x1b\n"


def test_signal_handlers_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    run_fake(monkeypatch, None)
    assert signal.getsignal(signal.SIGTERM) == before


class Dying:
    """Sends this process a signal when it is deleted, where exceptions are dropped."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        signal.raise_signal(self.number)
        time.sleep(0.1)  # Python handles the signal here at the latest


def dropped_by_python(number: int) -> None:
    Dying(number)


def dropped_by_a_library(number: int) -> None:
    try:
        signal.raise_signal(number)
        time.sleep(0.1)
    except BaseException:  # some have an `except:` for whatever comes
        return


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("receive", [dropped_by_python, dropped_by_a_library])
@pytest.mark.parametrize(
    ("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)]
)
def test_signal_that_is_dropped_is_not_lost(
    receive: Callable[[int], None],
    name: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cleaned_up = []

    def run(self: FakeCommand, arguments: argparse.Namespace) -> None:
        try:
            receive(getattr(signal, name))
            time.sleep(60)
            pytest.fail("the signal was lost")
        finally:
            time.sleep(0.2)  # nothing interrupts what cleans up
            cleaned_up.append(True)

    monkeypatch.setattr(FakeCommand, "run", run)
    # Shells let jobs in the background ignore SIGINT.
    before = signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        assert run_fake(monkeypatch, None) == code
    finally:
        signal.signal(getattr(signal, name), before)
    assert cleaned_up
    assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_signal_in_a_last_finalizer_does_no_harm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(self: FakeCommand, arguments: argparse.Namespace) -> None:
        Dying(signal.SIGTERM)

    alarm_before = signal.getsignal(signal.SIGALRM)
    monkeypatch.setattr(FakeCommand, "run", run)
    assert run_fake(monkeypatch, None) in (0, 143)
    time.sleep(0.1)  # no alarm is left that would end this process
    assert signal.getsignal(signal.SIGALRM) == alarm_before
    assert capsys.readouterr() == ("", "")


class HalfMade:
    """Like tqdm's bars: a signal in its constructor makes its finalizer fail."""

    def __init__(self, number: int) -> None:
        signal.raise_signal(number)
        self.closed = False

    def __del__(self) -> None:
        assert not self.closed


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_objects_that_a_signal_left_half_made_say_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", heard.append)
    with pytest.raises(Ended), signals_as_exceptions():
        HalfMade(signal.SIGTERM)
    gc.collect()
    assert heard == []


@pytest.mark.skipif(os.name == "nt", reason="pipes break differently on Windows")
def test_output_that_nobody_reads_ends_quietly() -> None:
    code = (
        "import sys, sklearn_elmo.cli as cli\n"
        "class Command:\n"
        "    def add_parser(self, subparsers): subparsers.add_parser('talk')\n"
        "    def run(self, arguments):\n"
        "        while True: sys.stdout.write('words\\n')\n"
        "cli._MODULES = ('sys',)\n"
        "cli.importlib.import_module = lambda name: Command()\n"
        "sys.exit(cli.main(['talk']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def test_help_that_nobody_reads_ends_quietly() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [*PYTHON_M, "--help"], stdout=write_end, stderr=subprocess.PIPE, timeout=60
    )
    os.close(write_end)
    assert done.stderr == b""
    assert done.returncode in (0, 141)  # argparse itself may pass over it


def test_replacing_makes_the_file_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")
    with replacing(target) as temporary:
        temporary.write_bytes(b"new")
        assert target.read_bytes() == b"old"
        assert temporary.parent == tmp_path
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_replacing_leaves_nothing_after_an_error(
    error: type[BaseException], tmp_path: Path
) -> None:
    target = tmp_path / "out.bin"

    def fail() -> None:
        with replacing(target) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_new_output_follows_a_link(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "real").write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to(folder / "real")
    with new_output(link) as temporary:
        temporary.write_bytes(b"new")
    assert link.is_symlink()
    assert (folder / "real").read_bytes() == b"new"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_new_output_refuses_what_is_not_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for target, problem in [
        (tmp_path, "is a folder"),
        (tmp_path / "missing" / "out", "There is no folder"),
        (tmp_path / "pipe", "not a regular file"),
    ]:
        with pytest.raises(OutputFileError, match=problem), new_output(target):
            pass


def test_shell_completion_offers_commands_and_flags(tmp_path: Path) -> None:
    pytest.importorskip("argcomplete")
    for line, offered in [
        ("sklearn-elmo vec", "vectorize"),
        ("sklearn-elmo vectorize --tok", "--tokenizer"),
        ("sklearn-elmo cache fill x --precision b", "bfloat16"),
    ]:
        answer = tmp_path / "answer"
        done = subprocess.run(
            PYTHON_M,
            env={
                **os.environ,
                "_ARGCOMPLETE": "1",
                "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
                "_ARGCOMPLETE_IFS": "\n",
                "COMP_LINE": line,
                "COMP_POINT": str(len(line)),
                "COMP_TYPE": "9",
            },
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert answer.read_text().strip() == offered
