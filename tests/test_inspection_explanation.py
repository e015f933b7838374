"""Explanations add up to what the model decides, and are shown safely."""

import html.parser

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from sklearn_elmo import ElmoVectorizer
from sklearn_elmo.errors import InvalidParameterError, ModelMismatchError
from sklearn_elmo.inspection import TextExplanation, explain_text

mpl.use("agg")

TEXTS = [
    "A great film .",
    "A bad film !",
    "Great , great , great",
    "So bad",
    "What a day",
    "What a bad , bad day",
]
TWO = ["good", "bad", "good", "bad", "none", "none"]
NUMBERS = [1.0, -1.0, 3.0, -1.5, 0.0, -2.0]
NEW = "So great , a film nobody knows !"


def fit(tiny_model, y, *steps, **parameters):
    vectorizer = ElmoVectorizer(tiny_model, tokenizer="whitespace", **parameters)
    return make_pipeline(vectorizer, *steps).fit(TEXTS, y)


@pytest.mark.parametrize("steps", [[], [StandardScaler()]], ids=["plain", "scaled"])
@pytest.mark.parametrize("pooling", ["mean", "sum", "idf", ["idf", "mean", "sum"]])
@pytest.mark.parametrize(
    "layers",
    [
        {"layers": 0},
        {"layers": "top"},
        {},
        {"layer_mix": "concat"},
        {"layer_mix": [0.5, -1, 2]},
        {"layers": [2, 0], "layer_mix": "learned"},
    ],
    ids=str,
)
def test_contributions_add_up_to_the_decision(tiny_model, layers, pooling, steps):
    y = [label == "good" for label in TWO]
    pipeline = fit(
        tiny_model, y, *steps, LogisticRegression(), pooling=pooling, **layers
    )
    for text in [NEW, *TEXTS]:
        explanation = explain_text(pipeline, text)
        assert explanation.tokens == text.split()
        total = explanation.intercept + explanation.contributions.sum()
        [expected] = pipeline.decision_function([text])
        assert total == pytest.approx(expected, rel=1e-5, abs=1e-5)
        assert explanation.decision == total
    assert explanation.target is True


@pytest.mark.parametrize(
    "scalers",
    [
        [StandardScaler(with_mean=False)],
        [StandardScaler(with_std=False)],
        [StandardScaler(with_mean=False, with_std=False)],
        [StandardScaler(), "passthrough", None, StandardScaler(with_std=False)],
    ],
)
def test_contributions_add_up_through_every_kind_of_scaling(tiny_model, scalers):
    pipeline = fit(tiny_model, NUMBERS, *scalers, Ridge())
    explanation = explain_text(pipeline, NEW)
    assert explanation.decision == pytest.approx(pipeline.predict([NEW])[0], abs=1e-5)
    assert explanation.target is None


def test_contribution_is_the_token_vector_times_the_coefficients(tiny_model):
    """Against a row made by hand: without a token, its contribution is missing."""
    pipeline = fit(tiny_model, NUMBERS, Ridge(), pooling="sum", layers=0)
    # Layer 0 does not depend on the neighbours.
    [whole, without] = pipeline.predict(["So great film", "So film"])
    found = explain_text(pipeline, "So great film").contributions
    assert found[1] == pytest.approx(whole - without, abs=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        LinearSVC(),
        RidgeClassifier(),
        SGDClassifier(random_state=0),
        SVC(kernel="linear"),
    ],
)
def test_binary_classifiers_have_one_decision_for_either_class(tiny_model, model):
    y = ["good" if label == "good" else "bad" for label in TWO]
    pipeline = fit(tiny_model, y, StandardScaler(), model)
    [expected] = pipeline.decision_function([NEW])
    assert explain_text(pipeline, NEW).target == "good"
    good, bad = (explain_text(pipeline, NEW, target) for target in ("good", "bad"))
    assert good.decision == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert bad.decision == pytest.approx(-expected, rel=1e-5, abs=1e-5)
    np.testing.assert_allclose(bad.contributions, -good.contributions)


@pytest.mark.parametrize("model", [LogisticRegression(), LinearSVC()])
def test_each_of_many_classes_has_its_own_decision(tiny_model, model):
    pipeline = fit(tiny_model, TWO, StandardScaler(), model)
    [expected] = pipeline.decision_function([NEW])
    for target, value in zip(["bad", "good", "none"], expected, strict=True):
        explanation = explain_text(pipeline, NEW, target)
        assert explanation.decision == pytest.approx(value, abs=1e-5)
    assert explain_text(pipeline, NEW).target == pipeline.predict([NEW])[0]


