import copy

import numpy as np
import pandas as pd
import pytest
import torch
from _helpers import RELEVANT, assert_same_fit, assert_unfitted
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from skorch.callbacks import Callback
from torch import nn

from skjointprune import JointPruneClassifier

# --- standardisation


@pytest.mark.parametrize(("mean", "scale"), [(1e6, 1.0), (0.0, 1e-6), (-3.0, 1e8)])
def test_badly_scaled_columns_are_no_obstacle(quick, planted, mean, scale):
    X, y = planted
    X = X * scale + mean
    clf = quick(n_features_to_select=3).fit(X, y)
    assert clf.get_support(indices=True).tolist() == RELEVANT
    assert clf.score(X, y) > 0.9


def test_columns_of_very_different_scales_are_treated_alike(quick, planted):
    X, y = planted
    X = X * np.geomspace(1e-6, 1e6, 12)
    clf = quick(n_features_to_select=3).fit(X, y)
    assert clf.get_support(indices=True).tolist() == RELEVANT


def test_standardize_off_trains_on_the_columns_as_they_are(quick, planted):
    X, y = planted
    off = quick(n_features_to_select=3, standardize=False)
    assert off.fit(X, y).get_support(indices=True).tolist() == RELEVANT
    shifted = off.fit(X + 1e4, y).predict_proba(X + 1e4)
    on = quick(n_features_to_select=3).fit(X + 1e4, y).predict_proba(X + 1e4)
    assert not np.allclose(shifted, on, atol=1e-2)


# --- data in all its forms


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["no", "yes"]),
        np.array(["no", "yes"], dtype=object),
        np.array([False, True]),
        np.array([-5, 70]),
        np.array([1.0, 2.0]),
    ],
    ids=lambda labels: str(labels.dtype),
)
def test_labels_of_any_kind_come_back(quick, planted, labels):
    X, y = planted
    clf = quick(n_features_to_select=3).fit(X, labels[y])
    assert clf.classes_.tolist() == labels.tolist()
    assert clf.predict(X).dtype == labels.dtype
    assert accuracy_score(labels[y], clf.predict(X)) > 0.93
    assert clf.score(X, labels[y]) == accuracy_score(labels[y], clf.predict(X))


def test_many_classes(quick, blobs):
    X, y = blobs
    clf = quick().fit(X, y * 10)
    assert clf.classes_.tolist() == [0, 10, 20, 30, 40]
    proba = clf.predict_proba(X)
    assert proba.shape == (300, 5)
    np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(clf.predict(X), proba.argmax(1) * 10)
    assert clf.score(X, y * 10) > 0.9


def test_rare_class_stays_in_training(quick, blobs):
    X, y = blobs
    y = y.copy()
    y[0] = 9
    assert quick(max_epochs=2, retrain_epochs=1).fit(X, y).classes_[-1] == 9


def test_frame_and_array_give_the_same(quick, frame, fitted, planted):
    X, y = frame
    clf = quick(n_features_to_select=3).fit(X, y)
    assert_same = np.testing.assert_array_equal
    assert_same(clf.predict_proba(X), fitted.predict_proba(planted[0]))
    assert clf.feature_names_in_.tolist() == X.columns.tolist()
    assert clf.get_feature_names_out().tolist() == ["col1", "col5", "col8"]


def test_names_out_without_names_in_are_positions(fitted):
    assert not hasattr(fitted, "feature_names_in_")
    assert fitted.get_feature_names_out().tolist() == ["x1", "x5", "x8"]
    names = [f"n{i}" for i in range(12)]
    assert fitted.get_feature_names_out(names).tolist() == ["n1", "n5", "n8"]
    with pytest.raises(ValueError, match="input_features"):
        fitted.get_feature_names_out(names[:4])


def test_frame_with_other_names_is_refused(quick, frame):
    X, y = frame
    clf = quick(max_epochs=1, retrain_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="feature names"):
        clf.predict(X.rename(columns={"col0": "other"}))


@pytest.mark.parametrize(
    "convert",
    [np.asfortranarray, lambda X: np.repeat(X, 2, axis=0)[::2], list],
    ids=["fortran", "strided", "list of rows"],
)
def test_layout_of_X_does_not_matter(quick, planted, fitted, convert):
    X, y = planted
    clf = quick(n_features_to_select=3).fit(convert(X), y)
    assert_same_fit(clf, fitted, X)
    np.testing.assert_array_equal(clf.predict(convert(X)), clf.predict(X))


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "bool"])
def test_whole_numbers_are_taken_as_floats(quick, dtype):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2 if dtype == "bool" else 256, size=(300, 8)).astype(dtype)
    y = X[:, 3] > X[:, 6] if dtype != "bool" else X[:, 3] | X[:, 6]
    clf = quick(n_features_to_select=2).fit(X, y)
    assert clf.get_support(indices=True).tolist() == [3, 6]
    as_floats = quick(n_features_to_select=2).fit(X.astype(float), y)
    np.testing.assert_array_equal(clf.support_, as_floats.support_)
    np.testing.assert_allclose(
        clf.predict_proba(X), as_floats.predict_proba(X), atol=0.02
    )


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("standardize", [True, False])
def test_fit_and_predict_do_not_change_X(quick, planted, order, dtype, standardize):
    X = np.array(planted[0], dtype=dtype, order=order)
    y = planted[1].copy()
    weight = np.ones(len(y))
    before = X.copy(), y.copy()
    clf = quick(n_features_to_select=3, standardize=standardize, max_epochs=3)
    clf.fit(X, y, weight).predict(X)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(y, before[1])
    assert (weight == 1).all()


