"""``sklearn-elmo elmo``."""

import bz2
import gzip
import io
import json
import lzma
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from backports import zstd

from sklearn_elmo.allennlp import ElmoEmbedder
from sklearn_elmo.cli import elmo as elmo_command
from sklearn_elmo.cli import main

LINES = [
    "The cryptocurrency space is now figuring out to have the highest search .",
    "Bitcoin alone has a sixty percent share of global search .",
    "  Ein Satz\u3000mit Umläuten: äöü  ",
    "Bitcoin alone has a sixty percent share of global search .",
    "End .",
]


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    path = tmp_path / "sentences.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


def run(model: Path, *arguments: object) -> int:
    return main(["elmo", *map(str, arguments), "--model", str(model)])


def embed(model: Path, batch_size: int = 64, state: str = "carry") -> list[np.ndarray]:
    embedder = ElmoEmbedder(model, state=state)
    return list(embedder.embed_sentences([s.split() for s in LINES], batch_size))


def test_the_how_to_s_command(
    tiny_model: Path, sentences: Path, tmp_path: Path
) -> None:
    output = tmp_path / "elmo_layers.hdf5"
    assert run(tiny_model, sentences, output, "--all") == 0
    with h5py.File(output) as file:
        embedding = file.get("0")
        assert len(embedding) == 3
        assert len(embedding[0]) == 13
        for number, vectors in enumerate(embed(tiny_model)):
            np.testing.assert_array_equal(file[str(number)], vectors)
        mapping = json.loads(file["sentence_to_index"][0])
    assert mapping[LINES[1]] == "3"
    assert mapping[LINES[2].strip()] == "2"
    assert len(mapping) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "elmo_layers.hdf5",
        "sentences.txt",
    ]


@pytest.mark.parametrize(
    ("flag", "pick"),
    [("--top", lambda x: x[-1]), ("--average", lambda x: x.mean(axis=0))],
)
def test_formats(
    tiny_model: Path, sentences: Path, tmp_path: Path, flag: str, pick
) -> None:
    output = tmp_path / "out.hdf5"
    assert run(tiny_model, sentences, output, flag) == 0
    with h5py.File(output) as file:
        np.testing.assert_array_equal(file["2"], pick(embed(tiny_model)[2]))


@pytest.mark.parametrize("state", ["carry", "zero", "warm"])
def test_state_and_batch_size(
    tiny_model: Path, sentences: Path, tmp_path: Path, state: str
) -> None:
    output = tmp_path / "out.hdf5"
    flags = ["--all", "--batch-size", 2, "--state", state]
    assert run(tiny_model, sentences, output, *flags) == 0
    expected = embed(tiny_model, batch_size=2, state=state)
    with h5py.File(output) as file:
        for number, vectors in enumerate(expected):
            np.testing.assert_array_equal(file[str(number)], vectors)
        same = np.allclose(file["1"], file["3"], atol=1e-6)
    assert same == (state != "carry")


