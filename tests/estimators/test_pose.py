import copy

import numpy as np
import pytest
import torch
from _helpers import assert_same_fit, assert_unfitted, with_value
from scipy.sparse import csr_matrix
from torch import nn

from skjointprune import JointPruneClassifier
from skjointprune._estimators.pose import pose

BAD_DATA = {
    "infinity": (with_value(np.inf), "infinity"),
    "one class": (lambda X, y: (X, np.zeros_like(y)), "class"),
    "lengths": (lambda X, y: (X, y[:-1]), "inconsistent"),
    "one column of numbers": (lambda X, y: (X[:, 0], y), "2D"),
    "no rows": (lambda X, y: (X[:0], y[:0]), "(?i)sample"),
    "words among numbers": (
        lambda X, y: with_value("a")(X.astype(object), y),
        "column 2 of X holds no numbers",
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input_noise", -1),
        ("distillation", 1.5),
        ("pretrain_epochs", -1),
        ("unit_cost", "x"),
        ("round_units_to", 0),
    ],
)
def test_parameters_of_training_out_of_range_are_refused_by_name(
    quick, planted, name, value
):
    with pytest.raises(ValueError, match=name):
        quick(**{name: value}).fit(*planted)


@pytest.mark.parametrize(
    ("params", "noise"),
    [
        ({}, "auto"),
        ({"input_noise": 0.5}, 0.5),
        ({"standardize": False}, 0.0),  # in units of its own
        ({"module": lambda: nn.Linear(30, 2)}, 0.0),  # may look columns up
    ],
)
@pytest.mark.parametrize("kind", [np.asarray, csr_matrix])
def test_only_standardised_columns_have_noise_where_none_is_said(params, noise, kind):
    X = kind(np.random.default_rng(0).normal(size=(20, 30)))
    clf = JointPruneClassifier(**params)
    problem = pose(clf, X, np.arange(20) % 2, None, 0, torch.device("cpu"))
    assert problem.trainer.input_noise == noise


@pytest.mark.parametrize(
    ("shape", "params", "screens"),
    [
        ((20, 30), {}, True),
        ((20, 30), {"n_features_to_select": 3}, True),
        ((20, 30), {"standardize": False}, True),
        ((30, 30), {}, False),
        ((20, 30), {"alpha": 0.1}, False),
        ((20, 30), {"prune": "weights"}, False),
        ((20, 30), {"prune": "none"}, False),
        ((20, 30), {"module": lambda: nn.Linear(30, 2)}, False),
    ],
)
def test_columns_that_outnumber_rows_are_screened_where_no_alpha_is_said(
    shape, params, screens
):
    X = np.random.default_rng(0).normal(size=shape)
    clf = JointPruneClassifier(validation_fraction=None, **params)
    y = np.arange(len(X)) % 2
    problem = pose(clf, X, y, None, 0, torch.device("cpu"))
    assert problem.screens == screens
