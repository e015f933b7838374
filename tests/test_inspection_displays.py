"""The displays: what they compute, what they draw, what they refuse."""

import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline

from sklearn_elmo import ElmoTokenVectorizer, ElmoVectorizer
from sklearn_elmo.errors import InvalidParameterError, TextValueError
from sklearn_elmo.inspection import (
    GridScoresDisplay,
    LayerWeightsDisplay,
    TokenSimilarityDisplay,
    WordContextsDisplay,
)
from sklearn_elmo.inspection.word_contexts import _free_offsets

mpl.use("agg")

TEXTS = ["A great film .", "A bad film !", "Great , great", "So bad"]
LABELS = ["good", "bad", "good", "bad"]


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def token_vectorizer(tiny_model):
    return ElmoTokenVectorizer(tiny_model, tokenizer="whitespace").fit([])


@pytest.fixture(scope="module")
def learned(tiny_model):
    return ElmoVectorizer(tiny_model, layers=[0, 2], layer_mix="learned").fit(
        TEXTS, LABELS
    )


def texts_of(artists):
    return [artist.get_text() for artist in artists]


# Layer weights


def test_layer_weights_are_the_learned_ones(learned):
    display = LayerWeightsDisplay.from_estimator(learned)
    np.testing.assert_array_equal(display.weights, learned.layer_weights_)
    heights = [bar.get_height() for bar in display.bars_]
    np.testing.assert_allclose(heights, learned.layer_weights_)
    labels = texts_of(display.ax_.get_xticklabels())
    assert [label.split("\n")[0] for label in labels] == ["0", "2"]
    assert f"{learned.layer_scale_:.2f}" in display.ax_.get_title()
    display.figure_.canvas.draw()


def test_layer_weights_of_a_token_vectorizer(tiny_model):
    vectorizer = ElmoTokenVectorizer(tiny_model, layer_mix="learned")
    vectorizer.fit(TEXTS, LABELS)
    display = LayerWeightsDisplay.from_estimator(vectorizer)
    assert len(display.bars_) == 3


def compositions(learned):
    pipeline = make_pipeline(learned, DummyClassifier()).fit(TEXTS, LABELS)
    nested = make_pipeline(FeatureUnion([("a", learned)]), DummyClassifier())
    columns = ColumnTransformer([("a", learned, 0)])
    search = GridSearchCV(pipeline, {"dummyclassifier__random_state": [0]}, cv=2)
    yield pipeline
    yield nested.fit(TEXTS, LABELS)
    yield columns.fit(np.array(TEXTS, dtype=object)[:, None], LABELS)
    yield search.fit(TEXTS, LABELS)


def test_layer_weights_are_found_inside_compositions(learned):
    for composed in compositions(learned):
        display = LayerWeightsDisplay.from_estimator(composed)
        np.testing.assert_allclose(display.weights, learned.layer_weights_)


def test_layer_weights_that_are_not_there_or_twice_are_refused(learned, tiny_model):
    plain = make_pipeline(ElmoVectorizer(tiny_model), DummyClassifier())
    with pytest.raises(InvalidParameterError, match=r"holds 0 .* layer_mix='learned'"):
        LayerWeightsDisplay.from_estimator(plain.fit(TEXTS, LABELS))
    union = FeatureUnion([("a", learned), ("b", learned)]).fit(TEXTS, LABELS)
    with pytest.raises(InvalidParameterError, match="FeatureUnion holds 2"):
        LayerWeightsDisplay.from_estimator(union)


def test_layer_weights_are_drawn_on_given_axes():
    _, (left, right) = plt.subplots(1, 2)
    display = LayerWeightsDisplay([-0.5, 1.0], layers=[1, 2])
    assert display.plot(ax=right) is display
    assert display.ax_ is right
    assert display.figure_ is right.figure
    assert not left.patches


# Grid scores


class Scored(TransformerMixin, BaseEstimator):
    """Takes the parameters of a vectorizer and computes nothing."""

    def __init__(self, layers="all", pooling="mean", extra=0):
        self.layers = layers
        self.pooling = pooling
        self.extra = extra

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X

    def score(self, X, y=None):
        points = {"mean": 0.1, "max": 0.2}
        pooled = sum(points[name] for name in np.atleast_1d(self.pooling))
        return pooled + len(np.atleast_1d(self.layers)) + self.extra


def fitted_search(grid, estimator=None):
    search = GridSearchCV(estimator or Scored(), grid, cv=2, refit=False)
    return search.fit(np.zeros((4, 1)))


