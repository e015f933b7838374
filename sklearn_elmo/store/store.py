"""`EmbeddingStore`: the store as users see it."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sklearn_elmo.constraints import (
    POSITIVE_INT,
    Constraint,
    check_parameters,
    optional,
)
from sklearn_elmo.errors import StoreError
from sklearn_elmo.store import maintenance
from sklearn_elmo.store.export import as_token_lists, export_texts, has_one_row_of_each
from sklearn_elmo.store.locks import lock
from sklearn_elmo.store.recipe import DTYPES, RECIPE_FILE, RECIPE_FOLDER, Recipe
from sklearn_elmo.store.recipe_folder import RecipeFolder
from sklearn_elmo.store.segment import Damage, damage_of
from sklearn_elmo.store.shared_folder import is_gone, names_in
from sklearn_elmo.store.view import view_of

_COMPACT_TIMEOUT_S = 60.0

logger = logging.getLogger(__name__)


def _is_path(value: object) -> bool:
    if not isinstance(value, str | os.PathLike):
        return False
    path = os.fspath(value)
    return isinstance(path, str) and "\0" not in path


_CONSTRAINTS = {
    "path": Constraint(_is_path, "a str or a PathLike, without NUL"),
    "max_bytes": optional(POSITIVE_INT),
    "dtype": Constraint(
        lambda value: isinstance(value, str) and value in DTYPES,
        "'float32' or 'float16'",
    ),
}


@contextmanager
def _raise_store_errors() -> Iterator[None]:
    """Turn errors of the file system into ours."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        message = (
            f"The store cannot be read or changed ({error}). Check that its folder is "
            "there, and the permissions of everything in it."
        )
        raise StoreError(message) from error


class Cleanup(NamedTuple):
    """Result of `EmbeddingStore.compact` and `EmbeddingStore.clear`.

    Sizes are those of all segments and of the damaged files that were set aside.
    """

    segments_before: int
    segments_after: int
    bytes_before: int
    bytes_after: int

    @property
    def bytes_freed(self) -> int:
        """Bytes by which the store became smaller; 0 if others wrote more."""
        return max(0, self.bytes_before - self.bytes_after)


