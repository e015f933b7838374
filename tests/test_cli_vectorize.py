"""``sklearn-elmo vectorize`` against `ElmoVectorizer` on the same rows."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from backports import zstd
from pyarrow import parquet

from sklearn_elmo import ElmoVectorizer
from sklearn_elmo.cli import feature_files, flags, main, tables, vectorize
from sklearn_elmo.cli.feature_files import open_features
from sklearn_elmo.cli.tables import chunks, iterate_texts
from sklearn_elmo.pooling import POOLINGS
from sklearn_elmo.store import EmbeddingStore

TEXTS = [
    "The cat sat.",
    "",
    'He said, "Go, now!"',
    "two\nlines, and a tab\tin it",
    "   ",
    "naïve café 東京 \u2028 one row still \x85 yes \x0c and \x1c",
    "The cat sat.",
    "A much longer text than the others. " * 20,
    "'single' \"double\" \\ backslash",
    "end",
]
LINES = [text for text in TEXTS if "\n" not in text]


def write_table(path: Path, texts: list[Any], **others: list[Any]) -> Path:
    """Write a table as the format's own libraries do."""
    frame = pd.DataFrame({"id": range(len(texts)), "text": texts, **others})
    match path.suffix:
        case ".csv" | ".tsv":
            frame.to_csv(path, sep="," if path.suffix == ".csv" else "\t", index=False)
        case ".jsonl":
            frame.to_json(path, orient="records", lines=True)
        case ".parquet":
            frame.to_parquet(path)
        case ".txt":
            path.write_text("".join(f"{text}\n" for text in texts), "utf-8")
    return path


def read_features(path: Path) -> tuple[np.ndarray, list[str] | None]:
    match path.suffix:
        case ".npy":
            return np.load(path, allow_pickle=False), None
        case ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return arrays["features"], list(arrays["feature_names"])
        case ".csv":
            with path.open(encoding="utf-8", newline="") as file:
                names, *rows = csv.reader(file)
            return np.array(rows, dtype=np.float32).reshape(-1, len(names)), names
        case ".parquet" | ".pq":
            frame = pd.read_parquet(path)
        case _:
            with h5py.File(path) as file:
                return file["features"][()], list(file["feature_names"].asstr())
    return frame.to_numpy(), list(frame.columns)