def test_grid_scores_are_the_best_of_the_other_parameters():
    grid = {
        "layers": ["all", [0, 1]],
        "pooling": ["mean", ["mean", "max"]],
        "extra": [0, 5, 1],
    }
    display = GridScoresDisplay.from_estimator(fitted_search(grid))
    assert display.rows == ["all", "0 + 1"]
    assert display.columns == ["mean", "mean + max"]
    np.testing.assert_allclose(display.scores, [[6.1, 6.3], [7.1, 7.3]])
    cells = texts_of(display.ax_.texts)
    assert cells == ["6.100", "6.300", "7.100", "7.300"]
    assert "0 + 1" in display.ax_.get_title()
    [frame] = display.ax_.patches
    assert frame.get_xy() == (0.5, 0.5)


def test_grid_scores_of_steps_leave_cells_blank_that_were_not_searched():
    pipeline = make_pipeline(Scored())
    grid = [
        {"scored__layers": [0], "scored__pooling": ["mean", "max"]},
        {"scored__layers": ["all"], "scored__pooling": ["max"]},
        {"scored__extra": [9]},
    ]
    display = GridScoresDisplay.from_estimator(fitted_search(grid, pipeline))
    assert display.rows == ["0", "all"]
    np.testing.assert_allclose(display.scores, [[1.1, 1.2], [np.nan, 1.2]])
    assert len(display.ax_.texts) == 3
    assert display.ax_.get_xlabel() == "pooling"


def test_grid_scores_that_all_failed_are_blank():
    display = GridScoresDisplay(
        [[np.nan]], ["a"], ["b"], row_name="layers", column_name="pooling"
    ).plot()
    assert not display.ax_.texts
    assert not display.ax_.patches
    display.figure_.canvas.draw()


@pytest.mark.parametrize(
    ("grid", "problem"),
    [
        ({"layers": [0, 1]}, "varies 0 parameters that end in 'pooling'"),
        ({"a__layers": [0], "b__layers": [1], "pooling": ["mean"]}, "varies 2"),
    ],
)
def test_grid_scores_need_one_parameter_for_rows_and_columns(grid, problem):
    search = GridSearchCV(Scored(), grid)
    search.cv_results_ = {
        "params": [{name: values[0] for name, values in grid.items()}],
        "mean_test_score": [1.0],
    }
    with pytest.raises(InvalidParameterError, match=problem):
        GridScoresDisplay.from_estimator(search)


def test_grid_scores_need_a_fitted_search():
    with pytest.raises(InvalidParameterError, match="fitted search; got GridSearchCV"):
        GridScoresDisplay.from_estimator(GridSearchCV(Scored(), {}))
    search = fitted_search({"layers": [0], "pooling": ["mean"]})
    with pytest.raises(InvalidParameterError, match="'mean_test_f1'"):
        GridScoresDisplay.from_estimator(search, score="mean_test_f1")


def test_grid_scores_take_names_of_steps():
    grid = {"a__layers": [0], "b__layers": [1, 2], "pooling": ["mean"]}
    search = GridSearchCV(Scored(), grid)
    search.cv_results_ = {
        "params": [{"a__layers": 0, "b__layers": i, "pooling": "mean"} for i in (1, 2)],
        "mean_test_score": [1.0, 2.0],
    }
    display = GridScoresDisplay.from_estimator(search, rows="b__layers")
    assert display.rows == ["1", "2"]


# Token similarity


def test_token_similarity_is_the_cosine_of_token_vectors(token_vectorizer):
    display = TokenSimilarityDisplay.from_estimator(
        token_vectorizer, "a great film", "costs $5 $6"
    )
    u, v = token_vectorizer.transform(["a great film", "costs $5 $6"])
    expected = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in v] for a in u]
    np.testing.assert_allclose(display.similarities, expected, atol=1e-5)
    # As they are, not as mathematics between dollar signs.
    assert texts_of(display.ax_.get_xticklabels()) == ["costs", "$5", "$6"]
    assert not any(t.get_parse_math() for t in display.ax_.get_xticklabels())
    assert texts_of(display.ax_.get_yticklabels()) == ["a", "great", "film"]
    assert display.im_.get_clim() == (-1, 1)
    display.figure_.canvas.draw()


def test_token_similarity_shows_no_negative_zero():
    display = TokenSimilarityDisplay([[-0.04, 0.04]], ["a"], ["b", "c"]).plot()
    assert texts_of(display.ax_.texts) == ["0.0", "0.0"]


def test_token_similarity_needs_tokens(token_vectorizer):
    with pytest.raises(TextValueError, match="' ' has no tokens"):
        TokenSimilarityDisplay.from_estimator(token_vectorizer, "a film", " ")


def test_displays_need_a_fitted_vectorizer(tiny_model):
    vectorizer = ElmoTokenVectorizer(tiny_model)
    with pytest.raises(NotFittedError):
        TokenSimilarityDisplay.from_estimator(vectorizer, "a", "b")
    with pytest.raises(NotFittedError):
        WordContextsDisplay.from_estimator(vectorizer, ["a", "a"], "a")


# Word contexts


