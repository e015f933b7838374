"""Tokens and vocabularies in the shape in which old code handles them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, Self

from sklearn_elmo.allennlp.character_ids import TokenTypeError
from sklearn_elmo.errors import InvalidParameterError
from sklearn_elmo.messages import quote

__all__ = ["PADDING_TOKEN", "UNKNOWN_TOKEN", "Token", "Vocabulary"]

PADDING_TOKEN = "@@PADDING@@"
UNKNOWN_TOKEN = "@@UNKNOWN@@"

Counts = Mapping[str, Mapping[str, int]]


class Token(NamedTuple):
    """A token with the attributes of spaCy's; only the text is used here.

    Examples
    --------
    >>> Token("apple", idx=6)
    apple
    """

    text: str | None = None
    idx: int | None = None
    lemma_: str | None = None
    pos_: str | None = None
    tag_: str | None = None
    dep_: str | None = None
    ent_type_: str | None = None
    text_id: int | None = None

    def __str__(self) -> str:
        """Return the text."""
        return str(self.text)

    def __repr__(self) -> str:
        """Return the text."""
        return str(self)


class Vocabulary:
    """Ids of words, by namespace: 0 is padding and 1 stands for unknown words.

    Parameters
    ----------
    counter : mapping of str to mapping of str to int, optional
        Counts of the words of each namespace, which are added most frequent first.
    min_count : mapping of str to int, optional
        Words that are rarer than the number of their namespace are left out.
    non_padded_namespaces : iterable of str, default=("*tags", "*labels")
        Patterns of namespaces without padding and unknown words.
    tokens_to_add : mapping of str to list of str, optional
        Words to add to each namespace after the counted ones.

    Examples
    --------
    >>> vocabulary = Vocabulary(tokens_to_add={"tokens": ["the", "cat"]})
    >>> vocabulary.get_token_index("cat"), vocabulary.get_token_index("dog")
    (3, 1)
    >>> vocabulary.get_vocab_size()
    4
    """

    def __init__(
        self,
        counter: Counts | None = None,
        min_count: Mapping[str, int] | None = None,
        non_padded_namespaces: Iterable[str] = ("*tags", "*labels"),
        tokens_to_add: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        self._non_padded_namespaces = set(non_padded_namespaces)
        # AllenNLP's names, which old code reads and sets.
        self._padding_token = PADDING_TOKEN
        self._oov_token = UNKNOWN_TOKEN
        self._token_to_index: dict[str, dict[str, int]] = {}
        self._index_to_token: dict[str, dict[int, str]] = {}
        for namespace, counts in (counter or {}).items():
            least = (min_count or {}).get(namespace, 1)
            for word, count in sorted(counts.items(), key=lambda item: -item[1]):
                if count >= least:
                    self.add_token_to_namespace(word, namespace)
        for namespace, words in (tokens_to_add or {}).items():
            for word in words:
                self.add_token_to_namespace(word, namespace)

    @classmethod
    def from_instances(
        cls, instances: Iterable[Any], min_count: Mapping[str, int] | None = None
    ) -> Self:
        """Count the words of instances and build their vocabulary."""
        counter: dict[str, Counter[str]] = _CountersByNamespace()
        for instance in instances:
            instance.count_vocab_items(counter)
        return cls(counter, min_count)

    def add_token_to_namespace(self, token: str, namespace: str = "tokens") -> int:
        """Return the id of a word, which is added if it is new."""
        if not isinstance(token, str):
            message = (
                f"A word of a vocabulary is {type(token).__name__} ({quote(token)}); "
                "expected str. Convert it first."
            )
            raise TokenTypeError(message)
        ids = self._namespace(namespace)
        if token not in ids:
            ids[token] = len(ids)
            self._index_to_token[namespace][ids[token]] = token
        return ids[token]

    def get_token_index(self, token: str, namespace: str = "tokens") -> int:
        """Return the id of a word, or that of unknown words.

        Raises
        ------
        KeyError
            If the word is unknown in a namespace without unknown words.
        """
        ids = self._namespace(namespace)
        return ids[token] if token in ids else ids[self._oov_token]

    def get_token_from_index(self, index: int, namespace: str = "tokens") -> str:
        """Return the word of an id."""
        self._namespace(namespace)
        return self._index_to_token[namespace][index]

    def get_token_to_index_vocabulary(
        self, namespace: str = "tokens"
    ) -> dict[str, int]:
        """Return the ids by word, in the order of the ids."""
        return self._namespace(namespace)

    def get_index_to_token_vocabulary(
        self, namespace: str = "tokens"
    ) -> dict[int, str]:
        """Return the words by id."""
        self._namespace(namespace)
        return self._index_to_token[namespace]

    def get_vocab_size(self, namespace: str = "tokens") -> int:
        """Return the number of ids, padding and unknown words included."""
        return len(self._namespace(namespace))

    def _namespace(self, name: str) -> dict[str, int]:
        if name not in self._token_to_index:
            patterns = self._non_padded_namespaces
            is_padded = not any(fnmatchcase(name, pattern) for pattern in patterns)
            special = [self._padding_token, self._oov_token] if is_padded else []
            self._token_to_index[name] = {word: i for i, word in enumerate(special)}
            self._index_to_token[name] = dict(enumerate(special))
        return self._token_to_index[name]

    @classmethod
    def from_files(cls, directory: str) -> Self:
        """Refuse: vocabulary files belong to AllenNLP's trained models."""
        message = (
            f"The vocabulary in {directory!r} belongs to a model of AllenNLP, which "
            "cannot be loaded here. Build one with Vocabulary(tokens_to_add=...)."
        )
        raise InvalidParameterError(message)


class _CountersByNamespace(dict[str, Counter[str]]):
    def __missing__(self, namespace: str) -> Counter[str]:
        self[namespace] = Counter()
        return self[namespace]
