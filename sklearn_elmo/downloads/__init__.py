"""Models of others: where they lie, and how they are fetched.

``registry`` is data (names, addresses, sizes, credits), ``address`` reads the
addresses people have in their old code, ``transfer`` moves bytes (resumed,
checked, one process at a time), ``hashes`` remembers what a file was when it
first came, and ``library`` is what the rest of the package calls.

Nothing is ever downloaded unless somebody asked for that very file: by
`fetch`, by handing over a URL, or by ``SKLEARN_ELMO_DOWNLOAD=1``.

The transfer is written on the standard library's ``urllib`` (as are
scikit-learn's own data set fetchers), not on pooch: what is needed here beyond
a hash and a rename (resuming with ``If-Range``, mirrors, a lock against a
second process, hashes recorded at first sight) pooch leaves to its caller, and
it would bring three dependencies before the first model could be fetched.
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
