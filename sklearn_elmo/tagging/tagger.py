"""`ElmoTagger`: token lists -> tag lists, with any scikit-learn classifier."""

from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import accuracy_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_elmo.constraints import (
    Constraint,
    check_parameters,
    integer,
    is_finite,
    one_of,
)
from sklearn_elmo.errors import InvalidParameterError, TextTypeError, TextValueError
from sklearn_elmo.messages import quote
from sklearn_elmo.tagging.chain import TagChain, learn_chain, most_probable_tags
from sklearn_elmo.tagging.defaults import make_classifier, make_vectorizer
from sklearn_elmo.tagging.features import (
    read_batches,
    split_by_text,
    training_features,
)
from sklearn_elmo.tagging.tag_lists import as_tag_lists, check_lengths, join_tags
from sklearn_elmo.text import as_texts
from sklearn_elmo.token_vectorizer import ElmoTokenVectorizer

__all__ = ["ElmoTagger"]

FloatArray = npt.NDArray[np.floating[Any]]

_CONSTRAINTS = {
    "classifier": Constraint(
        lambda value: value is None or _is_classifier(value),
        "None or a classifier: an object with fit, predict and get_params",
    ),
    "vectorizer": Constraint(
        lambda value: value is None or isinstance(value, ElmoTokenVectorizer),
        "None or an ElmoTokenVectorizer",
    ),
    "window": integer(0),
    "decoding": one_of("auto", "independent", "viterbi"),
    "transition_weight": Constraint(
        lambda value: is_finite(value) and value >= 0,
        "a float in the range [0.0, inf)",
    ),
}


_DEFAULT_PARTS: dict[str, Callable[[], Any]] = {
    "classifier": make_classifier,
    "vectorizer": make_vectorizer,
}


def _has_probabilities(tagger: "ElmoTagger") -> bool:
    classifier = getattr(tagger, "classifier_", tagger.classifier)
    if classifier is None or hasattr(classifier, "predict_proba"):
        return True
    message = (
        "predict_proba of ElmoTagger is that of its classifier, but "
        f"{type(classifier).__name__} does not have it. Wrap it, for example in "
        "CalibratedClassifierCV."
    )
    raise AttributeError(message)


