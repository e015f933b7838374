"""Character ids and word ids."""

from types import SimpleNamespace

import pytest
import torch

from sklearn_elmo.allennlp import (
    ELMoTokenCharactersIndexer,
    SingleIdTokenIndexer,
    Vocabulary,
    batch_to_ids,
)
from sklearn_elmo.errors import SklearnElmoError, SklearnElmoWarning


def test_batch_to_ids_pads_with_zeros_on_the_right() -> None:
    ids = batch_to_ids([["a"], ["a", "<S>", "</S>"]])
    assert ids.dtype == torch.int64
    assert ids.shape == (2, 3, 50)
    assert ids[0, 0].tolist() == [259, 98, 260, *[261] * 47]
    assert not ids[0, 1:].any()
    assert ids[1, 1, :4].tolist() == [259, 257, 260, 261]
    assert ids[1, 2, :4].tolist() == [259, 258, 260, 261]


@pytest.mark.parametrize(
    ("batch", "shape"),
    [
        ([], (0, 0, 50)),
        ([[]], (1, 0, 50)),
        ([[], ["a"]], (2, 1, 50)),
        ([[""]], (1, 1, 50)),
    ],
)
def test_batch_to_ids_of_nothing(batch: list[list[str]], shape: tuple[int]) -> None:
    assert batch_to_ids(batch).shape == shape


def test_batch_to_ids_takes_a_str_letter_by_letter_and_warns() -> None:
    with pytest.warns(SklearnElmoWarning, match="Sentence 1 is a str") as caught:
        ids = batch_to_ids([["x"], "ab"])
    assert caught[0].filename == __file__
    assert torch.equal(ids[1], batch_to_ids([["a", "b"]])[0])


@pytest.mark.parametrize("token", [3, None, b"a", ["a"]])
@pytest.mark.parametrize("error", [SklearnElmoError, TypeError, AttributeError])
def test_batch_to_ids_names_a_token_that_is_not_a_str(
    token: object, error: type
) -> None:
    with pytest.raises(error, match="Token 1 of sentence 0 is"):
        batch_to_ids([["a", token]])


def test_characters_indexer_does_as_allennlp_s() -> None:
    indexer = ELMoTokenCharactersIndexer()
    tokens = [SimpleNamespace(text="a"), SimpleNamespace(text="Bc")]
    counter: dict[str, dict[str, int]] = {}
    indexer.count_vocab_items(tokens[0], counter)
    assert counter == {}
    ids = indexer.tokens_to_indices(tokens, None, "elmo")
    assert list(ids) == indexer.get_keys("elmo") == ["elmo"]
    assert torch.equal(torch.tensor(ids["elmo"]), batch_to_ids([["a", "Bc"]])[0])
    padded = indexer.as_padded_tensor(ids, {"elmo": 4}, {})["elmo"]
    assert padded.shape == (4, 50)
    assert torch.equal(padded[:2], batch_to_ids([["a", "Bc"]])[0])
    assert not padded[2:].any()
    assert indexer.as_padded_tensor(ids, {"elmo": 1})["elmo"].shape == (1, 50)
    assert indexer.pad_token_sequence(ids, {"elmo": 3})["elmo"][2] == [0] * 50
    assert indexer.get_padding_lengths(ids["elmo"][0]) == {}


def test_characters_indexer_adds_tokens_and_pads_at_least() -> None:
    indexer = ELMoTokenCharactersIndexer(
        tokens_to_add={"<mask>": 1}, token_min_padding_length=3
    )
    ids = indexer.tokens_to_indices(["<mask>"], None, "elmo")["elmo"]
    assert ids[0][:4] == [259, 2, 260, 261]
    assert indexer.as_batch([["<mask>"]]).shape == (1, 3, 50)
    assert indexer.as_batch([]).shape == (0, 0, 50)
    with pytest.raises(SklearnElmoError, match="A token is SimpleNamespace"):
        indexer.tokens_to_indices([SimpleNamespace(text=None)], None, "elmo")


def test_single_id_indexer_keeps_case_unless_told() -> None:
    vocabulary = Vocabulary(tokens_to_add={"tokens": ["the", "The"]})
    indexer = SingleIdTokenIndexer()
    batch = [["the", "The", "THE"]]
    assert indexer.as_batch(batch, vocabulary).tolist() == [[2, 3, 1]]
    lower = SingleIdTokenIndexer(lowercase_tokens=True)
    assert lower.as_batch(batch, vocabulary).tolist() == [[2, 2, 2]]
    ids = vocabulary.get_token_to_index_vocabulary()
    assert list(ids) == ["@@PADDING@@", "@@UNKNOWN@@", "the", "The"]
    assert vocabulary.get_vocab_size() == 4
    assert indexer.as_batch([], vocabulary).shape == (0, 0)
    with pytest.raises(SklearnElmoError, match="needs a vocabulary"):
        indexer.as_batch(batch)