@pytest.mark.parametrize("batch_size", [1, 2, 7, 359, 10_000])
def test_any_batch_size_trains(quick, planted, batch_size):
    clf = quick(batch_size=batch_size, max_epochs=2, retrain_epochs=1)
    assert np.isfinite(clf.fit(*planted).predict_proba(planted[0])).all()


def test_one_row_is_predicted_as_among_many(fitted, planted):
    X, _ = planted
    np.testing.assert_allclose(
        fitted.predict_proba(X[:1]), fitted.predict_proba(X)[:1], rtol=1e-5
    )


# --- bad input


def with_value(value):
    def spoil(X, y):
        X = X.copy()
        X[3, 2] = value
        return X, y

    return spoil


BAD_DATA = {
    "nan": (with_value(np.nan), "NaN"),
    "infinity": (with_value(np.inf), "infinity"),
    "one class": (lambda X, y: (X, np.zeros_like(y)), "class"),
    "lengths": (lambda X, y: (X, y[:-1]), "inconsistent"),
    "one column of numbers": (lambda X, y: (X[:, 0], y), "2D"),
    "no rows": (lambda X, y: (X[:0], y[:0]), "(?i)sample"),
    "words": (
        lambda X, y: (X.astype(str).astype(object) + "a", y),
        "could not convert",
    ),
    "nan in y": (lambda X, y: (X, np.where(y, np.nan, 0.0)), "NaN"),
    "continuous y": (lambda X, y: (X, X[:, 0]), "continuous"),
    "many outputs": (lambda X, y: (X, np.c_[y, y + 1]), "(?i)multi|1d"),
    "negative weight": (lambda X, y: (X, y, -1.0 - y), "(?i)negative"),
    "weights of another length": (lambda X, y: (X, y, y[:-1] + 1.0), "sample_weight"),
    "nan weight": (lambda X, y: (X, y, np.where(y, np.nan, 1.0)), "NaN"),
    "one class of positive weight": (lambda X, y: (X, y, y * 1.0), "class"),
    "no positive weight": (lambda X, y: (X, y, y * 0.0), "class|weight"),
}

BAD_PARAMS = [
    ({"alpha": 0}, "alpha"),
    ({"alpha": -1e-3}, "alpha.*-0.001"),
    ({"alpha": float("nan")}, "alpha"),
    ({"alpha": float("inf")}, "alpha"),
    ({"n_features_to_select": 13}, r"n_features_to_select.*\b12\b.*\b13\b"),
    ({"n_features_to_select": 0}, "n_features_to_select"),
    ({"n_features_to_select": -2}, "n_features_to_select"),
    ({"n_features_to_select": 0.0}, "n_features_to_select"),
    ({"n_features_to_select": 1.5}, "n_features_to_select"),
    ({"prune": "weights", "n_features_to_select": 3}, "n_features_to_select.*prune"),
    ({"prune": "none", "n_features_to_select": 3}, "n_features_to_select.*prune"),
    ({"prune": "both"}, "prune.*both"),
    ({"penalty": "l1"}, "penalty.*l1"),
    ({"penalty": 0.1}, "penalty"),
    ({"optimizer": "adamm"}, "optimizer.*adamm"),
    ({"optimizer": int}, "optimizer"),
    ({"max_epochs": -1}, "max_epochs.*-1"),
    ({"max_epochs": "many"}, "max_epochs.*many"),
    ({"retrain_epochs": -1}, "retrain_epochs.*-1"),
    ({"lr": 0}, r"\blr\b"),
    ({"lr": -0.1}, r"\blr\b.*-0.1"),
    ({"batch_size": 0}, "batch_size"),
    ({"batch_size": "huge"}, "batch_size.*huge"),
    ({"validation_fraction": 1.0}, "validation_fraction"),
    ({"validation_fraction": -0.1}, "validation_fraction"),
    ({"class_weight": "fair"}, "class_weight.*fair"),
    ({"device": "nowhere"}, "device.*nowhere|nowhere.*device"),
    ({"hidden_layer_sizes": (8, 0)}, "hidden_layer_sizes"),
    ({"module__dropuot": 0.1}, "module__dropuot.*(?i:did you mean).*module__dropout"),
    ({"module__dropout": 2.0}, "dropout"),
    ({"module__norm": "bath"}, "norm.*bath"),
    ({"module__activation": "rlu"}, "activation.*rlu"),
    (
        {"optimizer__weight_decy": 0.1},
        "optimizer__weight_decy.*(?i:did you mean).*optimizer__weight_decay",
    ),
    (
        {"optimizer": "sgd", "lr": 1e20, "module__norm": None},
        r"(?is)epoch \d+.*\blr\b|\blr\b.*epoch \d+",
    ),
]


