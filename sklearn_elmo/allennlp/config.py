"""Embedders and indexers from the ``text_field_embedder`` of an AllenNLP config."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from sklearn_elmo.allennlp.basic_text_field_embedder import (
    BasicTextFieldEmbedder,
    IndexerMap,
)
from sklearn_elmo.allennlp.embedder_builder import EmbedderBuilder
from sklearn_elmo.allennlp.indexers import TokenIndexer
from sklearn_elmo.allennlp.params import Params, plain_dict
from sklearn_elmo.allennlp.vocabulary import Vocabulary
from sklearn_elmo.errors import InvalidParameterError

__all__ = ["IndexedTextFieldEmbedder", "text_field_embedder"]

Config = Mapping[str, Any]

# The type of indexer of each argument of an embedder's forward.
_INDEXER_TYPES = {
    "embedding": {"inputs": "single_id"},
    "elmo_token_embedder": {"inputs": "elmo_characters", "word_inputs": "single_id"},
    "character_encoding": {"token_characters": "characters"},
}
_ENCODERS = ("alternating_lstm", "stacked_bidirectional_lstm", "lstm", "gru")


class IndexedTextFieldEmbedder(BasicTextFieldEmbedder):
    """Embedders together with the indexers that make their ids.

    Attributes
    ----------
    indexers : dict of str to TokenIndexer
    vocabulary : Vocabulary
        Words and characters that the indexers look up.
    """

    def __init__(
        self,
        token_embedders: Mapping[str, nn.Module],
        embedder_to_indexer_map: IndexerMap | None,
        allow_unmatched_keys: bool,
        indexers: Mapping[str, TokenIndexer],
        vocabulary: Vocabulary,
    ) -> None:
        super().__init__(token_embedders, embedder_to_indexer_map, allow_unmatched_keys)
        self.indexers = dict(indexers)
        self.vocabulary = vocabulary

    def index(self, sentences: Sequence[Sequence[Any]]) -> dict[str, Tensor]:
        """Turn a batch of token lists into what `forward` takes.

        Examples
        --------
        >>> embedder = text_field_embedder(
        ...     {"tokens": {"type": "embedding", "embedding_dim": 3}},
        ...     vocabulary=["a", "cat"],
        ... )
        >>> embedder.index([["a", "dog"], ["cat"]])["tokens"].tolist()
        [[2, 1], [3, 0]]
        """
        return {
            name: indexer.as_batch(sentences, self.vocabulary)
            for name, indexer in self.indexers.items()
        }


def text_field_embedder(
    config: Config,
    token_indexers: Config | None = None,
    *,
    vocabulary: Iterable[str] | None = None,
    random_state: int | None = None,
) -> IndexedTextFieldEmbedder:
    """Build the embedders that an AllenNLP config describes.

    Parameters
    ----------
    config : mapping
        The ``text_field_embedder`` part, or a whole config that has it under ``model``;
        the encoder and everything else in it are AllenNLP's and not built. Known types
        are ``embedding``, ``elmo_token_embedder`` and ``character_encoding``.
        ``embedder_to_indexer_map`` and ``allow_unmatched_keys`` are read.
    token_indexers : mapping, optional
        The ``token_indexers`` part of the dataset reader; taken from a whole config if
        it is there. Known types are ``single_id``, ``elmo_characters`` and
        ``characters``. By default each embedder gets the indexer that fits it.
    vocabulary : iterable of str, optional
        Words that ``embedding`` knows and whose characters ``character_encoding``
        knows; by default all words of each ``pretrained_file``.
    random_state : int, optional
        Seed of the vectors that no file has. The vectors in the file give their mean
        and standard deviation.

    Returns
    -------
    IndexedTextFieldEmbedder
        A torch module with ``indexers``; its width is the sum of the parts' widths.

    Raises
    ------
    InvalidParameterError
        If a type or key is unknown, if an indexer does not fit its embedder, or if no
        embedder uses it.

    Examples
    --------
    >>> embedder = text_field_embedder(
    ...     {
    ...         "tokens": {"type": "embedding", "pretrained_file": "glove.txt.gz"},
    ...         "elmo": {"type": "elmo_token_embedder", "dropout": 0.5},
    ...     },
    ...     {
    ...         "tokens": {"type": "single_id", "lowercase_tokens": True},
    ...         "elmo": {"type": "elmo_characters"},
    ...     },
    ... )  # doctest: +SKIP
    >>> embedder(embedder.index([["Hello", "world"]])).shape  # doctest: +SKIP
    torch.Size([1, 2, 1124])
    """
    part, found_indexers = _find_part(plain_dict(config))
    indexer_map = part.pop("embedder_to_indexer_map", None)
    allow_unmatched = bool(Params(part).pop_bool("allow_unmatched_keys", False))
    part.pop("allow_unmatched_keys", None)
    configs = _check_types(part.get("token_embedders", part))
    arguments = {
        name: _arguments_of(name, embedder_config, indexer_map)
        for name, embedder_config in configs.items()
    }
    uses: dict[str, dict[str, str]] = {}
    for name, inputs in arguments.items():
        for argument, indexer_name in inputs.items():
            kind = _INDEXER_TYPES[configs[name]["type"]][argument]
            uses.setdefault(indexer_name, {})[name] = kind
    indexers = _build_indexers(plain_dict(token_indexers) or found_indexers, uses)
    if not allow_unmatched:
        _check_names(set(indexers), set(configs))
    inputs_of = {
        name: {argument: indexers[used] for argument, used in inputs.items()}
        for name, inputs in arguments.items()
    }
    builder = EmbedderBuilder(vocabulary, random_state)
    for name, embedder_config in configs.items():
        builder.read_words(embedder_config, next(iter(inputs_of[name].values())))
    for indexer in indexers.values():
        builder.add_words(indexer)
    embedders = {
        name: builder.build(configs[name], inputs_of[name]) for name in configs
    }
    return IndexedTextFieldEmbedder(
        embedders, indexer_map, allow_unmatched, indexers, builder.vocabulary
    )


def _find_part(config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the embedders' and the indexers' parts of a config."""
    indexers = config.get("dataset_reader", {}).get("token_indexers", {})
    for key in ("model", "text_field_embedder"):
        config = config.get(key, config)
    kind = config.pop("type", "basic")
    if kind != "basic":
        message = (
            f"The text_field_embedder is of the type {kind!r}; only 'basic' is known. "
            "Pass the 'text_field_embedder' part of the config."
        )
        raise InvalidParameterError(message)
    return config, indexers


