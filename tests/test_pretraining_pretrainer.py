"""`ElmoPretrainer` and its two commands."""

import contextlib
import functools
import json
import os
import pickle
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import reference_numpy
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_elmo import ElmoTokenVectorizer, ElmoVectorizer
from sklearn_elmo.cli import main
from sklearn_elmo.errors import (
    CorpusError,
    InvalidParameterError,
    ModelFileError,
    ModelMismatchError,
    SklearnElmoWarning,
    TrainingError,
    UnusedParameterWarning,
)
from sklearn_elmo.models import load
from sklearn_elmo.pretraining import checkpoint, trainer
from sklearn_elmo.pretraining.distillation.targets import (
    sentence_targets,
    token_targets,
)
from sklearn_elmo.pretraining.distillation.teacher import TeacherTexts
from sklearn_elmo.pretraining.pretrainer import ElmoPretrainer
from sklearn_elmo.pretraining.saved_model import SavedModel, save_language_model

TINY = {
    "lstm": {
        "use_skip_connections": True,
        "projection_dim": 8,
        "cell_clip": 3,
        "proj_clip": 3,
        "dim": 16,
        "n_layers": 2,
    },
    "char_cnn": {
        "activation": "relu",
        "filters": [[1, 4], [2, 8], [3, 12]],
        "n_highway": 1,
        "embedding": {"dim": 4},
        "max_characters_per_token": 50,
    },
}
# Weights after so many words are the same however often the run is stopped.
RUN = {
    "max_tokens": 1600,
    "batch_size": 4,
    "n_steps": 10,
    "precision": "float32",
    "random_state": 3,
    "min_count": 1,
    "held_out_share": 0.05,
    "n_negative_samples": 20,
}

PEOPLE = ["farmer", "teacher", "doctor", "driver", "painter"]
ANIMALS = ["horse", "spaniel", "parrot", "hamster", "donkey"]


def make_sentences(nouns, n=300, seed=0):
    """Sentences whose end is told by their beginning."""
    rng = np.random.default_rng(seed)
    verbs = ["likes", "fears", "helps"]
    sentences = []
    for _ in range(n):
        k, other, verb = rng.integers(5), rng.integers(5), rng.integers(3)
        sentences.append(
            f"the {nouns[k]} {verbs[verb]} a {nouns[other]} in the {nouns[k]} house ."
        )
    return sentences


def weights_of(pretrainer):
    return {
        name: tensor.numpy() for name, tensor in pretrainer.model_.state_dict().items()
    }


def assert_same_weights(one, other):
    expected = weights_of(other)
    for name, array in weights_of(one).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


@pytest.fixture(scope="module")
def fitted():
    return ElmoPretrainer(TINY, **(RUN | {"max_tokens": 12_000})).fit(
        make_sentences(PEOPLE)
    )


def test_training_lowers_perplexity_towards_what_the_text_allows(fitted):
    held_out = make_sentences(PEOPLE, 20, seed=9)
    begin = ElmoPretrainer(TINY, **(RUN | {"max_tokens": 40})).fit(
        make_sentences(PEOPLE)
    )
    assert begin.perplexity(held_out) > 8
    assert fitted.perplexity(held_out) < 4
    assert fitted.held_out_perplexity_ < 4


def test_the_history_tells_the_course(fitted):
    row = fitted.history_[0]
    assert row["step"] == 20
    assert row["tokens"] == 800
    assert row["tokens_per_second"] > 0
    assert fitted.history_[-2]["smoothed_loss"] < row["smoothed_loss"]
    assert {"held_out_forward", "held_out_backward"} <= set(fitted.history_[-1])


def test_perplexity_of_every_start_state(fitted):
    texts = make_sentences(PEOPLE, 30, seed=9)
    found = {s: fitted.evaluate(texts, state=s) for s in ("carry", "zero", "warm")}
    assert all(1 < judged.average < 6 for judged in found.values())
    with pytest.raises(InvalidParameterError, match="'state' parameter"):
        fitted.evaluate(texts, state="cold")


@pytest.mark.parametrize("state", ["carry", "zero", "warm"])
@pytest.mark.parametrize("n_texts", [1, 2, 3, 30, 700])
def test_perplexity_is_that_of_every_word(fitted, state, n_texts):
    texts = make_sentences(PEOPLE, n_texts, seed=9)
    judged = fitted.evaluate(texts, state=state)
    # Every word, and the boundary of the own side, in both directions.
    assert judged.n_tokens == 2 * sum(len(t.split()) + 1 for t in texts)
    for changed in (0, -1):
        others = texts.copy()
        others[changed] = "horse doctor horse doctor"
        found = fitted.evaluate(others, state=state)
        assert found.forward != judged.forward
        assert found.backward != judged.backward


def test_perplexity_is_that_of_the_plain_model(fitted):
    """Words and softmax one by one, with the reading modules."""
    text = "the doctor likes a horse ."
    words = ["<S>", *text.split(), "</S>"]
    model, vocabulary = fitted.model_, fitted.vocabulary_
    targets = vocabulary.targets_of(words)
    with torch.no_grad():
        layers = reference_layers(model, words)
        logits = (
            layers @ model.softmax_weight.double().t() + model.softmax_bias.double()
        )
        likelihood = logits.log_softmax(dim=-1).numpy()
    n = len(words)
    forward = [likelihood[0, k, targets[k + 1]] for k in range(n - 1)]
    backward = [likelihood[1, k, targets[k - 1]] for k in range(1, n)]
    judged = fitted.evaluate([text], state="zero")
    assert judged.forward == pytest.approx(np.exp(-np.mean(forward)), rel=1e-4)
    assert judged.backward == pytest.approx(np.exp(-np.mean(backward)), rel=1e-4)
    assert judged.n_tokens == 2 * (n - 1)


def reference_layers(model, words):
    elmo = reference_numpy.ReferenceElmo(
        model.options.to_dict(), model.bilm.to_arrays()
    )
    top = elmo.embed_with_boundaries(words[1:-1])[0][-1]  # (n, 2P)
    return torch.from_numpy(np.stack(np.split(top, 2, axis=-1)))


