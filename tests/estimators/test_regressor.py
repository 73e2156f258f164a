import pickle

import numpy as np
import pytest
import torch
from _helpers import RELEVANT
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from torch import nn

from skjointprune import JointPruneRegressor


@pytest.fixture(scope="module")
def quick():
    def make(**params):
        defaults = {
            "alpha": 0.02,
            "hidden_layer_sizes": (16,),
            "max_epochs": 15,
            "retrain_epochs": 10,
            "lr": 1e-2,
            "batch_size": 64,
            "random_state": 0,
        }
        return JointPruneRegressor(**(defaults | params))

    return make


@pytest.fixture(scope="module")
def linear():
    """A linear target over the RELEVANT three of 12 inputs."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 12))
    y = X[:, RELEVANT] @ [2.0, -2.0, 2.0]
    X.flags.writeable = y.flags.writeable = False
    return X, y


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_planted_inputs_are_found_and_predict(quick, linear, loss):
    X, y = linear
    reg = quick(loss=loss, n_features_to_select=3).fit(X, y)
    assert reg.get_support(indices=True).tolist() == RELEVANT
    assert reg.score(X, y) > 0.9


def test_alpha_drops_noise_inputs(quick, linear):
    X, y = linear
    reg = quick(alpha=0.12).fit(X, y)
    assert reg.get_support()[RELEVANT].all()
    assert reg.support_.sum() < 12


@pytest.mark.parametrize(("shift", "scale"), [(1e6, 1), (-3, 1e8), (0, 1e-6)])
def test_target_of_any_scale_is_learnt_as_well(quick, linear, shift, scale):
    X, y = linear
    reference = quick(n_features_to_select=3).fit(X, y)
    reg = quick(n_features_to_select=3).fit(X, shift + scale * y)
    np.testing.assert_array_equal(reg.support_, reference.support_)
    assert reg.score(X, shift + scale * y) == pytest.approx(
        reference.score(X, y), abs=1e-3
    )


def test_module_takes_raw_inputs_and_gives_raw_targets(quick, linear):
    X, y = linear
    reg = quick(n_features_to_select=4).fit(X * 7 + 3, 100 + 20 * y)
    rows = torch.tensor((X * 7 + 3)[:, reg.support_], dtype=torch.float32)
    with torch.no_grad():
        out = reg.module_(rows)[:, 0].numpy()
    np.testing.assert_allclose(reg.predict(X * 7 + 3), out, rtol=1e-5)


def test_several_targets_are_predicted_in_their_columns(quick, linear):
    X, y = linear
    Y = np.c_[y, 1000 + 50 * X[:, 3]]
    reg = quick(n_features_to_select=4, max_epochs=30).fit(X, Y)
    assert reg.get_support(indices=True).tolist() == [1, 3, 5, 8]
    assert reg.predict(X).shape == (400, 2)
    assert min(r2_score(Y, reg.predict(X), multioutput="raw_values")) > 0.9


def test_one_target_in_a_column_stays_one(quick, linear):
    X, y = linear
    assert quick().fit(X, y[:, None]).predict(X).shape == (400, 1)
    assert quick().fit(X, y).predict(X).shape == (400,)


def test_constant_target_is_predicted(quick, linear):
    X, _ = linear
    reg = quick().fit(X, np.full(400, 7.0))
    np.testing.assert_allclose(reg.predict(X), 7, atol=0.2)


def test_absolute_error_is_less_moved_by_outliers(quick, linear):
    X, y = linear
    spoilt = y.copy()
    spoilt[::10] += 50
    errors = {
        loss: np.median(np.abs(quick(loss=loss).fit(X, spoilt).predict(X) - y))
        for loss in ("squared_error", "absolute_error")
    }
    assert errors["absolute_error"] < errors["squared_error"] / 2


def test_without_hidden_layers_it_approaches_least_squares(linear):
    X, y = linear
    reg = JointPruneRegressor(
        (),
        prune="none",
        max_epochs=20,
        retrain_epochs=60,
        lr=2e-2,
        validation_fraction=None,
        random_state=0,
    ).fit(X, y + X[:, 0])
    expected = LinearRegression().fit(X, y + X[:, 0]).coef_
    weight = reg.module_.output.weight.detach().numpy()[0]
    np.testing.assert_allclose(weight, expected, atol=0.02)


def test_rows_of_little_weight_count_little(quick, linear):
    X, y = linear
    twice_wrong = np.r_[y, -y]
    weight = np.r_[np.ones(400), np.full(400, 1e-3)]
    reg = quick().fit(np.r_[X, X], twice_wrong, sample_weight=weight)
    assert reg.score(X, y) > 0.8
    assert JointPruneRegressor.score(reg, X, -y) < 0


def test_rows_of_weight_zero_are_as_absent_rows(quick, linear):
    X, y = linear
    weight = np.r_[np.ones(400), np.zeros(50)]
    more = np.r_[X, X[:50] * 9], np.r_[y, np.full(50, 1e5)]
    reg = quick().fit(*more, sample_weight=weight)
    np.testing.assert_array_equal(reg.predict(X), quick().fit(X, y).predict(X))


def test_report_and_history_speak_of_r2(quick, linear):
    reg = quick(validation_fraction=0.25).fit(*linear)
    assert "held-out R2" in repr(reg.report_)
    assert reg.report_.scores["after retraining"] == pytest.approx(
        reg.score(*linear), abs=0.1
    )
    assert all(score <= 1 for score in reg.history_[:, "valid_r2"])


def test_module_of_ones_own_may_end_in_an_activation(quick, linear):
    X, y = linear

    def bounded(n_features_in, n_outputs):
        return nn.Sequential(nn.Linear(n_features_in, n_outputs), nn.Tanh())

    reg = quick(module=bounded, max_epochs=40).fit(X, 50 + 3 * np.tanh(y / 4))
    assert reg.score(X, 50 + 3 * np.tanh(y / 4)) > 0.7


def test_copies(quick, linear):
    X, y = linear
    reg = quick(module__dropout=0.1).fit(X, y)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(reg)).predict(X), reg.predict(X)
    )
    assert clone(reg).get_params() == reg.get_params()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_targets_that_are_not_finite_are_refused(quick, linear, bad):
    X, y = linear
    y = y.copy()
    y[3] = bad
    reg = quick()
    with pytest.raises(ValueError, match=r"(?i)nan|inf"):
        reg.fit(X, y)
    assert not hasattr(reg, "n_features_in_")


def test_unknown_loss_is_refused_by_name(quick, linear):
    with pytest.raises(ValueError, match=r"'loss' .* 'huber'|'loss' .*'hubert'"):
        quick(loss="hubert").fit(*linear)