@pytest.fixture
def run(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run ``vectorize`` with the tiny model and return its stderr."""

    def run(*arguments: object, code: int = 0) -> str:
        argv = ["vectorize", *map(str, arguments), "--model", str(tiny_model)]
        found = main(argv)
        captured = capsys.readouterr()
        assert found == code, captured.err
        assert captured.out == ""
        if code == 1:
            assert captured.err.startswith("sklearn-elmo vectorize: error: ")
            assert captured.err.count("\n") == 1
        assert not list(tmp_path.glob(".*")), "something was left behind"
        return captured.err

    return run


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_CHUNK_TEXTS", 3)


def expect(model: Path, texts: list[Any], **parameters: Any) -> np.ndarray:
    return np.asarray(ElmoVectorizer(model, **parameters).fit_transform(texts))


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet", ".txt"])
def test_rows_are_the_vectorizer_s_from_every_format(
    suffix: str, run: Callable[..., str], tiny_model: Path, tmp_path: Path
) -> None:
    texts = LINES if suffix == ".txt" else TEXTS
    source = write_table(tmp_path / f"in{suffix}", texts)
    column = () if suffix == ".txt" else ("--column", "text")
    assert run(source, tmp_path / "out.npy", *column) == ""
    rows = np.load(tmp_path / "out.npy")
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, expect(tiny_model, texts), rtol=0, atol=5e-6)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("n_texts", [0, 1, 3, 10])
@pytest.mark.parametrize("suffix", ["npy", "npz", "csv", "parquet", "h5", "hdf5", "pq"])
def test_every_output_holds_the_same_rows_and_names(
    suffix: str,
    n_texts: int,
    run: Callable[..., str],
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    source = write_table(tmp_path / "in.csv", TEXTS[:n_texts])
    target = tmp_path / f"out.{suffix}"
    run(source, target, "--column", "text", "--layers", "0,2", "--layer-mix", "concat")
    rows, names = read_features(target)
    vectorizer = ElmoVectorizer(tiny_model, layers=[0, 2], layer_mix="concat")
    expected = vectorizer.fit_transform(TEXTS[:n_texts])
    assert rows.dtype == np.float32
    assert rows.shape == expected.shape
    np.testing.assert_allclose(rows, expected, rtol=0, atol=5e-6)
    if suffix != "npy":
        assert names == list(vectorizer.get_feature_names_out())


@pytest.mark.parametrize("suffix", ["csv", "parquet", "h5", "npz", "npy"])
def test_numbers_come_back_bit_for_bit(suffix: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(50, 3)).astype(np.float32)
    rows *= np.float32(10) ** rng.integers(-30, 30, size=rows.shape).astype(np.float32)
    target = tmp_path / f"out.{suffix}"
    with open_features(str(target), ["a", "b", "c"]) as write:
        write(rows[:20], ())
        write(rows[20:], ())
    np.testing.assert_array_equal(read_features(target)[0], rows)


def test_one_more_row_than_fits_the_header_first_written(tmp_path: Path) -> None:
    # The row count grows from one digit to six after the header was written.
    with open_features(str(tmp_path / "out.npy"), ["a"]) as write:
        for _ in range(10):
            write(np.ones((12_345, 1), dtype=np.float32), ())
    assert np.load(tmp_path / "out.npy", mmap_mode="r").shape == (123_450, 1)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(
    ("flags", "parameters"),
    [
        (["--layers", "top"], {"layers": "top"}),
        (["--layers", "-1"], {"layers": -1}),
        (["--layers=-1,0"], {"layers": [-1, 0]}),
        (["--layer-mix", "0.2,0.3,0.5"], {"layer_mix": [0.2, 0.3, 0.5]}),
        (["--layer-mix=-1,0,1e-3"], {"layer_mix": [-1.0, 0.0, 1e-3]}),
        (["--pooling", "final,max"], {"pooling": ["final", "max"]}),
        (["--pooling", "idf"], {"pooling": "idf"}),
        (
            ["--pooling", "mean,idf", "--max-tokens", "3"],
            {"pooling": ["mean", "idf"], "max_tokens": 3},
        ),
        (["--tokenizer", "whitespace"], {"tokenizer": "whitespace"}),
        (["--state", "warm"], {"state": "warm"}),
        (["--normalize"], {"normalize": True}),
        (["--max-tokens", "2"], {"max_tokens": 2}),
        (["--batch-tokens", "7"], {"batch_tokens": 7}),
        (["--device", "cpu", "--missing", "error"], {"device": "cpu"}),
    ],
)
def test_flags_are_the_vectorizer_s_parameters(
    flags: list[str],
    parameters: dict[str, Any],
    run: Callable[..., str],
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    source = write_table(tmp_path / "in.jsonl", TEXTS)
    run(source, tmp_path / "out.npy", "--column", "text", *flags)
    expected = expect(tiny_model, TEXTS, **parameters)
    np.testing.assert_allclose(
        np.load(tmp_path / "out.npy"), expected, rtol=0, atol=5e-6
    )


def test_flags_cover_all_parameters_of_the_vectorizer() -> None:
    import argparse

    subparsers = argparse.ArgumentParser().add_subparsers()
    vectorize.add_parser(subparsers)
    known = set(vars(subparsers.choices["vectorize"].parse_args(["in", "out"])))
    assert set(ElmoVectorizer().get_params()) <= known


def test_every_pooling_is_a_flag() -> None:
    assert flags.poolings(",".join(POOLINGS)) == list(POOLINGS)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("labels", [["ham", "spam"], [0, 1], [0.5, 1.25]])
def test_layers_are_learned_from_a_label_column(
    labels: list[Any],
    suffix: str,
    run: Callable[..., str],
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    y = [labels[row % 2] for row in range(len(TEXTS))]
    source = write_table(tmp_path / f"in{suffix}", TEXTS, label=y)
    run(
        *(source, tmp_path / "out.npy", "--column", "text"),
        *("--layer-mix", "learned", "--label", "label"),
    )
    vectorizer = ElmoVectorizer(tiny_model, layer_mix="learned")
    expected = vectorizer.fit_transform(TEXTS, y)
    np.testing.assert_allclose(
        np.load(tmp_path / "out.npy"), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [
        ("gz", gzip.compress),
        ("bz2", bz2.compress),
        ("xz", lzma.compress),
        ("zst", zstd.compress),
    ],
)
@pytest.mark.parametrize("name", ["in.csv", "in.txt", "in.parquet"])
def test_compressed_files_are_read(
    name: str, suffix: str, compress: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    texts = LINES if name.endswith("txt") else TEXTS
    plain = write_table(tmp_path / name, texts)
    packed = tmp_path / f"{name}.{suffix}"
    packed.write_bytes(compress(plain.read_bytes()))
    column = None if name.endswith("txt") else "text"
    assert list(iterate_texts(str(packed), column)) == texts


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("flags", [[], ["--pooling", "idf"]])
@pytest.mark.parametrize("suffix", [".txt", ".csv", ".parquet"])
def test_standard_input_is_read(
    suffix: str,
    flags: list[str],
    run: Callable[..., str],
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = write_table(tmp_path / f"in{suffix}", LINES).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    if suffix != ".txt":
        flags = [*flags, "--format", suffix[1:], "--column", "text"]
    run("-", tmp_path / "out.npy", *flags)
    parameters = {"pooling": "idf"} if "idf" in flags else {}
    expected = expect(tiny_model, LINES, **parameters)
    np.testing.assert_allclose(
        np.load(tmp_path / "out.npy"), expected, rtol=0, atol=5e-6
    )


def test_cache_is_filled_and_used(
    run: Callable[..., str], tiny_model: Path, tmp_path: Path
) -> None:
    source = write_table(tmp_path / "in.txt", LINES)
    for target in ("a.npy", "b.npy"):
        run(source, tmp_path / target, "--cache", tmp_path / "cache")
    assert list((tmp_path / "cache").rglob("*.h5"))
    expected = expect(tiny_model, LINES)
    for target in ("a.npy", "b.npy"):
        np.testing.assert_allclose(np.load(tmp_path / target), expected, atol=5e-6)


def test_a_pair_of_model_files_can_be_named(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_table(tmp_path / "in.txt", LINES)
    pair = ["--options-file", str(tiny_model / "options.json")]
    argv = ["vectorize", str(source), str(tmp_path / "out.npy"), *pair]
    assert main(argv) == 2
    assert "need each other" in capsys.readouterr().err
    assert main([*argv, "--weight-file", str(tiny_model / "weights.hdf5")]) == 0
    np.testing.assert_allclose(
        np.load(tmp_path / "out.npy"), expect(tiny_model, LINES), rtol=0, atol=5e-6
    )


def test_verbose_reports_on_stderr(run: Callable[..., str], tmp_path: Path) -> None:
    source = write_table(tmp_path / "in.txt", LINES)
    shown = run(source, tmp_path / "out.npy", "--verbose")
    assert f"{len(LINES)} rows of 16 features" in shown


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(
    "flags", [[], ["--pooling", "idf"]], ids=["one pass", "two passes"]
)
@pytest.mark.parametrize("name", ["in.csv", "in.parquet", "in.csv.gz"])
def test_progress_has_a_total(
    name: str, flags: list[str], run: Callable[..., str], tmp_path: Path
) -> None:
    source = write_table(tmp_path / name.removesuffix(".gz"), TEXTS)
    if name.endswith(".gz"):
        packed = gzip.compress(source.read_bytes())
        source = source.with_name(name)
        source.write_bytes(packed)
    flags = [*flags, "--column", "text", "--verbose"]
    shown = run(source, tmp_path / "out.npy", *flags)
    assert f"100%|██████████| {len(TEXTS)}/{len(TEXTS)} [" in shown


def test_learning_of_layers_shows_progress_too(
    run: Callable[..., str], tmp_path: Path
) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text,label\na b,x\nc d,y\ne f,x\n")
    flags = ["--column", "text", "--layer-mix", "learned", "--label", "label"]
    shown = run(source, tmp_path / "out.npy", *flags, "--verbose")
    assert "ElmoVectorizer: 100%|██████████| 3/3 [" in shown
    assert "vectorize: 100%|██████████| 3/3 [" in shown


def test_bar_has_a_total_before_and_moves_while_texts_are_read(
    tiny_model: Path, tmp_path: Path
) -> None:
    class Bar:
        n = 0
        total: int | None = None

        def update(self, n: int) -> None:
            self.n += n
            seen.append((self.n, self.total))

        def refresh(self) -> None:
            seen.append((self.n, self.total))

    seen: list[tuple[int, int | None]] = []
    path = tmp_path / "in.txt"
    path.write_text("".join(f"Text {i % 1000} .\n" for i in range(6000)))
    vectorizer = ElmoVectorizer(str(tiny_model)).fit([])
    bar: Any = Bar()
    with tables.Table(str(path)) as table:
        pieces = tables.chunks(table.texts(), itemgetter(1))
        for _ in vectorize.transformed(vectorizer, pieces, table, bar):
            pass
    n_done, totals = zip(*seen, strict=True)
    assert list(n_done) == sorted(n_done)
    assert len(set(n_done)) > 4  # not only after each of two pieces
    assert totals[0] == pytest.approx(6000, rel=0.05)
    assert seen[-1] == (6000, 6000)


def test_total_is_estimated_from_the_bytes_read(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes((b"x" * 999 + b"\n") * 10_000)
    with tables.Table(str(path)) as table:
        assert table.share_read is None
        rows = table.texts()
        for _ in range(5_000):
            next(rows)
        assert table.share_read == pytest.approx(0.5, abs=0.01)
        assert sum(1 for _ in rows) == 5_000
        assert table.n_rows == 10_000


# Columns that are kept


KEPT = {
    "id": [1, 2, None],
    "label": ["spam", "a, b\nc", 'say "é"'],
    "score": [0.5, None, 2.0],
}


@pytest.fixture
def records(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    rows = [
        {"text": f"Text {i} .", **{name: KEPT[name][i] for name in KEPT}}
        for i in range(3)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def kept_in(path: Path) -> dict[str, list[Any]]:
    match path.suffix:
        case ".csv":
            with path.open(encoding="utf-8", newline="") as file:
                names, *rows = csv.reader(file)
            return {name: [row[names.index(name)] for row in rows] for name in KEPT}
        case ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {name: list(arrays[f"columns/{name}"]) for name in KEPT}
        case ".parquet":
            table = parquet.read_table(path)
            return {name: table.column(name).to_pylist() for name in KEPT}
        case _:
            with h5py.File(path) as file:
                columns = file["columns"]
                return {name: list(columns[name].asstr()) for name in KEPT}


@pytest.mark.parametrize("chunk_texts", [1, 2, 3])
@pytest.mark.parametrize("suffix", ["csv", "npz", "parquet", "h5"])
def test_columns_are_kept_beside_the_features(
    suffix: str,
    chunk_texts: int,
    records: Path,
    run: Callable[..., str],
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tables, "_CHUNK_TEXTS", chunk_texts)
    monkeypatch.setattr(feature_files, "_ROW_GROUP_BYTES", 1)
    target = tmp_path / f"out.{suffix}"
    run(records, target, "--column", "text", "--keep", "label,id", "--keep", "score")
    if suffix == "parquet":  # types as in the input
        assert kept_in(target) == KEPT
        features = pd.read_parquet(target).drop(columns=list(KEPT)).to_numpy()
    else:
        assert kept_in(target) == {
            "id": ["1", "2", ""],
            "label": KEPT["label"],
            "score": ["0.5", "", "2.0"],
        }
        features = None
    if suffix == "csv":
        frame = pd.read_csv(target)
        assert list(frame.columns[:3]) == ["label", "id", "score"]
        features = frame.iloc[:, 3:].to_numpy(np.float32)
    if features is None:
        features = read_features(target)[0]
    expected = expect(tiny_model, [f"Text {i} ." for i in range(3)])
    np.testing.assert_allclose(features, expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize("suffix", ["csv", "npz", "parquet", "h5"])
def test_no_rows_keep_their_columns(
    suffix: str, run: Callable[..., str], tmp_path: Path
) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text,id,label,score\n")
    target = tmp_path / f"out.{suffix}"
    run(source, target, "--column", "text", "--keep", "id,label,score")
    assert kept_in(target) == {name: [] for name in KEPT}


@pytest.mark.parametrize(
    ("values", "flags", "target", "expected"),
    [
        ([1, 2], ["--keep", "id"], "out.npy", ".npz, .csv, .parquet or .h5"),
        ([1, 2], ["--keep", "absent"], "out.csv", "no key 'absent'"),
        (["\ud800", "b"], ["--keep", "id"], "out.csv", "surrogate"),
        (["\ud800", "b"], ["--keep", "id"], "out.h5", "surrogate"),
        (["a\0b", "b"], ["--keep", "id"], "out.h5", "NUL"),
        ([1, "b"], ["--keep", "id"], "out.parquet", "'id' of --keep starts with"),
    ],
)
def test_columns_that_cannot_be_kept_are_named(
    values: list[Any],
    flags: list[str],
    target: str,
    expected: str,
    run: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feature_files, "_ROW_GROUP_BYTES", 1)
    monkeypatch.setattr(tables, "_CHUNK_TEXTS", 1)
    source = tmp_path / "in.jsonl"
    rows = [{"text": "A b .", "id": value} for value in values]
    source.write_text("\n".join(map(json.dumps, rows)))
    message = run(source, tmp_path / target, "--column", "text", *flags, code=1)
    assert expected in message
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


# Standard output


@pytest.mark.parametrize("format", [None, "npy", "npz", "csv", "parquet", "hdf5"])
def test_standard_output_has_the_same_rows(
    format: str | None,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = write_table(tmp_path / "in.txt", LINES)
    raw = io.BytesIO()
    stdout = io.TextIOWrapper(raw)
    monkeypatch.setattr(sys, "stdout", stdout)
    flags = [] if format is None else ["--output-format", format]
    code = main(["vectorize", str(source), "-", *flags, "--model", str(tiny_model)])
    assert code == 0
    target = tmp_path / f"out.{'h5' if format == 'hdf5' else format or 'csv'}"
    target.write_bytes(raw.getvalue())
    rows, _ = read_features(target)
    np.testing.assert_allclose(rows, expect(tiny_model, LINES), rtol=0, atol=5e-6)
    assert not stdout.closed


def test_output_format_decides_over_the_name(
    run: Callable[..., str], tmp_path: Path
) -> None:
    source = write_table(tmp_path / "in.txt", LINES)
    run(source, tmp_path / "features.bin", "--output-format", "npy")
    assert len(np.load(tmp_path / "features.bin")) == len(LINES)


@pytest.mark.skipif(os.name == "nt", reason="pipes break differently on Windows")
def test_standard_output_that_nobody_reads_ends_quietly(
    tiny_model: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in.txt"
    source.write_text("".join(f"Text {i} .\n" for i in range(20_000)))
    process = start(tiny_model, source, "-", stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == 141
        assert process.stderr.read() == b""
    finally:
        process.kill()
        process.stderr.close()


def test_interrupted_command_resumes_from_the_cache(
    run: Callable[..., str],
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tables, "_CHUNK_TEXTS", 3)
    source = tmp_path / "in.txt"
    texts = [f"Text {i} ." for i in range(9)]
    source.write_text("\n".join(texts[:6]) + "\n\xff\n", "latin-1")  # stops there
    flags = ["--cache", tmp_path / "cache"]
    assert "Line 7" in run(source, tmp_path / "out.npy", *flags, code=1)
    assert not (tmp_path / "out.npy").exists()
    assert EmbeddingStore(tmp_path / "cache").info()["misses"] == 6
    source.write_text("\n".join(texts))
    run(source, tmp_path / "out.npy", *flags)
    assert EmbeddingStore(tmp_path / "cache").info()["misses"] == 9
    np.testing.assert_allclose(
        np.load(tmp_path / "out.npy"), expect(tiny_model, texts), rtol=0, atol=5e-6
    )


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.filterwarnings("default::sklearn_elmo.errors.LongTokenWarning")
@pytest.mark.parametrize(
    ("name", "flags", "first"),
    [
        ("in.csv", ["--column", "text"], "Line 5 of"),
        ("in.csv", ["--column", "text", "--pooling", "idf"], "Line 5 of"),
        (
            "in.csv",
            ["--column", "text", "--layer-mix", "learned", "--label", "label"],
            "Line 5 of",
        ),
        ("in.jsonl", ["--column", "text"], "Line 5 of"),
        ("in.parquet", ["--column", "text"], "Row 5 of"),
        ("in.txt", [], "Line 5 of"),
    ],
)
def test_one_warning_names_the_line_of_the_first_long_token(
    name: str, flags: list[str], first: str, run: Callable[..., str], tmp_path: Path
) -> None:
    """It named the row within a piece of the file, once for each such piece."""
    long = "x" * 60
    texts = ["a", "b", "c", "d", long, "e", "f", f"{long}yz", "g"]
    if name == "in.csv":  # the header is line 1
        del texts[0]
    source = write_table(
        tmp_path / name, texts, label=[i % 2 for i in range(len(texts))]
    )
    told = run(source, tmp_path / "out.npy", *flags)
    assert told.startswith(f"sklearn-elmo vectorize: warning: {first} {source} (and 1 ")
    assert told.count("\n") == 1


# Reading


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"one", ["one"]),
        (b"one\n", ["one"]),
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b"\n\none\n\n", ["", "", "one", ""]),
        (b"\xef\xbb\xbfone\n", ["one"]),
        (b"a\rb\x0bc\n", ["a\rb\x0bc"]),
        (b"a\x00b\n", ["a\x00b"]),
    ],
)
def test_every_line_is_a_row(
    content: bytes, expected: list[str], tmp_path: Path
) -> None:
    (tmp_path / "in.txt").write_bytes(content)
    assert list(iterate_texts(str(tmp_path / "in.txt"))) == expected


def test_csv_is_read_as_by_csv_and_pandas(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(
        b'\xef\xbb\xbfid,"the ""text"""\r\n1,"a ""b"", c"\r\n\r\n2,x y z\r\n3,\r\n'
        b'4,"two\r\nlines"\n5,"quoted, on"\n6,NA'
    )
    texts = list(iterate_texts(str(path), 'the "text"'))
    assert texts == ['a "b", c', "x y z", "", "two\r\nlines", "quoted, on", "NA"]
    by_pandas = pd.read_csv(path, keep_default_na=False, encoding="utf-8-sig")
    assert texts == list(by_pandas['the "text"'])
    with path.open(encoding="utf-8-sig", newline="") as file:
        assert texts == [row['the "text"'] for row in csv.DictReader(file)]


