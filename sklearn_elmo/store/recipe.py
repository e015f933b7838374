"""What the numbers of a folder mean, and the names of texts.

A recipe is a mapping of plain JSON values (model digest, start state, precision, ...)
that the caller composes. Its digest names a folder, so numbers of different meaning
never meet; the words are kept in ``recipe.json`` for people.
"""

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sklearn_elmo.atomic_files import write_bytes

FOLDER_PREFIX = "v1-"
RECIPE_FILE = "recipe.json"
KEY_BYTES = 16


@dataclass(frozen=True)
class Recipe:
    """A description in canonical JSON, with the type that numbers are kept in."""

    text: str
    dtype: str

    @classmethod
    def from_description(cls, description: Mapping[str, Any], dtype: str) -> "Recipe":
        return cls(json.dumps(dict(description), sort_keys=True, indent=1), dtype)

    @classmethod
    def read(cls, folder: Path) -> "Recipe | None":
        """Read the recipe in `folder`; None if it is not what names the folder."""
        try:
            content = json.loads((folder / RECIPE_FILE).read_text("utf-8"))
            recipe = cls.from_description(content["description"], content["dtype"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return recipe if recipe.folder_name == folder.name else None

    @property
    def folder_name(self) -> str:
        named = f"{self.dtype}\n{self.text}".encode("utf-8", "surrogatepass")
        return FOLDER_PREFIX + hashlib.blake2b(named, digest_size=16).hexdigest()

    @property
    def description(self) -> dict[str, Any]:
        words: dict[str, Any] = json.loads(self.text)
        return words

    def write(self, folder: Path) -> None:
        """Put ``recipe.json`` into `folder`, unless it is there and whole."""
        if Recipe.read(folder) == self:
            return
        content = {"dtype": self.dtype, "description": self.description}
        write_bytes(
            folder / RECIPE_FILE,
            json.dumps(content, sort_keys=True, indent=1).encode() + b"\n",
        )


def text_key(tokens: Sequence[str]) -> bytes:
    """Name a text by its tokens.

    The number of tokens and their lengths are hashed before the tokens, so no two
    token lists share an encoding, whatever characters they hold (lone surrogates
    too).

    Parameters
    ----------
    tokens : sequence of str
        The tokens after any cutting.

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
