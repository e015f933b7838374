"""The recipe of the bundled model, step by step.

    python tests/benchmarks/bundled_model.py OUT choose --text FILE [FILE ...]
    python tests/benchmarks/bundled_model.py OUT answer
    python tests/benchmarks/bundled_model.py OUT train NAME [--minutes 2] [--recipe ...]
    python tests/benchmarks/bundled_model.py OUT judge NAME [NAME ...]

``choose`` encodes a text and chooses pieces of it for the teacher: sentences, phrases
and frequent words, more of those with words of opinion (``vaderSentiment``) and of
questions. ``answer`` asks the teacher (all-mpnet-base-v2) and keeps its vectors as
float16; run again after an interruption, it goes on. ``train`` continues from the
bundled model with a recipe for a number of minutes, and writes the model to OUT/NAME.
``judge`` compares models by the first 6,000 pieces, which no model was trained on: the
mean cosine of a ridge regression from the layers to the teacher's vectors, of all their
dimensions and of the first 64 principal components, and the correlation of similarities
without a regression. "default" is the model that is bundled now.
"""

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from peers import Encode, in_float32, read_mpnet
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler, normalize
from torch import Tensor, nn

from sklearn_elmo import ElmoVectorizer
from sklearn_elmo.pretraining import step, trainer
from sklearn_elmo.pretraining.corpus import BEGIN, END, Corpus, open_corpus
from sklearn_elmo.pretraining.distillation.answers import as_text
from sklearn_elmo.pretraining.distillation.heads import TeacherHeads, pool_layers
from sklearn_elmo.pretraining.distillation.teacher import (
    Teachers,
    TeacherTexts,
    _sentences,
)
from sklearn_elmo.pretraining.initial_model import create_model
from sklearn_elmo.pretraining.saved_model import SavedModel, save_language_model
from sklearn_elmo.pretraining.settings import Budget, Settings
from sklearn_elmo.pretraining.vocabulary import Vocabulary
from sklearn_elmo.pretraining.workspace import read_text

N_SENTENCES, N_PHRASES, N_WORDS = 125_000, 70_000, 45_000
LONGEST_SENTENCE, LONGEST_PHRASE = 20, 8
N_HELD_OUT, N_TO_FIT = 6_000, 4_000
SEED = 11


@dataclass(frozen=True)
class Recipe:
    """How the teacher's vectors are learned.

    Attributes
    ----------
    n_components : int or None
        Principal components of the vectors that are kept; None keeps the vectors as
        they are, without subtracting their mean.
    with_max : bool
        The heads read the maxima of the layers beside their means.
    squared : bool
        Squared error instead of cosine distance.
    contrast, relations : float
        Weights of these parts of `sentence_loss`.
    own_head : bool
        Layer 0 has a head of its own.
    opinion : float
        Weight of the score of opinion, the vector itself having weight 1.
    batch_size, rows, rate, frozen_share, weight
        As in `Settings`. A batch size of None leaves the language model out.
    """

    n_components: int | None = 128
    with_max: bool = False
    squared: bool = False
    contrast: float = 0.2
    relations: float = 4.0
    own_head: bool = False
    opinion: float = 0.0
    batch_size: int | None = None
    rows: int = 192
    rate: float = 0.003
    frozen_share: float = 0.0
    weight: float = 2.0


BASE = Recipe()
RECIPES = {
    "vectors": replace(BASE, n_components=None),
    "64": replace(BASE, n_components=64),
    "128": BASE,
    "128-squared": replace(BASE, squared=True),
    "128-distance-only": replace(BASE, contrast=0.0, relations=0.0),
    "128-max": replace(BASE, with_max=True),
    "128-layer-0": replace(BASE, own_head=True),
    "128-opinion": replace(BASE, opinion=0.25),
    "bundled": replace(
        BASE, opinion=0.25, batch_size=64, rows=384, rate=0.0025, frozen_share=0.05
    ),
}


def opinion_words() -> dict[str, float]:
    """Return the ratings of VADER's lexicon, -4 to 4 (Hutto and Gilbert 2014)."""
    import vaderSentiment

    path = Path(vaderSentiment.__file__).with_name("vader_lexicon.txt")
    rows = (line.split("\t") for line in path.read_text("utf-8").splitlines())
    return {row[0]: float(row[1]) for row in rows if len(row) > 1}


