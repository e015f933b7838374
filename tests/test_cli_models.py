"""``sklearn-elmo models``."""

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from sklearn_elmo import downloads
from sklearn_elmo.cli import main


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SKLEARN_ELMO_DOWNLOAD", raising=False)
    monkeypatch.setenv("SKLEARN_ELMO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def mirror(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A mirror that has a tiny model in the place of 'small'."""
    name = "2x1024_128_2048cnn_1xhighway"
    folder = tmp_path / "mirror" / name
    folder.mkdir(parents=True)
    for kind in ("options.json", "weights.hdf5"):
        content = (tiny_model / kind).read_bytes()
        (folder / f"elmo_{name}_{kind}").write_bytes(content)
    handler = partial(QuietHandler, directory=str(tmp_path / "mirror"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("SKLEARN_ELMO_MIRROR", url)
    yield folder
    server.shutdown()
    server.server_close()
    thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


def test_list_names_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines[1:]]
    assert names == ["default", *downloads.REGISTRY]
    assert "to be fetched" in lines[-1]


def test_bundled_model_is_described_and_verified(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["models", "list"]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.startswith("default        bundled        512    7.2 M")
    assert main(["models", "verify", "default"]) == 0
    named = capsys.readouterr().out
    assert [line[64:] for line in named.splitlines()] == [
        "  default/options.json: OK",
        "  default/weights.hdf5: OK",
    ]
    assert main(["models", "verify"]) == 0
    assert capsys.readouterr().out == named


def test_describe_a_name_and_a_folder(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "describe", "original"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["source"] is None
    assert found["width"] == 1024
    assert "Peters" in found["credits"]
    assert main(["models", "describe", str(tiny_model)]) == 0
    assert json.loads(capsys.readouterr().out)["n_layers"] == 2


def test_fetch_verify_and_use(
    mirror: Path, home: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = hashlib.sha256((tiny_model / "weights.hdf5").read_bytes()).hexdigest()
    assert main(["models", "fetch", "small", "--quiet", "--sha256", digest]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == str(home / "models" / "small")
    assert f"{digest}  small/weights.hdf5" in out
    assert err == ""
    assert main(["models", "verify"]) == 0
    assert f"{digest}  small/weights.hdf5: OK\n" in capsys.readouterr().out
    assert main(["models", "list"]) == 0
    assert "here" in capsys.readouterr().out
    text = home / "in.txt"
    text.write_text("a b\n")
    assert (
        main(["elmo", str(text), str(home / "o.h5"), "--top", "--model", "small"]) == 0
    )


def test_fetch_shows_progress_unless_quiet(
    mirror: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "fetch", "small"]) == 0
    assert "weights.hdf5: 100%" in capsys.readouterr().err


def test_fetch_refuses_other_weights_than_pinned(
    mirror: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Only the mirror is asked here: nothing outside this machine.
    from sklearn_elmo.downloads import library

    monkeypatch.setattr(
        library, "candidate_urls", lambda url: library_candidates(url)[:1]
    )
    assert main(["models", "fetch", "small", "--quiet", "--sha256", "0" * 64]) == 1
    assert "the SHA-256 is" in capsys.readouterr().err
    assert main(["models", "fetch", "small", "medium", "--sha256", "0" * 64]) == 2


library_candidates = downloads.library.candidate_urls


def test_verify_finds_damage(
    mirror: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "fetch", "small", "--quiet"]) == 0
    options = home / "models" / "small" / "options.json"
    options.write_text(options.read_text() + " ")
    capsys.readouterr()
    assert main(["models", "verify", "small"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("sklearn-elmo models: error: ")
    assert "options.json has the SHA-256" in error
    assert main(["models", "verify", "medium"]) == 1
    assert "only: small" in capsys.readouterr().err


def test_import_a_folder_or_two_files(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "import", "mine", str(tiny_model)]) == 0
    files = [str(tiny_model / "options.json"), str(tiny_model / "weights.hdf5")]
    assert main(["models", "import", "mine-too", *files]) == 0
    assert downloads.local_names() == ["mine", "mine-too"]
    capsys.readouterr()
    assert main(["models", "import", "mine", str(tiny_model)]) == 1
    assert "There is a model named" in capsys.readouterr().err
    assert main(["models", "import", "three", *files, "x"]) == 2


def test_import_refuses_what_is_no_model(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "weights.hdf5"
    damaged.write_bytes((tiny_model / "weights.hdf5").read_bytes()[:2000])
    files = [str(tiny_model / "options.json"), str(damaged)]
    assert main(["models", "import", "mine", *files]) == 1
    assert "weights.hdf5" in capsys.readouterr().err
    assert downloads.local_names() == []


def test_unknown_name_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "fetch", "orignal"]) == 1
    assert "only small, medium, original" in capsys.readouterr().err
    assert main(["models"]) == 2
