"""ElmoVectorizer among scikit-learn's own tools.

scikit-learn's common checks feed numbers, and for an estimator of texts they check next
to nothing. So beside the few that run on the real class, all run on an adapter that
takes numbers, writes each row as a text, and hands the texts to `ElmoVectorizer`.
"""

import atexit
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from reference_numpy import make_model
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_score,
)
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks as checks
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import validate_data

from sklearn_elmo import ElmoTokenVectorizer, ElmoVectorizer

# Checks are made at collection, before any fixture.
_FOLDER = tempfile.TemporaryDirectory()
atexit.register(_FOLDER.cleanup)
MODEL = str(make_model(Path(_FOLDER.name), seed=7))

TEXTS = [
    "A great film .",
    "A bad film !",
    "Great , great , great",
    "So bad",
    "What a great day",
    "What a bad , bad day",
    "great value",
    "bad value",
    "Really great",
    "Really bad",
    "great !",
    "bad !",
]
LABELS = np.arange(12) % 2


class NumbersAsTexts(ElmoVectorizer):
    """Reads each row of numbers as a text of decimals."""

    def fit(self, X, y=None):
        return super().fit(self._write(X, reset=True), y)

    def fit_transform(self, X, y=None):
        return ElmoVectorizer.fit_transform.__wrapped__(
            self, self._write(X, reset=True), y
        )

    def transform(self, X):
        # The inner method, lest set_output's wrapper run twice.
        sklearn.utils.validation.check_is_fitted(self)
        return ElmoVectorizer.transform.__wrapped__(self, self._write(X, reset=False))

    def _write(self, X, reset):
        numbers = validate_data(self, X, dtype=np.float64, reset=reset)
        return [" ".join(f"{number:.3f}" for number in row) for row in numbers]

    def _record_column(self, X):
        """Leave the names of the columns of numbers to `validate_data`."""

    def _fitted_column(self):
        return None

    def get_feature_names_out(self, input_features=None):
        # Texts have no columns to name; numbers have, and the checks count them.
        sklearn.utils.validation.check_is_fitted(self)
        sklearn.utils.validation._check_feature_names_in(self, input_features)
        return super().get_feature_names_out()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.one_d_array = False
        tags.input_tags.string = False
        tags.input_tags.allow_nan = False
        return tags


ADAPTERS = [
    NumbersAsTexts(MODEL),
    NumbersAsTexts(MODEL, pooling=["final", "idf"], layer_mix="concat", layers=[2, 0]),
    NumbersAsTexts(MODEL, state="warm", normalize=True, pooling="sum"),
]

REAL = [ElmoVectorizer(MODEL), ElmoTokenVectorizer(MODEL)]

NAMED = [
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_mixin_order",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
]

OUTPUT = [
    "check_get_feature_names_out_error",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_dataframe_column_names_consistency",
    "check_n_features_in_after_fitting",
]