def draw(weights: np.ndarray, n: int, generator: np.random.Generator) -> np.ndarray:
    """Draw n places without replacement, by their weights (Efraimidis, Spirakis)."""
    with np.errstate(divide="ignore"):
        keys = np.log(generator.random(len(weights))) / weights
    return np.argsort(-keys)[: min(n, np.count_nonzero(weights))]


def choose(corpus: Corpus, out: Path) -> None:
    """Write start, length and kind (sentence 0, phrase 1, word 2) of the pieces."""
    generator = np.random.default_rng(SEED)
    text, ids = corpus.train, np.asarray(corpus.train.ids)
    ratings = opinion_words()
    judging = np.array([abs(ratings.get(w.lower(), 0)) >= 1.3 for w in text.types])
    starts, lengths = _sentences(text)
    before = np.concatenate([[0], np.cumsum(judging[ids])])
    n_judging = np.minimum(before[starts + lengths] - before[starts], 3)
    asks = np.array([word == "?" for word in text.types])[ids[starts + lengths - 1]]
    weights = (1 + 1.5 * n_judging) * np.where(asks, 3, 1)
    fitting = (lengths >= 4) & (lengths <= LONGEST_SENTENCE)
    sentences = draw(weights * fitting, N_SENTENCES, generator)
    phrases = draw((1 + 1.5 * n_judging) * (lengths > 1), N_PHRASES, generator)
    wanted = generator.integers(2, LONGEST_PHRASE + 1, len(phrases))
    wanted = np.minimum(wanted, lengths[phrases])
    spare = lengths[phrases] - wanted
    phrase_starts = starts[phrases] + generator.integers(0, spare + 1)
    counts = np.zeros(len(text.types), dtype=np.int64)
    np.add.at(counts, text.lowercase_ids(), text.counts())
    counts *= [any(map(str.isalpha, word)) for word in text.types]
    counts[[BEGIN, END]] = 0
    first_places = np.zeros(len(text.types), dtype=np.int64)
    first_places[ids[::-1]] = np.arange(len(ids))[::-1]
    words = np.argsort(-counts, kind="stable")[:N_WORDS]
    words = words[first_places[words] > 0]  # 0: not in the training part
    parts = [
        (starts[sentences], lengths[sentences]),
        (phrase_starts, wanted),
        (first_places[words], np.ones(len(words), dtype=np.int64)),
    ]
    kinds = np.repeat(np.arange(3), [len(part[0]) for part in parts])
    all_starts, all_lengths = map(np.concatenate, zip(*parts, strict=True))
    mixed = generator.permutation(len(kinds))
    np.savez(
        out / "pieces.npz",
        starts=all_starts[mixed],
        lengths=all_lengths[mixed],
        kinds=kinds[mixed],
    )


class Pieces:
    """The chosen pieces and the answers of the teacher, as far as there are any."""

    def __init__(self, out: Path) -> None:
        kept = np.load(out / "pieces.npz")
        self.starts, self.lengths = kept["starts"], kept["lengths"]
        self.kinds, self.out = kept["kinds"], out
        self.text = open_corpus(out / "corpus").train

    def tokens(self, rows: slice) -> list[list[str]]:
        parts = zip(self.starts[rows], self.lengths[rows], strict=True)
        ids = (self.text.ids[start : start + length] for start, length in parts)
        return [[self.text.types[k] for k in part] for part in ids]

    def n_answered(self) -> int:
        path = self.out / "answered.txt"
        return int(path.read_text()) if path.exists() else 0

    def answers(self) -> np.ndarray:
        vectors: np.ndarray = np.load(self.out / "answers.npy", mmap_mode="r")
        return vectors[: self.n_answered()]

    def answer(self) -> None:
        """Ask the teacher, 5,000 texts at a time."""
        model = read_mpnet(self.out)
        if model is None:
            sys.exit("Install the packages that peers.py names.")
        encode = in_float32(model)
        if not (self.out / "opinion.npy").exists():
            self.ask_for_opinion(encode)
        path, width = self.out / "answers.npy", model.get_embedding_dimension()
        shape = len(self.starts), width
        mode = "r+" if path.exists() else "w+"
        answers = open_memmap(path, mode, np.float16, shape)
        for first in range(self.n_answered(), shape[0], 5_000):
            rows = slice(first, first + 5_000)
            texts = [as_text(words) for words in self.tokens(rows)]
            answers[rows] = encode(texts)
            answers.flush()
            done = min(first + 5_000, shape[0])
            (self.out / "answered.txt").write_text(str(done))
            print(f"{done} of {shape[0]} texts answered", flush=True)

    def ask_for_opinion(self, encode: Encode) -> None:
        """Keep the direction of the teacher's vectors that tells opinions apart."""
        ratings = {w: r for w, r in opinion_words().items() if w.isalpha() and w[2:]}
        ridge = Ridge(alpha=100).fit(encode(list(ratings)), list(ratings.values()))
        direction = ridge.coef_
        np.save(self.out / "opinion.npy", direction / np.linalg.norm(direction))

    def opinions(self, vectors: np.ndarray) -> np.ndarray:
        """Return standardised scores of opinion."""
        scores = vectors @ np.load(self.out / "opinion.npy")
        return (scores - scores.mean()) / scores.std()