def test_a_saved_model_is_read_by_an_independent_reader(fitted, tmp_path):
    fitted.save(tmp_path)
    sentence = ["the", "painter", "fears", "Zürich"]
    reference = reference_numpy.ReferenceElmo.from_folder(tmp_path).embed(sentence)
    ids = torch.tensor([[reference_numpy.character_ids(w) for w in sentence]])
    with torch.no_grad():
        layers = load(tmp_path)(ids).layers
    for ours, theirs in zip(layers, reference, strict=True):
        np.testing.assert_allclose(ours[0, 1:-1], theirs, atol=1e-5)
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert f"{fitted.history_[-1]['held_out_average']:.2f}" in card
    assert "none: a language model alone" in card


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_is_loaded_again_judges_alike(fitted, tmp_path, dtype):
    fitted.save(tmp_path, dtype=dtype)
    texts = make_sentences(PEOPLE, 20, seed=9)
    again = ElmoPretrainer.load(tmp_path)
    assert again.vocabulary_ == fitted.vocabulary_
    assert again.perplexity(texts) == pytest.approx(fitted.perplexity(texts), rel=1e-2)
    for name in ("n_tokens_", "n_types_", "history_", "held_out_perplexity_"):
        assert getattr(again, name) == getattr(fitted, name)


def test_folders_of_earlier_versions_are_loaded(fitted, tmp_path):
    model, vocabulary = fitted.model_, fitted.vocabulary_
    saved = SavedModel(model, vocabulary, "words", None, [])
    save_language_model(tmp_path, saved)
    (tmp_path / "metrics.jsonl").unlink()
    content = json.loads((tmp_path / "vocabulary.json").read_text())
    del content["n_types"]
    (tmp_path / "vocabulary.json").write_text(json.dumps(content))
    again = ElmoPretrainer.load(tmp_path)
    texts = make_sentences(PEOPLE, 20, seed=9)
    assert again.perplexity(texts) == fitted.perplexity(texts)
    assert again.history_ == []
    assert np.isnan(again.held_out_perplexity_)


def test_missing_models_and_devices_show_before_the_text_is_read(tmp_path):
    def texts():
        raise AssertionError
        yield ""

    for changed, error in (
        ({"init": tmp_path / "nope"}, ModelFileError),
        ({"device": "cuda:99"}, InvalidParameterError),
        ({"size": {"lstm": {}}}, ModelFileError),
    ):
        with pytest.raises(error):
            ElmoPretrainer(**(RUN | changed)).fit(texts())


def test_a_model_that_predicts_nothing_is_not_returned():
    """A perplexity of infinity was."""
    run = RUN | {"learning_rate": 1e9, "max_tokens": 40}
    with pytest.raises(
        TrainingError, match=r"held-out perplexity.*lower learning_rate"
    ):
        ElmoPretrainer(TINY, **run).fit(make_sentences(PEOPLE, 60))


@pytest.mark.parametrize("name", ["softmax.npz", "vocabulary.json"])
def test_a_damaged_softmax_is_named(fitted, tmp_path, name):
    fitted.save(tmp_path)
    (tmp_path / name).write_bytes(b"nonsense")
    with pytest.raises(ModelFileError, match="damaged"):
        ElmoPretrainer.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ModelFileError, match="no softmax"):
        ElmoPretrainer.load(tmp_path)


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    texts = make_sentences(PEOPLE, 60)
    one, same = (ElmoPretrainer(TINY, **RUN).fit(texts) for _ in range(2))
    assert_same_weights(one, same)
    other = ElmoPretrainer(TINY, **(RUN | {"random_state": 4})).fit(texts)
    assert not np.array_equal(
        weights_of(one)["softmax_weight"], weights_of(other)["softmax_weight"]
    )


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        "import os, signal, sys, torch\n"
        "torch.set_num_threads(1)\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_pretraining_pretrainer as tests\n"
        "from sklearn_elmo.pretraining import trainer\n"
        "trainer._SECONDS_PER_CHECKPOINT = 0.0\n"
        "step = trainer.Trainer._step\n"
        "def kill_at_23(self):\n"
        "    if self.progress.step == 23:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return step(self)\n"
        "trainer.Trainer._step = kill_at_23\n"
        "tests.fit_for_the_kill(sys.argv[1])\n"
    )
    folder = tmp_path / "checkpoints"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    killed = subprocess.run(
        [sys.executable, script, folder], env=environment, timeout=300, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert checkpoint.load_checkpoint(folder)["progress"]["step"] == 23
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert_same_weights(fit_for_the_kill(folder), fit_for_the_kill(None))
    finally:
        torch.set_num_threads(n_threads)


def fit_for_the_kill(checkpoint_dir):
    pretrainer = ElmoPretrainer(TINY, checkpoint_dir=checkpoint_dir, **RUN)
    return pretrainer.fit(make_sentences(PEOPLE, 60))


def test_a_finished_run_is_found_finished(tmp_path):
    texts = make_sentences(PEOPLE, 60)
    pretrainer = ElmoPretrainer(TINY, checkpoint_dir=tmp_path, **RUN)
    first = weights_of(clone(pretrainer).fit(texts))
    again = pretrainer.fit(texts)
    np.testing.assert_array_equal(
        weights_of(again)["softmax_bias"], first["softmax_bias"]
    )
    rows = [
        json.loads(row) for row in (tmp_path / "metrics.jsonl").read_text().splitlines()
    ]
    assert rows[0] == again.history_[0]


@pytest.mark.parametrize(
    ("change", "named"),
    [({"dropout": 0.3}, "dropout"), ({"random_state": 5}, "random_state")],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, change, named):
    texts = make_sentences(PEOPLE, 60)
    run = RUN | {"max_tokens": 80, "checkpoint_dir": tmp_path}
    ElmoPretrainer(TINY, **run).fit(texts)
    with pytest.raises(TrainingError, match=f"of another run: its ({named})"):
        ElmoPretrainer(TINY, **(run | change)).fit(texts)


def test_a_damaged_checkpoint_is_named(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"PK nothing")
    with pytest.raises(TrainingError, match=r"checkpoint\.pt' is damaged"):
        ElmoPretrainer(TINY, checkpoint_dir=tmp_path, **RUN).fit(["a b", "c d"])


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "_SECONDS_PER_CHECKPOINT", 0.0)
    real_save = torch.save
    n_saves = []

    def save(content, file):
        n_saves.append(1)
        if len(n_saves) == 4:
            Path(file).write_bytes(b"half of it")
            raise OSError(28, "No space left on device")
        real_save(content, file)

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(TrainingError, match="No space left"):
        ElmoPretrainer(TINY, checkpoint_dir=tmp_path, **RUN).fit(
            make_sentences(PEOPLE, 60)
        )
    assert checkpoint.load_checkpoint(tmp_path)["progress"]["step"] == 3
    assert not list(tmp_path.glob(".*tmp"))