class EmbeddingStore:
    """Cache embeddings on disk, for any number of processes at once.

    Numbers are stored under what they mean (the recipe: model, start state, precision,
    ...) and the tokens of the text, in HDF5 files that never change once they exist.
    Nothing is created before the first request. A problem with the folder causes a
    `CacheWarning` and a computation, but never wrong numbers.

    Estimators use a store through `recipe`, which returns the records of one recipe;
    their `get_or_compute` reads what is stored and computes the rest.

    Parameters
    ----------
    path : str or PathLike
        The folder; created when something is stored. Machines can share it. Inside
        it, links are never followed, and only plain files are read or removed.
    max_bytes : int, default=None
        Limit of the folder's size. The files that have not been used for the longest
        time are removed first, but never the one just written. None means no limit.
    dtype : {"float32", "float16"}, default="float32"
        Type of the stored numbers. ``"float16"`` halves the size of the folder and
        rounds to 11 bits; float32 is returned in both cases. The two do not mix.

    Notes
    -----
    Workers with overlapping needs divide the work: processes, threads, and workers of
    joblib, Dask and Spark. Correctness needs only atomic renames; dividing the work
    needs locks (flock), and is skipped where there are none. Two workers of each kind
    computed no text twice on ext4, xfs, tmpfs, overlayfs, one sshfs mount and NFS 4.2;
    nor did processes on two NFS clients. Two sshfs mounts of one folder do not see each
    other's locks: the numbers were correct, but some were computed twice. NFS 3, SMB
    and object stores were not tried.

    A process that has stopped, but has not ended, keeps its locks. Another process
    waits for it once, for at most 65 s, and then goes on alone with a `CacheWarning`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> temporary = TemporaryDirectory()
    >>> store = EmbeddingStore(temporary.name, max_bytes=10**9)
    >>> folder = store.recipe({"model": "toy"})
    >>> def compute(positions):
    ...     return {"mean": np.ones((len(positions), 2))}
    >>> folder.get_or_compute([b"0123456789abcdef"], {"mean": 2}, compute)
    {'mean': array([[1., 1.]], dtype=float32)}
    >>> store.info()["entries"]
    1
    >>> temporary.cleanup()
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = None,
        dtype: str = "float32",
    ) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.dtype = dtype

    def recipe(self, description: Mapping[str, Any]) -> RecipeFolder:
        """Return the records of one recipe.

        Parameters
        ----------
        description : mapping of str to JSON values
            Everything that the numbers depend on, apart from the text.

        Returns
        -------
        RecipeFolder
            Its `get_or_compute` answers requests.

        Raises
        ------
        InvalidParameterError
            If a parameter of the store has a value that is not allowed.
        """
        self._check_parameters()
        recipe = Recipe.from_description(description, self.dtype)
        return RecipeFolder(self._folder(), recipe, self.max_bytes)

    @_raise_store_errors()
    def info(self) -> dict[str, Any]:
        """Describe the content of the store.

        Returns
        -------
        dict
            ``path``, ``entries``, ``bytes``, ``segments``, ``hits``, ``misses`` and
            ``recipes``: for each recipe a dict of the same counts with ``folder``,
            ``dtype`` and ``description``. Hits and misses are approximate; they count
            the requests of all processes since the store was created or cleared.
        """
        recipes = [_describe(folder) for folder in self._recipe_folders()]
        counts = ("entries", "bytes", "segments", "hits", "misses")
        totals = {name: sum(recipe[name] for recipe in recipes) for name in counts}
        return {"path": str(self._folder()), **totals, "recipes": recipes}

    @_raise_store_errors()
    def verify(self) -> list[Damage]:
        """Check every byte of the store.

        Returns
        -------
        list of Damage
            One per damaged data set and record, or per file if the damage is outside
            the records or the file cannot be read; empty if everything is in order.
            Nothing is changed: reading sets damaged files aside, and `compact` removes
            them.
        """
        folders = self._recipe_folders()
        damages = [
            Damage(self._folder() / name, None, None, "not a plain folder; not used")
            for name in names_in(self._folder(), RECIPE_FOLDER, may_be_link=True)
            if self._folder() / name not in folders
        ]
        for folder in folders:
            if Recipe.read(folder) is None:
                problem = "missing, or not the recipe that the folder is named after"
                damages.append(Damage(folder / RECIPE_FILE, None, None, problem))
            try:
                paths = maintenance.segment_paths(folder)
            except OSError as error:
                damages.append(Damage(folder, None, None, f"cannot be listed: {error}"))
                continue
            for path in paths:
                damages += _damage_of(path)
        return damages

    @_raise_store_errors()
    def compact(self) -> Cleanup:
        """Merge small files; drop copies, superseded records and damaged files.

        Writing merges enough to keep the number of files small; this merges all.

        Returns
        -------
        Cleanup
            Number of segments and bytes, before and after.

        Raises
        ------
        StoreError
            If another process has been compacting the store for a minute, or if the
            folder cannot be read or written.
        """
        folders = self._recipe_folders()
        before = maintenance.size_of(folders)
        with ExitStack() as held:
            if folders and not self._lock_maintenance(held):
                message = (
                    f"Another process is compacting {self._folder()}, or has stopped "
                    "while doing so. Try again later."
                )
                raise StoreError(message)
            for folder in folders:
                recipe = Recipe.read(folder)
                maintenance.compact(
                    folder, self.dtype if recipe is None else recipe.dtype
                )
        return self._cleanup(before)

    @_raise_store_errors()
    def clear(self) -> Cleanup:
        """Remove everything that the package has stored; keep files of others.

        Returns
        -------
        Cleanup
            Number of segments and bytes, before and after.
        """
        folders = self._recipe_folders()
        before = maintenance.size_of(folders)
        for folder in folders:
            maintenance.remove(folder)
        maintenance.remove_locks(self._folder())
        return self._cleanup(before)

    def export(
        self,
        texts: Sequence[str] | Sequence[Sequence[str]],
        path: str | os.PathLike[str],
        *,
        tokenize: str | Callable[[str], list[str]] = "words",
        recipe: str | None = None,
    ) -> None:
        """Write the rows of some texts to one HDF5 file, in their order.

        Parameters
        ----------
        texts : sequence of token lists, or of str
        path : str or PathLike
            The file, with one data set of shape (n_texts, width) per stored field.
        tokenize : str or callable, default="words"
            Splits a str into the tokens under which the text was stored: the
            ``tokenizer`` of the vectorizer.
        recipe : str, optional
            Beginning of the recipe's ``folder`` in `info`. Not needed if only one
            recipe with one row per text has all the texts.

        Raises
        ------
        StoreError
            If a text is not in the store, or several recipes have all the texts.
        OutputFileError
            If the file cannot be written.
        """
        lists = as_token_lists(texts, tokenize)
        export_texts(self._choose(lists, recipe), lists, Path(path))

    def _choose(
        self, texts: Sequence[Sequence[str]], recipe: str | None
    ) -> RecipeFolder:
        """Find the one recipe to export from."""
        known = [Recipe.read(path) for path in self._recipe_folders()]
        folders = [RecipeFolder(self._folder(), each, None) for each in known if each]
        chosen = [f for f in folders if f.path.name.startswith(recipe or "")]
        if len(chosen) > 1:
            chosen = [folder for folder in chosen if has_one_row_of_each(folder, texts)]
        if len(chosen) == 1:
            return chosen[0]
        names = ", ".join(folder.path.name for folder in folders)
        message = (
            f"{len(chosen)} recipes in {self._folder()} have the texts; expected one. "
            f"Name it with recipe= (see info()); there are: {names or 'none'}."
        )
        raise StoreError(message)

    def _check_parameters(self) -> None:
        names = ("path", "max_bytes", "dtype")
        values = {name: getattr(self, name) for name in names}
        check_parameters("EmbeddingStore", values, _CONSTRAINTS)

    def _folder(self) -> Path:
        path = Path(os.path.expanduser(self.path))
        try:
            return Path(os.path.abspath(path))
        except FileNotFoundError:  # the current folder has been removed
            return path

    def _recipe_folders(self) -> list[Path]:
        self._check_parameters()
        return maintenance.recipe_folders(self._folder())

    def _lock_maintenance(self, held: ExitStack) -> bool:
        """Return False if another process holds the lock for too long."""
        try:
            return lock(held, self._folder(), "maintenance", _COMPACT_TIMEOUT_S)
        except OSError as error:  # two processes may merge the same files, safely
            logger.info("Going on without locks in %s: %s", self._folder(), error)
            return True

    def _cleanup(self, before: maintenance.StoreSize) -> Cleanup:
        after = maintenance.size_of(self._recipe_folders())
        return Cleanup(before.segments, after.segments, before.bytes, after.bytes)

    def __repr__(self) -> str:
        shown = [repr(os.fspath(self.path))]
        if self.max_bytes is not None:
            shown.append(f"max_bytes={self.max_bytes!r}")
        if self.dtype != "float32":
            shown.append(f"dtype={self.dtype!r}")
        return f"EmbeddingStore({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EmbeddingStore):
            return NotImplemented
        return vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((os.fspath(self.path), self.max_bytes, self.dtype))


def _describe(folder: Path) -> dict[str, Any]:
    """Describe the content of a recipe's folder."""
    view = view_of(folder)
    view.refresh()
    recipe = Recipe.read(folder)
    hits, misses = view.usage.total()
    sizes = maintenance.segment_sizes(folder)
    return {
        "folder": folder.name,
        "dtype": None if recipe is None else recipe.dtype,
        "description": None if recipe is None else recipe.description,
        "entries": view.count(),
        "bytes": sum(sizes),
        "segments": len(sizes),
        "hits": hits,
        "misses": misses,
    }


def _damage_of(path: Path) -> list[Damage]:
    try:
        return damage_of(path)
    except OSError as error:
        if is_gone(error):  # merged or evicted just now
            return []
        return [Damage(path, None, None, f"cannot be read: {error}")]
