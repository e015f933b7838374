"""A disk cache of embeddings that many processes can use at once.

From small to large: `recipe` says what numbers mean and how texts are named, `checks`
finds damaged rows, `segment` is one file that never changes, `publish` writes it,
`index` finds keys in
many of them, `view` is what one process knows of a folder of them, `claims` divides
work among processes, `maintenance` merges and removes files, `folder` answers
requests, and
`store` is what users see. Nothing here knows of estimators, models or torch.
"""

from sklearn_elmo.store.folder import RecipeFolder
from sklearn_elmo.store.recipe import text_key
from sklearn_elmo.store.segment import Damage
from sklearn_elmo.store.store import EmbeddingStore

__all__ = [
    "Damage",
    "EmbeddingStore",
    "RecipeFolder",
    "text_key",
]
