"""Sequence labelling: tags for the tokens of texts, and scores for tagged entities."""

from sklearn_elmo.tagging.entities import entity_f1_score, entity_report
from sklearn_elmo.tagging.tagger import ElmoTagger

__all__ = ["ElmoTagger", "entity_f1_score", "entity_report"]