def targets(pieces: Pieces, recipe: Recipe) -> np.ndarray:
    """Return rows of unit length; with `opinion`, the score is the last column."""
    vectors = pieces.answers().astype(np.float32)
    opinions = np.clip(pieces.opinions(vectors), -3, 3)
    if recipe.n_components is not None:
        vectors = PCA(recipe.n_components, random_state=0).fit_transform(vectors)
    vectors = normalize(vectors)
    if recipe.opinion:
        vectors = np.column_stack([vectors, recipe.opinion**0.5 * opinions])
    return normalize(vectors).astype(np.float16)


class Heads(nn.Module):
    """Heads of a recipe, see `TeacherHeads`."""

    initialize = TeacherHeads.initialize

    def __init__(self, recipe: Recipe, n_layers: int, projection: int, width: int):
        super().__init__()
        n_poolings = 1 + recipe.with_max
        n_inputs = (1 + 2 * n_layers) * projection * n_poolings
        self.average = nn.Linear(2 * projection, width)
        self.concat = nn.Linear(n_inputs, width)
        self.first = nn.Linear(projection, width) if recipe.own_head else None


def join_layers(pooled: Tensor) -> Tensor:
    """Concatenate layers, ``(L + 1, R, 2P)``; layer 0 is there twice."""
    return torch.cat([pooled[0, :, : pooled.shape[2] // 2], *pooled[1:]], dim=1)


def recipe_loss(self, recipe: Recipe, inputs: Tensor, sentences) -> Tensor:
    """Replace `TrainingStep._sentence_loss`."""
    layers, mask = self._run_texts(inputs, sentences.lengths)
    both = (0, 1)
    pooled = torch.cat([pool_layers(layers[:, d], mask) for d in both], dim=-1)
    joined = [join_layers(pooled)]
    if recipe.with_max:
        hidden = layers.float().masked_fill(~mask[None, None, :, :, None], -1e4)
        largest = torch.cat([hidden[:, d].amax(dim=1) for d in both], dim=-1)
        joined.append(join_layers(largest))
    predicted = [
        self.heads.average(pooled.mean(dim=0)),
        self.heads.concat(torch.cat(joined, dim=1)),
    ]
    if recipe.own_head:
        predicted.append(self.heads.first(join_layers(pooled[:1])))
    vectors = sentences.vectors
    if recipe.squared:
        distances = [(rows - vectors).square().sum(dim=1) / 2 for rows in predicted]
    else:
        unit = [nn.functional.normalize(rows, dim=1) for rows in predicted]
        distances = [1 - (rows * vectors).sum(dim=1) for rows in unit]
    loss = 2 * torch.stack(distances).mean()
    if recipe.contrast:
        rows = nn.functional.normalize(predicted[0], dim=1) @ vectors.t() / 0.05
        own = torch.arange(len(vectors))
        loss = loss + recipe.contrast * nn.functional.cross_entropy(rows, own)
    if recipe.relations:
        plain = vectors[:, :-1] if recipe.opinion else vectors
        plain = nn.functional.normalize(plain, dim=1)
        means = nn.functional.normalize(pooled.mean(dim=0), dim=1)
        difference = means @ means.t() - plain @ plain.t()
        loss = loss + recipe.relations * difference.square().mean()
    return loss


def train(pieces: Pieces, name: str, recipe: Recipe, minutes: float) -> None:
    corpus, text = open_corpus(pieces.out / "corpus"), pieces.text
    vectors = targets(pieces, recipe)[N_HELD_OUT:]
    starts, lengths = pieces.starts[N_HELD_OUT:], pieces.lengths[N_HELD_OUT:]
    by_length = np.argsort(lengths[: len(vectors)], kind="stable")
    texts = TeacherTexts(
        text,
        starts[by_length],
        lengths[by_length],
        vectors[by_length],
        lowercase_share=0.5,
    )
    trainer.TeacherHeads = lambda *shape: Heads(recipe, *shape)
    step.TrainingStep._sentence_loss = lambda self, inputs, sentences: recipe_loss(
        self, recipe, inputs, sentences
    )
    if recipe.batch_size is None:
        step.TrainingStep._language_loss = lambda self, *_: torch.zeros(())
    vocabulary = Vocabulary.from_counts(
        text.types, text.counts(), max_words=40_000, min_count=2
    )
    device = torch.device("cpu")
    initial = create_model(
        "default", "default", vocabulary, precision="auto", device=device, seed=0
    )
    settings = Settings(
        batch_size=recipe.batch_size or 2,
        learning_rate=recipe.rate,
        dropout=0.0,
        frozen_share=recipe.frozen_share,
        teacher_weight=recipe.weight,
        teacher_batch_size=recipe.rows,
    )
    folder = pieces.out / name
    folder.mkdir(exist_ok=True)
    run = trainer.Trainer(
        initial.model,
        corpus,
        vocabulary.targets_of(text.types),
        settings,
        Budget(max_minutes=minutes),
        teachers=Teachers(texts),
        folder=folder,
    )
    run.run()
    saved = SavedModel(run.model, vocabulary, "words", len(text.types), run.history)
    save_language_model(folder, saved, dtype="float16")
    last = run.history[-1]
    print(f"{name}: {last['step']} steps, perplexity {last['held_out_average']:.1f}")


def judge(pieces: Pieces, names: list[str]) -> None:
    texts, kinds = pieces.tokens(slice(N_HELD_OUT)), pieces.kinds[:N_HELD_OUT]
    vectors = pieces.answers()[: N_HELD_OUT + 20_000].astype(np.float32)
    reduced = PCA(64, random_state=0).fit_transform(vectors)[:N_HELD_OUT]
    opinions = pieces.opinions(vectors)[:N_HELD_OUT]
    vectors = vectors[:N_HELD_OUT]
    columns = "cosine | cosine, 64 components | opinion, r | similarity, r"
    print(f"sentences, phrases, words\n| model | {columns} |\n| --- |{' --- |' * 4}")
    for name in names:
        model = name if name == "default" else pieces.out / name
        elmo = ElmoVectorizer(model, layer_mix="concat", tokenizer="pretokenized")
        rows = elmo.fit_transform(texts)
        first, last = slice(N_TO_FIT), slice(N_TO_FIT, None)
        scaler = StandardScaler().fit(rows[first])
        learned, judged = scaler.transform(rows[first]), scaler.transform(rows[last])
        cells = []
        for wanted in (normalize(vectors), normalize(reduced)):
            ridge = Ridge(alpha=100, fit_intercept=False).fit(learned, wanted[first])
            found = (normalize(ridge.predict(judged)) * wanted[last]).sum(axis=1)
            cells.append([found[kinds[last] == kind].mean() for kind in range(3)])
        scores = Ridge(alpha=300).fit(learned, opinions[first]).predict(judged)
        cells.append(
            [
                np.corrcoef(scores[chosen], opinions[last][chosen])[0, 1]
                for chosen in (kinds[last] == kind for kind in range(3))
            ]
        )
        means = rows.reshape(len(rows), 3, -1).mean(axis=1)
        pairs = np.triu_indices(2_000, 1)
        longer = np.flatnonzero(kinds < 2)[:2_000]
        similarities = [
            (unit @ unit.T)[pairs]
            for unit in (normalize(means[longer]), normalize(vectors[longer]))
        ]
        cells.append([np.corrcoef(similarities)[0, 1]])
        shown = " | ".join(" ".join(f"{x:.3f}" for x in cell) for cell in cells)
        print(f"| {name} | {shown} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("task", choices=("choose", "answer", "train", "judge"))
    parser.add_argument("names", nargs="*", default=["default"])
    parser.add_argument("--text", nargs="+", type=Path)
    parser.add_argument("--recipe", choices=RECIPES, default="bundled")
    parser.add_argument("--minutes", type=float, default=2.0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.task == "choose":
        folder = options.out / "corpus"
        folder.mkdir(exist_ok=True)
        corpus = read_text(
            options.text, "words", folder, held_out_share=0.004, seed=7, verbose=True
        )
        choose(corpus, options.out)
        return
    pieces = Pieces(options.out)
    if options.task == "answer":
        pieces.answer()
    elif options.task == "train":
        (name,) = options.names
        train(pieces, name, RECIPES[options.recipe], options.minutes)
    else:
        judge(pieces, options.names)


if __name__ == "__main__":
    main()
