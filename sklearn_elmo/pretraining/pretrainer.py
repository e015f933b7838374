"""The estimator `ElmoPretrainer`: raw text in, a bidirectional language model out."""

import copy
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sklearn_elmo.atomic_files import write_bytes
from sklearn_elmo.bilm.weights import ModelFiles, read_options
from sklearn_elmo.constraints import one_of
from sklearn_elmo.errors import (
    CorpusError,
    InvalidParameterError,
    SklearnElmoWarning,
    UnusedParameterWarning,
)
from sklearn_elmo.inference.numerics import pinned_defaults
from sklearn_elmo.messages import warn_caller
from sklearn_elmo.models import locate, resolve_device
from sklearn_elmo.pretraining.checkpoint import (
    check_signature,
    load_checkpoint,
    writing_errors,
)
from sklearn_elmo.pretraining.corpus import Corpus, encode_documents
from sklearn_elmo.pretraining.distillation.answers import Teacher, TokenTeacher
from sklearn_elmo.pretraining.distillation.teacher import Teachers
from sklearn_elmo.pretraining.documents import iterate_documents
from sklearn_elmo.pretraining.evaluation import (
    Perplexity,
    measure_perplexity,
    warm_states,
)
from sklearn_elmo.pretraining.initial_model import create_model
from sklearn_elmo.pretraining.loss_plot import save_loss_plot
from sklearn_elmo.pretraining.model_card import model_card
from sklearn_elmo.pretraining.parameters import check_pretrainer_parameters
from sklearn_elmo.pretraining.presets import resolve_size
from sklearn_elmo.pretraining.progress import progress_bar
from sklearn_elmo.pretraining.saved_model import (
    CARD_NAME,
    SavedModel,
    load_language_model,
    save_language_model,
)
from sklearn_elmo.pretraining.settings import Budget, Settings
from sklearn_elmo.pretraining.sources import open_source
from sklearn_elmo.pretraining.trainer import Trainer, run_signature
from sklearn_elmo.pretraining.vocabulary import Vocabulary
from sklearn_elmo.pretraining.workspace import (
    choose_seed,
    open_workspace,
    read_text,
    sentence_tokenizer,
)

__all__ = ["ElmoPretrainer"]

logger = logging.getLogger(__name__)

_START_STATE = one_of("carry", "zero", "warm")


