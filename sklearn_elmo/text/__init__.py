"""Texts in any container -> token lists; knows nothing of models."""

from sklearn_elmo.text.containers import as_texts
from sklearn_elmo.text.tokenizers import TOKENIZERS, resolve_tokenizer, tokenize_texts

__all__ = ["TOKENIZERS", "as_texts", "resolve_tokenizer", "tokenize_texts"]