def test_regressor_with_several_outputs_takes_the_number_of_one(tiny_model):
    y = np.column_stack([NUMBERS, NUMBERS[::-1]])
    pipeline = fit(tiny_model, y, StandardScaler(), LinearRegression())
    explanation = explain_text(pipeline, NEW, target=1)
    assert explanation.decision == pytest.approx(
        pipeline.predict([NEW])[0, 1], abs=1e-5
    )
    with pytest.raises(InvalidParameterError, match=r"target=None .* among 0, 1"):
        explain_text(pipeline, NEW)


def test_text_without_tokens_is_decided_by_the_intercept(tiny_model):
    pipeline = fit(tiny_model, NUMBERS, StandardScaler(), Ridge(), pooling="idf")
    for text in ("", "  ", None):
        explanation = explain_text(pipeline, text)
        assert explanation.tokens == []
        [expected] = pipeline.predict([text])
        assert explanation.intercept == pytest.approx(expected, abs=1e-5)
        assert explanation.to_html()
        assert str(explanation)


def test_search_is_explained_by_its_best_pipeline(tiny_model):
    y = [label == "good" for label in TWO]
    pipeline = fit(tiny_model, y, LogisticRegression())
    search = GridSearchCV(pipeline, {"logisticregression__C": [1, 10]}, cv=2)
    search.fit(TEXTS, y)
    explanation = explain_text(search, NEW)
    [expected] = search.decision_function([NEW])
    assert explanation.decision == pytest.approx(expected, abs=1e-5)


def test_tokens_are_those_that_count(tiny_model):
    pipeline = fit(tiny_model, NUMBERS, Ridge(), max_tokens=3)
    assert explain_text(pipeline, NEW).tokens == ["So", "great", ","]


def test_token_lists_and_tokens_that_are_not_in_the_text(tiny_model):
    vectorizer = ElmoVectorizer(tiny_model, tokenizer="pretokenized")
    lists = [text.split() for text in TEXTS]
    pipeline = make_pipeline(vectorizer, Ridge()).fit(lists, NUMBERS)
    assert explain_text(pipeline, ["So", "bad"]).tokens == ["So", "bad"]
    pipeline = make_pipeline(
        ElmoVectorizer(tiny_model, tokenizer=lambda text: text.lower().split()), Ridge()
    ).fit(TEXTS, NUMBERS)
    explanation = explain_text(pipeline, "So BAD")
    assert explanation.tokens == ["so", "bad"]
    assert ">so</span> <span" in explanation.to_html()


@pytest.mark.parametrize("split", [None, "sentences"])
def test_sentences_read_apart_add_up_too(tiny_model, split):
    pipeline = fit(tiny_model, NUMBERS, StandardScaler(), Ridge(), split=split)
    text = "A great film. A bad day. So what?"
    explanation = explain_text(pipeline, text)
    assert explanation.decision == pytest.approx(pipeline.predict([text])[0], abs=1e-5)


@pytest.mark.parametrize("pooling", ["max", "min", "first", "last", "final"])
def test_poolings_that_are_not_sums_are_refused(tiny_model, pooling):
    pipeline = fit(tiny_model, NUMBERS, Ridge(), pooling=["mean", pooling])
    with pytest.raises(InvalidParameterError, match=f"pooling='{pooling}' is not"):
        explain_text(pipeline, NEW)


def test_normalized_rows_are_refused(tiny_model):
    pipeline = fit(tiny_model, NUMBERS, Ridge(), normalize=True)
    with pytest.raises(InvalidParameterError, match="normalize=False"):
        explain_text(pipeline, NEW)


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ([Normalizer(), Ridge()], "has Normalizer where .* needs a StandardScaler"),
        ([PCA(2), Ridge()], "has PCA where"),
        ([DecisionTreeClassifier()], "has DecisionTreeClassifier where .* a linear"),
        ([SVC(kernel="rbf")], "has SVC where .* needs a linear model"),
    ],
)
def test_other_steps_are_refused(tiny_model, steps, problem):
    y = NUMBERS if isinstance(steps[-1], Ridge) else TWO
    with pytest.raises(InvalidParameterError, match=problem):
        explain_text(fit(tiny_model, y, *steps), NEW)


@pytest.mark.parametrize(
    ("model", "y"),
    [
        (PoissonRegressor(), np.abs(NUMBERS)),
        (PLSRegression(1), NUMBERS),
        (SVC(kernel="linear"), TWO),
    ],
)
def test_models_with_coefficients_that_are_not_linear_are_refused(tiny_model, model, y):
    """They have ``coef_``, but decide something else than its sum."""
    pipeline = fit(tiny_model, y, model, pooling="sum")
    with pytest.raises(InvalidParameterError, match="not a linear model of its input"):
        explain_text(pipeline, NEW)