def test_huge_fields_are_read(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    path = tmp_path / "in.csv"
    path.write_text(f"text\n{'word ' * 100_000}\n", "utf-8")
    assert [len(text or "") for text in iterate_texts(str(path))] == [500_000]
    assert csv.field_size_limit() == limit


MERGING = {
    "text after a closing mark": 'l,t\n1,a\n0," b " c\n1,d\n',
    "closed on a later line": '0,a\n1,b\n0,"c\n1,d" e\n',
    "closed at the end of a later line": 'l,t\n0,a\n1,b\n0,"c\n1,d"\n0,e\n',
    "numbered lines": 'id,t\n1,a\n2,b\n3,"c\n4,d\n5,e"\n6,f\n',
    "never closed": 'l,t\n0,a\n1,"b\n0,c\n',
    "bare marks elsewhere": 'l,t\n0,a "b" c\n1,"d\nx,f"\n0,g\n',
    "bare marks later": 'l,t\n1,"d\nx,f"\n0,a "b" c\n0,g\n',
    "backslashes": 'l,t\n0,"a \\"b\\" c"\n1,d\n',
    "first records": 'l\tt\n0\t"c\n1\td"\n',
    "values that come later": 'l,t\nham,"c\nspam,d"\nspam,e\n',
}


@pytest.mark.parametrize("content", MERGING.values(), ids=MERGING)
def test_records_are_never_merged_at_stray_quotation_marks(
    content: str, run: Callable[..., str], tmp_path: Path
) -> None:
    suffix = "tsv" if "\t" in content else "csv"
    source = tmp_path / f"in.{suffix}"
    source.write_text(content, "utf-8")
    column = content.split("\n")[0].replace("\t", ",").split(",")[1]
    message = run(source, tmp_path / "out.npy", "--column", column, code=1)
    assert "line" in message
    assert "--no-quotes" in message
    assert str(source) in message
    run(source, tmp_path / "out.npy", "--column", column, "--no-quotes")
    n_lines = content.count("\n") - 1
    assert len(np.load(tmp_path / "out.npy")) == n_lines


REAL_FIELDS = {
    "letters": 'id,t,n\n1,"Dear all,\n\nbye, you","x"\n2,"say ""hi""\n",y\n',
    "one column": 't\n"two\nlines"\n"a, b"\n',
    "a comma a line": 'l,t\npos,"Hello, you\nBye, you"\nneg,c\n',
}


@pytest.mark.parametrize("content", REAL_FIELDS.values(), ids=REAL_FIELDS)
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_real_fields_of_several_lines_are_read(
    content: str, delimiter: str, tmp_path: Path
) -> None:
    rows = list(csv.reader(content.splitlines(keepends=True)))
    path = tmp_path / "in.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    texts = iterate_texts(str(path), "t", delimiter=delimiter)
    place = rows[0].index("t")
    assert list(texts) == [row[place] for row in rows[1:]]


def test_quotes_can_be_characters_like_others(tmp_path: Path) -> None:
    path = tmp_path / "in.tsv"
    path.write_text('label\ttext\nham\t"Hi\nspam\tWin "now"\n', "utf-8")
    texts = list(iterate_texts(str(path), "text", quotes=False))
    assert texts == ['"Hi', 'Win "now"']


def test_jsonl_has_nulls_bare_strings_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "a\\u2028b"}\n\n"c"\n{"text": null}\n{"text": NaN}')
    assert list(iterate_texts(str(path))) == ["a\u2028b", "c", None, None]


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())],
)
def test_parquet_strings_of_every_kind_are_read(
    kind: pa.DataType, tmp_path: Path
) -> None:
    texts = ["a", None, "a", "", "b"]
    table = pa.table({"x": [1] * 5, "text": pa.array(texts).cast(kind)})
    parquet.write_table(table, tmp_path / "in.parquet", row_group_size=2)
    assert list(iterate_texts(str(tmp_path / "in.parquet"), "text")) == texts


