"""Spelling tokens as AllenNLP's ELMoCharacterMapper does."""

import numpy as np
import pytest
import reference_numpy
from hypothesis import given
from hypothesis import strategies as st

from sklearn_elmo.bilm.characters import (
    BEGIN_SENTENCE,
    END_SENTENCE,
    PADDING_ID,
    token_to_character_ids,
    tokens_to_character_ids,
)

BEGIN_WORD, END_WORD, PADDING = 259, 260, 261


def spelled(*inner: int, length: int = 50) -> list[int]:
    ids = [BEGIN_WORD, *inner, END_WORD]
    return ids + [PADDING] * (length - len(ids))


@pytest.mark.parametrize(
    ("token", "inner"),
    [
        ("a", [98]),
        ("A", [66]),
        ("cat", [100, 98, 117]),
        ("", []),
        (" ", [33]),
        ("\t a\n", [10, 33, 98, 11]),
        ("\x00", [1]),
        ("é", [0xC3 + 1, 0xA9 + 1]),
        ("e\u0301", [102, 0xCC + 1, 0x81 + 1]),
        ("€", [0xE2 + 1, 0x82 + 1, 0xAC + 1]),
        ("\U0001f642", [0xF0 + 1, 0x9F + 1, 0x99 + 1, 0x82 + 1]),
        ("\ufeffx", [0xEF + 1, 0xBB + 1, 0xBF + 1, 121]),
        ("<S>", [257]),
        ("</S>", [258]),
        ("<s>", [61, 116, 63]),
        ("</s>", [61, 48, 116, 63]),
        ("<UNK>", [61, 86, 79, 76, 63]),
        ("<S> ", [61, 84, 63, 33]),
        ("\ud800", []),
        ("\udfff\ud800", []),
        ("a\udc80b", [98, 99]),
        ("\ud83dx\ude42", [121]),
    ],
)
def test_token_to_character_ids(token: str, inner: list[int]) -> None:
    ids = token_to_character_ids(token)
    assert ids == spelled(*inner)
    assert all(type(i) is int for i in ids)


def test_boundary_tokens_have_their_names() -> None:
    assert (BEGIN_SENTENCE, END_SENTENCE) == ("<S>", "</S>")
    assert PADDING_ID == PADDING


@pytest.mark.parametrize("length", [47, 48, 49, 50, 1000])
def test_long_token_is_cut_at_48_bytes(length: int) -> None:
    kept = min(length, 48)
    assert token_to_character_ids("x" * length) == spelled(*[121] * kept)


def test_token_of_48_bytes_has_no_padding() -> None:
    assert PADDING not in token_to_character_ids("x" * 48)
    assert token_to_character_ids("x" * 47)[-1] == PADDING


def test_cut_may_fall_inside_a_character() -> None:
    ids = token_to_character_ids("x" * 47 + "é")
    assert ids == spelled(*[121] * 47, 0xC3 + 1)
    # Another character with the same first byte is the same token then.
    assert ids == token_to_character_ids("x" * 47 + "è")


def test_lone_surrogates_vanish_before_the_cut() -> None:
    with_surrogates = "\ud800" * 30 + "x" * 60
    assert token_to_character_ids(with_surrogates) == spelled(*[121] * 48)


@pytest.mark.parametrize("max_characters", [3, 4, 12, 49, 60, 200])
def test_max_characters_of_the_options_is_honoured(max_characters: int) -> None:
    ids = token_to_character_ids("y" * 300, max_characters)
    assert ids == [BEGIN_WORD, *[122] * (max_characters - 2), END_WORD]
    for token in ["", "a", "<S>", "</S>"]:
        short = token_to_character_ids(token, max_characters)
        assert short == reference_numpy.character_ids(token, max_characters)
        assert len(short) == max_characters


def test_tokens_to_add_stand_for_one_id() -> None:
    extra = {"<mask>": 5, "<PAD>": 260, "zero": 0}
    assert token_to_character_ids("<mask>", tokens_to_add=extra) == spelled(6)
    assert token_to_character_ids("<PAD>", tokens_to_add=extra) == spelled(261)
    assert token_to_character_ids("zero", tokens_to_add=extra) == spelled(1)
    assert token_to_character_ids("<mask", tokens_to_add=extra) == spelled(
        61, 110, 98, 116, 108
    )
    assert token_to_character_ids("a", tokens_to_add={}) == spelled(98)


def test_tokens_to_add_go_before_the_boundary_tokens() -> None:
    assert token_to_character_ids("<S>", tokens_to_add={"<S>": 7}) == spelled(8)
    assert token_to_character_ids("</S>", tokens_to_add={"<S>": 7}) == spelled(258)


def test_tokens_to_add_with_another_length() -> None:
    ids = token_to_character_ids("@", 12, {"@": 9})
    assert ids == spelled(10, length=12)


@given(st.text(st.characters(exclude_categories=()), max_size=70))
def test_any_token_is_spelled_as_in_the_reference(token: str) -> None:
    for length in (50, 12):
        ids = token_to_character_ids(token, length)
        assert ids == reference_numpy.character_ids(token, length)
        assert len(ids) == length
        assert min(ids) >= 1
        assert max(ids) <= PADDING


def test_tokens_to_character_ids_is_one_row_a_token() -> None:
    tokens = ["The", "", "<S>", "naïve", "x" * 99]
    ids = tokens_to_character_ids(tokens)
    assert ids.shape == (5, 50)
    assert ids.dtype == np.int64
    assert ids.tolist() == [token_to_character_ids(t) for t in tokens]


@pytest.mark.parametrize("max_characters", [12, 50])
def test_tokens_to_character_ids_without_tokens(max_characters: int) -> None:
    ids = tokens_to_character_ids([], max_characters)
    assert ids.shape == (0, max_characters)
    assert ids.dtype == np.int64


def test_tokens_to_character_ids_with_another_length() -> None:
    ids = tokens_to_character_ids(["a", "abcdefghijklmnop"], 12)
    expected = [token_to_character_ids(t, 12) for t in ["a", "abcdefghijklmnop"]]
    assert ids.tolist() == expected
