"""Raw text in, a bidirectional language model out: `ElmoPretrainer`."""

import copy
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sklearn_elmo.atomic_files import write_bytes
from sklearn_elmo.errors import (
    CorpusError,
    InvalidParameterError,
    UnusedParameterWarning,
)
from sklearn_elmo.messages import warn_caller
from sklearn_elmo.models import resolve_device
from sklearn_elmo.pretraining.corpus import Corpus, encode_documents
from sklearn_elmo.pretraining.distillation.answers import Teacher, TokenTeacher
from sklearn_elmo.pretraining.distillation.teacher import Teachers
from sklearn_elmo.pretraining.documents import iterate_documents
from sklearn_elmo.pretraining.evaluation import (
    Perplexity,
    measure_perplexity,
    warm_states,
)
from sklearn_elmo.pretraining.files import (
    CARD_NAME,
    load_language_model,
    save_language_model,
)
from sklearn_elmo.pretraining.initial_model import begin
from sklearn_elmo.pretraining.loss_plot import save_loss_plot
from sklearn_elmo.pretraining.model_card import model_card
from sklearn_elmo.pretraining.parameters import check_pretrainer_parameters
from sklearn_elmo.pretraining.progress import progress_bar
from sklearn_elmo.pretraining.settings import Budget, Settings
from sklearn_elmo.pretraining.trainer import Trainer
from sklearn_elmo.pretraining.vocabulary import Vocabulary
from sklearn_elmo.pretraining.workspace import choose_seed, open_workspace, read_text
from sklearn_elmo.text.tokenizers import resolve_tokenizer

__all__ = ["ElmoPretrainer"]

logger = logging.getLogger(__name__)