def test_parquet_column_of_nothing_but_nulls_is_read(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"text": [None, None]}), tmp_path / "in.parquet")
    assert list(iterate_texts(str(tmp_path / "in.parquet"))) == [None, None]


def test_chunks_are_bounded_in_characters_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_CHUNK_CHARACTERS", 10)
    texts = ["12345678901", "a", None, "1234567890", "b"]
    assert list(chunks(texts, lambda text: text)) == [texts[:1], texts[1:4], texts[4:]]


# Failures: one line, exit code 1, no file

BAD_INPUTS: list[tuple[str, bytes, list[str], list[str]]] = [
    ("in.txt", b"fine\ncaf\xe9\n", [], ["Line 2 of", "not UTF-8", "iconv"]),
    ("in.txt", "wide".encode("utf-16"), [], ["UTF-16", "iconv"]),
    ("in.txt", b"a\rb\rc\r", [], ["CR alone", "tr "]),
    ("in.txt", b"a\n", ["--column", "text"], ["plain lines", "--format"]),
    ("in.xyz", b"a\n", [], ["does not tell the format", "--format"]),
    ("in", b"a\n", [], ["does not tell the format", "--format"]),
    ("in.csv", b"", [], ["is empty"]),
    ("in.csv", b"a,b\n1,2\n", [], ["2 columns: 'a', 'b'", "--column"]),
    ("in.csv", b"a,b\n1,2\n", ["--column", "c"], ["no column named 'c'", "'a', 'b'"]),
    ("in.csv", b"a,a\n1,2\n", ["--column", "a"], ["several columns named 'a'"]),
    ("in.csv", b"a;b\n1;2\n", ["--column", "b"], ["'a;b'", "--delimiter"]),
    (
        "in.csv",
        b'a,b\n1,"x\ny"\n1,2,3\n',
        ["--column", "b"],
        ["Line 4 of", "3 fields", "header has 2"],
    ),
    ("in.csv", b"a,b\n1,2\n3\n", ["--column", "b"], ["Line 3 of", "1 fields"]),
    ("in.csv", b'a\n"b\nc\n', [], ["line 2 of", "never closed", "--no-quotes"]),
    ("in.csv", b"a\nb\rc\n", [], ["line 2 of", "not valid CSV"]),
    ("in.tsv", b'a\tb\n"c" d\te\n', ["--column", "b"], [r"('\t' expected after"]),
    ("in.csv", b"a\n\xff\n", [], ["Line 2 of", "not UTF-8"]),
    ("in.csv.gz", b"a\nb\n", [], ["not compressed", "in.csv.gz"]),
    ("in.csv.gz", gzip.compress(b"a\nb\n" * 99)[:-9], [], ["damaged", "in.csv.gz"]),
    ("in.txt.bz2", b"a\nb\n", [], ["not compressed", "in.txt.bz2"]),
    ("in.txt.xz", b"a\nb\n", [], ["not compressed", "in.txt.xz"]),
    ("in.jsonl", b'{"t": "a"}\n{"t": \n', [], ["Line 2 of", "not JSON"]),
    ("in.jsonl", b"[" * 100_000, [], ["Line 1 of", "not JSON"]),
    ("in.jsonl", b'{"t": "a", "t": "b"}\n', [], ["Line 1 of", "key 't' twice"]),
    (
        "in.jsonl",
        b'{"t": "a"}\n["b"]\n',
        [],
        ["Line 2 of", "list", "not a JSON object"],
    ),
    ("in.jsonl", b'{"t": "a"}\n{"u": "b"}\n', ["--column", "t"], ["Line 2", "'t'"]),
    ("in.jsonl", b'{"t": "a", "u": "b"}\n', [], ["2 keys: 't', 'u'", "--column"]),
    ("in.jsonl", b'{"t": 42}\n', [], ["Line 1 of", "int (42)", "--column"]),
    ("in.jsonl", b'{"t": ["a", "b"]}\n', [], ["Line 1 of", "list", "whitespace"]),
    (
        "in.jsonl",
        b'{"t": "a"}\n{"t": null}\n',
        ["--missing", "error"],
        ["Line 2 of", "missing", "--missing zero"],
    ),
    ("in.parquet", b"a,b\n1,2\n", [], ["Parquet", "--format"]),
    (
        "in.csv",
        b"a,y\nb,1\nc,\n",
        ["--column", "a", "--layer-mix", "learned", "--label", "y"],
        ["Line 3 of", "no label"],
    ),
    ("in.txt", b"a\n", ["--delimiter", ";"], ["has no delimiter", "--format csv"]),
    ("in.txt", b"a\n", ["--keep", "id"], ["no columns"]),
    ("in.txt", b"a\n", ["--layers", "9"], ["layer 9", "0, 1, 2"]),
    ("in.txt", b"a\n", ["--layer-mix", "1,2"], ["2 weights for the 3 layers"]),
    ("in.txt", b"a\n", ["--device", "tpu"], ["'device'"]),
]


