"""What stored numbers mean, and how texts are identified.

A recipe is a mapping of plain JSON values (model digest, start state, precision, ...)
that the caller composes. Its digest is the name of a folder, so numbers of different
meaning never mix; ``recipe.json`` keeps the description for people.
"""

import errno
import hashlib
import json
import os
import re
import stat
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sklearn_elmo.atomic_files import write_bytes
from sklearn_elmo.store.shared_folder import check_plain_folder, read_json

RECIPE_FILE = "recipe.json"
RECIPE_FOLDER = re.compile(r"v1-[0-9a-f]{32}")
DTYPES = ("float32", "float16")
KEY_BYTES = 16

_CACHEDIR_TAG = b"""Signature: 8a477f597d28d172789f06886806bc55
# This folder is a cache of sklearn_elmo: everything in it can be computed again.
"""


@dataclass(frozen=True)
class Recipe:
    """A description in canonical JSON, and the type that numbers are stored in."""

    text: str
    dtype: str

    @classmethod
    def from_description(cls, description: Mapping[str, Any], dtype: str) -> "Recipe":
        return cls(json.dumps(dict(description), sort_keys=True, indent=1), dtype)

    @classmethod
    def read(cls, folder: Path) -> "Recipe | None":
        """Read the recipe in `folder`; None if the folder is not named after it."""
        try:
            content = read_json(folder / RECIPE_FILE)
            recipe = cls.from_description(content["description"], content["dtype"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        if recipe.dtype not in DTYPES or recipe.folder_name != folder.name:
            return None
        return recipe

    @property
    def folder_name(self) -> str:
        named = f"{self.dtype}\n{self.text}".encode("utf-8", "surrogatepass")
        return "v1-" + hashlib.blake2b(named, digest_size=16).hexdigest()

    @property
    def description(self) -> dict[str, Any]:
        description: dict[str, Any] = json.loads(self.text)
        return description

    def make_folder(self, store: Path) -> None:
        """Create the folder of a store and that of this recipe, if they are missing.

        Raises
        ------
        OSError
            If one of them cannot be created, or if the recipe's folder is a link.
        """
        _make_store_folder(store)
        folder = store / self.folder_name
        folder.mkdir(exist_ok=True)
        check_plain_folder(folder)
        if Recipe.read(folder) == self:
            return
        content = {"dtype": self.dtype, "description": self.description}
        write_bytes(
            folder / RECIPE_FILE,
            json.dumps(content, sort_keys=True, indent=1).encode() + b"\n",
        )


def text_key(tokens: Sequence[str]) -> bytes:
    """Identify a text by its tokens.

    The number of tokens and their lengths are hashed before the tokens, so no two
    token lists share an encoding, whatever characters they contain (lone surrogates
    too).

    Parameters
    ----------
    tokens : sequence of str
        The tokens that are left after truncation.

    Returns
    -------
    bytes
        16 bytes.

    Examples
    --------
    >>> text_key(["new", "york"]) == text_key(["new york"])
    False
    """
    encoded = [token.encode("utf-8", "surrogatepass") for token in tokens]
    frame = struct.pack(f"<{len(encoded) + 1}Q", len(encoded), *map(len, encoded))
    return hashlib.blake2b(frame + b"".join(encoded), digest_size=KEY_BYTES).digest()


def _make_store_folder(path: Path) -> None:
    """Create the folder of a store; mark it as a cache only if it was empty."""
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        path.mkdir(parents=True, exist_ok=True)
        is_folder = True
    if not is_folder:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    if any(path.iterdir()):
        return  # a store already, or a folder whose backups we must not switch off
    write_bytes(path / "CACHEDIR.TAG", _CACHEDIR_TAG)
    write_bytes(path / ".gitignore", b"*\n")