class ElmoPretrainer(BaseEstimator):
    """Train a bidirectional language model (biLM) on raw text, or go on training one.

    Parameters
    ----------
    size : {"default", "small", "medium", "original"} or dict, default="default"
        Shape of the model: that of the model in the package, one of AllenNLP's, or
        options in the layout of their ``options.json``. Not used with `init`.
    init : str, path or pair of paths, default=None
        A model to begin with: a name or path as `ElmoVectorizer` takes it. A softmax
        that `save` left beside it is taken over for the words in common; without one
        (published models have none) it is learned anew, for the first tenth of the
        budget alone.
    teacher : callable, default=None
        Maps a list of n str to an array ``(n, width)``: a sentence encoder whose
        vectors the pooled layers shall learn beside the language model. It is asked
        once, for `n_teacher_texts` sentences, phrases and words of the text.
    token_teacher : callable, default=None
        Maps a list of n token lists to n arrays ``(n_tokens_i, width)``: another
        model's vectors of the words in their context, which the layers of each word
        shall learn. It is asked once, for `n_teacher_texts` sentences of the text, and
        a little more for some of them; what is learned is centred, and kept on disk in
        at most 128 numbers a word. Both teachers may be given.
    max_minutes, max_tokens, epochs : float, default=None
        When to stop; the first limit that is reached counts. Tokens are those that
        each direction reads, boundaries included. All None: one epoch. Runs that are
        limited by tokens or epochs can be repeated exactly.
    checkpoint_dir : path, default=None
        Gets a checkpoint every five minutes, ``metrics.jsonl``, and the text as
        numbers. A run that was stopped goes on from there when `fit` is called with
        the same text and parameters.
    device : str, default="auto"
        "auto", "cpu", "cuda", "cuda:1", "mps".
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the products; weights, state and sums are float32. "auto" is bfloat16 where
        the processor has it.
    random_state : int, default=None
    verbose : bool, default=False
        Show progress on stderr.
    max_words : int, default=40000
        Size of the vocabulary that is predicted, by frequency; the rest is ``<UNK>``.
        As input every word is read by its characters.
    min_count : int, default=2
        Rarer words are not predicted.
    n_negative_samples : int, default=4096
        Words that a prediction is told from in training; None takes all.
    batch_size : int, default=128
        Places in the text that are read side by side.
    n_steps : int, default=20
        Words that a gradient goes back through; the state is carried on.
    learning_rate : float, default=0.004
    dropout : float, default=0.1
    held_out_share : float, default=0.01
        Share of the documents that is not trained on but judged by.
    n_teacher_texts : int, default=50000
        For each teacher.
    teacher_weight : float, default=1.0
        How much each teacher counts beside the language model.
    teacher_batch_size : int, default=96
        Texts of the teachers that each step reads; with both, half of them each's.
    teacher_lowercase_share : float, default=0.0
        Share of these whose words are read in lower case, so that the model learns to
        take capitals as its users write them. A word that the text has only with
        capitals keeps them. For teachers that disregard case.

    Attributes
    ----------
    model_ : LanguageModel
        The trained network.
    vocabulary_ : Vocabulary
        Words that the softmax predicts, by falling frequency.
    history_ : list of dict
        Loss, tokens per second and so on, every 20 steps; held-out perplexity last.
    n_tokens_ : int
        Tokens of the text, boundaries included.
    held_out_perplexity_ : float
        Geometric mean of both directions; NaN if the text was too short.

    Notes
    -----
    The text is read once, tokenised as ``tokenizer="words"`` does it, and kept on disk
    as 4 bytes a token; only the different words are in memory. Documents are shuffled
    in a buffer of 2,000.

    Examples
    --------
    >>> from sklearn_elmo import ElmoPretrainer
    >>> options = {
    ...     "lstm": {"dim": 16, "projection_dim": 8, "n_layers": 1},
    ...     "char_cnn": {
    ...         "activation": "relu", "filters": [[1, 4], [2, 8]],
    ...         "embedding": {"dim": 4}, "max_characters_per_token": 50,
    ...     },
    ... }
    >>> texts = ["the cat sat on the mat", "the dog sat on the cat"] * 50
    >>> pretrainer = ElmoPretrainer(options, epochs=2, random_state=0).fit(texts)
    >>> pretrainer.perplexity(["the cat sat"]) > 1
    True
    """

    def __init__(
        self,
        size: str | dict[str, Any] = "default",
        *,
        init: Any = None,
        teacher: Teacher | None = None,
        token_teacher: TokenTeacher | None = None,
        max_minutes: float | None = None,
        max_tokens: float | None = None,
        epochs: float | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        device: str = "auto",
        precision: str = "auto",
        random_state: int | None = None,
        verbose: bool = False,
        max_words: int = 40_000,
        min_count: int = 2,
        n_negative_samples: int | None = 4096,
        batch_size: int = 128,
        n_steps: int = 20,
        learning_rate: float = 4e-3,
        dropout: float = 0.1,
        held_out_share: float = 0.01,
        n_teacher_texts: int = 50_000,
        teacher_weight: float = 1.0,
        teacher_batch_size: int = 96,
        teacher_lowercase_share: float = 0.0,
    ) -> None:
        self.size = size
        self.init = init
        self.teacher = teacher
        self.token_teacher = token_teacher
        self.max_minutes = max_minutes
        self.max_tokens = max_tokens
        self.epochs = epochs
        self.checkpoint_dir = checkpoint_dir
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose
        self.max_words = max_words
        self.min_count = min_count
        self.n_negative_samples = n_negative_samples
        self.batch_size = batch_size
        self.n_steps = n_steps
        self.learning_rate = learning_rate
        self.dropout = dropout
        self.held_out_share = held_out_share
        self.n_teacher_texts = n_teacher_texts
        self.teacher_weight = teacher_weight
        self.teacher_batch_size = teacher_batch_size
        self.teacher_lowercase_share = teacher_lowercase_share

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on raw text.

        Parameters
        ----------
        X : iterable of str, of token lists, or of paths; or a path
            Texts (a line is a sentence), or text files, plain or packed (``.gz``,
            ``.bz2``, ``.xz``, ``.zst``), one sentence a line; an empty line ends a
            document.
        y : ignored

        Raises
        ------
        CorpusError
            The text is empty, no text, or has one word only.
        TrainingError
            The loss is not finite or grows, or a checkpoint cannot be written or used.
        """
        check_pretrainer_parameters(self.get_params(deep=False))
        self._warn_of_unused()
        with open_workspace(self.checkpoint_dir) as folder:
            seed = choose_seed(self.random_state, folder)
            corpus = read_text(
                X,
                _tokenizer(),
                folder,
                held_out_share=self.held_out_share,
                seed=seed,
                verbose=self.verbose,
            )
            vocabulary = Vocabulary.from_counts(
                corpus.train.types,
                corpus.train.counts(),
                max_words=self.max_words,
                min_count=self.min_count,
            )
            trainer = self._train(corpus, vocabulary, folder, seed)
            if self.checkpoint_dir is not None:
                save_loss_plot(folder / "loss.png", trainer.history)
            self.n_tokens_ = len(corpus.train.ids)
            self.n_types_ = len(corpus.train.types)
        self.model_ = trainer.model.to("cpu")
        self.vocabulary_ = vocabulary
        self.history_ = trainer.history
        self.held_out_perplexity_ = trainer.history[-1].get("held_out_average", np.nan)
        return self

    def perplexity(self, X: Any) -> float:
        """Return the perplexity of texts, the geometric mean of both directions.

        Parameters
        ----------
        X : as in `fit`

        See Also
        --------
        evaluate : each direction by itself.
        """
        return self.evaluate(X).average

    def evaluate(self, X: Any, *, state: str = "carry") -> Perplexity:
        """Return the perplexity of texts, forward and backward.

        All of the vocabulary competes. The boundary that opens the next sentence is
        not counted, and a word outside the vocabulary counts as ``<UNK>``: compare
        models of one vocabulary.

        Parameters
        ----------
        X : as in `fit`
            Its numbers are held in memory, 4 bytes a token.
        state : {"carry", "zero", "warm"}, default="carry"
            The LSTM's state before a sentence: that after the sentence before, zeros,
            or that of `ElmoVectorizer`'s ``state="warm"``.
        """
        check_is_fitted(self, "model_")
        if state not in ("carry", "zero", "warm"):
            message = (
                "The 'state' parameter of evaluate must be a str among {'carry', "
                f"'zero', 'warm'}}. Got {state!r} instead."
            )
            raise InvalidParameterError(message)
        device = torch.device(resolve_device(self.device))
        text = encode_documents(iterate_documents(X), _tokenizer())
        if len(text.ids) < 2:
            message = (
                "The text to judge has no words; expected sentences, one a line. Check "
                "the files or texts."
            )
            raise CorpusError(message)
        model = copy.deepcopy(self.model_).to(device)
        max_characters = model.options.max_characters
        return measure_perplexity(
            model,
            text,
            torch.from_numpy(text.character_ids(max_characters)).to(device),
            torch.from_numpy(self.vocabulary_.targets_of(text.types)).to(device),
            state=warm_states(model) if state == "warm" else state,
        )

    def save(self, folder: str | os.PathLike[str], *, dtype: str = "float32") -> None:
        """Write the model, for `ElmoVectorizer`, AllenNLP and `load`.

        Parameters
        ----------
        folder : path
            Gets ``options.json``, ``weights.hdf5`` (AllenNLP's layout),
            ``softmax.npz``, ``vocabulary.json``, ``MODEL_CARD.md``, and ``loss.png``
            if matplotlib is there.
        dtype : {"float32", "float16"}, default="float32"
            How the files hold the weights.
        """
        check_is_fitted(self, "model_")
        folder = Path(folder).expanduser()
        save_language_model(folder, self.model_, self.vocabulary_, dtype=dtype)
        last_rows: dict[str, Any] = {}
        for row in self.history_:
            last_rows |= row
        card = model_card(
            options=self.model_.options.to_dict(),
            n_parameters=sum(p.numel() for p in self.model_.bilm.parameters()),
            n_words=len(self.vocabulary_),
            parameters={
                name: getattr(value, "__qualname__", value)  # a teacher's name
                for name, value in self.get_params(deep=False).items()
                if name not in ("size", "checkpoint_dir", "verbose")
            },
            corpus={"n_tokens": self.n_tokens_, "n_types": self.n_types_},
            last_rows=last_rows,
            device=resolve_device(self.device),
        )
        write_bytes(folder / CARD_NAME, card.encode())
        save_loss_plot(folder / "loss.png", self.history_)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], **parameters: Any) -> Self:
        """Return a pretrainer fitted with a model that `save` wrote.

        Parameters
        ----------
        folder : path
        **parameters
            Of the pretrainer.
        """
        saved = load_language_model(Path(folder).expanduser())
        pretrainer = cls(saved.model.options.to_dict(), **parameters)
        pretrainer.model_ = saved.model
        pretrainer.vocabulary_ = saved.vocabulary
        pretrainer.history_ = []
        pretrainer.n_tokens_ = sum(saved.vocabulary.counts)
        pretrainer.n_types_ = len(saved.vocabulary)
        pretrainer.held_out_perplexity_ = np.nan
        return pretrainer

    def _warn_of_unused(self) -> None:
        if self.init is not None and self.size != "default":
            message = (
                "The 'size' parameter of ElmoPretrainer has no effect together with "
                "'init': the shape is that of the model to begin with."
            )
            warn_caller(message, UnusedParameterWarning)

    def _train(
        self, corpus: Corpus, vocabulary: Vocabulary, folder: Path, seed: int
    ) -> Trainer:
        """Return the trainer after its run."""
        model, frozen_share = begin(
            self.size,
            self.init,
            vocabulary,
            precision=self.precision,
            device=torch.device(resolve_device(self.device)),
            seed=seed,
        )
        settings = Settings(
            batch_size=self.batch_size,
            n_steps=self.n_steps,
            n_negative_samples=self.n_negative_samples,
            learning_rate=self.learning_rate,
            dropout=self.dropout,
            frozen_share=frozen_share,
            teacher_weight=self.teacher_weight,
            teacher_batch_size=self.teacher_batch_size,
            seed=seed,
        )
        limits = (self.max_minutes, self.max_tokens, self.epochs)
        teachers = Teachers.ask(
            self.teacher,
            self.token_teacher,
            corpus,
            self.n_teacher_texts,
            lowercase_share=self.teacher_lowercase_share,
            seed=seed,
            folder=folder,
        )
        with progress_bar(self.verbose) as report:
            trainer = Trainer(
                model,
                corpus,
                vocabulary.targets_of(corpus.train.types),
                settings,
                Budget(*limits) if any(limits) else Budget(epochs=1),
                teachers=teachers,
                folder=None if self.checkpoint_dir is None else folder,
                report=report,
            )
            trainer.run()
        return trainer


def _tokenizer() -> Callable[[str], list[str]]:
    return resolve_tokenizer("words", estimator="ElmoPretrainer")
