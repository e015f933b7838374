"""`explain_text`: the decision of a linear model, token by token.

With vectors x_t of the tokens, a pooling sum_t w_t x_t whose weights depend on the
tokens alone (mean, sum, idf), and a decision a + <c, pooled>, token t contributes
w_t <c, x_t>. Scaling between pooling and model changes only a and c.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from sklearn_elmo.errors import InvalidParameterError
from sklearn_elmo.idf import Idf
from sklearn_elmo.inspection.explanation import TextExplanation
from sklearn_elmo.inspection.pieces import split_pieces
from sklearn_elmo.messages import quote
from sklearn_elmo.parameters import pooling_names
from sklearn_elmo.token_vectorizer import ElmoTokenVectorizer
from sklearn_elmo.vectorizer import ElmoVectorizer

__all__ = ["explain_text"]

FloatArray = npt.NDArray[np.float64]

_EXPLAINED_POOLINGS = ("mean", "sum", "idf")
# Of the sum of all absolute terms: what float32 vectors round to, with room.
_TOLERANCE = 1e-4


class _LinearDecision(NamedTuple):
    """One decision a + <c, x>, and what it speaks for."""

    coefficients: FloatArray
    intercept: float
    target: Any
    value: float
    """What the pipeline decided on the text."""


def explain_text(
    pipeline: Pipeline, text: str | list[str], target: Any = None
) -> TextExplanation:
    """Return what each token adds to the decision of a linear model on one text.

    The contributions and the intercept add up to ``decision_function`` (for regressors
    to ``predict``), which is checked.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted: an `ElmoVectorizer` with the poolings "mean", "sum" or "idf", then any
        number of `StandardScaler`, then a linear model with ``coef_`` and
        ``intercept_``. A fitted search over such a pipeline counts as its best one.
    text : str, or list of str with ``tokenizer="pretokenized"``
    target : object, optional
        Class that positive contributions speak for. By default ``classes_[1]`` if there
        are two classes, as in ``decision_function``, else the predicted class. Of a
        regressor with several outputs, the number of the output.

    Returns
    -------
    TextExplanation

    Raises
    ------
    InvalidParameterError
        The pipeline is of another kind, or has no such target.
    sklearn.exceptions.NotFittedError
        The pipeline is not fitted.

    Notes
    -----
    A token's vector depends on the tokens around it, and so does its contribution; what
    is exact is that the contributions add up. The parameters ``layers`` and
    ``layer_mix`` may have any value.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_elmo import ElmoVectorizer
    >>> from sklearn_elmo.inspection import explain_text
    >>> texts = ["win cash now", "see you at six", "free prize, call", "ok, thanks"]
    >>> model = make_pipeline(ElmoVectorizer(), LogisticRegression())
    >>> model.fit(texts, ["spam", "ham", "spam", "ham"]).predict(["a free prize"])
    array(['spam'], dtype='<U4')
    >>> explanation = explain_text(model, "a free prize")
    >>> explanation.tokens, explanation.target, bool(explanation.decision > 0)
    (['a', 'free', 'prize'], 'spam', True)
    """
    pipeline = getattr(pipeline, "best_estimator_", pipeline)
    vectorizer, scalers, model = _check_pipeline(pipeline)
    poolings = _check_poolings(vectorizer)
    decision = _fold(scalers, _linear_decision(pipeline, model, text, target))
    token_vectorizer = _token_vectorizer(vectorizer)
    tokens: list[str] = token_vectorizer.tokenize([text])[0]  # type: ignore[assignment]
    [vectors] = token_vectorizer.transform([text])
    contributions = np.zeros(len(tokens))
    blocks = np.split(decision.coefficients, len(poolings))
    for pooling, block in zip(poolings, blocks, strict=True):
        # float64, as linear models compute
        contributions += _token_weights(vectorizer, pooling, tokens) * (vectors @ block)
    explanation = TextExplanation(
        split_pieces(token_vectorizer, text),
        contributions,
        decision.intercept,
        decision.target,
    )
    _check_sum(explanation, decision.value)
    return explanation


def _check_pipeline(pipeline: Any) -> tuple[ElmoVectorizer, list[StandardScaler], Any]:
    """Return vectorizer, scalers and linear model of a pipeline, or refuse it."""
    if not isinstance(pipeline, Pipeline):
        message = (
            "explain_text needs a fitted Pipeline of an ElmoVectorizer and a linear "
            f"model; got {type(pipeline).__name__}. Use make_pipeline."
        )
        raise InvalidParameterError(message)
    check_is_fitted(pipeline)
    steps = [step for _, step in pipeline.steps if step not in (None, "passthrough")]
    vectorizer, scalers, model = steps[0], steps[1:-1], steps[-1]
    expected = [
        (vectorizer, isinstance(vectorizer, ElmoVectorizer), "an ElmoVectorizer"),
        *((s, isinstance(s, StandardScaler), "a StandardScaler") for s in scalers),
        (model, _is_linear(model), "a linear model with coef_ and intercept_"),
    ]
    for step, is_right, wanted in expected:
        if not is_right:
            message = (
                f"The pipeline has {type(step).__name__} where explain_text needs "
                f"{wanted}. It explains an ElmoVectorizer, any number of "
                "StandardScaler, and a linear model, in this order."
            )
            raise InvalidParameterError(message)
    return vectorizer, scalers, model


def _is_linear(model: Any) -> bool:
    return hasattr(model, "coef_") and hasattr(model, "intercept_")


def _check_poolings(vectorizer: ElmoVectorizer) -> tuple[str, ...]:
    """Return the poolings, all of which must be sums of tokens."""
    poolings = pooling_names(vectorizer.pooling)
    for name in poolings:
        if name not in _EXPLAINED_POOLINGS:
            message = (
                f"pooling={name!r} is not a weighted sum over all tokens, so its "
                "decisions are not sums of what tokens contribute. Fit with a pooling "
                f"among {', '.join(map(repr, _EXPLAINED_POOLINGS))}."
            )
            raise InvalidParameterError(message)
    if vectorizer.normalize:
        message = (
            "normalize=True divides a row by its length, which depends on all tokens "
            "at once, so decisions are not sums of what tokens contribute. Fit with "
            "normalize=False."
        )
        raise InvalidParameterError(message)
    return poolings


def _linear_decision(
    pipeline: Pipeline, model: Any, text: Any, target: Any
) -> _LinearDecision:
    """Return the decision of the model that is to be explained."""
    is_class = is_classifier(model)
    method = pipeline.decision_function if is_class else pipeline.predict
    values = np.atleast_1d(np.squeeze(method([text]), axis=0))
    coefficients = np.atleast_2d(np.asarray(model.coef_, dtype=np.float64))
    intercepts = np.broadcast_to(model.intercept_, len(coefficients))
    if len(coefficients) != len(values):
        message = (
            f"{type(model).__name__} makes {len(values)} decisions out of "
            f"{len(coefficients)} rows of coefficients, so none of them is linear. "
            "Choose a model with one row for each, such as LogisticRegression."
        )
        raise InvalidParameterError(message)
    if is_class:
        row, sign, target = _choose_class(model.classes_.tolist(), values, target)
    else:
        row, sign = 0, 1.0
        if len(values) > 1 or target is not None:
            row = _position(list(range(len(values))), target)
    return _LinearDecision(
        sign * coefficients[row],
        sign * float(intercepts[row]),
        target,
        sign * float(values[row]),
    )


def _choose_class(
    classes: list[Any], values: FloatArray, target: Any
) -> tuple[int, float, Any]:
    """Return the row of the decision, its sign, and the class it speaks for."""
    if len(values) == 1:
        # One decision for two classes: for the second, against the first.
        place = 1 if target is None else _position(classes, target)
        return 0, 1.0 if place else -1.0, classes[place]
    row = int(values.argmax()) if target is None else _position(classes, target)
    return row, 1.0, classes[row]


def _position(targets: list[Any], target: Any) -> int:
    if target not in targets:
        message = (
            f"target={quote(target)} is not something that the model decides on. "
            f"Choose among {', '.join(map(str, targets))}."
        )
        raise InvalidParameterError(message)
    return targets.index(target)


def _fold(scalers: list[StandardScaler], decision: _LinearDecision) -> _LinearDecision:
    """Write a decision on scaled rows as one on the rows before scaling."""
    coefficients, intercept, *rest = decision
    for scaler in reversed(scalers):
        if scaler.scale_ is not None:
            coefficients = coefficients / scaler.scale_
        if scaler.with_mean:
            intercept -= float(coefficients @ scaler.mean_)
    return _LinearDecision(coefficients, intercept, *rest)


def _token_vectorizer(vectorizer: ElmoVectorizer) -> ElmoTokenVectorizer:
    """Return the vectorizer of the token vectors that are pooled."""
    parameters = {
        name: value
        for name, value in vectorizer.get_params(deep=False).items()
        if name not in ("pooling", "normalize")
    }
    if isinstance(vectorizer.layer_mix, str) and vectorizer.layer_mix == "learned":
        parameters["layer_mix"] = vectorizer.layer_scale_ * vectorizer.layer_weights_
    return ElmoTokenVectorizer(**parameters).fit([])


def _token_weights(
    vectorizer: ElmoVectorizer, pooling: str, tokens: list[str]
) -> FloatArray:
    """Return the weight of each token's vector in a pooling."""
    if pooling == "idf":
        weights = np.array(Idf(vectorizer.idf_, vectorizer.idf_unseen_).weigh(tokens))
        return weights / weights.sum() if len(weights) else weights
    n_tokens = len(tokens)
    return np.full(n_tokens, 1.0 if pooling == "sum" else 1 / max(1, n_tokens))


def _check_sum(explanation: TextExplanation, value: float) -> None:
    """Refuse an explanation that does not add up: the model is not linear."""
    terms = np.abs(explanation.contributions).sum() + abs(explanation.intercept)
    if abs(explanation.decision - value) > _TOLERANCE * (1 + terms):
        message = (
            f"The contributions add up to {explanation.decision:.4f}, but the pipeline "
            f"decides {value:.4f}: its last step is not a linear model of its input. "
            "Use one whose decision is coef_ times the features, plus intercept_."
        )
        raise InvalidParameterError(message)
