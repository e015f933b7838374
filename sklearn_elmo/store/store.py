"""The store as users see it: a folder with a bound, and what one can do with it."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sklearn_elmo.constraints import (
    POSITIVE_INT,
    Constraint,
    check_parameters,
    optional,
)
from sklearn_elmo.errors import StoreError
from sklearn_elmo.store import maintenance
from sklearn_elmo.store.export import as_token_lists, export_texts, has_one_row_of_each
from sklearn_elmo.store.files import is_gone
from sklearn_elmo.store.folder import RecipeFolder
from sklearn_elmo.store.locks import lock
from sklearn_elmo.store.recipe import Recipe
from sklearn_elmo.store.segment import Damage, damage_of
from sklearn_elmo.store.view import view_of

_UPKEEP_TIMEOUT_S = 60.0

_CONSTRAINTS = {
    "path": Constraint(
        lambda value: isinstance(value, str | os.PathLike), "a str or a PathLike"
    ),
    "max_bytes": optional(POSITIVE_INT),
    "dtype": Constraint(
        lambda value: isinstance(value, str) and value in ("float32", "float16"),
        "'float32' or 'float16'",
    ),
}


class EmbeddingStore:
    """Keep embeddings on disk, for any number of processes at once.

    Numbers are kept by what they mean (the recipe: model, start state, precision, ...)
    and by the text's tokens, in HDF5 files that never change after they appear. Nothing
    is touched before the first request. What goes wrong with the folder costs a
    `CacheWarning` and a computation, and never the numbers.

    Parameters
    ----------
    path : str or PathLike
        The folder; made when something is stored. It can be shared by machines.
    max_bytes : int, default=None
        Bound of the folder's size. Files that have not been used for the longest time
        are removed first, and never the one just written. None means no bound.
    dtype : {"float32", "float16"}, default="float32"
        How numbers are kept. ``"float16"`` halves the folder and rounds to 11 bits;
        float32 is returned all the same. The two are kept apart.

    Notes
    -----
    Workers with overlapping needs divide the work: processes, threads, joblib's, Dask's
    and Spark's workers alike. Safety needs only that the file system renames
    atomically; dividing the work needs locks (flock) too, and goes without where there
    are none. Two workers of each kind computed no text twice on ext4, xfs, tmpfs,
    overlayfs, one sshfs mount and NFS 4.2; nor did processes on two NFS clients. Two
    sshfs mounts of one folder do not see each other's locks: the numbers were right,
    but some were computed twice. Not tried: NFS 3, SMB, object stores.

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
        """Open the folder of one recipe.

        Parameters
        ----------
        description : mapping of str to JSON values
            Everything that the numbers depend on, apart from the text.

        Returns
        -------
        RecipeFolder

        Raises
        ------
        InvalidParameterError
            If the store's parameters are not what they should be.
        """
        self._check_parameters()
        recipe = Recipe.from_description(description, self.dtype)
        return RecipeFolder(self._folder(), recipe, self.max_bytes)

    def info(self) -> dict[str, Any]:
        """Tell what is in the store.

        Returns
        -------
        dict
            ``path``, ``entries``, ``bytes``, ``segments``, ``hits``, ``misses`` and
            ``recipes``: for each recipe a dict of the same counts with ``folder``,
            ``dtype`` and ``description``. Hits and misses are those of all processes
            since the store was made or cleared, approximately.
        """
        recipes = [_describe(folder) for folder in self._recipe_folders()]
        counts = ("entries", "bytes", "segments", "hits", "misses")
        totals = {name: sum(recipe[name] for recipe in recipes) for name in counts}
        return {"path": str(self._folder()), **totals, "recipes": recipes}

    def verify(self) -> list[Damage]:
        """Check every byte of the store.

        Returns
        -------
        list of Damage
            One per damaged data set and record, or per file where the damage lies
            outside the records; empty if all is well. Nothing is changed: reading
            sets damaged files aside by itself, and so does `compact`.
        """
        damages: list[Damage] = []
        for folder in self._recipe_folders():
            if Recipe.read(folder) is None:
                problem = "missing, or not the recipe that the folder is named after"
                damages.append(Damage(folder / "recipe.json", None, None, problem))
            for path in maintenance.segment_paths(folder):
                try:
                    damages += damage_of(path)
                except OSError as error:
                    if not is_gone(error):  # merged or evicted just now
                        raise
        return damages

    def compact(self) -> None:
        """Merge small files; drop copies, superseded records and damaged files.

        Writing does as much as keeps the number of files small; this does all.

        Raises
        ------
        StoreError
            If another process has been doing the same for a minute.
        OSError
            If the folder cannot be written.
        """
        with ExitStack() as held:
            folders = self._recipe_folders()
            if folders and not lock(
                held, self._folder(), "maintenance", _UPKEEP_TIMEOUT_S
            ):
                message = f"Another process is tending {self._folder()}. Try again."
                raise StoreError(message)
            for folder in folders:
                recipe = Recipe.read(folder)
                maintenance.compact(
                    folder, self.dtype if recipe is None else recipe.dtype
                )

    def clear(self) -> None:
        """Remove all that this version of the package has stored."""
        for folder in self._recipe_folders():
            maintenance.remove(folder)
        maintenance.remove_locks(self._folder())

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
            Makes the token list of a str, as it was made when the text was stored:
            what was the vectorizer's ``tokenizer``.
        recipe : str, optional
            Beginning of the ``folder`` that `info` tells. Can be left out if only one
            recipe with one row a text has all the texts.

        Raises
        ------
        StoreError
            If a text is not in the store, or more than one recipe would do.
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
            f"{len(chosen)} recipes in {self._folder()} can be exported from; expected "
            f"one. Name it with recipe= (see info()); there are: {names or 'none'}."
        )
        raise StoreError(message)

    def _check_parameters(self) -> None:
        names = ("path", "max_bytes", "dtype")
        values = {name: getattr(self, name) for name in names}
        check_parameters("EmbeddingStore", values, _CONSTRAINTS)

    def _folder(self) -> Path:
        return Path(os.path.abspath(Path(self.path).expanduser()))

    def _recipe_folders(self) -> list[Path]:
        self._check_parameters()
        return maintenance.recipe_folders(self._folder())

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
    """Count what is in a recipe's folder."""
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