def test_key_flags(tiny_model: Path, sentences: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.hdf5"
    assert run(tiny_model, sentences, output, "--top", "--forget-sentences") == 0
    with h5py.File(output) as file:
        assert set(file) == set("01234")
    assert (
        run(tiny_model, sentences, output, "--top", "--include-sentence-indices") == 0
    )
    with h5py.File(output) as file:
        assert file["sentence_indices"][0] == file["sentence_to_index"][0]
    sentences.write_text("one\ntwo words\n")
    assert run(tiny_model, sentences, output, "--top", "--use-sentence-keys") == 0
    with h5py.File(output) as file:
        assert set(file) == {"one", "two words"}


def test_float16_halves_the_file(
    tiny_model: Path, sentences: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.hdf5"
    assert run(tiny_model, sentences, output, "--all", "--float16") == 0
    with h5py.File(output) as file:
        assert file["0"].dtype == np.float16
        np.testing.assert_allclose(file["0"], embed(tiny_model)[0], atol=2e-3)


def test_stdin_is_read_as_utf_8_whatever_the_locale(
    tiny_model: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.hdf5"
    command = [sys.executable, "-m", "sklearn_elmo", "elmo", "-", output, "--all"]
    answer = subprocess.run(
        [*map(str, command), "--model", str(tiny_model)],
        input="\n".join(LINES).encode(),
        capture_output=True,
        timeout=120,
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"},
        cwd=Path(__file__).parents[1],
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == b""
    assert answer.stderr.decode() == "5 sentences, done\n"
    with h5py.File(output) as file:
        np.testing.assert_array_equal(file["2"], embed(tiny_model)[2])


def test_options_and_weight_file_flags(
    tiny_model: Path, sentences: Path, tmp_path: Path
) -> None:
    output = tmp_path / "new" / "folder" / "out.hdf5"
    code = main(
        [
            "elmo",
            str(sentences),
            str(output),
            "--top",
            "--options-file",
            str(tiny_model / "options.json"),
            "--weight-file",
            str(tiny_model / "weights.hdf5"),
            "--include-package",
            "json",
        ]
    )
    assert code == 0
    with h5py.File(output) as file:
        np.testing.assert_array_equal(file["0"], embed(tiny_model)[0][-1])


@pytest.mark.filterwarnings("default")
def test_vocab_path_is_accepted_and_warned_of(
    tiny_model: Path,
    sentences: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = ["--top", "--vocab-path", "absent.txt", "--file-friendly-logging"]
    assert run(tiny_model, sentences, tmp_path / "out.hdf5", *flags) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "--vocab-path has no effect" in err
    assert err.endswith("5 sentences, done\n")


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--all", "--top"],
        ["--all", "--forget-sentences", "--include-sentence-indices"],
        ["--all", "--state", "hot"],
        ["--all", "--model", "small", "--weight-file", "w.hdf5"],
    ],
)
def test_wrong_usage_exits_2(
    tiny_model: Path, sentences: Path, tmp_path: Path, flags: list[str]
) -> None:
    output = tmp_path / "out.hdf5"
    assert main(["elmo", str(sentences), str(output), *flags]) == 2
    assert not output.exists()


def test_weight_file_alone_goes_with_the_original_options(
    tiny_model: Path,
    sentences: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out.hdf5"
    weights = str(tiny_model / "weights.hdf5")
    code = main(
        ["elmo", str(sentences), str(output), "--all", "--weight-file", weights]
    )
    assert code == 1
    assert "options are those of the original model" in capsys.readouterr().err
    assert not output.exists()


def test_options_file_alone_goes_with_the_original_weights(
    tiny_model: Path,
    sentences: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = str(tiny_model / "options.json")
    arguments = [str(sentences), str(tmp_path / "out.hdf5"), "--all"]
    assert main(["elmo", *arguments, "--options-file", options]) == 1
    assert "models fetch original" in capsys.readouterr().err


def test_no_input_file_exits_2() -> None:
    assert main(["elmo"]) == 2


@pytest.mark.parametrize(
    ("content", "flags", "message"),
    [
        (b"a\n\nb\n  \n", ["--all"], "blank lines at indexes [1, 3]"),
        (b"caf\xe9\n", ["--all"], "is not UTF-8 (invalid continuation byte: 0xe9)"),
        (b"a\nb/c\n", ["--all", "--use-sentence-keys"], "contains a '/'"),
        (b"a\nb\na\n", ["--all", "--use-sentence-keys"], "repeats an earlier line"),
        (b"a\n", ["--all", "--cuda-device", "99"], "'cuda_device' parameter"),
        (b"a\n", ["--all", "--batch-size", "-1"], "'batch_size' parameter"),
        (b"a\n", ["--all", "--include-package", "absent_package"], "absent_package"),
    ],
)
def test_failures_exit_1_on_one_line_and_leave_no_file(
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    flags: list[str],
    message: str,
) -> None:
    sentences = tmp_path / "in.txt"
    sentences.write_bytes(content)
    assert run(tiny_model, sentences, tmp_path / "out.hdf5", *flags) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("sklearn-elmo elmo: error: ")
    assert message in error
    assert list(tmp_path.iterdir()) == [sentences]


def test_absent_input_exits_2_as_in_allennlp(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.hdf5"
    for absent in (tmp_path / "absent.txt", tmp_path, tmp_path / ("x" * 5000)):
        assert run(tiny_model, absent, output, "--all") == 2
        assert str(absent) in capsys.readouterr().err
    assert not output.exists()


def test_absent_model_exits_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.hdf5"
    assert run(tmp_path / "no-model", os.devnull, output, "--all") == 1
    assert "no-model" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize("module", [bz2, gzip, lzma, zstd])
def test_compressed_text_is_read(
    module: Any, tiny_model: Path, sentences: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "packed"
    packed.write_bytes(module.compress(sentences.read_bytes()))
    output = tmp_path / "out.hdf5"
    assert run(tiny_model, packed, output, "--top") == 0
    with h5py.File(output) as file:
        assert len(file) == len(LINES) + 1


def test_damaged_compressed_text_exits_1(
    tiny_model: Path,
    sentences: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    packed = tmp_path / "in.txt.gz"
    packed.write_bytes(gzip.compress(sentences.read_bytes())[:-9])
    assert run(tiny_model, packed, tmp_path / "out.hdf5", "--top") == 1
    assert "in.txt.gz is damaged or truncated" in capsys.readouterr().err
    packed.write_bytes(b"plain text\n")
    assert run(tiny_model, packed, tmp_path / "out.hdf5", "--top") == 1
    assert "not compressed as its name says" in capsys.readouterr().err


def test_input_is_not_overwritten(tiny_model: Path, sentences: Path) -> None:
    content = sentences.read_bytes()
    assert run(tiny_model, sentences, sentences, "--all") == 1
    assert run(tiny_model, sentences, sentences.parent, "--all") == 1
    assert sentences.read_bytes() == content


def test_crlf_is_a_line_end_and_a_bom_is_dropped(
    tiny_model: Path, tmp_path: Path
) -> None:
    sentences = tmp_path / "in.txt"
    sentences.write_bytes(b"\xef\xbb\xbfa b\r\nc\r\n")
    output = tmp_path / "out.hdf5"
    assert run(tiny_model, sentences, output, "--top") == 0
    with h5py.File(output) as file:
        assert json.loads(file["sentence_to_index"][0]) == {"a b": "0", "c": "1"}
        assert file["0"].shape == (2, 16)


def test_a_killed_command_leaves_nothing_under_the_final_name(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Ended while it reads: the lines never come to an end."""
    output = tmp_path / "out.hdf5"
    command = [sys.executable, "-m", "sklearn_elmo", "elmo", "-", str(output), "--all"]
    with subprocess.Popen(
        [*command, "--model", str(tiny_model)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b"a sentence\n" * 100)
        process.stdin.flush()
        process.terminate()
        process.wait(timeout=60)
        process.stdin.close()
    assert process.returncode != 0
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_on_a_terminal(
    tiny_model: Path,
    sentences: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert run(tiny_model, sentences, tmp_path / "out.hdf5", "--top") == 0
    assert "5/5" in terminal.getvalue()


def test_progress_on_lines_tells_the_time_left(
    tiny_model: Path,
    sentences: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(elmo_command, "_INTERVAL_S", 0)
    flags = ["--top", "--file-friendly-logging"]
    assert run(tiny_model, sentences, tmp_path / "out.hdf5", *flags) == 0
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"2 of 5 sentences, \d\d:\d\d left", lines[1])
    assert lines[4:] == ["5 of 5 sentences, 00:00 left", "5 sentences, done"]


def test_vectors_that_are_not_finite_exit_1_and_leave_no_file(
    make_model, sentences: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_model(seed=4)
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        for name in ("char_embed", "CNN_proj/W_proj"):
            file[name][...] *= 1e20
    assert run(folder, sentences, tmp_path / "out.hdf5", "--all") == 1
    assert f"The model '{folder}' has weights so large" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [sentences]
