"""A disk cache of embeddings that many processes can use at once.

In reading order, from what users see to the bytes:

- `store`: `EmbeddingStore`; its `recipe` method returns a `RecipeFolder`
- `recipe_folder`: `get_or_compute` reads what is stored, computes and stores the rest
- `recipe`, `request`: what numbers mean and which are wanted
- `view`, `index`: the segments that this process knows, and where each key is
- `segment_header`, `segment`, `segment_writer`: one file, which never changes
- `records`, `checksums`: the content of a segment in memory, and how damage is found
- `claims`, `locks`: dividing the work among processes
- `maintenance`, `usage`, `export`: merging and removing, counting, one ordered file
- `shared_folder`, `cache_warnings`: files that others may have put there, one warning

Nothing here depends on estimators, models or torch.
"""

from sklearn_elmo.store.recipe import text_key
from sklearn_elmo.store.recipe_folder import RecipeFolder
from sklearn_elmo.store.segment import Damage
from sklearn_elmo.store.store import Cleanup, EmbeddingStore

__all__ = [
    "Cleanup",
    "Damage",
    "EmbeddingStore",
    "RecipeFolder",
    "text_key",
]