class ElmoPretrainer(BaseEstimator):
    """Train a bidirectional language model (biLM) on raw text, or adapt a trained one.

    Parameters
    ----------
    size : {"default", "small", "medium", "original"} or dict, default="default"
        Shape of the model: that of the bundled model, one of AllenNLP's, or options in
        the layout of their ``options.json``. Not used with `init`.
    init : str, path or pair of paths, default=None
        Model to continue with: a name or path that `ElmoVectorizer` accepts. If there
        is a softmax beside it, as `save` writes, it is used for the common words. If
        there is none (published models and the bundled one have none), a softmax is
        trained first: during the first tenth of the budget, only the softmax learns.
    teacher : callable, default=None
        Maps a list of n str to an array ``(n, width)``, as a sentence encoder does. The
        pooled layers learn these vectors in addition to the language model. It is
        called for `n_teacher_texts` sentences, phrases and words of the text, in blocks
        of at most 1,024; a vector must not depend on the other texts of its block. If a
        run is continued, it is called for eight of them, to refuse another teacher.
    token_teacher : callable, default=None
        Maps a list of n token lists to n arrays ``(n_tokens_i, width)``: vectors of
        words in their context, which the layers of each word learn. It is called as
        `teacher` is, for `n_teacher_texts` sentences of the text, and before that for a
        sample of them. The vectors are centred and kept on disk in at most 128 numbers
        per word. Both teachers can be used together.
    max_minutes, max_tokens, epochs : float, default=None
        When to stop; the first limit that is reached counts. Tokens are counted per
        direction, sentence boundaries included. If all are None: one epoch. Runs
        limited by tokens or epochs are reproducible.
    checkpoint_dir : path, default=None
        Gets a checkpoint every five minutes, ``metrics.jsonl``, and the encoded text. A
        stopped run continues from there when `fit` is called again with the same text
        and parameters. The last two checkpoints are kept; if the newer one is damaged,
        a warning says so and the run continues from the older one.
    device : str or torch.device, default="auto"
        "auto", "cpu", "cuda", "cuda:1", "mps".
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Data type of the matrix products; weights, states and sums are float32. "auto"
        is bfloat16 if the processor supports it.
    random_state : int, default=None
    verbose : bool, default=False
        Whether to show progress on stderr.
    max_words : int, default=40000
        Size of the vocabulary that is predicted, most frequent words first; other words
        are predicted as ``<UNK>``. As input, every word is read by its characters.
    min_count : int, default=2
        Rarer words are not predicted.
    n_negative_samples : int, default=4096
        Negative samples of the softmax; None uses the whole vocabulary.
    batch_size : int, default=128
        Streams of text that are read in parallel.
    n_steps : int, default=20
        Words that gradients are propagated through; the state is carried on.
    learning_rate : float, default=0.004
    dropout : float, default=0.1
    held_out_share : float, default=0.01
        Share of the documents that is used for evaluation, not for training.
    n_teacher_texts : int, default=50000
        For each teacher.
    teacher_weight : float, default=1.0
        Weight of the loss of each teacher; the language model has weight 1.
    teacher_batch_size : int, default=96
        Texts per step for the teachers; with two teachers, each gets half of them.
    teacher_lowercase_share : float, default=0.0
        Share of these texts that is read in lower case, for teachers that ignore case.
        Words that the text contains only with capitals keep them.
    anchor_weight : float, default=30.0
        Only with `init`: how strongly the layers are kept close to those of the initial
        model on the same text. This loss, the mean relative squared distance of the
        layers, is added to that of the language model with this weight. Without it (0),
        adaptation forgets part of what the initial model learned from other text and
        from teachers, but fits the text more closely and takes less time. Set it to 0
        with a teacher that is to change the layers.
    tokenizer : {"words", "whitespace", "pretokenized"} or callable, default="words"
        How a line becomes tokens, as in `ElmoVectorizer`. A callable maps one line to a
        list of str. With "pretokenized", texts are lists of str, and the lines of files
        are split at white space. Use the tokenizer that the vectorizer will use.

    Attributes
    ----------
    model_ : LanguageModel
        The trained network.
    model_digest_ : str
        As `ElmoVectorizer.model_digest_`.
    vocabulary_ : Vocabulary
        Words that the softmax predicts, by decreasing frequency.
    history_ : list of dict
        Loss, tokens per second and so on, every 20 steps; held-out perplexity last.
    n_tokens_ : int
        Tokens of the training text, boundaries included.
    n_types_ : int
        Distinct tokens of the training text.
    held_out_perplexity_ : float
        Geometric mean of both directions; NaN if the text was too short.

    Notes
    -----
    The text is read once and kept on disk in 4 bytes per token; only the distinct words
    are in memory. Documents are shuffled in a buffer of 2,000.

    ``ElmoVectorizer(model=pretrainer)`` uses the fitted model without saving it. The
    vectorizer shares the pretrainer when it is cloned, as it would share the path of a
    model, so cross-validation and grid search do not train again. As a value in a
    parameter grid, wrap it: ``sklearn.frozen.FrozenEstimator(pretrainer)``. Clones of
    the pretrainer itself are unfitted, as usual. Pickles of such a vectorizer contain
    the weights.

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
        device: str | torch.device = "auto",
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
        anchor_weight: float = 30.0,
        tokenizer: str | Callable[[str], list[str]] = "words",
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
        self.anchor_weight = anchor_weight
        self.tokenizer = tokenizer

    @pinned_defaults()
    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on raw text.

        Parameters
        ----------
        X : iterable of texts, or paths of text files
            Texts are str, whose lines are sentences, or lists of tokens, in any
            container that `ElmoVectorizer` accepts; a generator is read as a stream.

            Paths are files, folders or glob patterns: a `pathlib.Path`, a str that
            names one, or an iterable of these. Files are UTF-8, plain or compressed
            (``.gz``, ``.bz2``, ``.xz``, ``.zst``), with one sentence per line; an empty
            line ends a document. All files of a folder and its subfolders are read,
            except hidden ones; folders and patterns in the order of names. Tables are
            refused by their names (``.csv``, ``.jsonl``, ``.parquet``): pass their
            column of texts, or a pattern that leaves them out.

            A str counts as a path if it names an existing file, or if it looks like a
            path: no white space, not a URL, and a separator or an existing folder; or
            an ending such as ``.txt`` or ``.gz``. Such a path has to exist.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        CorpusError
            The text is empty, is a single str, consists of one word only, mixes texts
            and paths, or is a frame of several columns, or a file is a table by its
            name.
        CorpusNotFoundError
            A file does not exist. Also a FileNotFoundError.
        CorpusTypeError
            A text is not a str or a list of str, or the input is a dict or a set.
            Also a TypeError.
        InvalidParameterError
            A parameter is not allowed, or a teacher does not return numbers. Also a
            TypeError and a ValueError.
        TrainingError
            The loss is not finite or diverges, a checkpoint cannot be written, is of
            another run, or all are damaged, or the vectors of a teacher are unusable.
        """
        check_pretrainer_parameters(self.get_params(deep=False))
        self._warn_of_unused_parameters()
        self._check_model()
        with open_workspace(self.checkpoint_dir) as folder:
            checkpoint = load_checkpoint(folder)
            seed = choose_seed(self.random_state, checkpoint)
            corpus = read_text(
                X,
                self.tokenizer,
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
            trainer = self._train(corpus, vocabulary, folder, seed, checkpoint)
            if self.checkpoint_dir is not None:
                with writing_errors(folder):
                    save_loss_plot(folder / "loss.png", trainer.history)
            self.n_tokens_ = len(corpus.train.ids)
            self.n_types_ = len(corpus.train.types)
        self.model_ = trainer.model.to("cpu")
        self.model_digest_ = self._elmo_model_files().digest
        self.vocabulary_ = vocabulary
        self.history_ = trainer.history
        self.held_out_perplexity_ = _held_out_perplexity(trainer.history)
        return self

    def perplexity(self, X: Any) -> float:
        """Return the perplexity of texts, the geometric mean of both directions.

        Parameters
        ----------
        X : texts or paths
            As in `fit`.

        Returns
        -------
        float

        See Also
        --------
        evaluate : Perplexity of each direction.
        """
        return self.evaluate(X).average

    @pinned_defaults()
    def evaluate(self, X: Any, *, state: str = "carry") -> Perplexity:
        """Return the perplexity of texts, forward and backward.

        The softmax is over the whole vocabulary. The boundary that opens the next
        sentence is not counted, and a word outside the vocabulary counts as ``<UNK>``;
        compare only models with the same vocabulary.

        Parameters
        ----------
        X : texts or paths
            As in `fit`. The encoded text is held in memory, 4 bytes per token.
        state : {"carry", "zero", "warm"}, default="carry"
            LSTM state before each sentence: that after the previous sentence, zeros, or
            that of ``ElmoVectorizer(state="warm")``.

        Returns
        -------
        Perplexity
            With ``forward``, ``backward``, ``average`` and ``n_tokens``.

        Raises
        ------
        CorpusError
            As in `fit`.
        """
        check_is_fitted(self, "model_")
        if not _START_STATE.accepts(state):
            message = (
                f"The 'state' parameter of evaluate must be {_START_STATE.expected}. "
                f"Got {state!r} instead."
            )
            raise InvalidParameterError(message)
        check_pretrainer_parameters(self.get_params(deep=False))
        device = torch.device(resolve_device(str(self.device)))
        pretokenized = self.tokenizer == "pretokenized"
        source = open_source(X, pretokenized=pretokenized)
        text = encode_documents(
            iterate_documents(source, pretokenized=pretokenized),
            sentence_tokenizer(self.tokenizer),
        )
        if len(text.ids) < 2:
            message = (
                "The text to evaluate has no words; expected one sentence per line. "
                "Check the files or texts."
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
            ``softmax.npz``, ``vocabulary.json``, ``metrics.jsonl`` (the history),
            ``MODEL_CARD.md``, and ``loss.png`` if matplotlib is installed. Created if
            it does not exist.
        dtype : {"float32", "float16"}, default="float32"
            Data type of the weights in the files.

        Raises
        ------
        ModelFileError
            The weights are not finite in this data type.
        OSError
            A file cannot be written.
        """
        check_is_fitted(self, "model_")
        folder = Path(folder).expanduser()
        tokenizer = self.tokenizer if isinstance(self.tokenizer, str) else None
        saved = SavedModel(
            self.model_, self.vocabulary_, tokenizer, self.n_types_, self.history_
        )
        save_language_model(folder, saved, dtype=dtype)
        last_rows: dict[str, Any] = {}
        for row in self.history_:
            last_rows |= row
        card = model_card(
            options=self.model_.options.to_dict(),
            n_parameters=sum(p.numel() for p in self.model_.bilm.parameters()),
            n_words=len(self.vocabulary_),
            parameters={
                name: getattr(value, "__qualname__", value)  # name of a callable
                for name, value in self.get_params(deep=False).items()
                if name not in ("size", "checkpoint_dir", "verbose")
            },
            corpus={"n_tokens": self.n_tokens_, "n_types": self.n_types_},
            last_rows=last_rows,
            device=resolve_device(str(self.device)),
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
            Of the pretrainer. The default `tokenizer` is that of the saved model.

        Returns
        -------
        ElmoPretrainer

        Raises
        ------
        ModelFileError
            A file is missing or damaged, or the files do not belong together.
        """
        saved = load_language_model(Path(folder).expanduser())
        if "tokenizer" not in parameters:
            if saved.tokenizer is None:
                message = (
                    f"The model in {str(folder)!r} was trained with a callable "
                    "tokenizer, which is not saved; tokenizer='words' is used instead. "
                    "Pass the callable as tokenizer=."
                )
                warn_caller(message, SklearnElmoWarning)
            parameters["tokenizer"] = saved.tokenizer or "words"
        pretrainer = cls(saved.model.options.to_dict(), **parameters)
        pretrainer.model_ = saved.model
        pretrainer.model_digest_ = pretrainer._elmo_model_files().digest
        pretrainer.vocabulary_ = saved.vocabulary
        pretrainer.history_ = saved.history
        pretrainer.n_tokens_ = sum(saved.vocabulary.counts)
        pretrainer.n_types_ = saved.n_types or len(saved.vocabulary)
        pretrainer.held_out_perplexity_ = _held_out_perplexity(saved.history)
        return pretrainer

    def _elmo_model_digest(self) -> str:
        message = (
            "This %(name)s instance is not fitted yet; ElmoVectorizer(model=...) needs "
            "a fitted one. Call 'fit' first. In the grid of a search, wrap it in "
            "sklearn.frozen.FrozenEstimator, because scikit-learn clones what is there."
        )
        check_is_fitted(self, "model_digest_", msg=message)
        return self.model_digest_

    def _elmo_model_files(self) -> ModelFiles:
        """Return the model as if read from files, for `sklearn_elmo.models`."""
        check_is_fitted(self, "model_")
        return ModelFiles.from_arrays(
            self.model_.options, self.model_.bilm.to_arrays(), source=repr(self)
        )

    def _warn_of_unused_parameters(self) -> None:
        if self.init is not None and self.size != "default":
            message = (
                "The 'size' parameter of ElmoPretrainer has no effect together with "
                "'init': the shape is that of the initial model."
            )
            warn_caller(message, UnusedParameterWarning)

    def _check_model(self) -> None:
        """Raise before the text is read, if there is no such model or device."""
        resolve_device(str(self.device))
        if self.init is None:
            resolve_size(self.size, source="the 'size' parameter")
        else:
            read_options(locate(self.init))

    def _train(
        self,
        corpus: Corpus,
        vocabulary: Vocabulary,
        folder: Path,
        seed: int,
        checkpoint: dict[str, Any] | None,
    ) -> Trainer:
        """Return the trainer after its run."""
        initial = create_model(
            self.size,
            self.init,
            vocabulary,
            precision=self.precision,
            device=torch.device(resolve_device(str(self.device))),
            seed=seed,
        )
        settings = self._settings(initial.frozen_share, seed)
        if checkpoint is not None:  # before teachers answer for hours
            check_signature(
                folder,
                checkpoint,
                run_signature(initial.model, settings, corpus, initial.digest),
            )
        teachers = Teachers.prepare(
            self.teacher,
            self.token_teacher,
            corpus,
            self.n_teacher_texts,
            lowercase_share=self.teacher_lowercase_share,
            seed=seed,
            folder=folder,
            resumes=checkpoint is not None,
        )
        has_anchor = self.init is not None and self.anchor_weight > 0
        with progress_bar(self.verbose) as progress_callback:
            trainer = Trainer(
                initial.model,
                corpus,
                vocabulary.targets_of(corpus.train.types),
                settings,
                self._budget(),
                teachers=teachers,
                anchor=initial.anchor() if has_anchor else None,
                init_digest=initial.digest,
                folder=None if self.checkpoint_dir is None else folder,
                checkpoint=checkpoint,
                progress_callback=progress_callback,
            )
            trainer.run()
        return trainer

    def _settings(self, frozen_share: float, seed: int) -> Settings:
        return Settings(
            batch_size=self.batch_size,
            n_steps=self.n_steps,
            n_negative_samples=self.n_negative_samples,
            learning_rate=self.learning_rate,
            dropout=self.dropout,
            frozen_share=frozen_share,
            teacher_weight=self.teacher_weight,
            teacher_batch_size=self.teacher_batch_size,
            anchor_weight=self.anchor_weight if self.init is not None else 0.0,
            seed=seed,
        )

    def _budget(self) -> Budget:
        limits = (self.max_minutes, self.max_tokens, self.epochs)
        return Budget(*limits) if any(limits) else Budget(epochs=1)


def _held_out_perplexity(history: list[dict[str, Any]]) -> float:
    """Return the last one of a history, NaN if there is none."""
    found = [row["held_out_average"] for row in history if "held_out_average" in row]
    return float(found[-1]) if found else float("nan")
