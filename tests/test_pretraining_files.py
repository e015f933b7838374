"""Damaged files of a run: detected, never believed."""

import json
import os
import shutil
import sys
import warnings

import numpy as np
import pytest
import torch
from test_pretraining_pretrainer import (
    PEOPLE,
    RUN,
    TINY,
    assert_same_weights,
    bag_of_letters,
    make_sentences,
)

from sklearn_elmo.errors import ModelFileError, SklearnElmoWarning, TrainingError
from sklearn_elmo.pretraining import trainer
from sklearn_elmo.pretraining.checkpoint import (
    CHECKPOINT_NAME,
    PREVIOUS_NAME,
    load_checkpoint,
    save_checkpoint,
)
from sklearn_elmo.pretraining.pretrainer import ElmoPretrainer
from sklearn_elmo.pretraining.verified_files import (
    DamagedFileError,
    append_digest,
    read_verified,
)

N_MUTANTS = 600


def mutants(original, n, seed=0):
    """Yield damaged copies: bits, bytes, truncations, zeroed blocks, added bytes."""
    rng = np.random.default_rng(seed)
    for number in range(n):
        content = bytearray(original)
        place = int(rng.integers(len(content)))
        match number % 6:
            case 0:
                content[place] ^= 1 << int(rng.integers(8))
            case 1:
                content[place] ^= int(rng.integers(1, 256))
            case 2:
                del content[place:]
            case 3:
                del content[place : place + int(rng.integers(1, 200))]
            case 4:
                end = min(len(content), place + 64)
                content[place:end] = bytes(end - place)
            case _:
                content[place:place] = rng.bytes(int(rng.integers(1, 50)))
        if content != original:
            yield bytes(content)


@pytest.fixture
def two_checkpoints(tmp_path):
    for step in (1, 2):
        content = {
            "progress": {"step": step},
            "model": {"weight": torch.full((5, 3), float(step))},
        }
        save_checkpoint(tmp_path, content)
    return tmp_path


def test_600_damaged_checkpoints_give_the_previous_one(two_checkpoints):
    path = two_checkpoints / CHECKPOINT_NAME
    n_mutants = 0
    for mutant in mutants(path.read_bytes(), N_MUTANTS + 50):
        path.write_bytes(mutant)
        with pytest.warns(SklearnElmoWarning, match=r"checkpoint\.pt' is damaged"):
            content = load_checkpoint(two_checkpoints)
        assert content["progress"]["step"] == 1
        assert torch.equal(content["model"]["weight"], torch.ones(5, 3))
        n_mutants += 1
    assert n_mutants >= N_MUTANTS


def test_600_pairs_of_damaged_checkpoints_are_an_error(two_checkpoints):
    path, previous = two_checkpoints / CHECKPOINT_NAME, two_checkpoints / PREVIOUS_NAME
    pairs = zip(
        mutants(path.read_bytes(), N_MUTANTS),
        mutants(previous.read_bytes(), N_MUTANTS, seed=1),
        strict=False,
    )
    for mutant, other in pairs:
        path.write_bytes(mutant)
        previous.write_bytes(other)
        with pytest.raises(TrainingError, match="no good one"):
            load_checkpoint(two_checkpoints)


def test_a_checkpoint_that_is_not_a_file_is_damaged(two_checkpoints):
    path = two_checkpoints / CHECKPOINT_NAME
    path.unlink()
    path.mkdir()
    with pytest.warns(SklearnElmoWarning, match="not a regular file"):
        assert load_checkpoint(two_checkpoints)["progress"]["step"] == 1


def test_a_kill_between_the_renames_leaves_the_previous_checkpoint(two_checkpoints):
    (two_checkpoints / CHECKPOINT_NAME).unlink()
    assert load_checkpoint(two_checkpoints)["progress"]["step"] == 1


def test_a_checkpoint_of_another_format_is_damaged(tmp_path):
    torch.save({"progress": {"step": 1}}, tmp_path / CHECKPOINT_NAME)
    with pytest.raises(TrainingError, match="not written by this version"):
        load_checkpoint(tmp_path)


@pytest.fixture
def stopped_run(tmp_path, monkeypatch):
    """A folder with two checkpoints of a run that failed at step 23."""
    monkeypatch.setattr(trainer, "_SECONDS_PER_CHECKPOINT", 0.0)
    step = trainer.Trainer._step

    def fail_at_23(self):
        if self.progress.step == 23:
            raise KeyboardInterrupt
        return step(self)

    with monkeypatch.context() as context:
        context.setattr(trainer.Trainer, "_step", fail_at_23)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path)
    return tmp_path


def fit(checkpoint_dir, **changes):
    parameters = RUN | {"checkpoint_dir": checkpoint_dir} | changes
    return ElmoPretrainer(TINY, **parameters).fit(make_sentences(PEOPLE, 60))


def test_a_run_with_a_damaged_checkpoint_continues_to_the_same_weights(stopped_run):
    path = stopped_run / CHECKPOINT_NAME
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.warns(SklearnElmoWarning, match="previous one, at step 22"):
        resumed = fit(stopped_run)
    assert_same_weights(resumed, fit(None))


@pytest.mark.parametrize("random_state", [None, 3])
def test_without_a_good_checkpoint_a_run_stops_with_the_remedy(
    stopped_run, random_state
):
    for name in (CHECKPOINT_NAME, PREVIOUS_NAME):
        (stopped_run / name).write_bytes(b"")
    with pytest.raises(TrainingError, match="Delete it to start again"):
        fit(stopped_run, random_state=random_state)