def test_a_loss_that_is_not_finite_stops_before_it_does_harm(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "_SECONDS_PER_CHECKPOINT", 0.0)
    step = trainer.Trainer._step

    def poison(self):
        if self.progress.step == 5:
            with torch.no_grad():
                self.model.softmax_bias.fill_(float("nan"))
        return step(self)

    monkeypatch.setattr(trainer.Trainer, "_step", poison)
    with pytest.raises(TrainingError, match="not finite") as caught:
        ElmoPretrainer(TINY, checkpoint_dir=tmp_path, **RUN).fit(
            make_sentences(PEOPLE, 60)
        )
    assert str(tmp_path) in str(caught.value)
    kept = checkpoint.load_checkpoint(tmp_path)
    assert kept["progress"]["step"] == 5
    assert torch.isfinite(kept["model"]["softmax_bias"]).all()


def test_a_loss_that_grows_stops(monkeypatch):
    monkeypatch.setattr(trainer, "_DIVERGENCE", 0.5)
    with pytest.raises(TrainingError, match="loss"):
        ElmoPretrainer(TINY, learning_rate=50.0, **(RUN | {"max_tokens": 8000})).fit(
            make_sentences(PEOPLE)
        )


def test_a_pretrained_start_beats_a_random_one_on_new_text(fitted, tmp_path):
    fitted.save(tmp_path)
    texts, new = make_sentences(ANIMALS), make_sentences(ANIMALS, 30, seed=9)
    run = RUN | {"max_tokens": 2000, "learning_rate": 0.01}
    adapted = ElmoPretrainer(init=tmp_path, **run).fit(texts)
    random = ElmoPretrainer(TINY, **run).fit(texts)
    short = ElmoPretrainer(init=tmp_path, **(run | {"max_tokens": 40})).fit(texts)
    assert adapted.perplexity(new) < short.perplexity(new)
    assert adapted.perplexity(new) < random.perplexity(new)


def test_without_a_softmax_it_is_learned_first_and_the_rest_is_frozen(tiny_model):
    texts = make_sentences(PEOPLE, 60)
    before = load(tiny_model).to_arrays()
    run = RUN | {"learning_rate": 0.01}
    frozen = ElmoPretrainer(init=tiny_model, **(run | {"max_tokens": 40})).fit(texts)
    # One step of one: all of it in the frozen part.
    after = frozen.model_.bilm.to_arrays()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    trained = ElmoPretrainer(init=tiny_model, **run).fit(texts).model_.bilm.to_arrays()
    assert not any(np.array_equal(before[name], trained[name]) for name in before)


def drift(pretrainer, model, texts):
    """Relative squared distance of the adapted vectors from those of the start."""
    found, start = (ElmoVectorizer(m).fit_transform(texts) for m in (pretrainer, model))
    return float(((found - start) ** 2).sum() / (start**2).sum())


def test_adaptation_lowers_perplexity_and_keeps_close_to_the_initial_model(
    fitted, tmp_path
):
    fitted.save(tmp_path)
    texts, new = make_sentences(ANIMALS), make_sentences(ANIMALS, 30, seed=9)
    run = RUN | {"max_tokens": 4000, "learning_rate": 0.01, "init": tmp_path}
    free = ElmoPretrainer(anchor_weight=0.0, **run).fit(texts)
    kept = ElmoPretrainer(**run).fit(texts)
    short = ElmoPretrainer(**(run | {"max_tokens": 40})).fit(texts)
    old = make_sentences(PEOPLE, 30, seed=9)
    assert drift(kept, tmp_path, old) < 0.7 * drift(free, tmp_path, old)
    assert kept.perplexity(new) < 0.8 * short.perplexity(new)
    losses = [row["anchor_loss"] for row in kept.history_ if "anchor_loss" in row]
    assert losses
    assert all(np.isfinite(losses))
    assert not any("anchor_loss" in row for row in free.history_)
    kept.save(tmp_path / "adapted")
    assert "kept close" in (tmp_path / "adapted" / "MODEL_CARD.md").read_text()


def test_without_init_the_anchor_changes_nothing():
    texts = make_sentences(PEOPLE, 60)
    run = RUN | {"max_tokens": 200}
    assert_same_weights(
        ElmoPretrainer(TINY, anchor_weight=0.0, **run).fit(texts),
        ElmoPretrainer(TINY, anchor_weight=9.0, **run).fit(texts),
    )


def test_a_stopped_adaptation_continues_to_the_same_weights(
    fitted, tmp_path, monkeypatch
):
    monkeypatch.setattr(trainer, "_SECONDS_PER_CHECKPOINT", 0.0)
    fitted.save(tmp_path / "start")
    run = RUN | {
        "init": tmp_path / "start",
        "max_tokens": 600,
        "anchor_weight": 10.0,
    }
    texts = make_sentences(ANIMALS, 60)
    step = trainer.Trainer._step

    def fail_at_7(self):
        if self.progress.step == 7:
            raise KeyboardInterrupt
        return step(self)

    with monkeypatch.context() as context:
        context.setattr(trainer.Trainer, "_step", fail_at_7)
        with pytest.raises(KeyboardInterrupt):
            ElmoPretrainer(checkpoint_dir=tmp_path / "run", **run).fit(texts)
    # Weights of another start would change the anchor.
    other = ElmoPretrainer(TINY, **(RUN | {"max_tokens": 80, "random_state": 8}))
    other.fit(texts).save(tmp_path / "other")
    slower = run | {"learning_rate": 0.001}
    with pytest.raises(TrainingError, match=r"learning_rate differs \(.*, now 0.001\)"):
        ElmoPretrainer(checkpoint_dir=tmp_path / "run", **slower).fit(texts)
    with pytest.raises(TrainingError, match="its init differs"):
        ElmoPretrainer(
            checkpoint_dir=tmp_path / "run", **(run | {"init": tmp_path / "other"})
        ).fit(texts)
    resumed = ElmoPretrainer(checkpoint_dir=tmp_path / "run", **run).fit(texts)
    assert_same_weights(resumed, ElmoPretrainer(**run).fit(texts))