def test_what_is_not_a_fitted_pipeline_is_refused(tiny_model):
    vectorizer = ElmoVectorizer(tiny_model)
    with pytest.raises(InvalidParameterError, match="got ElmoVectorizer"):
        explain_text(vectorizer, NEW)
    with pytest.raises(NotFittedError):
        explain_text(make_pipeline(vectorizer, Ridge()), NEW)
    with pytest.raises(InvalidParameterError, match="needs a linear model"):
        explain_text(make_pipeline(vectorizer).fit(TEXTS), NEW)


def test_unknown_class_is_refused(tiny_model):
    pipeline = fit(tiny_model, TWO, LogisticRegression())
    with pytest.raises(InvalidParameterError, match=r"'spam' .* bad, good, none"):
        explain_text(pipeline, NEW, target="spam")


def test_parameters_and_weights_changed_after_fit_are_refused(tiny_model, make_model):
    pipeline = fit(tiny_model, NUMBERS, Ridge())
    pipeline[0].set_params(layers=0)
    with pytest.raises(InvalidParameterError, match="Fit again"):
        explain_text(pipeline, NEW)
    pipeline[0].set_params(layers="all", model=make_model(seed=8))
    with pytest.raises(ModelMismatchError):
        explain_text(pipeline, NEW)


# How it is shown

PIECES = [("", "Win"), (" ", "<b>"), ("", "&"), ("\n", "x\x1b[31m")]


@pytest.fixture
def explanation():
    return TextExplanation(PIECES, [2.0, -1.0, 0.01, 0.0], -0.5, '<"spam">')


class Text(html.parser.HTMLParser):
    """Collects tags and text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.attributes = [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes.append(dict(attributes))

    def handle_data(self, data):
        self.text += data


def test_html_is_escaped_and_shows_the_text(explanation):
    page = Text(explanation._repr_html_())
    assert set(page.tags) == {"div", "span"}
    assert page.text.endswith("Win <b>&\nx\x1b[31m")
    assert """'<"spam">'""" in page.text
    titles = [a["title"] for a in page.attributes if "title" in a]
    assert titles == ["+2.0000", "-1.0000", "+0.0100", "+0.0000"]


def test_html_is_blue_for_and_orange_against_in_proportion(explanation):
    styles = [a["style"] for a in Text(explanation.to_html()).attributes[3:]]
    assert styles[0] == "background: rgba(0, 114, 178, 0.75)"
    assert styles[1].startswith("background: rgba(213, 94, 0, 0.3")
    assert styles[3].endswith("0.00)")


def test_ansi_colours_tokens_and_lets_no_control_character_through(explanation):
    text = explanation.to_ansi().partition("\n")[2]
    win, b = "\x1b[30;48;5;39mWin\x1b[0m", "\x1b[30;48;5;216m<b>\x1b[0m"
    assert text == rf"{win} {b}&" + "\n" + r"x\x1b[31m"
    # A gap is not white space with every callable tokenizer.
    assert "\x1b" not in TextExplanation([("\x1b[2J", "a")], [0], 0, 1).to_ansi()


def test_print_is_coloured_in_terminals_only(explanation, monkeypatch):
    table = str(explanation)
    assert "\x1b" not in table
    assert table.splitlines()[1] == "  +2.000  Win"
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert str(explanation) == explanation.to_ansi()
    monkeypatch.setenv("NO_COLOR", "1")
    assert str(explanation) == table


def test_summary_shows_the_sum(explanation):
    assert str(explanation).splitlines()[0] == (
        """decision for '<"spam">': +0.510 = -0.500 (intercept) + 1.010 (tokens)"""
    )
    assert "+0.510" in repr(explanation)
    against = TextExplanation([("", "a")], [-1.0], 0.25, None)
    assert "-0.750 = +0.250 (intercept) - 1.000" in str(against)
    assert "the prediction" in str(against)


def test_plot_has_a_bar_per_token_in_the_order_of_the_text():
    explanation = TextExplanation([("", "$a"), (" ", "b$")], [1.0, -2.0], 0.5, "spam")
    _, ax = plt.subplots()
    assert explanation.plot(ax=ax) is explanation
    assert explanation.ax_ is ax
    assert [bar.get_width() for bar in ax.patches] == [1.0, -2.0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["$a", "b$"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    explanation.figure_.canvas.draw()
    plt.close("all")