@pytest.mark.parametrize("name", ["corpus.json", "train.int32", "held_out.int32"])
def test_a_damaged_encoded_text_is_read_again(stopped_run, name):
    path = stopped_run / name
    original = path.read_bytes()
    n_damaged = 0
    for mutant in mutants(original, 8):
        path.write_bytes(mutant)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fit(stopped_run, max_tokens=1600)
        n_damaged += any("is damaged" in str(warning.message) for warning in caught)
        assert path.read_bytes() == original
    # White space and the like may be changed without a change of the content.
    assert n_damaged >= 7


def test_another_source_than_that_of_the_run_is_refused(stopped_run):
    source = stopped_run / "source.json"
    identity = json.loads(source.read_text())
    assert identity["tokenizer"] == "words"
    source.write_text("{")
    with pytest.warns(SklearnElmoWarning, match="read again"):
        fit(stopped_run)


def test_damaged_answers_of_a_teacher_are_requested_again(tmp_path):
    run = {"teacher": bag_of_letters, "n_teacher_texts": 50}
    first = fit(tmp_path, **run)
    (cache,) = tmp_path.glob("teacher-*.npy")
    original = cache.read_bytes()
    for mutant in mutants(original, 6):
        cache.write_bytes(mutant)
        for name in (CHECKPOINT_NAME, PREVIOUS_NAME):
            (tmp_path / name).unlink(missing_ok=True)
        with pytest.warns(SklearnElmoWarning, match="called again"):
            again = fit(tmp_path, **run)
        assert_same_weights(again, first)
        assert cache.read_bytes() == original


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    fitted = ElmoPretrainer(TINY, **RUN).fit(make_sentences(PEOPLE, 60))
    fitted.save(folder)
    return folder


@pytest.mark.parametrize("name", ["softmax.npz", "vocabulary.json"])
def test_a_damaged_softmax_or_vocabulary_is_never_believed(saved, tmp_path, name):
    folder = saved
    original = ElmoPretrainer.load(folder)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    n_refused = 0
    for mutant in mutants((folder / name).read_bytes(), 150):
        (copy / name).write_bytes(mutant)
        try:
            again = ElmoPretrainer.load(copy)
        except ModelFileError:
            n_refused += 1
            continue
        # Only bytes without a meaning were hit, such as the times in a zip file.
        assert again.vocabulary_ == original.vocabulary_
        assert_same_weights(again, original)
    assert n_refused > 100


def test_a_softmax_of_another_model_is_refused(saved, tmp_path):
    folder = saved
    other = ElmoPretrainer(TINY, **(RUN | {"random_state": 8}))
    other.fit(make_sentences(PEOPLE, 60)).save(tmp_path)
    shutil.copy(folder / "softmax.npz", tmp_path)
    shutil.copy(folder / "vocabulary.json", tmp_path)
    with pytest.raises(ModelFileError, match="another model"):
        ElmoPretrainer.load(tmp_path)
    with pytest.raises(ModelFileError, match="another model"):
        ElmoPretrainer(init=tmp_path, **RUN).fit(make_sentences(PEOPLE, 60))


def test_a_verified_file_is_read_without_its_digest(tmp_path):
    path = tmp_path / "file"
    for content in (b"", b"x", bytes(3 * 2**20)):
        path.write_bytes(content)
        append_digest(path)
        assert read_verified(path).read() == content
    with pytest.raises(DamagedFileError):
        read_verified(tmp_path / "missing")


@pytest.mark.skipif(sys.platform == "win32", reason="needs links and named pipes")
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("train.int32", "pipe"),
        ("train.int32", "link"),
        ("held_out.int32", "dangling"),
        ("held_out.int32", "device"),
        ("corpus.json", "pipe"),
        ("corpus.json", "link"),
    ],
)
def test_odd_file_among_those_of_a_run_is_replaced(
    stopped_run, tmp_path_factory, name, kind
):
    """A link was written through, over a file of somebody else; a pipe hung."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "precious").write_text("mine")
    path = stopped_run / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.symlink_to(outside / ("precious" if kind == "link" else "new"))
    with pytest.warns(SklearnElmoWarning, match="text is read again"):
        fit(stopped_run)
    assert [file.read_text() for file in outside.iterdir()] == ["mine"]
    assert path.is_file()
    assert not path.is_symlink()


@pytest.mark.filterwarnings("ignore:The encoded text")
@pytest.mark.parametrize(
    "name", ["train.int32", "corpus.json", "source.json", "metrics.jsonl", "loss.png"]
)
def test_folder_in_the_way_of_a_run_is_a_training_error(stopped_run, name):
    path = stopped_run / name
    path.unlink(missing_ok=True)
    (path / "precious").mkdir(parents=True)
    with pytest.raises(TrainingError, match=r"cannot be written.*in the way"):
        fit(stopped_run)
    assert (path / "precious").exists()


def test_checkpoint_folder_that_cannot_be_made_is_a_training_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="cannot be written"):
        fit(tmp_path / "file" / "run")


def test_checkpoint_that_is_of_no_run_is_refused(tmp_path):
    """Its digest is right, but it has none of what a run needs."""
    save_checkpoint(tmp_path, {"progress": {"step": 1}})
    for random_state in (0, None):
        with pytest.raises(TrainingError, match="not of a training run"):
            fit(tmp_path, random_state=random_state)