def test_a_run_without_a_seed_continues_with_the_one_it_drew(tmp_path):
    texts = make_sentences(PEOPLE, 60)
    run = RUN | {"random_state": None, "checkpoint_dir": tmp_path}
    first = ElmoPretrainer(TINY, **(run | {"max_tokens": 80})).fit(texts)
    both = ElmoPretrainer(TINY, **(run | {"max_tokens": 160})).fit(texts)
    assert both.history_[-1]["step"] > first.history_[-1]["step"]
    assert both.history_[: len(first.history_)] == first.history_


def test_size_beside_init_warns(tiny_model):
    with pytest.warns(UnusedParameterWarning, match="'size'"):
        ElmoPretrainer("small", init=tiny_model, **(RUN | {"max_tokens": 40})).fit(
            make_sentences(PEOPLE, 30)
        )


def bag_of_letters(texts):
    return np.array([[text.count(c) for c in "aehioprst"] for text in texts]) + 0.5


def test_a_teacher_is_learned_from(tmp_path):
    run = RUN | {"max_tokens": 6000, "learning_rate": 0.01, "n_teacher_texts": 200}
    taught = ElmoPretrainer(
        TINY, teacher=bag_of_letters, checkpoint_dir=tmp_path, **run
    ).fit(make_sentences(PEOPLE))
    losses = [row["teacher_loss"] for row in taught.history_ if "teacher_loss" in row]
    assert losses[-1] < 0.8 * losses[0]
    assert taught.held_out_perplexity_ < 8
    taught.save(tmp_path / "model")
    assert "bag_of_letters" in (tmp_path / "model" / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize(
    ("teacher", "named"),
    [
        (lambda texts: np.zeros(len(texts)), "shape"),
        (lambda texts: np.zeros((1, 4)), "shape"),
        (lambda texts: np.full((len(texts), 4), np.nan), "not finite"),
        (lambda texts: bag_of_letters(texts) * 1e30, "too long for float32"),
        (lambda texts: bag_of_letters(texts) * 1e300, "too long for float32"),
        (lambda texts: np.zeros((len(texts), 4)), "same vector for every text"),
        (lambda texts: np.full((len(texts), 4), 7.0), "same vector for every text"),
        (lambda texts: [[len(text)] * 2 for text in texts], "same vector for every"),
    ],
)
def test_a_teacher_that_returns_nonsense_is_named(teacher, named):
    with pytest.raises(TrainingError, match=f"'teacher' of ElmoPretrainer.*{named}"):
        ElmoPretrainer(TINY, teacher=teacher, **RUN).fit(make_sentences(PEOPLE, 30))


@pytest.mark.parametrize(
    ("teacher", "named"),
    [
        (HashingVectorizer(n_features=64).transform, r"csr.*\.toarray\(\)"),
        (lambda texts: None, "NoneType for .* texts, the first of which"),
        (lambda texts: bag_of_letters(texts) + 1j, "ndarray of dtype complex128"),
        (lambda texts: torch.ones(len(texts), 2) + 1j, "Tensor of dtype complex64"),
        (lambda texts: [["1", "2"] for _ in texts], "list of dtype <U1"),
        (
            lambda texts: [[1.0] * len(text) for text in texts],
            "list, which cannot be converted",
        ),
        (lambda texts: torch.eye(len(texts)).to_sparse(), "Tensor, which cannot be"),
        (lambda texts: {"vectors": bag_of_letters(texts)}, "dict for"),
    ],
)
def test_a_teacher_that_returns_no_numbers_is_named(teacher, named):
    named = f"'teacher' of ElmoPretrainer returned {named}"
    with pytest.raises(InvalidParameterError, match=named) as caught:
        ElmoPretrainer(TINY, teacher=teacher, **RUN).fit(make_sentences(PEOPLE, 30))
    assert "expected an array of numbers of shape (" in str(caught.value)


def tensor_of_letters(texts):
    return torch.tensor(bag_of_letters(texts))


@pytest.mark.parametrize(
    "teacher",
    [
        lambda texts: tensor_of_letters(texts).float().requires_grad_(),
        lambda texts: tensor_of_letters(texts).bfloat16(),
        lambda texts: list(tensor_of_letters(texts).bfloat16().requires_grad_()),
        lambda texts: bag_of_letters(texts).astype(np.float16),
        lambda texts: bag_of_letters(texts).tolist(),
    ],
)
def test_a_teacher_may_return_any_tensor_or_list(teacher, tmp_path):
    texts = [["a", "cat"], ["the", "dog", "ate"], ["the"]]
    found = sentence_targets(teacher, texts, tmp_path / "found.npy")
    expected = sentence_targets(bag_of_letters, texts, tmp_path / "expected.npy")
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_zeros_for_some_texts_are_vectors_too(tmp_path):
    texts = [["zz"], ["aa"], ["zz"], ["hh"]]

    def teacher(texts):
        return bag_of_letters(texts) - 0.5

    first = sentence_targets(teacher, texts, tmp_path / "t.npy")
    assert not first[0].any()
    again = sentence_targets(teacher, texts, tmp_path / "t.npy", resumes=True)
    np.testing.assert_array_equal(again, first)


def test_texts_of_one_block_may_have_one_vector(tmp_path):
    texts = [["the"]] * 1024 + [["cats"]]
    assert len(sentence_targets(bag_of_letters, texts, tmp_path / "t.npy")) == 1025


def letters_of_words(token_lists):
    return [np.stack([bag_of_letters([w])[0] for w in words]) for words in token_lists]


def test_a_token_teacher_is_learned_from_beside_a_sentence_teacher(tmp_path):
    run = RUN | {"max_tokens": 6000, "learning_rate": 0.01, "n_teacher_texts": 100}
    taught = ElmoPretrainer(
        TINY,
        teacher=bag_of_letters,
        token_teacher=letters_of_words,
        checkpoint_dir=tmp_path,
        **run,
    ).fit(make_sentences(PEOPLE))
    for name in ("teacher_loss", "token_teacher_loss"):
        losses = [row[name] for row in taught.history_ if name in row]
        assert losses[-1] < 0.8 * losses[0]
    taught.save(tmp_path / "model")
    assert "letters_of_words" in (tmp_path / "model" / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize(
    ("teacher", "named"),
    [
        (lambda lists: [np.ones((1, 4))], "returned 1 arrays for"),
        (lambda lists: [np.ones((len(words) + 1, 4)) for words in lists], "tokens of"),
        (lambda lists: [np.full((len(w), 4), np.nan) for w in lists], "not finite"),
        (lambda lists: [np.full((len(w), 4), 1e30) for w in lists], "too long"),
        (lambda lists: [np.zeros((len(w), 4)) for w in lists], "for every token"),
        (lambda lists: [np.full((len(w), 4), 0.3) for w in lists], "for every token"),
    ],
)
def test_a_token_teacher_that_returns_nonsense_is_named(teacher, named):
    named = f"'token_teacher' of ElmoPretrainer.*{named}"
    with pytest.raises(TrainingError, match=named):
        ElmoPretrainer(TINY, token_teacher=teacher, **RUN).fit(
            make_sentences(PEOPLE, 30)
        )


@pytest.mark.parametrize(
    ("teacher", "named"),
    [
        (lambda lists: None, "NoneType for .* token lists, .*; expected .* arrays of"),
        (lambda lists: "none", "str for"),
        (lambda lists: dict.fromkeys(range(len(lists))), "dict for"),
        (lambda lists: [None] * len(lists), "NoneType for the .* tokens of"),
        (lambda lists: [["a"] * len(w) for w in lists], "list of dtype <U1 for the"),
        (lambda lists: [np.ones((len(w), 2)) + 1j for w in lists], ".* complex128"),
        (lambda lists: HashingVectorizer().transform(map(str, lists)), "csr"),
    ],
)
def test_a_token_teacher_that_returns_no_numbers_is_named(teacher, named):
    named = f"'token_teacher' of ElmoPretrainer returned {named}"
    with pytest.raises(InvalidParameterError, match=named):
        ElmoPretrainer(TINY, token_teacher=teacher, **RUN).fit(
            make_sentences(PEOPLE, 30)
        )


def test_a_token_teacher_may_return_tensors_with_a_gradient(tmp_path):
    texts, lengths = [["a", "cat"], ["the", "dog", "ate"]], np.array([2, 3])

    def teacher(lists):
        return (tensor_of_letters(words).bfloat16().requires_grad_() for words in lists)

    found = token_targets(teacher, texts, lengths, tmp_path / "found.npy")
    expected = token_targets(
        letters_of_words, texts, lengths, tmp_path / "expected.npy"
    )
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=0.02)


def noisy(vectors):
    """What another processor may make of the same numbers."""
    noise = np.random.default_rng(0).normal(0, 0.01, vectors.shape)
    return torch.tensor(vectors * (1 + noise)).bfloat16()


def read_backwards(texts):
    return bag_of_letters([text[:1] for text in texts])[:, ::-1] ** 2


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, None),
        ({"n_teacher_texts": 201}, None),  # gives the same texts, all that there are
        ({"teacher": lambda texts: noisy(bag_of_letters(texts))}, None),
        (
            {
                "token_teacher": lambda lists: [
                    noisy(x) for x in letters_of_words(lists)
                ]
            },
            None,
        ),
        ({"n_teacher_texts": 80}, "n_teacher_texts"),
        ({"teacher": lambda texts: bag_of_letters(texts)[:, 1:]}, "teacher"),
        ({"teacher": read_backwards}, "teacher"),
        (
            {"token_teacher": lambda lists: [read_backwards(words) for words in lists]},
            "token_teacher",
        ),
        (
            {"token_teacher": lambda lists: [bag_of_letters(w)[:, 1:] for w in lists]},
            "token_teacher",
        ),
        ({"teacher_lowercase_share": 0.5}, "teacher_lowercase_share"),
    ],
)
def test_a_continued_run_has_the_same_teachers(tmp_path, change, named):
    run = RUN | {
        "teacher": bag_of_letters,
        "token_teacher": letters_of_words,
        "n_teacher_texts": 200,
        "checkpoint_dir": tmp_path,
    }
    texts = make_sentences(PEOPLE, 60)
    first = ElmoPretrainer(TINY, **(run | {"max_tokens": 80})).fit(texts)
    vectors = {path: path.read_bytes() for path in tmp_path.glob("*teacher-*.npy")}
    assert len(vectors) == 2
    longer = ElmoPretrainer(TINY, **(run | {"max_tokens": 160} | change))
    if named is None:
        longer.fit(texts)
        assert longer.history_[: len(first.history_)] == first.history_
        assert longer.history_[-1]["step"] > first.history_[-1]["step"]
    else:
        with pytest.raises(TrainingError, match=f"another run: its {named} differs"):
            longer.fit(texts)
    for path, content in vectors.items():
        assert path.read_bytes() == content