@pytest.mark.parametrize(("name", "content", "flags", "expected"), BAD_INPUTS)
def test_bad_input_is_told_on_one_line(
    name: str,
    content: bytes,
    flags: list[str],
    expected: list[str],
    run: Callable[..., str],
    tmp_path: Path,
) -> None:
    source = tmp_path / name
    source.write_bytes(content)
    message = run(source, tmp_path / "out.npy", *flags, code=1)
    for part in expected:
        assert part in message
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_numbers_in_a_parquet_column_are_refused(
    run: Callable[..., str], tmp_path: Path
) -> None:
    source = write_table(tmp_path / "in.parquet", TEXTS)
    message = run(source, tmp_path / "out.npy", "--column", "id", code=1)
    assert "'id'" in message
    assert "int64" in message


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("out.xyz", "does not tell the format"),
        ("out", ".npy"),
        ("missing/out.npy", "There is no folder"),
        ("folder.npy", "is a folder"),
        ("in.csv", "the file that is read"),
    ],
)
def test_impossible_output_is_told_at_once(
    target: str, expected: str, run: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "folder.npy").mkdir()
    source = write_table(tmp_path / "in.csv", TEXTS)
    before = source.read_bytes()
    message = run(source, tmp_path / target, "--column", "text", code=1)
    assert expected in message
    assert source.read_bytes() == before


