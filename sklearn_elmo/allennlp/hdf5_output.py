"""The HDF5 file that AllenNLP's ``elmo`` command writes."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from sklearn_elmo.atomic_files import new_hdf5
from sklearn_elmo.errors import (
    InvalidParameterError,
    OutputFileError,
    SklearnElmoError,
    TextValueError,
)
from sklearn_elmo.messages import quote

if TYPE_CHECKING:
    import h5py

__all__ = ["FileDtype", "OutputFormat", "write_vectors"]

FloatArray = npt.NDArray[np.floating]
OutputFormat = Literal["all", "top", "average"]
FileDtype = Literal["float32", "float16"]

_LAYERS_TO_OUTPUT: dict[str, Callable[[FloatArray], FloatArray]] = {
    "all": lambda layers: layers,
    "top": lambda layers: layers[-1],
    "average": lambda layers: layers.mean(axis=0),
}
_SPOOL_BYTES_IN_MEMORY = 1 << 20
_MOST_KEY_BYTES = 60_000  # HDF5 keeps a name within one 64 KiB block
_MOST_LINES_NAMED = 20


def write_vectors(
    lines: Iterable[str],
    output_path: str | os.PathLike[str],
    embed: Callable[[Iterable[list[str]]], Iterator[FloatArray]],
    *,
    output_format: OutputFormat = "all",
    forget_sentences: bool = False,
    use_sentence_keys: bool = False,
    include_sentence_indices: bool = False,
    dtype: FileDtype = "float32",
    on_sentence: Callable[[], object] = lambda: None,
) -> None:
    """Embed one sentence per line and write one data set per sentence.

    The lines are read once and kept in a temporary file, so that all of them are
    checked before anything is computed. Memory grows with the map from sentences to
    indices, unless `forget_sentences` is set, but not with the vectors.

    Parameters
    ----------
    lines : iterable of str
        Sentences whose tokens are separated by white space.
    output_path : path
        Overwritten once everything is computed; its folder is created if needed. A
        failure leaves no file.
    embed : callable
        Token lists to arrays ``(L + 1, n_tokens, D)``, lazily and in order.
    output_format : {"all", "top", "average"}
        All layers ``(L + 1, n, D)``, the last one or their mean ``(n, D)``.
    forget_sentences : bool
        Leave ``sentence_to_index`` out.
    use_sentence_keys : bool
        Name the data sets by the sentences instead of the line numbers; also leaves
        ``sentence_to_index`` out.
    include_sentence_indices : bool
        Also write ``sentence_indices``: the same JSON under the name in AllenNLP's
        how-to.
    dtype : {"float32", "float16"}
    on_sentence : callable
        Called after each sentence.

    Raises
    ------
    TextValueError
        If a line is blank; with `use_sentence_keys`, if a sentence cannot be a name
        or repeats. Raised before anything is computed.
    OutputFileError
        If the file cannot be written.
    """
    if output_format not in _LAYERS_TO_OUTPUT:
        message = (
            "The 'output_format' parameter must be 'all', 'top' or 'average'. "
            f"Got {output_format!r} instead."
        )
        raise InvalidParameterError(message)
    output_path = Path(os.path.realpath(Path(output_path).expanduser()))
    with _spooled(lines) as spool:
        _check_sentences(_replay(spool), use_sentence_keys)
        with _output_file(output_path) as (file, check):
            pending: deque[str] = deque()  # sentences read ahead of their vectors
            sentence_to_index: dict[str, str] = {}
            for index, layers in enumerate(embed(_token_lists(spool, pending))):
                sentence = pending.popleft()
                key = sentence if use_sentence_keys else str(index)
                output = _LAYERS_TO_OUTPUT[output_format](layers)
                file.create_dataset(key, data=np.ascontiguousarray(output, dtype))
                check()
                if not (forget_sentences or use_sentence_keys):
                    sentence_to_index[sentence] = key
                on_sentence()
            if not (forget_sentences or use_sentence_keys):
                _write_json(file, "sentence_to_index", sentence_to_index)
                if include_sentence_indices:
                    _write_json(file, "sentence_indices", sentence_to_index)


@contextlib.contextmanager
def _spooled(lines: Iterable[str]) -> Iterator[IO[str]]:
    """Keep the stripped lines, on disk if there are many."""
    # surrogatepass: a str of the caller's may have lone surrogates.
    with tempfile.SpooledTemporaryFile(
        _SPOOL_BYTES_IN_MEMORY,
        "w+",
        encoding="utf-8",
        errors="surrogatepass",
        newline="\n",
    ) as spool:
        for line in lines:
            spool.write(line.strip() + "\n")
        yield spool


def _replay(spool: IO[str]) -> Iterator[str]:
    spool.seek(0)
    for line in spool:
        yield line.removesuffix("\n")


def _token_lists(spool: IO[str], pending: deque[str]) -> Iterator[list[str]]:
    for sentence in _replay(spool):
        pending.append(sentence)
        yield sentence.split()


def _check_sentences(sentences: Iterable[str], use_sentence_keys: bool) -> None:
    """Refuse lines that cannot be written, before any work is done."""
    blank_lines = []
    seen: set[bytes] = set()
    for index, sentence in enumerate(sentences):
        if not sentence:
            blank_lines.append(index)
        elif use_sentence_keys:
            _check_key(index, sentence, seen)
    if blank_lines:
        named = ", ".join(map(str, blank_lines[:_MOST_LINES_NAMED]))
        more = len(blank_lines) - _MOST_LINES_NAMED
        others = f" and {more} more" if more > 0 else ""
        message = (
            f"The input has blank lines at indexes [{named}]{others} (the first line "
            "is 0); every line must be a sentence. Remove them."
        )
        raise TextValueError(message)


def _check_key(index: int, sentence: str, seen: set[bytes]) -> None:
    """Refuse a sentence that cannot be a name in HDF5, or is one already."""
    encoded = sentence.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(encoded, digest_size=16).digest()
    problem = None
    if "/" in sentence or sentence == ".":
        problem = "contains a '/', which separates groups in HDF5, or is '.'"
    elif "\0" in sentence or len(encoded) > _MOST_KEY_BYTES:
        problem = f"contains a NUL or is longer than {_MOST_KEY_BYTES} bytes"
    elif encoded != sentence.encode("utf-8", "replace"):
        problem = "contains a lone surrogate"
    elif digest in seen:
        problem = "repeats an earlier line"
    if problem is not None:
        message = (
            f"Line {index} (the first is 0) {quote(sentence)} cannot name a data set: "
            f"it {problem}. Turn sentence keys off to name data sets by line."
        )
        raise TextValueError(message)
    seen.add(digest)


@contextlib.contextmanager
def _output_file(path: Path) -> Iterator[tuple["h5py.File", Callable[[], None]]]:
    """Create the output's folder and open the output; see `new_hdf5`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_hdf5(path) as opened:
            yield opened
    except SklearnElmoError:
        raise
    except OSError as error:
        message = f"{path} cannot be written ({error}). Choose another path."
        raise OutputFileError(message) from error


def _write_json(file: "h5py.File", name: str, value: dict[str, str]) -> None:
    import h5py

    dataset = file.create_dataset(name, (1,), dtype=h5py.string_dtype())
    dataset[0] = json.dumps(value)