def test_what_all_vectors_have_in_common_does_not_hide_another_teacher(tmp_path):
    run = RUN | {"n_teacher_texts": 40, "checkpoint_dir": tmp_path, "max_tokens": 80}
    texts = make_sentences(PEOPLE, 60)

    def fit(teacher):
        return ElmoPretrainer(TINY, teacher=teacher, **run).fit(texts)

    fit(lambda texts: 50 + bag_of_letters(texts))
    fit(lambda texts: torch.tensor(50 + bag_of_letters(texts)).bfloat16())
    with pytest.raises(TrainingError, match="its teacher differs"):
        fit(lambda texts: 50 + bag_of_letters(texts)[:, ::-1])


def test_a_checkpoint_of_another_run_is_refused_before_the_teacher_is_asked(tmp_path):
    texts = make_sentences(PEOPLE, 60)
    run = RUN | {"checkpoint_dir": tmp_path, "max_tokens": 80, "n_teacher_texts": 40}
    ElmoPretrainer(TINY, teacher=bag_of_letters, **run).fit(texts)

    def never(texts):
        raise AssertionError

    with pytest.raises(TrainingError, match="random_state differs"):
        ElmoPretrainer(TINY, teacher=never, **(run | {"random_state": 5})).fit(texts)


def test_a_teacher_of_another_width_is_refused_without_the_vectors(tmp_path):
    run = RUN | {"n_teacher_texts": 40, "checkpoint_dir": tmp_path, "max_tokens": 80}
    texts = make_sentences(PEOPLE, 60)
    ElmoPretrainer(TINY, teacher=bag_of_letters, **run).fit(texts)
    (cache,) = tmp_path.glob("teacher-*.npy")
    cache.unlink()
    other = ElmoPretrainer(TINY, teacher=lambda t: bag_of_letters(t)[:, 1:], **run)
    with pytest.raises(TrainingError, match="teacher_width differs"):
        other.fit(texts)