def list_common_checks(estimator):
    """List what `parametrize_with_checks` would run, with its remark left out.

    The remark, a warning, is that most checks cannot be run on texts.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        return list(checks.estimator_checks_generator(estimator))


@pytest.mark.parametrize(
    ("estimator", "check"), [pair for each in REAL for pair in list_common_checks(each)]
)
def test_real_class_passes_the_common_checks(estimator, check):
    check(estimator)


@parametrize_with_checks(ADAPTERS)
def test_adapter_passes_the_common_checks(estimator, check, monkeypatch):
    if check.func.__name__ == "check_methods_subset_invariance":
        # It asks for 1e-7, which a few versions of PyTorch miss by rounding.
        monkeypatch.setattr(checks, "assert_allclose", assert_rows_are_as_promised)
    check(estimator)


def assert_rows_are_as_promised(rows, alone, atol, err_msg):
    np.testing.assert_allclose(rows, alone, rtol=0, atol=5e-6, err_msg=err_msg)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("estimator", REAL, ids=lambda e: type(e).__name__)
def test_real_class_passes_by_name(name, estimator):
    getattr(checks, name)(type(estimator).__name__, clone(estimator))


# The checks fit on frames and transform arrays, and the other way round.
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize("name", OUTPUT)
@pytest.mark.parametrize("number", range(len(ADAPTERS)))
def test_adapter_passes_output_checks_by_name(name, number):
    getattr(checks, name)("NumbersAsTexts", clone(ADAPTERS[number]))


def test_adapter_runs_many_checks():
    """Guards against tags that turn the checks off without a word."""
    found = checks.estimator_checks_generator(ADAPTERS[0])
    assert len(list(found)) > 40


# ------------------------------------------------------------------------ tags


@pytest.mark.parametrize("estimator", REAL, ids=lambda e: type(e).__name__)
def test_tags_say_what_it_takes(estimator):
    tags = get_tags(estimator)
    assert tags.input_tags.string
    assert tags.input_tags.one_d_array
    assert not tags.input_tags.two_d_array
    assert tags.input_tags.allow_nan
    assert not get_tags(
        clone(estimator).set_params(missing="error")
    ).input_tags.allow_nan
    assert tags.transformer_tags.preserves_dtype == []
    assert tags.requires_fit
    assert not tags.non_deterministic
    assert not tags.array_api_support
    assert not tags.target_tags.required


def test_learned_mix_says_that_it_needs_labels():
    vectorizer = ElmoVectorizer(MODEL, layer_mix="learned")
    assert get_tags(vectorizer).target_tags.required


@pytest.mark.parametrize("estimator", REAL, ids=lambda e: type(e).__name__)
def test_bases_come_in_scikit_learns_order(estimator):
    order = type(estimator).__mro__
    assert order.index(TransformerMixin) < order.index(BaseEstimator)


@pytest.mark.parametrize("estimator", REAL, ids=lambda e: type(e).__name__)
def test_repr_and_html_of_fitted_and_unfitted(estimator):
    for each in (clone(estimator), clone(estimator).fit(TEXTS)):
        assert MODEL in repr(each)
        assert type(each).__name__ in each._repr_html_()


def test_no_attributes_that_do_not_apply():
    vectorizer = ElmoVectorizer(MODEL).fit(TEXTS)
    assert not hasattr(vectorizer, "inverse_transform")
    assert not hasattr(vectorizer, "n_features_in_")
    assert not hasattr(vectorizer, "feature_names_in_")


def test_it_takes_no_metadata():
    vectorizer = ElmoVectorizer(MODEL)
    with sklearn.config_context(enable_metadata_routing=True):
        assert vectorizer.get_metadata_routing()._serialize() == {}
        rows = vectorizer.fit_transform(TEXTS, LABELS)
        pipeline = make_pipeline(vectorizer, LogisticRegression())
        pipeline.fit(TEXTS, LABELS)
        search = GridSearchCV(pipeline, {"elmovectorizer__layers": [0, 1]}, cv=2)
        search.fit(TEXTS, LABELS)
        token_rows = ElmoTokenVectorizer(MODEL).fit_transform(TEXTS)
    assert rows.shape == (12, 16)
    assert len(token_rows) == 12


# ------------------------------------------------------------------ set_output


def test_pandas_output_keeps_the_index_of_a_series():
    texts = pd.Series(TEXTS, index=[f"row {i}" for i in range(12)])
    vectorizer = ElmoVectorizer(MODEL).set_output(transform="pandas")
    for table in (vectorizer.fit_transform(texts), vectorizer.transform(texts)):
        assert isinstance(table, pd.DataFrame)
        pd.testing.assert_index_equal(table.index, texts.index)
        assert list(table.columns) == list(vectorizer.get_feature_names_out())
        assert set(table.dtypes) == {np.dtype(np.float32)}
    plain = clone(vectorizer).set_output(transform="default").fit_transform(texts)
    np.testing.assert_array_equal(table, plain)


@pytest.mark.parametrize(
    "texts",
    [
        pd.Series(TEXTS[:3], index=[5, 5, 5]),
        pd.Series(TEXTS[:3], index=pd.date_range("2020-01-01", periods=3)),
        pd.Series(TEXTS[:3], index=pd.MultiIndex.from_tuples([(0, 1), (0, 2), (1, 1)])),
        pd.Series(TEXTS[:3], dtype="string", index=[3, 1, 2]),
        pd.Series(TEXTS[:3], dtype="category", index=[3, 1, 2]),
        pd.DataFrame({"text": TEXTS[:3]}, index=[9, 8, 7]),
        pd.Series([], dtype=object),
    ],
    ids=["repeated", "dates", "multi", "string", "category", "frame", "empty"],
)
def test_pandas_output_keeps_any_index(texts):
    vectorizer = ElmoVectorizer(MODEL).set_output(transform="pandas").fit(TEXTS)
    table = vectorizer.transform(texts)
    pd.testing.assert_index_equal(table.index, texts.index)
    assert table.shape == (len(texts), 16)


def test_polars_output():
    vectorizer = ElmoVectorizer(MODEL).set_output(transform="polars")
    for texts in (TEXTS, pl.Series("text", TEXTS), pl.DataFrame({"text": TEXTS})):
        table = vectorizer.fit_transform(texts)
        assert isinstance(table, pl.DataFrame)
        assert table.columns == list(vectorizer.get_feature_names_out())
        assert set(table.dtypes) == {pl.Float32}
        assert table.height == 12


def test_output_of_a_generator_as_a_frame():
    vectorizer = ElmoVectorizer(MODEL).set_output(transform="pandas")
    table = vectorizer.fit_transform(text for text in TEXTS)
    assert table.shape == (12, 16)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_global_output_setting(kind):
    with sklearn.config_context(transform_output=kind):
        rows = ElmoVectorizer(MODEL).fit_transform(TEXTS)
        tokens = ElmoTokenVectorizer(MODEL).fit_transform(TEXTS)
        again = ElmoTokenVectorizer(MODEL).fit(TEXTS).transform(TEXTS)
    assert type(rows).__module__.startswith(kind)
    assert all(type(array) is np.ndarray for array in tokens + again)


def test_set_output_is_kept_by_clone():
    vectorizer = ElmoVectorizer(MODEL).set_output(transform="pandas")
    assert isinstance(clone(vectorizer).fit_transform(TEXTS), pd.DataFrame)


# ---------------------------------------------------------------- composition


def test_column_transformer_with_the_name_of_a_column_and_with_a_list():
    table = pd.DataFrame({"text": TEXTS, "n": np.arange(12.0)})
    expected = ElmoVectorizer(MODEL).fit_transform(TEXTS)
    for column in ("text", ["text"], 0, [0]):
        transformer = ColumnTransformer(
            [("elmo", ElmoVectorizer(MODEL), column), ("n", StandardScaler(), ["n"])]
        )
        rows = transformer.fit_transform(table)
        np.testing.assert_allclose(rows[:, :16], expected, atol=5e-6)
        names = transformer.get_feature_names_out()
        assert names[0] == "elmo__text_elmo_layers0-1-2_average_mean_0"
        assert len(names) == 17


def test_column_transformer_gives_frames_with_their_index():
    table = pd.DataFrame({"text": TEXTS, "n": np.arange(12.0)}, index=range(50, 62))
    for column in ("text", ["text"]):
        transformer = make_column_transformer(
            (ElmoVectorizer(MODEL), column), remainder="passthrough"
        ).set_output(transform="pandas")
        rows = transformer.fit_transform(table)
        pd.testing.assert_index_equal(rows.index, table.index)
        assert rows.shape == (12, 17)


def test_column_transformer_of_a_polars_frame():
    table = pl.DataFrame({"text": TEXTS, "n": np.arange(12.0)})
    for column in ("text", ["text"]):
        transformer = ColumnTransformer(
            [("elmo", ElmoVectorizer(MODEL), column)], remainder="passthrough"
        ).set_output(transform="polars")
        assert transformer.fit_transform(table).shape == (12, 17)


def test_column_transformer_of_two_columns_is_refused_with_advice():
    table = pd.DataFrame({"a": TEXTS, "b": TEXTS})
    transformer = ColumnTransformer([("elmo", ElmoVectorizer(MODEL), ["a", "b"])])
    with pytest.raises(ValueError, match="with one entry per column of texts"):
        transformer.fit(table)


def test_column_transformer_that_selects_no_rows_or_no_columns():
    table = pd.DataFrame({"text": TEXTS, "n": np.arange(12.0)})
    transformer = ColumnTransformer([("elmo", ElmoVectorizer(MODEL), "text")])
    transformer.fit(table)
    assert transformer.transform(table.iloc[:0]).shape == (0, 16)


def test_feature_union_of_layers_and_poolings():
    union = FeatureUnion(
        [
            ("low", ElmoVectorizer(MODEL, layers=0)),
            ("top", ElmoVectorizer(MODEL, layers="top", pooling=["max", "final"])),
        ]
    )
    rows = union.fit_transform(TEXTS)
    names = union.get_feature_names_out()
    assert rows.shape == (12, 48)
    assert len(set(names)) == 48
    assert names[16] == "top__elmo_layer2_max_0"
    table = union.set_output(transform="pandas").fit_transform(pd.Series(TEXTS))
    assert list(table.columns) == list(names)


def test_feature_union_names_without_prefix_do_not_clash():
    union = FeatureUnion(
        [
            ("low", ElmoVectorizer(MODEL, layers=0)),
            ("top", ElmoVectorizer(MODEL, layers="top")),
        ],
        verbose_feature_names_out=False,
    ).fit(TEXTS)
    assert len(set(union.get_feature_names_out())) == 32


def test_pipeline_names_slices_and_scores():
    pipeline = Pipeline(
        [
            ("elmo", ElmoVectorizer(MODEL, normalize=True)),
            ("scale", StandardScaler()),
            ("classify", LogisticRegression()),
        ]
    ).fit(TEXTS, LABELS)
    assert pipeline.score(TEXTS, LABELS) > 0.9
    assert pipeline[:-1].get_feature_names_out().shape == (16,)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipeline.set_output(transform="pandas").fit(pd.Series(TEXTS), LABELS)
        pipeline.predict(pd.Series(TEXTS))


def test_pipeline_cached_by_memory(tmp_path):
    pipeline = make_pipeline(
        ElmoVectorizer(MODEL, pooling="idf"), LogisticRegression(), memory=str(tmp_path)
    )
    first = pipeline.fit(TEXTS, LABELS).predict_proba(TEXTS)
    second = clone(pipeline).fit(TEXTS, LABELS).predict_proba(TEXTS)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_grid_search_over_layers_mix_and_pooling(n_jobs, tmp_path):
    pipeline = make_pipeline(
        ElmoVectorizer(MODEL, cache=str(tmp_path)), LogisticRegression()
    )
    grid = {
        "elmovectorizer__layers": ["all", [1, 2]],
        "elmovectorizer__layer_mix": ["average", "concat", "learned"],
        "elmovectorizer__pooling": ["mean", ["max", "final"], "idf"],
    }
    search = GridSearchCV(
        pipeline, grid, cv=KFold(2, shuffle=True, random_state=0), n_jobs=n_jobs
    )
    search.fit(TEXTS, LABELS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(pd.Series(TEXTS)).shape == (12,)


def test_randomized_search_over_weights():
    pipeline = make_pipeline(ElmoVectorizer(MODEL), LogisticRegression())
    weights = [(1.0, 0.0, 0.0), [0.5, 0.5, 0.0], np.array([0.0, 0.0, 1.0])]
    search = RandomizedSearchCV(
        pipeline, {"elmovectorizer__layer_mix": weights}, n_iter=3, cv=2, random_state=0
    ).fit(TEXTS, LABELS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_grid_search_reports_a_bad_candidate():
    pipeline = make_pipeline(ElmoVectorizer(MODEL), LogisticRegression())
    search = GridSearchCV(
        pipeline, {"elmovectorizer__layers": [7]}, cv=2, error_score="raise"
    )
    with pytest.raises(ValueError, match="layer 7"):
        search.fit(TEXTS, LABELS)


@pytest.mark.parametrize("texts", [TEXTS, pd.Series(TEXTS), np.array(TEXTS)], ids=type)
def test_cross_val_score_of_learned_mix(texts):
    pipeline = make_pipeline(ElmoVectorizer(MODEL, layer_mix="learned"), Ridge())
    scores = cross_val_score(pipeline, texts, np.linspace(0.5, 3.25, 12), cv=3)
    assert np.isfinite(scores).all()


def test_cloning_a_pipeline_leaves_its_parts_unfitted():
    pipeline = make_pipeline(ElmoVectorizer(MODEL), LogisticRegression())
    pipeline.fit(TEXTS, LABELS)
    with pytest.raises(NotFittedError):
        clone(pipeline)[0].transform(TEXTS)


def test_cloned_parameters_are_equal_but_not_shared():
    poolings = ["mean", "max"]
    vectorizer = ElmoVectorizer(MODEL, pooling=poolings)
    copy = clone(vectorizer)
    copy.pooling.append("min")
    assert vectorizer.pooling == ["mean", "max"]


def test_copy_on_write_and_views_are_left_alone():
    table = pd.DataFrame({"text": [*TEXTS[:3], None], "n": range(4)})
    before = table.copy(deep=True)
    part = table.loc[table["n"] > 0, "text"]
    ElmoVectorizer(MODEL).fit(table["text"]).transform(part)
    pd.testing.assert_frame_equal(table, before)