def assert_fit_fails_and_loses_nothing(quick, fitted, planted, params, data, match):
    fresh = quick(**params)
    with pytest.raises((ValueError, TypeError), match=match):
        fresh.fit(*data)
    assert_unfitted(fresh)
    refitted = copy.deepcopy(fitted).set_params(**params)
    names = set(vars(refitted))
    with pytest.raises((ValueError, TypeError), match=match):
        refitted.fit(*data)
    assert set(vars(refitted)) == names
    assert refitted.n_features_in_ == 12
    assert_same_fit(refitted, fitted, planted[0])


@pytest.mark.parametrize(("spoil", "match"), BAD_DATA.values(), ids=BAD_DATA.keys())
def test_bad_data_is_refused_and_loses_nothing(quick, fitted, planted, spoil, match):
    data = spoil(*planted)
    assert_fit_fails_and_loses_nothing(quick, fitted, planted, {}, data, match)


@pytest.mark.parametrize(
    ("params", "match"), BAD_PARAMS, ids=lambda v: str(v) if isinstance(v, dict) else ""
)
def test_bad_parameter_is_refused_and_loses_nothing(
    quick, fitted, planted, params, match
):
    assert_fit_fails_and_loses_nothing(quick, fitted, planted, params, planted, match)


class Poison(Callback):
    """Spoil the weights in the second phase."""

    now = 0

    def on_train_begin(self, net, **kwargs):
        self.now += 1

    def on_batch_begin(self, net, **kwargs):
        if self.now == 2:
            with torch.no_grad():
                next(net.module_.parameters()).fill_(torch.nan)


def test_divergence_in_retraining_loses_nothing(quick, planted):
    clf = quick(max_epochs=1, callbacks=[Poison()])
    with pytest.raises(ValueError, match=r"(?is)epoch \d+.*\blr\b|\blr\b.*epoch \d+"):
        clf.fit(*planted)
    assert_unfitted(clf)


def test_unknown_keyword_is_a_type_error():
    with pytest.raises(TypeError, match="hidden_sizes"):
        JointPruneClassifier(hidden_sizes=(3,))
    with pytest.raises(ValueError, match="hidden_sizes"):
        JointPruneClassifier().set_params(hidden_sizes=(3,))


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_prediction_on_other_columns_is_refused(fitted, planted, method):
    with pytest.raises(ValueError, match=r"3 features.*12 features"):
        getattr(fitted, method)(planted[0][:, :3])
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            getattr(fitted, method)(with_value(value)(*planted)[0])


@pytest.mark.parametrize(
    "use",
    [
        lambda clf, X: clf.predict(X),
        lambda clf, X: clf.predict_proba(X),
        lambda clf, X: clf.get_support(),
        lambda clf, X: clf.get_feature_names_out(),
    ],
)
def test_use_before_fit_is_a_not_fitted_error(quick, planted, use):
    with pytest.raises(NotFittedError):
        use(quick(), planted[0])


def test_second_fit_forgets_the_first(quick, planted, frame):
    X, y = planted
    clf = quick(n_features_to_select=3).fit(*frame)
    clf.fit(X[:, :7], y)
    assert clf.n_features_in_ == len(clf.support_) == 7
    assert not hasattr(clf, "feature_names_in_")
    fresh = quick(n_features_to_select=3).fit(X[:, :7], y)
    assert_same_fit(clf, fresh, X[:, :7])


def test_frame_of_mixed_number_types_is_taken(quick, planted):
    X, y = planted
    frame = pd.DataFrame({f"c{i}": column for i, column in enumerate(X.T)})
    frame["c1"] = frame["c1"].astype("float32")
    frame["c0"] = (frame["c0"] > 0).astype("int8")
    clf = quick(n_features_to_select=3).fit(frame, y)
    assert clf.get_support(indices=True).tolist() == RELEVANT


class Halved(nn.Module):
    """Changes what it is given, or does not."""

    def __init__(self, n_features_in, n_outputs, in_place):
        super().__init__()
        self.in_place = in_place
        self.a, self.b = nn.Linear(n_features_in, 16), nn.Linear(16, n_outputs)

    def forward(self, X):
        X = X.mul_(0.5) if self.in_place else X.mul(0.5)
        return self.b(self.a(X).relu())


@pytest.mark.parametrize("distillation", [0.0, 0.5])
def test_a_module_may_change_the_rows_it_is_given(quick, planted, distillation):
    X, y = planted[0].astype(np.float32), planted[1]
    before = X.copy()
    params = {"module": Halved, "distillation": distillation, "alpha": 0.05}
    one, other = (
        quick(module__in_place=in_place, **params).fit(X, y)
        for in_place in (True, False)
    )
    assert one.report_ == other.report_
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    np.testing.assert_array_equal(X, before)
