"""Texts in any container -> token lists; independent of models."""

from sklearn_elmo.text.column_names import column_name, frame_column
from sklearn_elmo.text.containers import as_texts
from sklearn_elmo.text.sentences import split_sentences
from sklearn_elmo.text.tokenizers import (
    TOKENIZERS,
    iterate_tokens,
    resolve_tokenizer,
    tokenize_texts,
    tokenize_with_spans,
)

__all__ = [
    "TOKENIZERS",
    "as_texts",
    "column_name",
    "frame_column",
    "iterate_tokens",
    "resolve_tokenizer",
    "split_sentences",
    "tokenize_texts",
    "tokenize_with_spans",
]
