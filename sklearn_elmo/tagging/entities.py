"""Precision, recall and F1 of whole entities or chunks in IOB2 tags."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sklearn_elmo.errors import TextValueError
from sklearn_elmo.messages import quote
from sklearn_elmo.tagging.tag_lists import as_tag_lists, check_lengths

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["entity_f1_score", "entity_report"]

# The type of an entity whose tags are plain "B" and "I".
_NO_TYPE = "_"


class _Entity(NamedTuple):
    """A whole entity: its text, the range of its tokens, and its type."""

    row: int
    start: int
    stop: int
    type: str


class _Scores(NamedTuple):
    """Precision, recall, F1 and the number of true entities; 0 where undefined."""

    precision: float
    recall: float
    f1: float
    support: int


def entity_report(y_true: Any, y_pred: Any) -> "pd.DataFrame":
    """Return precision, recall and F1 of entities, per type and over all.

    An entity counts as found if its type and its first and last token are right. Tags
    are read strictly as IOB2: ``B-TYPE`` begins an entity, ``I-TYPE`` continues one of
    its own type and is ignored elsewhere, ``O`` is outside. The numbers are those of
    seqeval's ``classification_report(..., mode="strict", scheme=IOB2)``.

    Parameters
    ----------
    y_true, y_pred : sequence of lists of str
        One list of tags per text, of equal lengths.

    Returns
    -------
    DataFrame
        One row per entity type, in alphabetical order, then ``"micro avg"``, with the
        columns precision, recall, f1 and support (the number of true entities). A
        ratio without a denominator is 0.

    Raises
    ------
    TextValueError
        If lengths differ, or a tag is not an IOB2 tag; names the row.

    Examples
    --------
    >>> from sklearn_elmo.tagging import entity_report
    >>> y_true = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC"]]
    >>> y_pred = [["B-PER", "I-PER", "O", "O"], ["B-PER"]]
    >>> entity_report(y_true, y_pred)
               precision    recall        f1  support
    LOC              0.0  0.000000  0.000000        2
    PER              0.5  1.000000  0.666667        1
    micro avg        0.5  0.333333  0.400000        3
    """
    import pandas as pd

    true, found = _entities_of_both(y_true, y_pred)
    types = sorted({entity.type for entity in true | found})
    n_true, n_found, n_right = (
        Counter(entity.type for entity in entities)
        for entities in (true, found, true & found)
    )
    rows = {name: _score(n_true[name], n_found[name], n_right[name]) for name in types}
    rows["micro avg"] = _score(len(true), len(found), len(true & found))
    return pd.DataFrame(rows.values(), index=list(rows), columns=_Scores._fields)


def entity_f1_score(y_true: Any, y_pred: Any) -> float:
    """Return the F1 of entities over all types: `entity_report`'s micro average.

    ``make_scorer(entity_f1_score)`` makes it the score of a grid search.

    Parameters
    ----------
    y_true, y_pred : sequence of lists of str
        As in `entity_report`.

    Returns
    -------
    float

    Raises
    ------
    TextValueError
        As in `entity_report`.

    Examples
    --------
    >>> from sklearn_elmo.tagging import entity_f1_score
    >>> entity_f1_score([["B-PER", "I-PER", "O"]], [["B-PER", "O", "O"]])
    0.0
    """
    true, found = _entities_of_both(y_true, y_pred)
    return _score(len(true), len(found), len(true & found)).f1


def _score(n_true: int, n_found: int, n_right: int) -> _Scores:
    return _Scores(
        precision=n_right / max(n_found, 1),
        recall=n_right / max(n_true, 1),
        f1=2 * n_right / max(n_true + n_found, 1),
        support=n_true,
    )


def _entities_of_both(y_true: Any, y_pred: Any) -> tuple[set[_Entity], set[_Entity]]:
    true, found = as_tag_lists(y_true, "y_true"), as_tag_lists(y_pred, "y_pred")
    check_lengths(true, found, names=("tags in y_true", "tags in y_pred"))
    return set(_entities(true, "y_true")), set(_entities(found, "y_pred"))


def _entities(tag_lists: Sequence[list[Any]], name: str) -> Iterator[_Entity]:
    for row, tags in enumerate(tag_lists):
        start, current = 0, ""
        for position, tag in enumerate([*tags, "O"]):
            prefix, kind = _parse(tag, row, position, name)
            if current and not (prefix == "I" and kind == current):
                yield _Entity(row, start, position, current)
                current = ""
            if prefix == "B":
                start, current = position, kind


def _parse(tag: Any, row: int, position: int, name: str) -> tuple[str, str]:
    """Return the prefix and the type of an IOB2 tag."""
    if tag == "O":
        return "O", ""
    prefix, dash, kind = str(tag).partition("-")
    if prefix not in ("B", "I") or (dash and not kind):
        message = (
            f"Tag {position} of row {row} of {name} is {quote(tag)}; expected an IOB2 "
            "tag: 'O', 'B-TYPE' or 'I-TYPE'. Convert other schemes to IOB2 first; for "
            "tags without entities use accuracy_score."
        )
        raise TextValueError(message)
    return prefix, kind or _NO_TYPE
