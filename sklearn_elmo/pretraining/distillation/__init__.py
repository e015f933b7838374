"""Distillation: sentence and token teachers for the language model being trained."""
