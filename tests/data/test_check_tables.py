import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csc_array, csr_matrix
from sklearn.preprocessing import StandardScaler

from skjointprune import JointPruneClassifier, JointPruneRegressor
from skjointprune._data.check_tables import check_table, read_table

polars = pytest.importorskip("polars")
Y = np.arange(30) % 2


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.normal(size=30),
            "city": rng.choice(["Oslo", "Rome"], 30),
            "code": rng.integers(3, size=30),
        }
    )


def checked(X, **params):
    estimator = JointPruneClassifier(**params)
    return *check_table(estimator, X, Y, y_numeric=False), estimator


def test_frames_of_pandas_and_polars_are_the_same_table(frame):
    columns, X, _, estimator = checked(frame)
    assert columns.levels == {1: ["Oslo", "Rome"]}
    assert estimator.feature_names_in_.tolist() == [*frame.columns]
    other, Z, *_ = checked(polars.DataFrame(frame.to_dict("list")))
    assert other.levels == columns.levels
    np.testing.assert_array_equal(X, Z)


@pytest.mark.parametrize(
    "convert", [lambda f: f.to_numpy(), lambda f: f.to_numpy().tolist()]
)
def test_text_in_an_array_of_objects_is_a_category(frame, convert):
    given = (
        {} if isinstance(convert(frame), np.ndarray) else {"categorical_features": [1]}
    )
    columns, X, *_ = checked(convert(frame), **given)
    assert columns.levels == {1: ["Oslo", "Rome"]}
    np.testing.assert_array_equal(X, checked(frame)[1])


def test_whole_numbers_are_categories_by_mask(frame):
    mask = [False, False, True]
    X = frame.assign(city=1.0).to_numpy()
    columns, *_ = checked(X, categorical_features=mask)
    assert columns.levels == {2: [0.0, 1.0, 2.0]}


@pytest.mark.parametrize("convert", [lambda X: X, pd.DataFrame])
def test_large_whole_numbers_stay_apart_as_levels(convert):
    codes = 2**60 + np.arange(60).reshape(30, 2) % 4
    columns, read, *_ = checked(convert(codes), categorical_features=[1])
    assert columns.levels == {1: [2**60 + 1, 2**60 + 3]}
    assert set(read[:, 1]) == {0, 1}


def test_float32_and_gaps_come_through():
    X = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    X[2, 1] = np.nan
    columns, read, *_ = checked(X)
    assert read.dtype == np.float32 and np.isnan(read[2, 1]) and columns.n == 3


@pytest.mark.parametrize("kind", [csr_matrix, csc_array])
def test_sparse_tables_are_rows(kind):
    X = np.eye(30)[:, :8]
    columns, read, *_ = checked(kind(X))
    assert read.format == "csr" and columns.n == 8
    np.testing.assert_array_equal(read.toarray(), X)


@pytest.mark.parametrize(
    ("X", "params", "match"),
    [
        (csr_matrix(np.full((30, 2), np.nan)), {}, "sparse X must not hold NaN"),
        (csr_matrix(np.eye(30)), {"categorical_features": [0]}, "needs a dense X"),
        (np.full((30, 2), 1e300), {}, "column 0 of X holds numbers beyond 1e\\+150"),
        (np.full((30, 2), 1e35), {"standardize": False}, "beyond 1e\\+30"),
        (pd.DataFrame({"when": pd.date_range("2026", periods=30)}), {}, "'when'"),
        (np.full((30, 2), np.inf), {}, "column 0 of X holds infinity"),
        (csr_matrix(np.full((30, 2), -np.inf)), {}, "column 0 of X holds infinity"),
        (np.full((30, 2), 1e-300), {}, "column 0 of X holds no number above 1e-150"),
        (np.array([["Oslo", 1]] * 30), {}, "column 0 of X holds no numbers. Got <U"),
        (np.zeros((30, 2), dtype="M8[D]"), {}, "Got datetime64"),
    ],
)
def test_what_cannot_be_learnt_from_is_named(X, params, match):
    with pytest.raises(ValueError, match=match):
        checked(X, **params)


def test_targets_that_are_too_large_are_refused(quick_regressor_args):
    X, y = np.random.default_rng(0).normal(size=(30, 2)), np.full(30, 1e300)
    with pytest.raises(ValueError, match="y holds numbers beyond"):
        JointPruneRegressor(**quick_regressor_args).fit(X, y)


@pytest.fixture
def quick_regressor_args():
    return {"hidden_layer_sizes": (4,), "max_epochs": 1, "retrain_epochs": 1}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("convert", [np.asarray, csr_matrix])
def test_single_precision_is_checked_without_a_warning(convert):
    X = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    _, read, *_ = checked(convert(X))
    assert read.dtype == np.float32


@pytest.mark.parametrize("scale", [1e-42, 1e39])
def test_units_of_a_column_do_not_matter(quick, planted, scale):
    X, y = planted
    Z = StandardScaler().fit_transform(X)
    fit = quick(n_features_to_select=3, alpha=0.02)
    right = fit.fit(Z, y).score(Z, y)
    Z[:, 1] *= scale
    clf = fit.fit(Z, y)
    assert clf.score(Z, y) == pytest.approx(right, abs=0.02)
    assert clf.support_[1]


# --- once fitted


@pytest.fixture
def two_kept(frame):
    columns, X, _, estimator = checked(frame)
    columns, _ = columns.learn(X, np.ones(30, dtype=bool), np.ones(30))
    support = np.array([True, True, False])

    def read(X):
        return read_table(estimator, X, columns, estimator.feature_names_in_, support)

    return read


def test_unread_columns_may_hold_anything_or_be_absent(frame, two_kept):
    expected = two_kept(frame)
    assert expected.shape == (30, 2)
    for other in (
        frame.assign(code=np.nan),
        frame.assign(code="?"),
        frame.assign(code=np.inf),
        frame[["age", "city"]],
        polars.DataFrame(frame.to_dict("list")).drop("code"),
    ):
        np.testing.assert_array_equal(two_kept(other), expected)


def test_columns_that_are_read_must_be_there(frame, two_kept):
    with pytest.raises(ValueError, match="yet now missing:\n- city"):
        two_kept(frame.drop(columns="city"))
    with pytest.raises(ValueError, match="same order"):
        two_kept(frame[["code", "city", "age"]])
    with pytest.raises(ValueError, match="unseen at fit time"):
        two_kept(frame.assign(new=1))


def test_infinity_is_refused_where_it_is_read(frame, two_kept):
    with pytest.raises(ValueError, match="The column 'age' of X holds infinity"):
        two_kept(frame.assign(age=np.inf))
    with pytest.raises(ValueError, match="The column 'age' of X holds no numbers"):
        two_kept(frame.assign(age="old"))


def test_a_number_too_large_to_predict_from_is_named(fitted, planted):
    X = planted[0][:3].copy()
    X[:, ~fitted.support_] = 1e300  # not read
    assert np.isfinite(fitted.predict_proba(X)).all()
    column = int(fitted.get_support(indices=True)[0])
    X[1, column] = 1e300
    with pytest.raises(ValueError, match=rf"column {column} of X .* Got 1e\+300"):
        fitted.predict(X)
