"""Published models: where they are, and how they are downloaded.

``registry`` is data (names, addresses, sizes, credits), ``address`` understands the
addresses in old code, ``transfer`` downloads (resumed, bounded, checked, one process at
a time), ``hashes`` records the hash of each file at its first download, and ``library``
is what the rest of the package calls.

Nothing is downloaded unless the user asks for that file: with `fetch`, by passing a
URL, or with ``SKLEARN_ELMO_DOWNLOAD=1``.

The transfer uses the standard library's ``urllib``, as do scikit-learn's own data set
fetchers, not pooch: pooch leaves resuming with ``If-Range``, mirrors, a lock against a
second process and recorded hashes to its caller, and would add three dependencies.
"""

from sklearn_elmo.downloads.address import is_url
from sklearn_elmo.downloads.library import (
    download_allowed,
    fetch,
    fetch_url,
    fetched_folder,
    fetched_url,
    home_folder,
    import_model,
    local_names,
    model_folder,
    verify,
)
from sklearn_elmo.downloads.registry import REGISTRY, ModelEntry, RemoteFile

__all__ = [
    "REGISTRY",
    "ModelEntry",
    "RemoteFile",
    "download_allowed",
    "fetch",
    "fetch_url",
    "fetched_folder",
    "fetched_url",
    "home_folder",
    "import_model",
    "is_url",
    "local_names",
    "model_folder",
    "verify",
]