def test_vectors_of_another_teacher_are_replaced_without_a_checkpoint(tmp_path):
    texts = [["a", "cat"], ["the", "dog", "ate"], ["the"]]
    cache = tmp_path / "t.npy"
    sentence_targets(bag_of_letters, texts, cache)
    found = sentence_targets(read_backwards, texts, cache)
    expected = sentence_targets(read_backwards, texts, tmp_path / "other.npy")
    np.testing.assert_array_equal(found, expected)


def test_another_seed_has_vectors_of_its_own_texts(tmp_path):
    texts = ["\n".join(make_sentences(PEOPLE, 60))]  # one document, not shuffled
    run = RUN | {"teacher": bag_of_letters, "max_tokens": 80, "n_teacher_texts": 40}
    ElmoPretrainer(TINY, checkpoint_dir=tmp_path, **run).fit(texts)
    for path in tmp_path.glob("checkpoint*.pt"):
        path.unlink()
    run["random_state"] = 4
    found = ElmoPretrainer(TINY, checkpoint_dir=tmp_path, **run).fit(texts)
    assert_same_weights(found, ElmoPretrainer(TINY, **run).fit(texts))


def test_the_teachers_texts_are_rows_of_like_length(fitted, tmp_path):
    from sklearn_elmo.pretraining.corpus import encode_documents

    text = encode_documents([make_sentences(PEOPLE)], str.split)
    texts = TeacherTexts.from_teacher(
        bag_of_letters, text, 100, np.random.default_rng(0), tmp_path / "t.npy"
    )
    drawn = texts.draw(16, np.random.default_rng(1))
    assert drawn.vectors.norm(dim=1).numpy() == pytest.approx(1, abs=1e-3)
    n_steps, n_rows = drawn.ids.shape[1:]
    for row in range(n_rows):
        length = int(drawn.lengths[row])
        forward, backward = drawn.ids[:, :length, row]
        assert forward[0] == 0
        assert forward[-1] == 1
        assert torch.equal(forward.flip(0), backward)
        assert length <= n_steps


def test_the_teachers_texts_are_read_in_lower_case(tmp_path):
    from sklearn_elmo.pretraining.corpus import encode_documents

    lines = ["The cat saw the Dog", "Paris saw <s> The cat"] * 20
    text = encode_documents([lines], str.split)

    def words_drawn(share):
        texts = TeacherTexts.from_teacher(
            bag_of_letters,
            text,
            60,
            np.random.default_rng(0),
            tmp_path / "t.npy",
            lowercase_share=share,
        )
        ids = texts.draw(40, np.random.default_rng(1)).ids[0].T.tolist()
        return [[text.types[k] for k in row] for row in ids]

    as_written, lowered, some = words_drawn(0.0), words_drawn(1.0), words_drawn(0.5)
    lower = {"The": "the"}  # "dog", "paris" are nowhere; "<S>" is no word
    expected = [[lower.get(word, word) for word in row] for row in as_written]
    assert as_written != expected
    assert lowered == expected
    assert some not in (as_written, lowered)


def test_more_of_the_teachers_texts_can_be_read_at_once():
    run = RUN | {"max_tokens": 40, "n_teacher_texts": 50}
    texts = make_sentences(PEOPLE, 30)
    texts += [text.title() for text in texts]

    def first_loss(**parameters):
        fitted = ElmoPretrainer(TINY, teacher=bag_of_letters, **run, **parameters)
        return fitted.fit(texts).history_[0]["teacher_loss"]

    losses = {
        first_loss(),
        first_loss(teacher_batch_size=8),
        first_loss(teacher_batch_size=8, teacher_lowercase_share=1.0),
    }
    assert len(losses) == 3


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("size", "huge"),
        ("epochs", 0),
        ("max_minutes", "long"),
        ("precision", "float64"),
        ("random_state", -1),
        ("verbose", 1),
        ("dropout", 1.0),
        ("batch_size", 0),
        ("teacher", "MiniLM"),
        ("device", "tpu"),
        ("checkpoint_dir", 3),
        ("n_negative_samples", True),
        ("teacher_batch_size", 1),
        ("teacher_lowercase_share", 1.1),
        ("anchor_weight", -1),
        ("tokenizer", "moses"),
    ],
)
def test_a_parameter_that_cannot_be_is_named(parameter, value):
    with pytest.raises(InvalidParameterError, match=f"'{parameter}' parameter"):
        ElmoPretrainer(**{parameter: value}).fit(["a b"])


def test_it_is_a_scikit_learn_estimator(fitted):
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert not hasattr(copy, "model_")
    again = pickle.loads(pickle.dumps(fitted))
    assert_same_weights(again, fitted)


@pytest.mark.parametrize("texts", [[], [""], ["word"] * 5])
def test_too_little_text_is_refused(texts):
    with pytest.raises(CorpusError):
        ElmoPretrainer(TINY, **RUN).fit(texts)


def test_text_that_is_shorter_than_a_batch_trains():
    fitted = ElmoPretrainer(TINY, epochs=2, random_state=0).fit(["one two three"])
    assert fitted.n_tokens_ == 5
    assert np.isnan(fitted.held_out_perplexity_) or fitted.held_out_perplexity_ > 0


def test_bfloat16_trains_about_as_well(fitted):
    run = RUN | {"max_tokens": 12_000, "precision": "bfloat16"}
    halves = ElmoPretrainer(TINY, **run).fit(make_sentences(PEOPLE))
    texts = make_sentences(PEOPLE, 20, seed=9)
    assert halves.perplexity(texts) == pytest.approx(fitted.perplexity(texts), rel=0.3)


