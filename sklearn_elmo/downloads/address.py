"""The addresses of model files, in their old and new spellings."""

import os
import re
from urllib.parse import urlsplit, urlunsplit

from sklearn_elmo.errors import InvalidParameterError
from sklearn_elmo.messages import printable, quote

OFFICIAL_BASE_URL = "https://allennlp.s3.amazonaws.com/models/elmo/"
"""Where AllenNLP's models have been since 2019."""

MIRROR_VARIABLE = "SKLEARN_ELMO_MIRROR"
"""Base URL that is tried before `OFFICIAL_BASE_URL`, with the same paths below."""

_S3_PATH_STYLE = re.compile(r"s3([.-][a-z0-9-]+)?\.amazonaws\.com")
_S3_HOST_STYLE = re.compile(
    r"(?P<bucket>[a-z0-9.-]+)\.s3([.-][a-z0-9-]+)?\.amazonaws\.com"
)
_LONGEST_SHOWN = 200
_SCHEMES = ("http", "https", "s3")


def is_url(text: object) -> bool:
    """Return True if a value is the URL of a file, not a local path.

    Examples
    --------
    >>> is_url("https://example.org/weights.hdf5"), is_url("~/weights.hdf5")
    (True, False)
    """
    return isinstance(text, str) and text.startswith(
        tuple(f"{scheme}://" for scheme in _SCHEMES)
    )


def shown(url: str) -> str:
    """Return a URL as it may be shown: no query, which may hold keys, and not long.

    Examples
    --------
    >>> shown("https://example.org/x.hdf5?signature=secret")
    'https://example.org/x.hdf5?...'
    """
    address, mark, _ = url.partition("?")
    return printable(address[:_LONGEST_SHOWN]) + ("?..." if mark else "")


def canonical_url(url: str) -> str:
    """Return the spelling of a URL that identifies its local copy.

    The three ways to write the address of an S3 object become the same URL, so that
    addresses of the old how-to and current ones share one copy.

    Raises
    ------
    InvalidParameterError
        The URL cannot be parsed, has no host, or holds a password.

    Examples
    --------
    >>> canonical_url("https://s3-us-west-2.amazonaws.com/allennlp/models/x.json")
    'https://allennlp.s3.amazonaws.com/models/x.json'
    >>> canonical_url("s3://allennlp/models/x.json")
    'https://allennlp.s3.amazonaws.com/models/x.json'
    """
    try:
        parts = urlsplit(url)
        host = parts.netloc.lower()
        has_host = bool(parts.hostname)
        url.encode("utf-8")
    except ValueError:  # also of characters that cannot be encoded
        has_host = False
    if not has_host:
        message = f"{quote(url)} is not a valid URL. Check its host and brackets."
        raise InvalidParameterError(message)
    if "@" in parts.netloc:
        message = (
            f"The URL of {quote(parts.hostname)} has a user name or a password, which "
            "are not sent. Fetch the file by other means, and pass its path."
        )
        raise InvalidParameterError(message)
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
    """Return the addresses to try for one file, best first, without repeats.

    The user's mirror (`MIRROR_VARIABLE`) comes first for official files, then the
    address as given, then its canonical spelling.
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
