"""The how-to's published number, as far as it can be checked here."""

from pathlib import Path

import numpy as np
import pytest
import reference_numpy
from scipy.spatial.distance import cosine

import sklearn_elmo
from sklearn_elmo.allennlp import Elmo, ElmoEmbedder, batch_to_ids, how_to


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


needs_bundled_model = pytest.mark.skipif(
    not (Path(sklearn_elmo.__file__).parent / "default_model").is_dir(),
    reason="the bundled model is not in this checkout",
)


@needs_bundled_model
def test_bundled_model_finds_apple_closer_to_carrot_than_to_ate(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert how_to.main([]) == 0
    assert "model 'default': 0." in capsys.readouterr().out
    top = ElmoEmbedder(model="default", state="zero").embed_sentence(
        how_to.SENTENCES[0]
    )[-1]
    to_carrot = how_to.apple_to_carrot(ElmoEmbedder(model="default"))
    assert 0 < to_carrot < cosine(top[how_to.FOOD], top[1])


@needs_bundled_model
def test_elmo_without_files_is_the_bundled_model() -> None:
    elmo = Elmo(dropout=0, state="zero")
    ids = batch_to_ids([how_to.SENTENCES[0]])
    found = elmo(ids)["elmo_representations"][0][0].detach().numpy()
    layers = ElmoEmbedder(model="default", state="zero").embed_sentence(
        how_to.SENTENCES[0]
    )
    np.testing.assert_allclose(found, layers.mean(axis=0), atol=1e-5)


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