def _check_types(configs: Config) -> dict[str, dict[str, Any]]:
    """Return the embedders' configs, each with a known ``type``."""
    if not configs:
        message = "The config has no token embedders. Pass its 'text_field_embedder'."
        raise InvalidParameterError(message)
    known = " and ".join(_INDEXER_TYPES)
    checked = {}
    for name, config in configs.items():
        if not isinstance(config, Mapping):
            message = (
                f"The config's {name!r} is {config!r}; expected token embedders, each "
                "a dict with a 'type'. Pass the 'text_field_embedder' part."
            )
            raise InvalidParameterError(message)
        kind = config.get("type", "embedding")
        if kind in _ENCODERS:
            message = (
                f"{name!r} is of the type {kind!r}, an encoder of AllenNLP's own that "
                f"stays out of this package; only embedders are built here ({known}). "
                "Feed their output to your own encoder, for example torch.nn.LSTM."
            )
            raise InvalidParameterError(message)
        if kind not in _INDEXER_TYPES:
            message = f"{name!r} is of the unknown type {kind!r}; there are {known}."
            raise InvalidParameterError(message)
        checked[name] = {**config, "type": kind}
    return checked


def _arguments_of(
    name: str, config: Config, indexer_map: IndexerMap | None
) -> dict[str, str]:
    """Return the name of the indexer for each argument of an embedder."""
    arguments = list(_INDEXER_TYPES[config["type"]])
    if indexer_map is None:
        return {arguments[0]: name}
    chosen = indexer_map.get(name, {})
    if isinstance(chosen, Sequence) and not isinstance(chosen, str):
        chosen = {
            argument: indexer
            for argument, indexer in zip(arguments, chosen, strict=False)
            if indexer is not None
        }
    if not isinstance(chosen, Mapping) or not set(chosen) <= set(arguments):
        message = (
            f"embedder_to_indexer_map[{name!r}] is {chosen!r}; the arguments of "
            f"{config['type']!r} are {', '.join(arguments)}."
        )
        raise InvalidParameterError(message)
    return dict(chosen)


def _build_indexers(
    configs: Config, uses: Mapping[str, Mapping[str, str]]
) -> dict[str, TokenIndexer]:
    """Build the indexers of a config, and those that it leaves to the defaults.

    Parameters
    ----------
    configs : mapping
    uses : mapping of str to mapping of str to str
        For each indexer, its embedders and the type that each of them needs.
    """
    indexers: dict[str, TokenIndexer] = {}
    for name in {**configs, **uses}:
        config = configs.get(name, {})
        needed = uses.get(name, {})
        kind = config.get("type", next(iter(needed.values()), "single_id"))
        for embedder, expected in needed.items():
            if kind != expected:
                message = (
                    f"The token indexer {name!r} is of the type {kind!r}; the embedder "
                    f"{embedder!r} needs {expected!r}."
                )
                raise InvalidParameterError(message)
        indexers[name] = TokenIndexer.from_params(Params({**config, "type": kind}))
    return indexers


def _check_names(indexers: set[str], embedders: set[str]) -> None:
    """Refuse indexers and embedders without a counterpart, as AllenNLP's forward."""
    if indexers == embedders:
        return
    unused, without = sorted(indexers - embedders), sorted(embedders - indexers)
    problems = [f"no embedder has the name of the indexers {unused}"] if unused else []
    if without:
        problems.append(f"no indexer has the name of the embedders {without}")
    message = (
        f"In the config {' and '.join(problems)}. Rename or remove them, or set "
        "allow_unmatched_keys together with an embedder_to_indexer_map."
    )
    raise InvalidParameterError(message)
