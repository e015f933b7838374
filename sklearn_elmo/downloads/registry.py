"""The published ELMo models, as data.

Sizes and hashes are given only where they were seen: a size of None is not
checked, a hash of None is recorded at the first download and enforced after.
"""

import dataclasses
from types import MappingProxyType

from sklearn_elmo.downloads.address import OFFICIAL_BASE_URL

OPTIONS_FILE_NAME = "options.json"
WEIGHTS_FILE_NAME = "weights.hdf5"

_PETERS = (
    "M. E. Peters, M. Neumann, M. Iyyer, M. Gardner, C. Clark, K. Lee, "
    "L. Zettlemoyer: "
    '"Deep contextualized word representations", NAACL 2018. '
    "Published by the Allen Institute for AI beside AllenNLP (Apache-2.0); "
    "no separate licence of the weights was seen."
)
_CONTRIBUTED = (
    "Contributed to the Allen Institute for AI's collection by a third party; "
    "no licence of the weights was seen: ask the authors named at allennlp.org/elmo."
)


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """One file of a model and the addresses it can be had from.

    Parameters
    ----------
    name : str
        What the file is called once it is here.
    urls : tuple of str
        Where to ask, in this order.
    size : int or None
        Length in bytes; None if unknown.
    sha256 : str or None
        Hexadecimal SHA-256; None if unknown.
    """

    name: str
    urls: tuple[str, ...]
    size: int | None = None
    sha256: str | None = None


@dataclasses.dataclass(frozen=True)
class ModelEntry:
    """A published model.

    Parameters
    ----------
    name : str
        Name in the registry.
    description : str
        One sentence for people.
    options, weights : RemoteFile
        The two files that make the model.
    languages : tuple of str
        ISO 639-1 codes.
    credits : str
        Who made it and under which terms, as far as known.
    n_parameters : int or None
        Number of weights; None if unknown.
    width : int or None
        Width D of a token's vector in one layer; None if unknown.
    """

    name: str
    description: str
    options: RemoteFile
    weights: RemoteFile
    languages: tuple[str, ...]
    credits: str
    n_parameters: int | None = None
    width: int | None = None

    @property
    def files(self) -> tuple[RemoteFile, RemoteFile]:
        """Both files, the small one first."""
        return (self.options, self.weights)


def _entry(
    name: str,
    description: str,
    options_path: str,
    weights_path: str,
    *,
    languages: tuple[str, ...] = ("en",),
    credits_text: str = _PETERS,
    n_parameters: int | None = None,
    width: int | None = None,
    options_size: int | None = None,
    weights_size: int | None = None,
) -> ModelEntry:
    """Build an entry from paths below the official base URL."""
    options = RemoteFile(
        OPTIONS_FILE_NAME, (OFFICIAL_BASE_URL + options_path,), options_size
    )
    weights = RemoteFile(
        WEIGHTS_FILE_NAME, (OFFICIAL_BASE_URL + weights_path,), weights_size
    )
    return ModelEntry(
        name,
        description,
        options,
        weights,
        languages,
        credits_text,
        n_parameters,
        width,
    )


def _english(folder: str) -> tuple[str, str]:
    """Paths of the options and weights of one of AllenNLP's own models."""
    stem = f"{folder}/elmo_{folder}"
    return f"{stem}_options.json", f"{stem}_weights.hdf5"


_ENTRIES = (
    _entry(
        "small",
        "English, 1 Billion Word benchmark; LSTM 1024/128, 1 highway layer",
        *_english("2x1024_128_2048cnn_1xhighway"),
        n_parameters=13_593_296,
        width=256,
    ),
    _entry(
        "medium",
        "English, 1 Billion Word benchmark; LSTM 2048/256, 1 highway layer",
        *_english("2x2048_256_2048cnn_1xhighway"),
        n_parameters=28_027_728,
        width=512,
    ),
    _entry(
        "original",
        "English, 1 Billion Word benchmark; LSTM 4096/512, 2 highway layers",
        *_english("2x4096_512_2048cnn_2xhighway"),
        n_parameters=93_600_848,
        width=1024,
        options_size=336,
        weights_size=374_434_792,
    ),
    _entry(
        "original-5.5b",
        "English, Wikipedia and WMT news 2008-2012 (5.5 billion tokens); as original",
        *_english("2x4096_512_2048cnn_2xhighway_5.5B"),
        n_parameters=93_600_848,
        width=1024,
    ),
    _entry(
        "portuguese",
        "Portuguese, contributed",
        "contributed/pt/elmo_pt_options.json",
        "contributed/pt/elmo_pt_weights.hdf5",
        languages=("pt",),
        credits_text=_CONTRIBUTED,
    ),
    _entry(
        "pubmed",
        "English biomedical abstracts (PubMed), contributed; sizes as original",
        "contributed/pubmed/elmo_2x4096_512_2048cnn_2xhighway_options.json",
        "contributed/pubmed/elmo_2x4096_512_2048cnn_2xhighway_weights_PubMed_only.hdf5",
        credits_text=_CONTRIBUTED,
        n_parameters=93_600_848,
        width=1024,
    ),
)

REGISTRY: MappingProxyType[str, ModelEntry] = MappingProxyType(
    {entry.name: entry for entry in _ENTRIES}
)
