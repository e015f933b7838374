"""Writing the rows of chosen texts to one ordered HDF5 file."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sklearn_elmo.atomic_files import new_hdf5
from sklearn_elmo.errors import OutputFileError, StoreError
from sklearn_elmo.store.recipe import text_key
from sklearn_elmo.store.recipe_folder import RecipeFolder
from sklearn_elmo.store.view import view_of


def as_token_lists(
    texts: Sequence[str] | Sequence[Sequence[str]],
    tokenize: str | Callable[[str], list[str]],
) -> list[Sequence[str]]:
    """Split texts into tokens, unless they are token lists already."""
    # The rest of the store identifies texts by their tokens alone.
    from sklearn_elmo.text import as_texts, tokenize_texts

    name = "EmbeddingStore.export"
    pretokenized = not isinstance(next(iter(texts), ""), str)
    values = as_texts(texts, estimator=name, pretokenized=pretokenized)
    if pretokenized:
        tokenize = "pretokenized"
    token_lists = tokenize_texts(values, tokenize, estimator=name)
    return [tokens or [] for tokens in token_lists]


def export_texts(
    folder: RecipeFolder, texts: Sequence[Sequence[str]], target: Path
) -> None:
    """Write one data set per field, rows in the order of `texts`.

    If records have several rows, all of them are written, one text after the other,
    with a data set ``lengths``. A text without tokens is never stored; it gets a row of
    zeros.

    Raises
    ------
    StoreError
        If a text is not in the folder.
    OutputFileError
        If the file cannot be written.
    """
    fields = _common_fields(folder, texts)
    ragged = view_of(folder.path).is_ragged()
    try:
        with new_hdf5(target) as (file, check):
            file.attrs["recipe"] = np.bytes_(folder.recipe.text.encode())
            if ragged:
                file.create_dataset("lengths", data=[len(text) for text in texts])
            for name, width in sorted(fields.items()):
                rows = _rows(folder, texts, name, width, ragged)
                file.create_dataset(name, data=rows)
                check()
    except (OutputFileError, StoreError):
        raise
    except (OSError, RuntimeError) as error:  # HDF5 raises either when a disk is full
        message = f"Cannot write {target}: {error}."
        raise OutputFileError(message) from error


def has_one_row_of_each(folder: RecipeFolder, texts: Sequence[Sequence[str]]) -> bool:
    """Return True if `folder` has all the texts, in records of one row."""
    keys = list({text_key(text): None for text in texts if len(text)})
    return not len(folder.missing(keys, {})) and not view_of(folder.path).is_ragged()


def _common_fields(
    folder: RecipeFolder, texts: Sequence[Sequence[str]]
) -> Mapping[str, int]:
    """Return the largest set of fields that all texts have."""
    keys = list({text_key(text): None for text in texts if len(text)})
    missing = folder.missing(keys, {})
    if len(missing):
        lacking = keys[missing[0]]
        position = next(i for i, text in enumerate(texts) if text_key(text) == lacking)
        message = (
            f"{len(missing)} of {len(keys)} distinct texts are not in {folder.path}; "
            f"the first is text {position}. Fill the cache with them first."
        )
        raise StoreError(message)
    candidates = view_of(folder.path).fields()
    return next(
        (fields for fields in candidates if not len(folder.missing(keys, fields))), {}
    )


def _rows(
    folder: RecipeFolder,
    texts: Sequence[Sequence[str]],
    name: str,
    width: int,
    ragged: bool,
) -> npt.NDArray[np.float32]:
    """Read the rows of one field, in the order of `texts`."""
    distinct = {text_key(text): text for text in texts if len(text)}
    lengths = [len(text) if ragged else 1 for text in distinct.values()]

    def refuse(positions: Sequence[int]) -> Mapping[str, npt.NDArray[Any]]:
        message = (
            f"{len(positions)} texts in {folder.path} became unreadable during the "
            "export. Fill the cache again."
        )
        raise StoreError(message)

    found = folder.get_or_compute_ragged(
        list(distinct), lengths, {name: width}, refuse
    )[name]
    ends = np.cumsum(lengths, dtype=np.int64)
    parts = {
        key: found[end - length : end]
        for key, length, end in zip(distinct, lengths, ends, strict=True)
    }
    nothing = np.zeros((0 if ragged else 1, width), np.float32)
    rows = [parts.get(text_key(text), nothing) for text in texts]
    return np.concatenate([found[:0], *rows])