def test_word_contexts_project_every_occurrence(token_vectorizer):
    texts = ["Play it", "a play , a play", "nothing", "they play $ 5"]
    display = WordContextsDisplay.from_estimator(
        token_vectorizer, texts, "play", labels=["verb", "noun", "none", "verb"]
    )
    vectors = token_vectorizer.transform(texts)
    rows = np.stack([vectors[0][0], vectors[1][1], vectors[1][4], vectors[3][1]])
    np.testing.assert_allclose(
        display.coordinates, PCA(2).fit_transform(rows), atol=1e-5
    )
    assert [tuple(context) for context in display.contexts] == [
        ("", "Play", " it"),
        ("a ", "play", " , a play"),
        ("a play , a ", "play", ""),
        ("they ", "play", " $ 5"),
    ]
    assert display.labels == ["verb", "noun", "noun", "verb"]
    assert texts_of(display.ax_.get_legend().get_texts()) == ["verb", "noun"]
    listed = texts_of(display.list_ax_.texts)
    assert listed[:2] == ["1", r"$\bf{Play}$ it"]
    assert listed[-1] == r"they $\bf{play}$ \$ 5"
    display.figure_.canvas.draw()


def test_word_contexts_take_any_projection_and_do_not_fit_it(token_vectorizer):
    projection = TruncatedSVD(2, random_state=0)
    display = WordContextsDisplay.from_estimator(
        token_vectorizer, ["a b", "b a", "a"], "a", projection=projection
    )
    assert display.coordinates.shape == (3, 2)
    assert not hasattr(projection, "components_")
    assert display.ax_.get_legend() is None


def test_word_contexts_list_a_spread_of_many_sentences(token_vectorizer):
    texts = [f"the word {number}" for number in range(100)]
    display = WordContextsDisplay.from_estimator(
        token_vectorizer, texts, "word", max_listed=5
    )
    numbers = [t for t in texts_of(display.list_ax_.texts) if t.isdigit()]
    assert numbers == ["1", "26", "51", "75", "100"]
    assert len(display.ax_.collections[0].get_offsets()) == 100


def test_word_contexts_on_small_given_axes_keep_the_list_inside(token_vectorizer):
    figure, ax = plt.subplots(figsize=(6, 2))
    texts = ["a rather long sentence with the word play in it " * 2] * 8
    display = WordContextsDisplay.from_estimator(token_vectorizer, texts, "play", ax=ax)
    assert display.ax_ is ax
    figure.canvas.draw()
    box = display.list_ax_.get_window_extent()
    lowest = min(t.get_window_extent().y0 for t in display.list_ax_.texts)
    assert lowest > box.y0 - 0.1 * box.height


def test_word_contexts_of_token_lists(tiny_model):
    vectorizer = ElmoTokenVectorizer(tiny_model, tokenizer="pretokenized").fit([])
    display = WordContextsDisplay.from_estimator(
        vectorizer, [["a", "play"], ["plays", "Play"]], "PLAY"
    )
    assert [context.before for context in display.contexts] == ["a ", "plays "]


@pytest.mark.parametrize("word", ["missing", "film"])
def test_word_that_is_not_there_twice_is_refused(token_vectorizer, word):
    with pytest.raises(TextValueError, match=f"'{word}' is [01] times"):
        WordContextsDisplay.from_estimator(token_vectorizer, ["a film", "a"], word)


def test_labels_of_another_number_than_texts_are_refused(token_vectorizer):
    with pytest.raises(TextValueError, match="1 labels for 2 texts"):
        WordContextsDisplay.from_estimator(token_vectorizer, ["a", "a"], "a", ["x"])


def test_numbers_of_crowded_points_do_not_overlap():
    points = np.random.default_rng(0).normal(size=(25, 2)) * 60
    places = points + _free_offsets(points, list(range(25)))
    gaps = np.linalg.norm(places[:, None] - places, axis=2)
    np.fill_diagonal(gaps, np.inf)
    assert gaps.min() > 7


# matplotlib


def test_import_needs_no_matplotlib_and_plots_name_the_extra():
    code = (
        "import sys\n"
        "sys.modules['matplotlib'] = sys.modules['matplotlib.pyplot'] = None\n"
        "from sklearn_elmo.errors import MissingPackageError\n"
        "from sklearn_elmo.inspection import LayerWeightsDisplay\n"
        "display = LayerWeightsDisplay([1.0])\n"
        "try:\n    display.plot()\n"
        "except MissingPackageError as error:\n    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert "sklearn-elmo[plot]" in done.stdout, done.stderr


def test_pipeline_that_learned_its_weights_is_drawn_whole(tiny_model):
    pipeline = make_pipeline(
        ElmoVectorizer(tiny_model, layer_mix="learned"), LogisticRegression()
    ).fit(TEXTS, LABELS)
    display = LayerWeightsDisplay.from_estimator(pipeline)
    assert sum(display.weights) == pytest.approx(1)
