"""Finding the step of a composed estimator that a plot is about."""

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["find_steps"]


def find_steps(estimator: Any, wanted: Callable[[Any], bool]) -> list[Any]:
    """Return the wanted estimators inside a pipeline, union, transformer or search.

    Parameters
    ----------
    estimator : object
        Itself wanted, or a `Pipeline`, `FeatureUnion`, `ColumnTransformer`, fitted
        search, or anything with a ``vectorizer_``, nested at will.
    wanted : callable

    Returns
    -------
    list of object
        In the order of the steps.
    """
    if wanted(estimator):
        return [estimator]
    return [found for part in _parts(estimator) for found in find_steps(part, wanted)]


def _parts(estimator: Any) -> Iterator[Any]:
    for name in ("best_estimator_", "vectorizer_"):
        if hasattr(estimator, name):
            yield getattr(estimator, name)
    for name in ("steps", "transformer_list", "transformers_"):
        # (name, estimator) or (name, estimator, columns)
        for step in getattr(estimator, name, ()):
            yield step[1]
