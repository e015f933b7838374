"""The addresses of model files, old and new ways of writing them."""

import os
import re
from urllib.parse import urlsplit, urlunsplit

OFFICIAL_BASE_URL = "https://allennlp.s3.amazonaws.com/models/elmo/"
"""Where AllenNLP's models have lain since 2019."""

MIRROR_VARIABLE = "SKLEARN_ELMO_MIRROR"
"""Base URL that is asked before `OFFICIAL_BASE_URL` (same paths below it)."""

_S3_PATH_STYLE = re.compile(r"s3([.-][a-z0-9-]+)?\.amazonaws\.com")
_S3_HOST_STYLE = re.compile(
    r"(?P<bucket>[a-z0-9.-]+)\.s3([.-][a-z0-9-]+)?\.amazonaws\.com"
)
_SCHEMES = ("http", "https", "s3")


def is_url(text: object) -> bool:
    """Tell whether a value names something on a server rather than a local path.

    Examples
    --------
    >>> is_url("https://example.org/weights.hdf5"), is_url("~/weights.hdf5")
    (True, False)
    """
    return isinstance(text, str) and text.startswith(
        tuple(f"{scheme}://" for scheme in _SCHEMES)
    )


def canonical_url(url: str) -> str:
    """Give the one spelling under which a file is remembered.

    The three ways to write an S3 object become the same URL, so that the old
    how-to's addresses and today's share one local copy.

    Examples
    --------
    >>> canonical_url("https://s3-us-west-2.amazonaws.com/allennlp/models/x.json")
    'https://allennlp.s3.amazonaws.com/models/x.json'
    >>> canonical_url("s3://allennlp/models/x.json")
    'https://allennlp.s3.amazonaws.com/models/x.json'
    """
    parts = urlsplit(url)
    host = parts.netloc.lower()
    path = parts.path
    if parts.scheme == "s3":
        host = f"{parts.netloc}.s3.amazonaws.com"
    elif _S3_PATH_STYLE.fullmatch(host):
        bucket, _, key = path.lstrip("/").partition("/")
        host, path = f"{bucket}.s3.amazonaws.com", f"/{key}"
    elif match := _S3_HOST_STYLE.fullmatch(host):
        host = f"{match['bucket']}.s3.amazonaws.com"
    else:
        return urlunsplit((parts.scheme, host, path, parts.query, ""))
    return urlunsplit(("https", host, path, parts.query, ""))


def candidate_urls(url: str) -> tuple[str, ...]:
    """List the addresses to try for one file, best first, without repeats.

    The user's mirror (`MIRROR_VARIABLE`) comes first for official files, then
    the address as it was given, then its canonical spelling.
    """
    canonical = canonical_url(url)
    candidates = []
    mirror = os.environ.get(MIRROR_VARIABLE)
    if mirror and canonical.startswith(OFFICIAL_BASE_URL):
        candidates.append(
            mirror.rstrip("/") + "/" + canonical.removeprefix(OFFICIAL_BASE_URL)
        )
    if not url.startswith("s3://"):
        candidates.append(url)
    candidates.append(canonical)
    return tuple(dict.fromkeys(candidates))