def test_pretrain_and_perplexity_commands(tmp_path, capsys):
    text, options = tmp_path / "text.txt", tmp_path / "options.json"
    text.write_text("\n".join(make_sentences(PEOPLE, 100)))
    options.write_text(json.dumps(TINY))
    model = tmp_path / "model"
    arguments = ["pretrain", str(model), str(text), "--options-file", str(options)]
    arguments += ["--epochs", "1", "--batch-size", "4", "--random-state", "0"]
    assert main([*arguments, "--quiet", "--float16"]) == 0
    assert "held-out perplexity" in capsys.readouterr().err
    assert main(["perplexity", str(model), str(text)]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split("\t")[0] for line in lines]
    assert names == ["forward", "backward", "average", "predictions"]


def test_pretrain_says_what_is_wrong_on_one_line(tmp_path, capsys):
    assert main(["pretrain", str(tmp_path / "model"), str(tmp_path / "no.txt")]) == 1
    error = capsys.readouterr().err
    assert "no.txt" in error
    assert len(error.splitlines()) == 1


def test_a_table_is_read_by_its_column(tmp_path, capsys):
    sentences = make_sentences(PEOPLE, 60)
    table, text = tmp_path / "table.csv", tmp_path / "text.txt"
    rows = [f'{number},"{sentence}"' for number, sentence in enumerate(sentences)]
    table.write_text("id,text\n" + "\n".join([*rows, "60,", "61,N/A"]))
    text.write_text("\n".join(sentences))
    options = tmp_path / "options.json"
    options.write_text(json.dumps(TINY))
    command = ["pretrain", str(tmp_path / "model"), str(table), "--options-file"]
    command += [str(options), "--max-tokens", "80", "--batch-size", "4", "-q"]
    assert main([*command, "--column", "text", "--tokenizer", "whitespace"]) == 0
    again = ElmoPretrainer.load(tmp_path / "model")
    assert again.tokenizer == "whitespace"
    assert {"farmer", "."} <= set(again.vocabulary_.words)
    assert "0" not in again.vocabulary_.words
    capsys.readouterr()
    model = str(tmp_path / "model")
    assert main(["perplexity", model, str(table), "--column", "text"]) == 0
    assert main(["perplexity", model, str(tmp_path / "*.txt")]) == 0
    capsys.readouterr()
    assert main(["perplexity", model, str(table)]) == 1
    assert "--column" in capsys.readouterr().err
    assert main(["perplexity", "default", str(text)]) == 1
    error = capsys.readouterr().err
    assert "no softmax" in error
    assert "init" in error


def test_quotation_marks_and_delimiters_of_tables_can_be_told(tmp_path, capsys):
    """The message advised --no-quotes, which the commands did not have."""
    table, options = tmp_path / "table.csv", tmp_path / "options.json"
    rows = [f'"a" {sentence};0' for sentence in make_sentences(PEOPLE, 60)]
    table.write_text("\n".join(["text;label", *rows]))
    options.write_text(json.dumps(TINY))
    model = str(tmp_path / "model")
    flags = ["--column", "text", "--delimiter", ";"]
    pretrain = ["pretrain", model, str(table), *flags, "--options-file", str(options)]
    pretrain += ["--max-tokens", "80", "--batch-size", "4", "-q"]
    perplexity = ["perplexity", model, str(table), *flags]
    assert main([*pretrain, "--no-quotes"]) == 0
    assert main([*perplexity, "--no-quotes"]) == 0
    capsys.readouterr()
    for command in (pretrain, perplexity):
        assert main(command) == 1
        assert "--no-quotes" in capsys.readouterr().err
    text = tmp_path / "text.txt"
    text.write_text("one two three")
    assert main(["perplexity", model, str(text), "--delimiter", ";"]) == 1
    assert "Omit --delimiter" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ([], "the text was too short"),
        (["--held-out-share", "0"], "--held-out-share is"),
    ],
)
def test_pretrain_says_why_there_is_no_held_out_perplexity(
    flags, reason, tmp_path, capsys
):
    text, options = tmp_path / "text.txt", tmp_path / "options.json"
    text.write_text("one two three")
    options.write_text(json.dumps(TINY))
    command = ["pretrain", str(tmp_path / "model"), str(text), "-q"]
    assert main([*command, "--options-file", str(options), *flags]) == 0
    told = capsys.readouterr().err
    assert f"no held-out perplexity, because {reason}" in told
    assert "nan" not in told


@pytest.mark.parametrize(("flags", "expected"), [([], 30), (["0.5"], 0.5)])
def test_pretrain_takes_an_anchor_weight(
    flags, expected, tmp_path, monkeypatch, capsys
):
    text = tmp_path / "text.txt"
    text.write_text("one two three")
    weights = []

    def interrupt(self, X):
        weights.append(self.anchor_weight)
        raise KeyboardInterrupt

    monkeypatch.setattr(ElmoPretrainer, "fit", interrupt)
    command = ["pretrain", str(tmp_path / "model"), str(text), "--init", "default"]
    assert main([*command, *(["--anchor-weight", *flags] if flags else [])]) == 130
    assert weights == [expected]
    capsys.readouterr()
    assert main(["pretrain", "--help"]) == 0
    assert "(default: 30)" in " ".join(capsys.readouterr().out.split())


def test_a_failed_or_interrupted_pretrain_leaves_no_empty_folder(tmp_path, monkeypatch):
    text = tmp_path / "text.txt"
    text.write_text("one\n")
    folder = tmp_path / "parent" / "model"
    assert main(["pretrain", str(folder), str(text), "-q"]) == 1
    assert not folder.parent.exists()

    def interrupt(self, X):
        raise KeyboardInterrupt

    monkeypatch.setattr(ElmoPretrainer, "fit", interrupt)
    assert main(["pretrain", str(folder), str(text), "-q"]) == 130
    assert not folder.parent.exists()
    folder.mkdir(parents=True)
    assert main(["pretrain", str(folder), str(text), "-q"]) == 130
    assert folder.exists()


