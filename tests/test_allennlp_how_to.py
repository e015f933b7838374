"""The how-to's published number, as far as it can be had here."""

from pathlib import Path

import numpy as np
import pytest
import reference_numpy
from scipy.spatial.distance import cosine

from sklearn_elmo.allennlp import ElmoEmbedder, how_to


def test_distance_is_that_of_two_sentences_in_a_row(tiny_model: Path) -> None:
    reference = reference_numpy.ReferenceElmo.from_folder(tiny_model)
    first, state = reference.embed_with_boundaries(how_to.SENTENCES[0])
    second = reference.embed(how_to.SENTENCES[1], state)
    expected = cosine(first[2, 1 + 3], second[2, 3])
    found = how_to.apple_to_carrot(ElmoEmbedder(tiny_model))
    assert found == pytest.approx(expected, abs=1e-6)


def test_main_prints_both_numbers(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert how_to.main(["--model", str(tiny_model)]) == 0
    out, err = capsys.readouterr()
    distance = how_to.apple_to_carrot(ElmoEmbedder(tiny_model))
    assert f"{distance:.17g}" in out
    assert "0.18020617961883545" in out
    assert err == ""


def test_main_says_how_to_get_the_original(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SKLEARN_ELMO_HOME", str(tmp_path))
    monkeypatch.delenv("SKLEARN_ELMO_DOWNLOAD", raising=False)
    assert how_to.main(["--model", "original"]) == 1
    assert "models fetch original" in capsys.readouterr().err


@pytest.mark.parametrize(("shift", "code"), [(0.0, 0), (0.01, 1)])
def test_main_compares_the_original_with_the_published_number(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tiny_model: Path,
    tmp_path: Path,
    shift: float,
    code: int,
) -> None:
    from sklearn_elmo import downloads

    monkeypatch.setenv("SKLEARN_ELMO_HOME", str(tmp_path))
    folder = downloads.home_folder() / "models" / "original"
    folder.parent.mkdir()
    folder.symlink_to(tiny_model)
    number = how_to.PUBLISHED_DISTANCE + shift
    monkeypatch.setattr(how_to, "apple_to_carrot", lambda _: number)
    assert how_to.main(["--model", "original"]) == code
    assert ("DISAGREE" in capsys.readouterr().out) == bool(code)
    assert np.isfinite(number)