def test_input_that_is_not_there_is_told(
    run: Callable[..., str], tmp_path: Path
) -> None:
    message = run(tmp_path / "nothing.csv", tmp_path / "out.npy", code=1)
    assert "There is no file" in message


def test_parquet_without_pyarrow_names_the_extra(
    run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_table(tmp_path / "in.parquet", TEXTS)
    lines = write_table(tmp_path / "in.txt", LINES)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for arguments in (
        (source, tmp_path / "out.npy", "--column", "text"),
        (lines, tmp_path / "out.parquet"),
    ):
        assert "sklearn-elmo[parquet]" in run(*arguments, code=1)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("suffix", ["npy", "npz", "csv", "parquet", "h5"])
def test_failure_in_the_middle_leaves_the_old_file(
    suffix: str, run: Callable[..., str], tmp_path: Path
) -> None:
    source = tmp_path / "in.txt"
    source.write_bytes(b"fine\n" * 100 + b"\xff\n")
    target = tmp_path / f"out.{suffix}"
    target.write_bytes(b"old")
    assert "Line 101" in run(source, target, code=1)
    assert target.read_bytes() == b"old"
    assert sorted(tmp_path.iterdir()) == sorted([source, target])


@pytest.mark.parametrize(
    "flags",
    [
        ["--layers", "a,b"],
        ["--layer-mix", "softmax"],
        ["--layer-mix", "nan,1"],
        ["--pooling", "median"],
        ["--pooling", "mean,mean"],
        ["--tokenizer", "pretokenized"],
        ["--max-tokens", "0"],
        ["--batch-tokens", "many"],
        ["--precision", "float64"],
        ["--layer-mix", "learned"],
        ["--label", "y"],
        ["--cache", "folder", "--user-cache"],
        ["--quiet", "--verbose"],
        ["--weight-file", "x"],
        ["--keep", "id,id"],
        ["--keep", "id", "--keep", "id"],
        ["--keep", "id,"],
        ["--delimiter", "ab"],
        ["--output-format", "xls"],
    ],
)
def test_wrong_flags_are_exit_code_2(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["vectorize", "in.csv", "out.npy", *flags]) == 2
    assert "sklearn-elmo vectorize: error: " in capsys.readouterr().err


# Processes


@pytest.mark.skipif(os.name == "nt", reason="needs a limit on the size of files")
@pytest.mark.parametrize("suffix", ["npy", "npz", "csv", "parquet", "h5"])
def test_full_disk_leaves_nothing_behind(suffix: str, tmp_path: Path) -> None:
    # HDF5 used to crash the process at its end.
    code = (
        "import resource, sys; import numpy as np\n"
        "from sklearn_elmo.cli.feature_files import open_features\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300 * 1024,) * 2)\n"
        "rows = np.random.default_rng(0).random((5000, 10), dtype=np.float32)\n"
        "try:\n"
        "    with open_features(sys.argv[1], list('abcdefghij')) as write:\n"
        "        for _ in range(10): write(rows, ())\n"
        "except OSError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / f"out.{suffix}")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "File too large" in done.stdout
    assert list(tmp_path.iterdir()) == []


def start(tiny_model: Path, *arguments: object, **options: Any) -> subprocess.Popen:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "sklearn_elmo", "vectorize"),
            *map(str, arguments),
            *("--model", str(tiny_model)),
        ],
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **options,
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("suffix", ["npy", "h5"])
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_signal_leaves_nothing_behind(
    number: signal.Signals, code: int, suffix: str, tiny_model: Path, tmp_path: Path
) -> None:
    # Shells let jobs in the background ignore SIGINT, which their children inherit.
    before = signal.signal(number, signal.SIG_DFL)
    target = tmp_path / f"out.{suffix}"
    process = start(tiny_model, "-", target, stdin=subprocess.PIPE)
    signal.signal(number, before)
    assert process.stdin is not None
    try:
        process.stdin.write(b"The cat sat .\n" * 5000)
        process.stdin.flush()  # and left open: the command waits for more
        deadline = time.monotonic() + 60
        while not any(tmp_path.iterdir()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(timeout=60) == code
        assert process.stderr is not None
        (told,) = process.stderr.read().decode().splitlines()
        assert told.startswith("sklearn-elmo vectorize: interrupted. With --cache ")
    finally:
        process.kill()
        process.communicate()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(
    ("number", "told"),
    [
        (signal.SIGKILL, ""),
        (
            signal.SIGINT,
            "sklearn-elmo vectorize: interrupted. Run the same command again to go on "
            "from what is in the cache.\n",
        ),
    ],
)
def test_killed_run_goes_on_from_the_cache(
    number: signal.Signals,
    told: str,
    run: Callable[..., str],
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    texts = [f"Text {i} ." for i in range(5000)]
    target = tmp_path / "outputs" / "out.npy"  # SIGKILL leaves a temporary file there
    target.parent.mkdir()
    flags = ["--cache", str(tmp_path / "cache")]
    store = EmbeddingStore(tmp_path / "cache")
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    process = start(tiny_model, "-", target, *flags, stdin=subprocess.PIPE)
    signal.signal(signal.SIGINT, before)
    assert process.stdin is not None
    try:
        process.stdin.write("\n".join(texts).encode())
        process.stdin.flush()  # and left open: the command waits for more
        deadline = time.monotonic() + 120
        while not store.info()["entries"]:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        assert process.communicate(timeout=60)[1].decode() == told
    finally:
        process.kill()
        process.communicate()
    assert not (target).exists()
    killed = store.info()
    assert 0 < killed["entries"] < len(texts)
    source = tmp_path / "in.txt"
    source.write_text("\n".join(texts))
    run(source, target, *flags)
    done = store.info()
    assert done["hits"] - killed["hits"] == killed["entries"]
    assert done["misses"] - killed["misses"] == len(texts) - killed["entries"]
    np.testing.assert_allclose(
        np.load(target), expect(tiny_model, texts), rtol=0, atol=5e-6
    )


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tiny_model: Path, tmp_path: Path) -> None:
    # Distinct texts, so that nothing is saved by finding them again.
    code = (
        "import resource, sys; from sklearn_elmo.cli import main; "
        "code = main(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024); "
        "sys.exit(code)"
    )

    def peak_mib(n_texts: int) -> int:
        source, target = tmp_path / f"{n_texts}.csv", tmp_path / f"{n_texts}.npy"
        with source.open("w", encoding="utf-8") as file:
            file.write("id,text\n")
            for i in range(n_texts):
                file.write(f'{i},"Text {i} of these, {"x" * 500}"\n')
        flags = ["--column", "text", "--tokenizer", "whitespace", "--layers", "0"]
        done = subprocess.run(
            [
                *(sys.executable, "-c", code, "vectorize"),
                *(str(source), str(target), *flags),
                *("--pooling", "mean,max,min,sum,first,last"),
                *("--model", str(tiny_model)),
            ],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        assert np.load(target, mmap_mode="r").shape == (n_texts, 96)
        return int(done.stdout)

    small, large = peak_mib(5_000), peak_mib(50_000)
    # The texts alone would be 24 MiB more, the rows 17 MiB, the token lists as much.
    assert large - small < 20


def test_jsonl_output_of_json_dumps_is_read(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    texts = [*TEXTS, "\ud800 lone", "\x7f\x00"]
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    assert list(iterate_texts(str(path), "text")) == texts
