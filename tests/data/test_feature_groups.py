import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skjointprune import InputFeatureSelector
from skjointprune._data.feature_groups import resolve_groups

X3 = np.zeros((5, 6))
NAMES = ["a", "b", "c", "d", "e", "f"]


def groups(spec, X=X3, names=None):
    return [g.tolist() for g in resolve_groups(spec, X, names)]


def test_without_groups_each_column_is_one():
    assert groups(None) == [[0], [1], [2], [3], [4], [5]]


@pytest.mark.parametrize(
    "labels", [list("xyxzzy"), np.array([7, 3, 7, 0, 0, 3]), pd.Series(list("xyxzzy"))]
)
def test_columns_of_equal_labels_are_a_group_in_order_of_appearance(labels):
    assert groups(labels) == [[0, 2], [1, 5], [3, 4]]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_columns_without_a_label_are_alone(missing):
    assert groups(["x", missing, "x", missing, "y", "y"]) == [[0, 2], [1], [3], [4, 5]]


def test_labels_by_name_are_in_any_order():
    labels = dict(zip("fedcba", "yyxxzz", strict=True))
    assert groups(labels, names=NAMES) == [[0, 1], [2, 3], [4, 5]]
    assert groups(pd.Series(labels), names=NAMES) == [[0, 1], [2, 3], [4, 5]]


def test_auto_says_that_it_found_nothing():
    X = np.random.default_rng(0).normal(size=(9, 6))
    with pytest.warns(UserWarning, match="found no columns"):
        assert groups("auto", X, NAMES) == groups(None)


def test_lists_come_first_and_other_columns_follow_alone():
    assert groups([[4, 2], [0, 5]]) == [[2, 4], [0, 5], [1], [3]]
    assert groups([["e", "c"], ["a", 5]], names=NAMES) == [[2, 4], [0, 5], [1], [3]]


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ([0, 0, 1], "one label for each of the 6"),
        ([[0, 6]], "6, which is no column"),
        ([[0, -1]], "-1, which is no column"),
        ([[0, 1], [1, 2]], "1, which is named twice"),
        (OneHotEncoder(), r"The OneHotEncoder of .* is not fitted.*FrozenEstimator"),
        ([["nobody"]], "'nobody', which is no column"),
        ([[True]], "True, which is no column"),
        ([[0], []], "empty list"),
        ([[[0, 1]], [2]], "which is no column"),
        ("auto", "reads the names"),
    ],
)
def test_bad_groups_are_refused(spec, match):
    with pytest.raises(ValueError, match=match):
        groups(spec)


@pytest.fixture
def mixed():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.normal(size=60),
            "marital": rng.choice(["never_married", "is_married", "apart"], 60),
            "hours_a": rng.normal(size=60),
            "hours_b": rng.normal(size=60),
            "city": rng.choice(["x", "y"], 60),
            "city_size": rng.choice(["x", "y"], 60),
        }
    )


@pytest.mark.parametrize("verbose", [True, False])
@pytest.mark.parametrize("drop", [None, "first"])
def test_auto_finds_what_an_encoder_made_of_each_category(mixed, verbose, drop):
    encoder = make_column_transformer(
        (OneHotEncoder(sparse_output=False, drop=drop), ["marital", "city"]),
        (StandardScaler(), ["age", "hours_a", "hours_b"]),
        verbose_feature_names_out=verbose,
    ).set_output(transform="pandas")
    X = encoder.fit_transform(mixed)
    found = groups("auto", X.to_numpy(), list(X.columns))
    n, m = (3, 2) if drop is None else (2, 1)
    assert found == [
        [*range(n)],
        [*range(n, n + m)],
        [n + m],
        [n + m + 1],
        [n + m + 2],
    ]


def test_auto_tells_categories_with_a_common_beginning_apart(mixed):
    encoder = OneHotEncoder(sparse_output=False).set_output(transform="pandas")
    X = encoder.fit_transform(mixed[["city", "city_size"]])
    assert groups("auto", X.to_numpy(), list(X.columns)) == [[0, 1], [2, 3]]


@pytest.fixture(scope="module")
def categories():
    """A class by one of four levels; levels of noise, and numbers of noise."""
    rng = np.random.default_rng(0)
    level, noise = rng.integers(4, size=500), rng.integers(4, size=500)
    X = np.c_[np.eye(4)[level], np.eye(4)[noise], rng.normal(size=(500, 4))]
    return X, (level < 2).astype(int), [0] * 4 + [1] * 4 + [2, 3, 4, 5]


