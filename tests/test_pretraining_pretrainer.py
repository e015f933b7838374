"""`ElmoPretrainer` and its two commands."""

import contextlib
import functools
import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reference_numpy
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
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
    TrainingError,
    UnusedParameterWarning,
)
from sklearn_elmo.models import load
from sklearn_elmo.pretraining import checkpoint, trainer
from sklearn_elmo.pretraining.distillation.teacher import TeacherTexts
from sklearn_elmo.pretraining.pretrainer import ElmoPretrainer

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
    # Every word, and the boundary of the own side, in both directions.
    assert found["zero"].n_tokens == 2 * sum(len(t.split()) + 1 for t in texts)
    with pytest.raises(InvalidParameterError, match="'state' parameter"):
        fitted.evaluate(texts, state="cold")


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
    [({"dropout": 0.3}, "settings"), ({"random_state": 5}, "settings|corpus")],
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
    with pytest.raises(TrainingError, match="its init differs"):
        ElmoPretrainer(
            checkpoint_dir=tmp_path / "run", **(run | {"init": tmp_path / "other"})
        ).fit(texts)
    resumed = ElmoPretrainer(checkpoint_dir=tmp_path / "run", **run).fit(texts)
    assert_same_weights(resumed, ElmoPretrainer(**run).fit(texts))


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
    ],
)
def test_a_teacher_that_returns_nonsense_is_named(teacher, named):
    with pytest.raises(TrainingError, match=named):
        ElmoPretrainer(TINY, teacher=teacher, **RUN).fit(make_sentences(PEOPLE, 30))


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
    ],
)
def test_a_token_teacher_that_returns_nonsense_is_named(teacher, named):
    with pytest.raises(TrainingError, match=named):
        ElmoPretrainer(TINY, token_teacher=teacher, **RUN).fit(
            make_sentences(PEOPLE, 30)
        )


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
