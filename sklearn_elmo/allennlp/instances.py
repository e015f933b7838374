"""Text fields, instances and batches, as far as ELMo's old code uses them."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from sklearn_elmo.allennlp.character_ids import text_of
from sklearn_elmo.allennlp.indexers import TokenIndexer
from sklearn_elmo.allennlp.vocabulary import Vocabulary
from sklearn_elmo.errors import InvalidParameterError, TextTypeError
from sklearn_elmo.messages import quote

__all__ = ["BasicIterator", "Batch", "Instance", "TextField"]

Tensors = dict[str, Tensor]


class TextField:
    """A sentence and the indexers that turn it into ids.

    Parameters
    ----------
    tokens : sequence of Token
        `Token`, or spaCy's.
    token_indexers : mapping of str to TokenIndexer

    Examples
    --------
    >>> from sklearn_elmo.allennlp.indexers import ELMoTokenCharactersIndexer
    >>> from sklearn_elmo.allennlp.vocabulary import Token
    >>> field = TextField([Token("a"), Token("b")], {"c": ELMoTokenCharactersIndexer()})
    >>> batch = Batch([Instance({"elmo": field})])
    >>> batch.index_instances(Vocabulary())
    >>> batch.as_tensor_dict()["elmo"]["c"].shape
    torch.Size([1, 2, 50])
    """

    def __init__(
        self, tokens: Sequence[Any], token_indexers: Mapping[str, TokenIndexer]
    ) -> None:
        for position, token in enumerate(tokens):
            if isinstance(token, str) or not hasattr(token, "text"):
                message = (
                    f"Token {position} of a TextField is {type(token).__name__} "
                    f"({quote(token)}); expected Token. Wrap it: Token(text)."
                )
                raise TextTypeError(message)
        self.tokens = tokens
        self._token_indexers = token_indexers
        # By indexer, then by the keys that the indexer chose.
        self._indices: dict[str, dict[str, list[Any]]] | None = None

    def count_vocab_items(self, counter: Any) -> None:
        """Add the sentence's vocabulary items to ``counter[namespace][item]``."""
        for indexer in self._token_indexers.values():
            for token in self.tokens:
                indexer.count_vocab_items(token, counter)

    def index(self, vocab: Vocabulary) -> None:
        """Look all tokens up."""
        self._indices = {
            name: indexer.tokens_to_indices(self.tokens, vocab, name)
            for name, indexer in self._token_indexers.items()
        }

    def _indexed(self) -> dict[str, dict[str, list[Any]]]:
        if self._indices is None:
            message = "The field has no ids yet. Call its index(vocabulary) first."
            raise InvalidParameterError(message)
        return self._indices

    def get_padding_lengths(self) -> dict[str, int]:
        """Return the sizes of the field that padding has to reach."""
        lengths: dict[str, int] = {}
        for name, by_key in self._indexed().items():
            indexer = self._token_indexers[name]
            for key, entries in by_key.items():
                least = indexer.get_token_min_padding_length()
                lengths[f"{key}_length"] = max(len(entries), least)
                for entry in entries or [[]]:
                    for part, size in indexer.get_padding_lengths(entry).items():
                        lengths[part] = max(lengths.get(part, 0), size)
        return lengths

    def as_tensor(self, padding_lengths: Mapping[str, int]) -> Tensors:
        """Return the padded ids by key."""
        tensors: Tensors = {}
        for name, by_key in self._indexed().items():
            n_tokens = {key: padding_lengths[f"{key}_length"] for key in by_key}
            tensors |= self._token_indexers[name].as_padded_tensor(
                by_key, n_tokens, padding_lengths
            )
        return tensors

    def batch_tensors(self, tensor_list: Sequence[Tensors]) -> Tensors:
        """Stack the tensors of several fields, by key."""
        return {
            key: torch.stack([tensors[key] for tensors in tensor_list])
            for key in tensor_list[0]
        }

    def sequence_length(self) -> int:
        """Return the number of tokens."""
        return len(self.tokens)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the tokens."""
        return iter(self.tokens)

    def __getitem__(self, position: int) -> Any:
        """Return a token."""
        return self.tokens[position]

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.tokens)

    def __str__(self) -> str:
        """Return the sentence."""
        return " ".join(map(text_of, self.tokens))


class Instance(Mapping[str, Any]):
    """Fields by name.

    Parameters
    ----------
    fields : dict of str to field
        `TextField`, or objects with its methods.
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.indexed = False

    def add_field(
        self, field_name: str, field: Any, vocab: Vocabulary | None = None
    ) -> None:
        """Add a field, which is indexed if the instance is."""
        self.fields[field_name] = field
        if self.indexed:
            field.index(vocab)

    def count_vocab_items(self, counter: Any) -> None:
        """Add all vocabulary items to ``counter[namespace][item]``."""
        for field in self.fields.values():
            field.count_vocab_items(counter)

    def index_fields(self, vocab: Vocabulary) -> None:
        """Index all fields, once."""
        if not self.indexed:
            self.indexed = True
            for field in self.fields.values():
                field.index(vocab)

    def get_padding_lengths(self) -> dict[str, dict[str, int]]:
        """Return the padding lengths of all fields."""
        return {name: f.get_padding_lengths() for name, f in self.fields.items()}

    def as_tensor_dict(
        self, padding_lengths: Mapping[str, Mapping[str, int]] | None = None
    ) -> dict[str, Any]:
        """Return the padded tensors of all fields."""
        lengths = padding_lengths or self.get_padding_lengths()
        return {name: f.as_tensor(lengths[name]) for name, f in self.fields.items()}

    def __getitem__(self, name: str) -> Any:
        """Return a field."""
        return self.fields[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the fields."""
        return iter(self.fields)

    def __len__(self) -> int:
        """Return the number of fields."""
        return len(self.fields)


class Batch:
    """Instances that are padded together.

    Parameters
    ----------
    instances : iterable of Instance
        All with the same fields.
    """

    def __init__(self, instances: Iterable[Instance]) -> None:
        self.instances = list(instances)
        kinds = [
            {name: type(field) for name, field in instance.fields.items()}
            for instance in self.instances
        ]
        if any(kind != kinds[0] for kind in kinds):
            message = "The instances of a Batch have different fields; expected equal."
            raise InvalidParameterError(message)

    def index_instances(self, vocab: Vocabulary) -> None:
        """Index the fields of all instances."""
        for instance in self.instances:
            instance.index_fields(vocab)

    def get_padding_lengths(self) -> dict[str, dict[str, int]]:
        """Return the largest padding lengths of each field."""
        largest: dict[str, dict[str, int]] = {}
        for instance in self.instances:
            for name, lengths in instance.get_padding_lengths().items():
                field_largest = largest.setdefault(name, {})
                for key, length in lengths.items():
                    field_largest[key] = max(field_largest.get(key, 0), length)
        return largest

    def as_tensor_dict(
        self, padding_lengths: Mapping[str, Mapping[str, int]] | None = None
    ) -> dict[str, Any]:
        """Return the padded and stacked tensors of all fields.

        Parameters
        ----------
        padding_lengths : mapping of str to mapping of str to int, optional
            Lengths that take the place of the largest ones, by field.
        """
        lengths = self.get_padding_lengths()
        for name, wanted in (padding_lengths or {}).items():
            known = {key: wanted[key] for key in wanted if key in lengths[name]}
            lengths[name] |= known
        padded = [instance.as_tensor_dict(lengths) for instance in self.instances]
        return {
            name: field.batch_tensors([tensors[name] for tensors in padded])
            for name, field in (self.instances[0].fields.items() if padded else ())
        }

    def __iter__(self) -> Iterator[Instance]:
        """Iterate over the instances."""
        return iter(self.instances)


class BasicIterator:
    """Batches of a fixed number of instances.

    Parameters
    ----------
    batch_size : int, default=32
    """

    def __init__(self, batch_size: int = 32) -> None:
        self.vocab: Vocabulary | None = None
        self._batch_size = batch_size

    def index_with(self, vocab: Vocabulary) -> None:
        """Set the vocabulary that instances are indexed with."""
        self.vocab = vocab

    def __call__(
        self,
        instances: Iterable[Instance],
        num_epochs: int | None = None,
        shuffle: bool = True,
    ) -> Iterator[dict[str, Any]]:
        """Yield the tensors of each batch, for `num_epochs` or without end.

        Shuffling uses Python's global random numbers, as in AllenNLP.
        """
        epoch = 0
        while num_epochs is None or epoch < num_epochs:
            epoch += 1
            ordered = list(instances)
            if shuffle:
                random.shuffle(ordered)
            iterator = iter(ordered)
            while chosen := list(islice(iterator, self._batch_size)):
                batch = Batch(chosen)
                if self.vocab is not None:
                    batch.index_instances(self.vocab)
                yield batch.as_tensor_dict()

    def get_num_batches(self, instances: Sequence[Instance]) -> int:
        """Return the number of batches of an epoch."""
        return -(-len(instances) // self._batch_size)