def test_columns_stay_or_go_together(quick, categories):
    X, y, labels = categories
    clf = quick(feature_groups=labels, n_features_to_select=1).fit(X, y)
    assert clf.get_support().tolist() == [True] * 4 + [False] * 8
    assert clf.get_group_support().tolist() == [True] + [False] * 5
    assert clf.get_group_support(indices=True).tolist() == [0]
    assert clf.score(X, y) > 0.95


@pytest.mark.parametrize("penalty", ["group_l0", "group_lasso"])
def test_alpha_never_splits_a_group(quick, categories, penalty):
    X, y, labels = categories
    for alpha in (1e-2, 5e-2, 1e-1):
        clf = quick(feature_groups=labels, alpha=alpha, penalty=penalty).fit(X, y)
        for columns in clf.feature_groups_:
            assert len(set(clf.support_[columns])) == 1


def test_share_of_inputs_is_of_groups(quick, categories):
    X, y, labels = categories
    clf = quick(feature_groups=labels, n_features_to_select=0.5).fit(X, y)
    assert clf.get_group_support().sum() == 3
    with pytest.raises(ValueError, match="at most the 6 groups"):
        quick(feature_groups=labels, n_features_to_select=7).fit(X, y)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_noise_of_40_levels_does_not_beat_a_useful_number(quick, seed):
    rng = np.random.default_rng(seed)
    level = rng.integers(40, size=600)
    useful = rng.normal(size=600)
    X = np.c_[np.eye(40)[level], useful]
    y = (useful + rng.normal(size=600) > 0).astype(int)
    clf = quick(
        feature_groups=[range(40)], n_features_to_select=1, random_state=seed
    ).fit(X, y)
    assert clf.get_support(indices=True).tolist() == [40]


def test_useful_category_of_40_levels_beats_numbers_of_noise(quick):
    rng = np.random.default_rng(0)
    level = rng.integers(40, size=1000)
    X = np.c_[rng.normal(size=(1000, 6)), np.eye(40)[level]]
    y = level % 2
    clf = quick(
        feature_groups=[range(6, 46)], n_features_to_select=1, max_epochs=30
    ).fit(X, y)
    assert clf.get_group_support(indices=True).tolist() == [0]


def test_groups_by_name_and_through_the_selector(quick, categories):
    X, y, _ = categories
    frame = pd.DataFrame(X, columns=[f"c{i}" for i in range(12)])
    estimator = quick(feature_groups=[["c0", "c1", "c2", "c3"]], n_features_to_select=1)
    selector = InputFeatureSelector(estimator).fit(frame, y)
    assert selector.get_feature_names_out().tolist() == ["c0", "c1", "c2", "c3"]
    assert selector.get_group_support(indices=True).tolist() == [0]


def test_a_fitted_encoder_says_which_columns_are_a_group(quick, mixed):
    y = (mixed["marital"] == "apart").to_numpy().astype(int)
    encoder = make_column_transformer(
        (OneHotEncoder(), ["marital", "city"]), (StandardScaler(), ["age"])
    ).fit(mixed)
    clf = quick(feature_groups=encoder, n_features_to_select=1, max_epochs=20)
    clf.fit(encoder.transform(mixed), y)
    assert clf.get_support(indices=True).tolist() == [0, 1, 2]


def test_a_frozen_encoder_says_so_in_a_copy_as_well(quick, mixed):
    y = (mixed["marital"] == "apart").to_numpy().astype(int)
    encoder = make_column_transformer((OneHotEncoder(), ["marital", "city"]))
    X = encoder.fit_transform(mixed)
    clf = clone(quick(feature_groups=FrozenEstimator(encoder), max_epochs=2)).fit(X, y)
    assert [len(group) for group in clf.feature_groups_[:1]] == [3]


def test_names_that_are_whole_numbers_are_no_positions():
    with pytest.raises(
        ValueError, match=r"Got 10, the name of a column; .* position, 1"
    ):
        groups([[0, 10]], names=[5, 10, 15, 20, 25, 30])


def test_auto_through_a_pipeline_of_encoder_and_classifier(quick, mixed):
    y = (mixed["marital"] == "apart").to_numpy().astype(int)
    encoder = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["marital", "city", "city_size"]),
        (StandardScaler(), ["age", "hours_a"]),
    ).set_output(transform="pandas")
    clf = quick(feature_groups="auto", n_features_to_select=1, max_epochs=60)
    pipe = make_pipeline(encoder, clf).fit(mixed, y)
    kept = pipe[-1].get_feature_names_out()
    assert [name.partition("__")[2] for name in kept] == [
        "marital_apart",
        "marital_is_married",
        "marital_never_married",
    ]
    assert pipe.score(mixed, y) > 0.9
