"""Plots and explanations of fitted estimators.

The displays follow scikit-learn's: ``from_estimator`` computes and draws, ``plot``
draws again, ``ax_`` and ``figure_`` hold what was drawn. They need matplotlib
(``pip install "sklearn-elmo[plot]"``), which is imported when something is drawn.
"""

from sklearn_elmo.inspection.explanation import TextExplanation
from sklearn_elmo.inspection.grid_scores import GridScoresDisplay
from sklearn_elmo.inspection.layer_weights import LayerWeightsDisplay
from sklearn_elmo.inspection.linear import explain_text
from sklearn_elmo.inspection.token_similarity import TokenSimilarityDisplay
from sklearn_elmo.inspection.word_contexts import WordContextsDisplay

__all__ = [
    "GridScoresDisplay",
    "LayerWeightsDisplay",
    "TextExplanation",
    "TokenSimilarityDisplay",
    "WordContextsDisplay",
    "explain_text",
]