@pytest.mark.parametrize(
    "limits", [{"max_tokens": 1234}, {"epochs": 1.5}, {"max_minutes": 0.01}]
)
def test_progress_tells_the_time_left_from_the_first_step_to_the_end(
    capsys, monkeypatch, limits
):
    from sklearn_elmo.pretraining import progress

    shown = []
    make_bar = progress.Bar

    def recording_bar(**settings):
        bar = make_bar(**settings, mininterval=0)
        update = bar.update
        bar.update = lambda n: (shown.append((bar.n + n, bar.postfix)), update(n))
        return bar

    monkeypatch.setattr(progress, "Bar", recording_bar)
    run = RUN | {"max_tokens": None, "verbose": True} | limits
    ElmoPretrainer(TINY, **run).fit(make_sentences(PEOPLE, 60))
    shares = [share for share, _ in shown]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert all("left=" in postfix for _, postfix in shown)
    assert "left=0:00:00" in shown[-1][1]
    error = capsys.readouterr().err
    assert "100%" in error
    assert "day" not in error


def test_the_vectorizer_takes_a_fitted_pretrainer(fitted, tmp_path):
    texts = make_sentences(PEOPLE, 20, seed=9)
    fitted.save(tmp_path / "model")
    saved = ElmoVectorizer(tmp_path / "model").fit(texts)
    vectorizer = ElmoVectorizer(fitted).fit(texts)
    assert vectorizer.model_digest_ == saved.model_digest_ == fitted.model_digest_
    np.testing.assert_array_equal(vectorizer.transform(texts), saved.transform(texts))
    tokens = ElmoTokenVectorizer(fitted).fit_transform(texts)
    assert len(tokens) == 20


def test_a_vectorizer_keeps_its_pretrainer_in_clones_pickles_and_searches(fitted):
    texts = make_sentences(PEOPLE, 24, seed=9)
    y = [int("likes" in text) for text in texts]
    vectorizer = ElmoVectorizer(fitted, layers="top")
    assert clone(vectorizer).model is fitted
    assert not hasattr(clone(fitted), "model_")  # its own clones are unfitted
    expected = vectorizer.fit_transform(texts)
    again = pickle.loads(pickle.dumps(vectorizer))
    np.testing.assert_array_equal(again.transform(texts), expected)
    pipeline = make_pipeline(ElmoVectorizer(fitted), LogisticRegression())
    grid = {
        "elmovectorizer__layers": ["top", 0],
        "elmovectorizer__model": [FrozenEstimator(fitted), "default"],
    }
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(texts, y)
    assert len(search.cv_results_["params"]) == 4
    search = GridSearchCV(pipeline, {"elmovectorizer__model": [fitted]}, cv=2)
    with pytest.raises(ValueError, match="FrozenEstimator"):
        search.fit(texts, y)


def test_parameters_of_a_fitted_model_cannot_be_set(fitted):
    """They changed the shared pretrainer, and a grid over them trained nothing."""
    vectorizer = ElmoVectorizer(fitted)
    before = fitted.get_params()
    assert not any("__" in name for name in vectorizer.get_params())
    for change in (vectorizer, clone(vectorizer), ElmoTokenVectorizer(fitted)):
        with pytest.raises(InvalidParameterError, match="'model__epochs'"):
            change.set_params(model__epochs=7)
    with pytest.raises(ValueError, match="fitted and shared"):
        GridSearchCV(
            make_pipeline(vectorizer, LogisticRegression()),
            {"elmovectorizer__model__max_tokens": [1000, 3000]},
        ).fit(make_sentences(PEOPLE, 24), [0, 1] * 12)
    assert fitted.get_params() == before
    with pytest.raises(InvalidParameterError, match="'model' parameter"):
        ElmoVectorizer(ElmoPretrainer).fit(["a text"])


def test_another_tokenizer_than_in_training_is_warned_of(tmp_path):
    texts = make_sentences(PEOPLE, 40)
    run = RUN | {"max_tokens": 40, "tokenizer": "whitespace"}
    pretrainer = ElmoPretrainer(TINY, **run).fit(texts)
    with pytest.warns(SklearnElmoWarning, match="tokenizer='whitespace'"):
        ElmoVectorizer(pretrainer).fit(texts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ElmoVectorizer(pretrainer, tokenizer="whitespace").fit(texts)
        ElmoVectorizer(pretrainer, tokenizer="pretokenized").fit([["a", "b"]])
        run["tokenizer"] = functools.partial(str.split, sep=" ")
        pretrainer = ElmoPretrainer(TINY, **run).fit(texts)
        clone(ElmoVectorizer(pretrainer, tokenizer=run["tokenizer"])).fit(texts)


def test_a_vectorizer_refuses_a_pretrainer_that_is_not_fitted_or_was_refitted():
    texts = make_sentences(PEOPLE, 40)
    pretrainer = ElmoPretrainer(TINY, **(RUN | {"max_tokens": 40}))
    vectorizer = ElmoVectorizer(pretrainer)
    with pytest.raises(NotFittedError, match="ElmoPretrainer"):
        vectorizer.fit(texts)
    pretrainer.fit(texts)
    vectorizer.fit(texts)
    pretrainer.set_params(random_state=7).fit(texts)
    with pytest.raises(ModelMismatchError):
        vectorizer.transform(texts)
    with pytest.raises(InvalidParameterError, match="'model' parameter"):
        ElmoVectorizer(LogisticRegression()).fit(texts)


@pytest.mark.parametrize(
    "setting", ["float64", "bfloat16", "meta device", "no_grad", "inference_mode"]
)
def test_training_does_not_depend_on_settings_of_pytorch(setting):
    """Gradients of another type, or none at all, ended in a RuntimeError."""
    expected = ElmoPretrainer(TINY, **RUN).fit(make_sentences(PEOPLE, 60))
    modes = {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode}
    mode = modes.get(setting, contextlib.nullcontext)
    if setting == "meta device":
        mode = functools.partial(torch.device, "meta")
    dtype = getattr(torch, setting, None)
    before = torch.get_default_dtype()
    try:
        if isinstance(dtype, torch.dtype):
            torch.set_default_dtype(dtype)
        found = torch.get_default_dtype()
        with mode():
            trained = ElmoPretrainer(TINY, **RUN).fit(make_sentences(PEOPLE, 60))
            perplexity = trained.perplexity(make_sentences(PEOPLE, 9))
        assert torch.get_default_dtype() == found
    finally:
        torch.set_default_dtype(before)
    assert_same_weights(trained, expected)
    assert perplexity == expected.perplexity(make_sentences(PEOPLE, 9))
