"""Single embedders of a config, which share one vocabulary."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from sklearn_elmo.allennlp.character_encoding import TokenCharactersEncoder
from sklearn_elmo.allennlp.character_indexer import TokenCharactersIndexer
from sklearn_elmo.allennlp.elmo_token_embedder import ElmoTokenEmbedder
from sklearn_elmo.allennlp.embedding import Embedding, initial_weights
from sklearn_elmo.allennlp.indexers import SingleIdTokenIndexer, TokenIndexer
from sklearn_elmo.allennlp.params import Params
from sklearn_elmo.allennlp.vocabulary import Vocabulary
from sklearn_elmo.errors import InvalidParameterError
from sklearn_elmo.word_vectors.reader import WordVectors, read_word_vectors

__all__ = ["EmbedderBuilder"]

Config = Mapping[str, Any]

_EMBEDDING_KEYS = {
    "type",
    "embedding_dim",
    "pretrained_file",
    "trainable",
    "projection_dim",
    "vocab_namespace",
    "padding_index",
}


class EmbedderBuilder:
    """Build embedders that share one vocabulary.

    Call `read_words` for all embedders, then `add_words` for all indexers, then
    `build`.
    """

    def __init__(self, words: Iterable[str] | None, random_state: int | None) -> None:
        self.vocabulary = Vocabulary()
        self._words = None if words is None else list(words)
        self._random_state = random_state
        self._generator = torch.Generator()
        if random_state is not None:
            self._generator.manual_seed(random_state)
        self._vectors: dict[str, WordVectors] = {}

    def read_words(self, config: Config, indexer: TokenIndexer) -> None:
        """Read the vectors of an ``embedding`` and add its words to the vocabulary."""
        if config["type"] != "embedding":
            return
        assert isinstance(indexer, SingleIdTokenIndexer)
        _check_embedding(config, indexer)
        file: str | None = config.get("pretrained_file")
        if file is None and self._words is None:
            message = (
                "An 'embedding' without a pretrained_file needs the words to embed. "
                "Pass them as 'vocabulary'."
            )
            raise InvalidParameterError(message)
        if file is None:
            return
        words = self._words_of(indexer)
        vectors = read_word_vectors(file, only=None if words is None else set(words))
        self._vectors[file] = vectors
        for word in words or vectors.rows:
            self.vocabulary.add_token_to_namespace(word, indexer.namespace)

    def _words_of(self, indexer: SingleIdTokenIndexer) -> list[str] | None:
        if self._words is None or not indexer.lowercase_tokens:
            return self._words
        return [word.lower() for word in self._words]

    def add_words(self, indexer: TokenIndexer) -> None:
        """Add the words, or their characters, that an indexer looks up."""
        if isinstance(indexer, SingleIdTokenIndexer):
            for word in self._words_of(indexer) or ():
                self.vocabulary.add_token_to_namespace(word, indexer.namespace)
        if isinstance(indexer, TokenCharactersIndexer):
            # Without words of the caller's, those of the files, behind the special two.
            words = (
                self._words or list(self.vocabulary.get_token_to_index_vocabulary())[2:]
            )
            for word in words:
                for character in indexer.characters_of(word):
                    if isinstance(character, str):
                        self.vocabulary.add_token_to_namespace(
                            character, indexer.namespace
                        )

    def build(self, config: Config, indexers: Mapping[str, TokenIndexer]) -> nn.Module:
        """Build one embedder.

        Parameters
        ----------
        config : mapping
        indexers : mapping of str to TokenIndexer
            By argument of the embedder's ``forward``.
        """
        if config["type"] == "embedding":
            return self._build_embedding(config, indexers["inputs"])
        if config["type"] == "elmo_token_embedder":
            return self._build_elmo(config)
        return self._build_characters(config, indexers["token_characters"])

    def _build_elmo(self, config: Config) -> nn.Module:
        namespace = config.get("namespace_to_cache")
        words = None
        if namespace is not None and self.vocabulary.get_vocab_size(namespace) > 2:
            words = list(self.vocabulary.get_token_to_index_vocabulary(namespace))
        return ElmoTokenEmbedder.from_config(config, words)

    def _build_characters(self, config: Config, indexer: TokenIndexer) -> nn.Module:
        assert isinstance(indexer, TokenCharactersIndexer)
        n_ids = self.vocabulary.get_vocab_size(indexer.namespace)
        if n_ids == 2 and not indexer.reads_bytes:
            message = (
                "A 'character_encoding' needs the words whose characters it embeds. "
                "Pass them as 'vocabulary'."
            )
            raise InvalidParameterError(message)
        n_rows = config.get("embedding", {}).get("num_embeddings", n_ids)
        if not indexer.reads_bytes and n_rows < n_ids:
            message = (
                f"The config asks for {n_rows} character vectors ('num_embeddings'), "
                f"but there are {n_ids} characters. Correct the config."
            )
            raise InvalidParameterError(message)
        with torch.random.fork_rng(devices=[], enabled=self._random_state is not None):
            if self._random_state is not None:
                torch.manual_seed(self._random_state)
            return TokenCharactersEncoder.from_params(self.vocabulary, Params(config))

    def _build_embedding(self, config: Config, indexer: TokenIndexer) -> nn.Module:
        assert isinstance(indexer, SingleIdTokenIndexer)
        vectors = self._vectors.get(config.get("pretrained_file", ""))
        width = config.get("embedding_dim", vectors.width if vectors else None)
        if width is None or (vectors is not None and vectors.width != width):
            found = vectors.width if vectors else "no"
            message = (
                f"The config asks for an embedding_dim of {width}, but the file has "
                f"{found} numbers per word. Correct the config."
            )
            raise InvalidParameterError(message)
        words = self.vocabulary.get_token_to_index_vocabulary(indexer.namespace)
        return Embedding(
            len(words),
            width,
            projection_dim=config.get("projection_dim"),
            weight=initial_weights(list(words), vectors, width, self._generator),
            padding_index=0,
            trainable=config.get("trainable", True),
        )


def _check_embedding(config: Config, indexer: SingleIdTokenIndexer) -> None:
    if unknown := set(config) - _EMBEDDING_KEYS:
        message = (
            f"The key {min(unknown)!r} of an 'embedding' is not known here; there are "
            f"{', '.join(sorted(_EMBEDDING_KEYS))}."
        )
        raise InvalidParameterError(message)
    if config.get("padding_index", 0) != 0:
        message = (
            f"The padding_index of an 'embedding' is {config['padding_index']!r}; the "
            "indexers pad with 0. Correct the config."
        )
        raise InvalidParameterError(message)
    namespace = config.get("vocab_namespace", "tokens")
    if namespace != indexer.namespace:
        message = (
            f"An 'embedding' has the vocab_namespace {namespace!r}, but its indexer "
            f"the namespace {indexer.namespace!r}. Write the same one."
        )
        raise InvalidParameterError(message)