class ElmoTagger(BaseEstimator):
    r"""Tag the tokens of texts: parts of speech, chunks, named entities.

    A scikit-learn classifier decides on each token from its ELMo vector, which depends
    on the whole text.

    Parameters
    ----------
    classifier : classifier, default=None
        Any scikit-learn classifier of dense rows. None stands for
        ``make_pipeline(StandardScaler(), LogisticRegression(C=0.01))``, whose C is
        ``classifier__logisticregression__C`` in a grid.
    vectorizer : ElmoTokenVectorizer, default=None
        None stands for ``ElmoTokenVectorizer(tokenizer="pretokenized",
        layer_mix="concat")``. Its ``max_tokens`` only limits what `fit` learns from;
        `predict` tags every token.
    window : int, default=0
        Number of tokens on either side whose vectors stand beside the token's own;
        zeros beyond the borders of the text.
    decoding : {"auto", "independent", "viterbi"}, default="auto"
        ``"independent"``: each token gets what ``classifier.predict`` says.
        ``"viterbi"``: each text gets its best tag sequence under the classifier's
        probabilities and the transitions between tags; needs ``predict_proba``.
        ``"auto"``: ``"viterbi"`` if the classifier has ``predict_proba``, else
        ``"independent"``.
    transition_weight : float, default=0.5
        Weight of the transitions in Viterbi decoding. 1 makes it a hidden Markov
        model; as the vectors already know the context, less is usually better.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The tags, in the order of the columns of `predict_proba`.
    classifier_ : classifier
        The fitted clone of `classifier`.
    vectorizer_ : ElmoTokenVectorizer
        The fitted clone of `vectorizer`.
    transitions_ : ndarray of shape (n_classes + 1, n_classes + 1)
        Smoothed probability of each next tag, or of the end of the text (last column),
        after each tag or the start of the text (last row).
    frequencies_ : ndarray of shape (n_classes + 1,)
        The same whatever was before.

    See Also
    --------
    ElmoTokenVectorizer : The vectors of tokens.
    sklearn_elmo.tagging.entity_report : Precision, recall and F1 of whole entities.

    Notes
    -----
    `fit` holds the features of all its tokens in one float32 array of
    ``4 * n_tokens * n_features * (2 * window + 1)`` bytes: 1.3 GB for 200,000 tokens
    with the bundled model, all layers and ``window=0``. ``layer_mix="average"`` needs
    a third of it, and ``max_tokens`` cuts long texts. Classifiers may add to it. The
    default one scales in place and, with scikit-learn 1.9, adds less than a tenth. Its
    older solvers may convert float32 features to float64 in every step (1.6 did), which
    adds twice as much again. A `StandardScaler` of your own adds twice as much in
    any case. The vectorizer's ``cache`` saves time in cross-validation, not memory.
    `predict` reads texts in chunks.

    Viterbi decoding maximises, over the tags y of a text with n tokens x,

    .. math::
        \sum_{t=1}^{n} \log p(y_t | x_t)
        + w \sum_{t=1}^{n+1} \log \frac{p(y_t | y_{t-1})}{f(y_t)}

    where p(y | x) is from the classifier, w is `transition_weight`, p(y' | y) is
    `transitions_`, f is `frequencies_`, y_0 is the start of the text and y_{n+1} its
    end. Dividing by f keeps the frequency of a tag from counting twice; it assumes
    that p(y | x) reflects these frequencies, which ``class_weight="balanced"`` undoes.

    The tagger is not a scikit-learn *classifier* (`sklearn.base.is_classifier`): its
    targets are lists, which can neither be stratified nor given to a classifier's
    metrics. `cross_val_score` and `GridSearchCV` work with its `score`, and with
    ``scoring=make_scorer(entity_f1_score)``; folds are not stratified.
    `cross_val_predict` cannot join lists of unequal lengths.

    Examples
    --------
    >>> from sklearn_elmo import ElmoTagger
    >>> X = [["A", "cat", "sat"], ["Dogs", "bark"], ["The", "dog", "ran"]]
    >>> y = [["DET", "NOUN", "VERB"], ["NOUN", "VERB"], ["DET", "NOUN", "VERB"]]
    >>> tagger = ElmoTagger().fit(X, y)
    >>> tagger.predict([["The", "cats", "bark"], []])
    [['DET', 'NOUN', 'VERB'], []]
    >>> tagger.predict_proba([["Dogs"]])[0].shape
    (1, 3)
    """

    classes_: npt.NDArray[Any]
    classifier_: Any
    vectorizer_: ElmoTokenVectorizer
    transitions_: npt.NDArray[np.float64]
    frequencies_: npt.NDArray[np.float64]

    def __init__(
        self,
        classifier: Any = None,
        *,
        vectorizer: Any = None,
        window: int = 0,
        decoding: str = "auto",
        transition_weight: float = 0.5,
    ) -> None:
        self.classifier = classifier
        self.vectorizer = vectorizer
        self.window = window
        self.decoding = decoding
        self.transition_weight = transition_weight

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        return tags

    def set_params(self, **params: Any) -> Self:
        """Set parameters, those of parts too, as in ``vectorizer__layers=0``.

        A part that is None becomes what None stands for, with the new parameters; the
        default classifier's are ``classifier__logisticregression__C`` and so on.

        Parameters
        ----------
        **params
            By their names.

        Returns
        -------
        ElmoTagger
        """
        for part, make in _DEFAULT_PARTS.items():
            is_nested = any(name.startswith(f"{part}__") for name in params)
            if is_nested and part not in params and getattr(self, part) is None:
                setattr(self, part, make())
        super().set_params(**params)
        return self

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from tagged texts.

        Parameters
        ----------
        X : iterable of lists of str
            Texts as tokens, in any container that `ElmoVectorizer` takes. If the
            vectorizer has a tokenizer of its own, texts as str.
        y : iterable of lists of str or of int
            The tags of each text, one per token.

        Returns
        -------
        ElmoTagger

        Raises
        ------
        TextValueError
            If a text has more or fewer tokens than tags (names the first row and both
            numbers), or there are no tokens at all.
        TextTypeError
            If a text or its tags are not a list, or a token or tag has a wrong type.
        InvalidParameterError
            If a parameter is invalid; with ``decoding="viterbi"``, if the classifier
            does not have `predict_proba`.
        """
        self._check_parameters()
        vectorizer = _clone_or_make(self.vectorizer, make_vectorizer)
        classifier = _clone_or_make(self.classifier, make_classifier)
        if self.decoding == "viterbi":
            _require_probabilities(classifier)
        texts, tag_lists = _list_pairs(X, y, vectorizer)
        vectorizer.fit(texts, tag_lists)
        tag_lists = [tags[: vectorizer.max_tokens] for tags in tag_lists]
        n_tokens = list(map(len, tag_lists))
        features = training_features(vectorizer, texts, n_tokens, self.window)
        self.classifier_ = classifier.fit(features, join_tags(tag_lists))
        self.vectorizer_ = vectorizer.set_params(max_tokens=None)
        self.classes_ = self.classifier_.classes_
        position = {tag: number for number, tag in enumerate(self.classes_.tolist())}
        self.frequencies_, self.transitions_ = learn_chain(
            [np.array([position[tag] for tag in tags], int) for tags in tag_lists],
            len(self.classes_),
        )
        return self

    def predict(self, X: Any) -> list[list[Any]]:
        """Return the tags of texts.

        Parameters
        ----------
        X : iterable of lists of str
            As in `fit`. A missing or empty text has no tags.

        Returns
        -------
        list of list of str or of int
            One list per text, with one tag per token.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ModelMismatchError, TextTypeError, \
