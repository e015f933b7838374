"""`ElmoEmbedder`: tokenised sentences to numpy arrays of all layers."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import IO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sklearn_elmo.allennlp.character_ids import batch_to_ids, text_of
from sklearn_elmo.allennlp.elmo_bilm import ElmoBiLm, StateMode
from sklearn_elmo.allennlp.elmo_lstm import ElmoLstm
from sklearn_elmo.allennlp.hdf5_output import FileDtype, OutputFormat, write_vectors
from sklearn_elmo.allennlp.indexers import ELMoTokenCharactersIndexer
from sklearn_elmo.allennlp.model_files import FileName, default_pair
from sklearn_elmo.allennlp.sequences import remove_sentence_boundaries
from sklearn_elmo.bars import Bar
from sklearn_elmo.errors import (
    InvalidParameterError,
    ModelFileError,
    SklearnElmoWarning,
)
from sklearn_elmo.inference.numerics import pinned_defaults, pinned_precision
from sklearn_elmo.messages import quote, warn_caller
from sklearn_elmo.models import DEFAULT_MODEL, not_finite

__all__ = ["DEFAULT_BATCH_SIZE", "ElmoEmbedder"]

FloatArray = npt.NDArray[np.float32]
DEFAULT_BATCH_SIZE = 64
TOKENS_AT_ONCE = 4096


class ElmoEmbedder:
    """Vectors of all layers of sentences, as AllenNLP's class of this name.

    Parameters
    ----------
    options_file, weight_file : path, URL or None
        The two files of the model. Neither is the bundled model, with one warning per
        process, because AllenNLP's default was another one. One alone goes with the
        other file of the original model, as in AllenNLP; but `options_file` may also be
        a registered name, a folder or a zip file.
    cuda_device : int, default=-1
        Number of the GPU; -1 is the CPU. Setting the attribute moves the model.
    state : {"carry", "zero", "warm"}, default="carry"
        State that row r of a batch starts from: the final state of row r of the
        previous batch (AllenNLP's behaviour: the same sentence gets other vectors the
        second time), zeros, or one fixed state that depends only on the model.
    model : path or str, optional
        Registered name, folder or zip file of the model; leave the two files out.

    Notes
    -----
    Vectors that are not finite raise a ModelFileError that names the model, where
    AllenNLP returned NaN; the state is then reset. The trainable `Elmo` returns NaN.

    Examples
    --------
    >>> from sklearn_elmo import ElmoEmbedder
    >>> elmo = ElmoEmbedder(model="default")
    >>> vectors = elmo.embed_sentence(["I", "ate", "an", "apple"])
    >>> vectors.shape  # layers, tokens, width
    (3, 4, 512)
    """

    @pinned_defaults()
    def __init__(
        self,
        options_file: FileName | None = None,
        weight_file: FileName | None = None,
        cuda_device: int = -1,
        *,
        state: StateMode = "carry",
        model: FileName | None = None,
    ) -> None:
        if model is not None:
            if options_file is not None or weight_file is not None:
                message = (
                    "ElmoEmbedder was given a 'model' and also options_file or "
                    "weight_file. Leave out the files, or the model."
                )
                raise InvalidParameterError(message)
            options_file = model
        elif options_file is None and weight_file is None:
            _warn_of_default_model()
        self.indexer = ELMoTokenCharactersIndexer()
        self._model_name = os.fspath(weight_file or options_file or DEFAULT_MODEL)
        self.elmo_bilm = _read_bilm(options_file, weight_file, state).eval()
        self.cuda_device = cuda_device

    @property
    def cuda_device(self) -> int:
        """Number of the GPU that the model is on; -1 is the CPU."""
        device = self._device()
        return device.index or 0 if device.type == "cuda" else -1

    @cuda_device.setter
    def cuda_device(self, number: int) -> None:
        if number >= torch.cuda.device_count():
            message = (
                f"The 'cuda_device' parameter of ElmoEmbedder is {number}, but PyTorch "
                f"sees {torch.cuda.device_count()} GPUs. Pass -1 for the CPU."
            )
            raise InvalidParameterError(message)
        self.elmo_bilm.to("cpu" if number < 0 else f"cuda:{number}")

    def _device(self) -> torch.device:
        return next(self.elmo_bilm.parameters()).device

    def reset_states(self, mask: Tensor | None = None) -> None:
        """Forget the carried state of all rows, or of those where `mask` is 1."""
        self.elmo_bilm.reset_states(mask)

    def batch_to_ids(self, batch: Sequence[Sequence[str]]) -> Tensor:
        """Return the character ids of a batch. *Shape:* ``(B, T, 50)``, int64."""
        return batch_to_ids(batch, max_characters=self.elmo_bilm.options.max_characters)

    def batch_to_embeddings(
        self, batch: Sequence[Sequence[str]]
    ) -> tuple[Tensor, Tensor]:
        """Embed a batch as tensors.

        Parameters
        ----------
        batch : sequence of token lists
            Tokens are strings, or objects whose ``text`` is one.

        Returns
        -------
        activations : Tensor
            Without ``<S>`` and ``</S>``; padding is 0. *Shape:* ``(B, L + 1, T, D)``.
        mask : Tensor
            *Shape:* ``(B, T)``, int64.

        Raises
        ------
        ModelFileError
            If the weights are so large that vectors are not finite.
        """
        return self._run(batch)

    def _run(
        self, batch: Sequence[Sequence[str]], rows: list[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        device = self._device()
        with pinned_defaults(), pinned_precision(device), torch.no_grad():
            ids = self.batch_to_ids(batch).to(device)
            state_rows = None if rows is None else torch.tensor(rows, device=device)
            output = self.elmo_bilm(ids, state_rows=state_rows)
            pairs = [
                remove_sentence_boundaries(layer, output["mask"])
                for layer in output["activations"]
            ]
        layers = torch.stack([layer for layer, _ in pairs], dim=1)
        self._check_finite(layers, batch)
        return layers, pairs[0][1]

    def _check_finite(self, layers: Tensor, batch: Sequence[Sequence[str]]) -> None:
        """Refuse results that AllenNLP returns, and writes to files, as NaN."""
        is_finite = torch.isfinite(layers).flatten(1).all(dim=1)
        if is_finite.all():
            return
        if isinstance(self.elmo_bilm._elmo_lstm, ElmoLstm):
            # The state is not finite either, and would spoil all further sentences.
            self.reset_states()
        sentence = " ".join(map(text_of, batch[int(is_finite.int().argmin())]))
        raise not_finite(self._model_name, f"the sentence {quote(sentence)}")

    def embed_sentence(self, sentence: Sequence[str]) -> FloatArray:
        """Embed one sentence.

        Parameters
        ----------
        sentence : sequence of str
            Tokens; may be empty.

        Returns
        -------
        ndarray of shape (L + 1, n_tokens, D), float32
        """
        return self.embed_batch([sentence])[0]

    def embed_batch(self, batch: Sequence[Sequence[str]]) -> list[FloatArray]:
        """Embed sentences, each starting from its own row of the state.

        Sentences of similar length run through the model in small groups, so that
        memory is bounded by the result; the numbers do not depend on the groups.

        Parameters
        ----------
        batch : sequence of token lists
            A batch without any token does not change the carried state.

        Returns
        -------
        list of ndarray of shape (L + 1, n_tokens_i, D), float32

        Raises
        ------
        ModelFileError
            If the weights are so large that vectors are not finite.
        """
        if not any(len(sentence) for sentence in batch):
            bilm = self.elmo_bilm
            shape = (bilm.num_layers, 0, bilm.get_output_dim())
            return [np.zeros(shape, dtype=np.float32) for _ in batch]
        vectors: list[FloatArray | None] = [None] * len(batch)
        for rows in self._groups(batch):
            layers, _ = self._run([batch[row] for row in rows], rows)
            for row, padded in zip(rows, layers.cpu().numpy(), strict=True):
                # A copy: a view would keep the padded group in memory.
                vectors[row] = padded[:, : len(batch[row])].copy()
        return [row_vectors for row_vectors in vectors if row_vectors is not None]

    def _groups(self, batch: Sequence[Sequence[str]]) -> Iterable[list[int]]:
        if not isinstance(self.elmo_bilm._elmo_lstm, ElmoLstm):
            # A module of the caller's does not know which rows it is given.
            return [list(range(len(batch)))]
        return _groups_of_similar_length([len(sentence) for sentence in batch])

    def embed_sentences(
        self,
        sentences: Iterable[Sequence[str]],
        batch_size: int = DEFAULT_BATCH_SIZE,
    ) -> Iterator[FloatArray]:
        """Embed sentences lazily, `batch_size` at a time, in their order.

        Parameters
        ----------
        sentences : iterable of token lists
        batch_size : int, default=64
            0 embeds nothing, as in AllenNLP.

        Yields
        ------
        ndarray of shape (L + 1, n_tokens_i, D), float32
        """
        if batch_size < 0:
            message = (
                f"The 'batch_size' parameter of embed_sentences is {batch_size}; "
                "it must be at least 1."
            )
            raise InvalidParameterError(message)
        iterator = iter(sentences)
        while batch := list(islice(iterator, batch_size)):
            yield from self.embed_batch(batch)

    def embed_file(
        self,
        input_file: IO[str],
        output_file_path: str | os.PathLike[str],
        output_format: OutputFormat = "all",
        batch_size: int = DEFAULT_BATCH_SIZE,
        forget_sentences: bool = False,
        use_sentence_keys: bool = False,
        *,
        include_sentence_indices: bool = False,
        dtype: FileDtype = "float32",
        progress: bool = False,
    ) -> None:
        """Embed a file with one sentence per line into an HDF5 file.

        Data set ``"k"`` holds the vectors of line k. ``"sentence_to_index"`` holds a
        JSON object from each line to its number as a string; for repeated lines the
        last number.

        Parameters
        ----------
        input_file : text file
            Tokens separated by white space; closed afterwards.
        output_file_path : path
            Overwritten once everything is computed.
        output_format : {"all", "top", "average"}, default="all"
            All layers ``(L + 1, n, D)``, the last one or their mean ``(n, D)``.
        batch_size : int, default=64
        forget_sentences : bool, default=False
            Leave ``"sentence_to_index"`` out.
        use_sentence_keys : bool, default=False
            Name data sets by their lines; also leaves ``"sentence_to_index"`` out.
        include_sentence_indices : bool, default=False
            Write ``"sentence_to_index"`` as ``"sentence_indices"``, too.
        dtype : {"float32", "float16"}, default="float32"
        progress : bool, default=False
            Show a progress bar on stderr.

        Raises
        ------
        TextValueError
            If a line is blank, or cannot be a name; nothing is written.
        OutputFileError
            If the file cannot be written.
        """
        with (
            input_file,
            Bar(unit=" sentences", disable=not progress) as bar,
        ):
            write_vectors(
                _counted(input_file, bar),
                output_file_path,
                lambda token_lists: self.embed_sentences(token_lists, batch_size),
                output_format=output_format,
                forget_sentences=forget_sentences,
                use_sentence_keys=use_sentence_keys,
                include_sentence_indices=include_sentence_indices,
                dtype=dtype,
                on_sentence=bar.update,
            )


def _counted(lines: Iterable[str], bar: Bar) -> Iterator[str]:
    """Yield all lines; a bar that comes to its end with them learns how many."""
    for n_lines, line in enumerate(lines, start=1):
        bar.total = n_lines
        yield line


def _groups_of_similar_length(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Split the rows of a batch into groups that are small with their padding."""
    group: list[int] = []
    longest = 0
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        longest = max(longest, lengths[row])
        if group and longest * (len(group) + 1) > TOKENS_AT_ONCE:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _read_bilm(
    options_file: FileName | None, weight_file: FileName | None, state: StateMode
) -> ElmoBiLm:
    """Read a model, and complete a single file as AllenNLP's defaults do."""
    if options_file is not None or weight_file is None:
        return ElmoBiLm(*default_pair(options_file, weight_file), state=state)
    try:
        return ElmoBiLm(*default_pair(None, weight_file), state=state)
    except ModelFileError as error:
        message = (
            f"{error} The options are those of the original model, because only a "
            "weight file was given."
        )
        raise type(error)(message) from error


def _warn_of_default_model() -> None:
    """Say once per process that the default model is not AllenNLP's."""
    global _has_warned
    if _has_warned:
        return
    _has_warned = True
    warn_caller(
        "ElmoEmbedder() uses the bundled model 'default' with vectors of width 512. "
        "AllenNLP's default was the original model of width 1024: fetch it once with "
        "'sklearn-elmo models fetch original' and pass model='original'. Pass "
        "model='default' to avoid this warning.",
        SklearnElmoWarning,
    )


_has_warned = False
