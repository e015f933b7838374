"""`ElmoEmbedder`: tokenised sentences to numpy arrays, all layers."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import IO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from sklearn_elmo.allennlp.elmo_bilm import ElmoBiLm, StateMode
from sklearn_elmo.allennlp.hdf5_output import FileDtype, OutputFormat, write_vectors
from sklearn_elmo.allennlp.indexers import ELMoTokenCharactersIndexer, batch_to_ids
from sklearn_elmo.allennlp.model_files import FileName
from sklearn_elmo.errors import InvalidParameterError

__all__ = ["DEFAULT_BATCH_SIZE", "ElmoEmbedder"]

FloatArray = npt.NDArray[np.float32]
DEFAULT_BATCH_SIZE = 64
TOKENS_AT_ONCE = 4096


class ElmoEmbedder:
    """All layers' vectors of sentences, as AllenNLP's class of this name gives them.

    Parameters
    ----------
    options_file, weight_file : path, URL or None
        The model's two files; neither for the model in the box. With `weight_file`
        None, `options_file` may be a registered name, a folder or a zip file.
    cuda_device : int, default=-1
        Number of the GPU; -1 is the CPU.
    state : {"carry", "zero", "warm"}, default="carry"
        What each row of a batch starts from: where the same row of the last batch
        ended (AllenNLP's way: the same sentence gives other vectors the second
        time), zeros, or one fixed state that depends on the model alone.

    Examples
    --------
    >>> elmo = ElmoEmbedder()  # doctest: +SKIP
    >>> vectors = elmo.embed_sentence(["I", "ate", "an", "apple"])  # doctest: +SKIP
    >>> vectors.shape  # layers, tokens, width  # doctest: +SKIP
    (3, 4, 1024)
    """

    def __init__(
        self,
        options_file: FileName | None = None,
        weight_file: FileName | None = None,
        cuda_device: int = -1,
        *,
        state: StateMode = "carry",
    ) -> None:
        self.indexer = ELMoTokenCharactersIndexer()
        self.elmo_bilm = ElmoBiLm(options_file, weight_file, state=state).eval()
        self.cuda_device = cuda_device
        if cuda_device >= 0:
            if cuda_device >= torch.cuda.device_count():
                message = (
                    f"The 'cuda_device' parameter of ElmoEmbedder is {cuda_device}, "
                    f"but PyTorch sees {torch.cuda.device_count()} GPUs. Pass -1 for "
                    "the CPU."
                )
                raise InvalidParameterError(message)
            self.elmo_bilm = self.elmo_bilm.cuda(device=cuda_device)

    def reset_states(self, mask: Tensor | None = None) -> None:
        """Forget the state carried between calls, of all rows or where `mask` is 1."""
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

        Returns
        -------
        activations : Tensor
            Without ``<S>`` and ``</S>``, padding 0. *Shape:* ``(B, L + 1, T, D)``.
        mask : Tensor
            *Shape:* ``(B, T)``, int64.
        """
        layers = self._run(batch)
        lengths = torch.tensor([len(sentence) for sentence in batch])
        mask = (torch.arange(layers.shape[2]) < lengths[:, None]).to(layers.device)
        return layers * mask[:, None, :, None], mask.long()

    def _run(
        self, batch: Sequence[Sequence[str]], state_rows: Tensor | None = None
    ) -> Tensor:
        """Return all layers without ``<S>``; ``</S>`` may stand in the padding.

        *Shape:* ``(B, L + 1, T, D)``.
        """
        device = self.elmo_bilm._token_embedder._char_embedding_weights.device
        if state_rows is not None:
            state_rows = state_rows.to(device)
        with torch.no_grad():
            ids = self.batch_to_ids(batch).to(device)
            output = self.elmo_bilm(ids, state_rows=state_rows)
        return torch.stack(output["activations"], dim=1)[:, :, 1:-1]

    def embed_sentence(self, sentence: Sequence[str]) -> FloatArray:
        """Embed one sentence.

        Parameters
        ----------
        sentence : sequence of str
            Tokens; none of them is fine.

        Returns
        -------
        ndarray of shape (L + 1, n_tokens, D), float32
        """
        return self.embed_batch([sentence])[0]

    def embed_batch(self, batch: Sequence[Sequence[str]]) -> list[FloatArray]:
        """Embed sentences that each carry on a row of the state.

        Sentences of like length run through the model together, some at a time, so
        that the memory is bounded by the result; the numbers do not depend on that.

        Parameters
        ----------
        batch : sequence of token lists
            A batch without a single token leaves the carried state alone.

        Returns
        -------
        list of ndarray of shape (L + 1, n_tokens_i, D), float32
        """
        if not any(len(sentence) for sentence in batch):
            bilm = self.elmo_bilm
            shape = (bilm.num_layers, 0, bilm.get_output_dim())
            return [np.zeros(shape, dtype=np.float32) for _ in batch]
        vectors: list[FloatArray | None] = [None] * len(batch)
        for rows in _groups_of_like_length([len(sentence) for sentence in batch]):
            layers = self._run([batch[row] for row in rows], torch.tensor(rows))
            for row, padded in zip(rows, layers.cpu().numpy(), strict=True):
                # A copy: a view would keep the padded group in memory.
                vectors[row] = padded[:, : len(batch[row])].copy()
        return [row_vectors for row_vectors in vectors if row_vectors is not None]

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
        """Embed a file of one sentence a line into an HDF5 file.

        Data set ``"k"`` holds the vectors of line k, ``"sentence_to_index"`` a JSON
        object from each line to its number, as text (the last one for repeats).

        Parameters
        ----------
        input_file : text file
            Tokens parted by white space; closed afterwards.
        output_file_path : path
            Overwritten once all is done.
        output_format : {"all", "top", "average"}, default="all"
            ``(L + 1, n, D)``, the last layer ``(n, D)`` or the layers' mean ``(n, D)``.
        batch_size : int, default=64
        forget_sentences : bool, default=False
            Leave ``"sentence_to_index"`` out.
        use_sentence_keys : bool, default=False
            Name data sets by their lines; also leaves ``"sentence_to_index"`` out.
        include_sentence_indices : bool, default=False
            Repeat ``"sentence_to_index"`` as ``"sentence_indices"``.
        dtype : {"float32", "float16"}, default="float32"
        progress : bool, default=False
            Show a bar on stderr.

        Raises
        ------
        TextValueError
            Blank lines, or lines that cannot be names; nothing is written.
        OutputFileError
            The file cannot be written.
        """
        with (
            input_file,
            tqdm(unit=" sentences", disable=not progress) as bar,
        ):
            write_vectors(
                input_file,
                output_file_path,
                lambda token_lists: self.embed_sentences(token_lists, batch_size),
                output_format=output_format,
                forget_sentences=forget_sentences,
                use_sentence_keys=use_sentence_keys,
                include_sentence_indices=include_sentence_indices,
                dtype=dtype,
                on_sentence=bar.update,
            )


def _groups_of_like_length(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Part the rows of a batch so that each group is small with its padding."""
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
