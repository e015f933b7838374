"""``sklearn-elmo cache``."""

import pytest
from store_workers import recipe_of, request

from sklearn_elmo.cli import main
from sklearn_elmo.store import EmbeddingStore, cache_warnings, view
from sklearn_elmo.vectorizer import ElmoVectorizer


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch):
    """Forget what earlier tests have made this process know."""
    monkeypatch.setattr(cache_warnings, "_warned", set())
    view.forget_all()


@pytest.fixture
def store(tmp_path):
    store = EmbeddingStore(tmp_path / "store")
    for first in range(0, 30, 10):
        request(store, range(first, first + 10))
    return store


def test_info_tells_counts_and_recipes(store, capsys):
    assert main(["cache", "info", str(store.path)]) == 0
    out = capsys.readouterr().out
    assert f"cache: {store.path}\n" in out
    assert "entries: 30\n" in out
    assert "model: test\n" in out


def test_user_cache_is_the_default(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SKLEARN_ELMO_HOME", str(tmp_path))
    request(EmbeddingStore(tmp_path / "embeddings"), range(3))
    assert main(["cache", "info"]) == 0
    assert "entries: 3\n" in capsys.readouterr().out


def test_verify_says_what_it_checked(store, capsys):
    assert main(["cache", "verify", str(store.path)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{store.path}: checked 30 entries in 3 files (")
    assert out.endswith("none is damaged\n")
    assert err == ""


def test_verify_names_damage_and_compact_removes_it(store, capsys):
    path = sorted(recipe_of(store).path.glob("seg-*.h5"))[0]
    path.write_bytes(path.read_bytes()[:-1])
    assert main(["cache", "verify", str(store.path)]) == 1
    out, err = capsys.readouterr()
    assert str(path) in out
    assert err.startswith("sklearn-elmo cache: error: 1 files are damaged")
    assert main(["cache", "compact", str(store.path)]) == 0
    assert f"{store.path}: compacted; files 3 -> 1, bytes" in capsys.readouterr().out
    assert main(["cache", "verify", str(store.path)]) == 0
    assert store.info()["segments"] == 1


def test_clear_removes_everything_and_says_so(store, capsys):
    n_bytes = store.info()["bytes"]
    assert main(["cache", "clear", str(store.path)]) == 0
    assert capsys.readouterr().out == (
        f"{store.path}: cleared; files 3 -> 0, bytes {n_bytes} -> 0\n"
    )
    assert store.info()["entries"] == 0


@pytest.mark.parametrize("action", ["info", "verify", "compact", "clear"])
def test_folder_that_is_not_there_does_not_look_empty(action, tmp_path, capsys):
    """``verify NOFOLDER`` said that nothing was damaged."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing", tmp_path / "file"):
        assert main(["cache", action, str(path)]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(
            f"sklearn-elmo cache: error: There is no cache folder '{path}'. "
        )
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_action_is_needed(capsys):
    assert main(["cache"]) == 2
    assert "ACTION" in capsys.readouterr().err


def test_fill_warms_the_cache_for_others(tiny_model, tmp_path, capsys):
    (tmp_path / "texts.csv").write_text("id,text\n1,A cat sat .\n2,\n3,Dogs bark .\n")
    cache = str(tmp_path / "store")
    command = [
        *("cache", "fill", str(tmp_path / "texts.csv"), "--column", "text"),
        *("--cache", cache, "--model", str(tiny_model)),
    ]
    for _ in range(2):  # the second time there is nothing to do
        assert main(command) == 0
        assert EmbeddingStore(cache).info()["misses"] == 2
    ElmoVectorizer(str(tiny_model), cache=cache, pooling="final").fit_transform(
        ["Dogs bark ."]
    )
    assert EmbeddingStore(cache).info()["misses"] == 2
    capsys.readouterr()
    assert main([*command, "--float16", "--verbose"]) == 0
    assert "3/3" in capsys.readouterr().err
    assert EmbeddingStore(cache).info()["misses"] == 4


@pytest.mark.filterwarnings("default::sklearn_elmo.errors.LongTokenWarning")
def test_fill_names_the_line_of_a_long_token(tiny_model, tmp_path, capsys):
    path = tmp_path / "texts.csv"
    path.write_text(f"id,text\n1,A cat sat .\n2,{'x' * 60}\n")
    cache = ["--cache", str(tmp_path / "store")]
    flags = ["--column", "text", "--model", str(tiny_model)]
    assert main(["cache", "fill", str(path), *cache, *flags]) == 0
    assert capsys.readouterr().err.startswith(
        f"sklearn-elmo cache: warning: Line 3 of {path} has tokens longer than"
    )


def test_fill_from_no_file(tiny_model, tmp_path, capsys):
    command = ["cache", "fill", "nowhere.csv", "--model", str(tiny_model)]
    assert main([*command, "--cache", str(tmp_path)]) == 1
    assert "nowhere.csv" in capsys.readouterr().err