TextValueError
            As in `ElmoTokenVectorizer.transform`.
        InvalidParameterError
            As in `fit`.
        """
        check_is_fitted(self)
        self._check_parameters()
        decodes = self.decoding == "viterbi" or (
            self.decoding == "auto" and hasattr(self.classifier_, "predict_proba")
        )
        tags = self._decode(X) if decodes else self._apply("predict", X)
        return [of_text.tolist() for of_text in tags]

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> list[FloatArray]:
        """Return the classifier's probabilities of tags; `decoding` has no part in it.

        Only available if the classifier has `predict_proba`.

        Parameters
        ----------
        X : iterable of lists of str
            As in `predict`.

        Returns
        -------
        list of ndarray
            One array of shape (n_tokens, n_classes) per text, with columns in the
            order of `classes_`.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ModelMismatchError, TextTypeError, \
TextValueError
            As in `predict`.
        """
        check_is_fitted(self)
        return self._apply("predict_proba", X)

    def score(self, X: Any, y: Any) -> float:
        """Return the accuracy over all tokens.

        Parameters
        ----------
        X : iterable of lists of str
        y : iterable of lists of str or of int
            The true tags. One that `fit` never saw counts as an error.

        Returns
        -------
        float

        Raises
        ------
        TextValueError, TextTypeError
            As in `fit`, or one of `fit` and `score` got str and the other int.
        """
        check_is_fitted(self)
        texts, tag_lists = _list_pairs(X, y, self.vectorizer_)
        true, predicted = join_tags(tag_lists), join_tags(self.predict(texts))
        # scikit-learn before 1.8 calls them all wrong.
        if (true.dtype.kind == "U") != (predicted.dtype.kind == "U"):
            message = (
                f"The first tag of y is {quote(true[0].item())}, but fit was given "
                f"tags such as {quote(predicted[0].item())}; expected no mix of str "
                "and int. Convert them to one type."
            )
            raise TextTypeError(message)
        return float(accuracy_score(true, predicted))

    def _check_parameters(self) -> None:
        parameters = self.get_params(deep=False)
        check_parameters(type(self).__name__, parameters, _CONSTRAINTS)

    def _apply(self, method: str, X: Any) -> list[npt.NDArray[Any]]:
        """Return what a method of the classifier returns, for each text."""
        texts = _list_texts(X, self.vectorizer_)
        nothing = self.classes_[:0]
        if method == "predict_proba":
            nothing = np.zeros((0, len(self.classes_)))
        results = [nothing for _ in texts]
        for batch in read_batches(self.vectorizer_, texts):
            values = getattr(self.classifier_, method)(batch.features(self.window))
            n_tokens = list(map(len, batch.vectors))
            for row, of_text in zip(
                batch.rows, split_by_text(values, n_tokens), strict=True
            ):
                results[row] = of_text
            for row, original in batch.repeats:
                results[row] = results[original].copy()
        return results

    def _decode(self, X: Any) -> Iterator[npt.NDArray[Any]]:
        _require_probabilities(self.classifier_)
        tag_chain = TagChain(self.frequencies_, self.transitions_)
        for probabilities in self._apply("predict_proba", X):
            yield self.classes_[
                most_probable_tags(probabilities, tag_chain, self.transition_weight)
            ]


def _clone_or_make(estimator: Any, make: Callable[[], Any]) -> Any:
    return make() if estimator is None else clone(estimator)


def _is_classifier(value: Any) -> bool:
    methods = ("fit", "predict", "get_params")
    return not isinstance(value, type) and all(hasattr(value, name) for name in methods)


def _require_probabilities(classifier: Any) -> None:
    if not hasattr(classifier, "predict_proba"):
        message = (
            "decoding='viterbi' of ElmoTagger needs probabilities, but "
            f"{type(classifier).__name__} does not have predict_proba. Wrap it, for "
            "example in CalibratedClassifierCV, or choose decoding='independent'."
        )
        raise InvalidParameterError(message)


def _list_texts(X: Any, vectorizer: ElmoTokenVectorizer) -> list[Any]:
    return as_texts(
        X,
        estimator="ElmoTagger",
        pretokenized=vectorizer.tokenizer == "pretokenized",
        refuse_missing=vectorizer.missing == "error",
    )


def _list_pairs(
    X: Any, y: Any, vectorizer: ElmoTokenVectorizer
) -> tuple[list[Any], list[list[Any]]]:
    """Return texts and tag lists that fit together, before anything costly is done."""
    texts, tag_lists = _list_texts(X, vectorizer), as_tag_lists(y)
    tokens = clone(vectorizer).set_params(max_tokens=None).tokenize(texts)
    check_lengths(tokens, tag_lists, names=("tokens in X", "tags in y"))
    if not any(tag_lists):
        message = (
            f"X has {len(texts)} texts without any token; ElmoTagger needs tagged "
            "tokens. Pass texts that are not empty."
        )
        raise TextValueError(message)
    join_tags(tag_lists)  # refuses tags of wrong types
    return texts, tag_lists
