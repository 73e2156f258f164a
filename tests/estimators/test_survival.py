import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from _helpers import passed_through
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from skorch.callbacks import EpochScoring

from skjointprune import (
    InputFeatureSelector,
    JointPruneCV,
    JointPruneRegressor,
    JointPruneSurvival,
    StepFunction,
    SupportDisplay,
    joint_prune_path,
    p_values,
)

PLANTED = [2, 5]


@pytest.fixture(scope="module")
def quick():
    def make(**params):
        defaults = {
            "hidden_layer_sizes": (16,),
            "alpha": 0.05,
            "max_epochs": 15,
            "retrain_epochs": 10,
            "lr": 1e-2,
            "random_state": 0,
        }
        return JointPruneSurvival(**(defaults | params))

    return make


@pytest.fixture(scope="module")
def table():
    """A hazard by the PLANTED two of 8 inputs; a third of the rows is censored."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(300, 8))
    time = rng.exponential(np.exp(-2 * X[:, PLANTED[0]] + 2 * X[:, PLANTED[1]]))
    end = rng.exponential(3, size=300)
    y = survival(time < end, np.minimum(time, end))
    X.flags.writeable = y.flags.writeable = False
    return X, y


@pytest.fixture(scope="module")
def fitted(quick, table):
    return quick(n_features_to_select=2).fit(*table)


def survival(event, time):
    y = np.empty(len(event), dtype=[("event", bool), ("time", float)])
    y["event"], y["time"] = event, time
    return y


def assert_same_predictions(a, b, X, **tolerance):
    np.testing.assert_allclose(a.predict(X), b.predict(X), **tolerance)
    curves = (m.predict_survival_function(X, return_array=True) for m in (a, b))
    np.testing.assert_allclose(*curves, **tolerance)


def test_planted_inputs_are_found_and_predict(fitted, table):
    assert fitted.get_support(indices=True).tolist() == PLANTED
    assert fitted.score(*table) > 0.8
    assert fitted.report_.score_name == "C-index"
    assert fitted.history_[-1]["valid_c_index"] > 0.7


def test_alpha_auto_keeps_the_planted_inputs_and_few_others(quick, table):
    model = quick(alpha="auto", max_epochs=60).fit(*table)
    assert model.support_[PLANTED].all()
    assert model.support_.sum() < 4


def test_higher_scores_have_events_sooner(fitted, table):
    X, y = table
    risk = fitted.predict(X)
    assert risk.shape == (300,)
    high = risk > np.median(risk)
    assert y["time"][high & y["event"]].mean() < y["time"][~high & y["event"]].mean()


def test_the_unit_and_the_order_of_time_change_nothing_but_times(quick, table):
    X, y = table
    slower = survival(y["event"], y["time"] ** 3 * 365)
    a, b = quick().fit(X, y), quick().fit(X, slower)
    np.testing.assert_array_equal(a.predict(X), b.predict(X))
    np.testing.assert_array_equal(b.unique_times_, a.unique_times_**3 * 365)
    np.testing.assert_array_equal(a.feature_importances_, b.feature_importances_)


def test_permuted_rows_give_the_same_linear_model(table):
    X, y = table
    order = np.random.default_rng(0).permutation(len(X))
    model = linear(n_epochs=200)
    a, b = clone(model).fit(X, y), clone(model).fit(X[order], y[order])
    curves = (m.predict_survival_function(X, return_array=True) for m in (a, b))
    np.testing.assert_allclose(*curves, atol=1e-4)


def linear(n_epochs=1000, **params):
    """Make a Cox model without pruning, by steps on all rows."""
    defaults = {
        "hidden_layer_sizes": (),
        "prune": "none",
        "validation_fraction": None,
        "batch_size": 10_000,
        "lr": 0.02,
        "max_epochs": 1,
        "retrain_epochs": n_epochs,
        "random_state": 0,
    }
    return JointPruneSurvival(**(defaults | params))


def test_a_linear_network_meets_the_score_equations_of_cox(table):
    """At the best coefficients, the mean of X at risk is X of the event."""
    X, y = table
    model = linear().fit(X, y)
    risk = np.exp(model.predict(X))
    gradient = np.zeros(X.shape[1])
    for i in np.flatnonzero(y["event"]):
        at_risk = y["time"] >= y["time"][i]
        gradient += X[i] - risk[at_risk] @ X[at_risk] / risk[at_risk].sum()
    assert np.abs(gradient / len(X)).max() < 1e-4


def test_survival_and_hazard_agree_as_arrays_and_functions(fitted, table):
    X, y = table
    rows = X[:5]
    times = fitted.unique_times_
    np.testing.assert_array_equal(times, np.unique(y["time"]))
    hazards = fitted.predict_cumulative_hazard_function(rows, return_array=True)
    alive = fitted.predict_survival_function(rows, return_array=True)
    assert hazards.shape == alive.shape == (5, len(times))
    np.testing.assert_allclose(alive, np.exp(-hazards))
    assert (np.diff(alive, axis=1) <= 0).all()
    functions = fitted.predict_survival_function(rows)
    assert functions.shape == (5,)
    assert isinstance(functions[0], StepFunction)
    np.testing.assert_array_equal([f(times) for f in functions], alive)


def test_the_baseline_expects_as_many_events_as_there_were(fitted, table):
    """Breslow's hazards over the rows add up to the events, held-out rows and all."""
    X, y = table
    hazards = fitted.predict_cumulative_hazard_function(X, return_array=True)
    own = np.searchsorted(fitted.unique_times_, y["time"])
    expected = hazards[np.arange(len(X)), own].sum()
    assert expected == pytest.approx(y["event"].sum(), rel=1e-5)


def test_frames_of_two_columns_are_as_structured_arrays(quick, table):
    X, y = table
    named = pd.DataFrame({"time": y["time"], "event": y["event"].astype(int)})
    a, b = quick().fit(X, y), quick().fit(X, named)
    assert_same_predictions(a, b, X)
    assert a.score(X, named) == a.score(X, y)


def test_rows_without_weight_are_as_if_left_out(quick, table):
    X, y = table
    weight = np.ones(len(X))
    weight[::3] = 0
    kept = weight > 0
    a, b = quick().fit(X, y, sample_weight=weight), quick().fit(X[kept], y[kept])
    assert_same_predictions(a, b, X)
    assert a.score(X, y, sample_weight=weight) == pytest.approx(
        a.score(X[kept], y[kept])
    )


def test_the_scale_of_weights_changes_nothing(quick, table):
    X, y = table
    weight = np.random.default_rng(0).uniform(0.5, 2, len(X))
    a = quick().fit(X, y, sample_weight=weight)
    b = quick().fit(X, y, sample_weight=1024 * weight)
    assert_same_predictions(a, b, X)


def test_events_are_held_out_in_their_share(quick, table):
    X, y = table
    rare = survival(np.arange(300) % 30 == 0, y["time"])
    model = quick().fit(X, rare)
    assert np.isfinite(model.history_[:, "valid_loss"]).all()
    assert np.ptp(model.history_[:, "valid_c_index"]) > 0


def test_batches_without_events_do_no_harm(quick, table):
    X, y = table
    event = np.zeros(300, dtype=bool)
    event[np.argsort(y["time"])[:3]] = True
    model = quick(batch_size=16, max_epochs=3).fit(X, survival(event, y["time"]))
    assert np.isfinite(model.history_[:, "train_loss"]).all()
    assert np.isfinite(model.predict(X)).all()


def test_ties_at_few_times_are_learnt(quick, table):
    X, y = table
    coarse = survival(y["event"], np.digitize(y["time"], [0.1, 0.5, 2.0]))
    model = quick(n_features_to_select=2).fit(X, coarse)
    assert model.get_support(indices=True).tolist() == PLANTED
    assert len(model.unique_times_) == 4


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda y: survival(y["event"], -y["time"]), "'time' of y must hold times"),
        (lambda y: survival(~y["event"] & y["event"], y["time"]), "must hold events"),
        (lambda y: y["time"], r"ndarray of shape \(300,\); pass a structured array"),
        (lambda y: y[:-1], "inconsistent numbers of samples"),
        (lambda y: None, "requires y"),
    ],
)
def test_a_y_that_cannot_be_learnt_is_refused_and_nothing_is_set(
    quick, table, spoil, said
):
    X, y = table
    model = quick()
    with pytest.raises(ValueError, match=said):
        model.fit(X, spoil(y))
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_one_row_is_refused(quick, table):
    X, _ = table
    with pytest.raises(ValueError, match="at least 2 rows"):
        quick().fit(X[:1], survival([True], [1.0]))


def test_a_score_without_pairs_is_refused(fitted, table):
    X, _ = table
    last = survival(np.zeros(4) > 0, np.ones(4))
    with pytest.raises(ValueError, match="Got 0 events in 4 rows"):
        fitted.score(X[:4], last)


def test_scorers_while_training_are_refused(quick, table):
    model = quick(callbacks=[("r2", EpochScoring("r2"))])
    with pytest.raises(ValueError, match="'r2' is an EpochScoring"):
        model.fit(*table)


def test_p_values_are_refused(quick, table):
    with pytest.raises(ValueError, match="losses of single rows"):
        p_values(quick(), *table)


def test_groups_stay_together_and_free_columns_stay(quick, table):
    groups = [0, 0, 1, 1, 2, 2, 3, 3]
    model = quick(n_features_to_select=2, feature_groups=groups).fit(*table)
    assert model.get_support(indices=True).tolist() == [2, 3, 4, 5]
    costs = [0, 1, 1, 1, 1, 1, 1, 1]
    model = quick(n_features_to_select=3, feature_costs=costs).fit(*table)
    assert model.get_support(indices=True).tolist() == [0, *PLANTED]


def test_a_path_ends_with_fitted_estimators(quick, table):
    X, y = table
    path = joint_prune_path(X, y, n_alphas=3, estimator=quick(), return_estimators=True)
    assert path.score_name == "C-index"
    assert path.inputs[-1] == 1
    for model in path.estimators:
        assert model.predict_survival_function(X[:2], return_array=True).max() <= 1


def test_cross_validation_offers_what_the_estimator_does(quick, table, tmp_path):
    X, y = table
    cv = JointPruneCV(quick(), n_alphas=3, cv=2).fit(X, y)
    assert cv.score(X, y) > 0.7
    assert len(cv.unique_times_) == 300
    assert_same_predictions(cv, cv.estimator_, X)
    again = passed_through(cv, tmp_path)
    assert_same_predictions(cv, again, X)
    other = JointPruneCV(JointPruneRegressor())
    assert not hasattr(other, "predict_survival_function")
    assert not hasattr(cv, "predict_proba")


def test_a_selector_chooses_by_survival(quick, table):
    X, y = table
    selector = InputFeatureSelector(quick(), n_features_to_select=2).fit(X, y)
    assert selector.get_support(indices=True).tolist() == PLANTED
    assert selector.transform(X).shape == (300, 2)


def test_where_none_is_given_a_structured_y_calls_for_it(table):
    _, y = table
    selector = InputFeatureSelector(n_features_to_select=1)
    for target in (y, pd.DataFrame(y), pd.DataFrame(y)[[*y.dtype.names[::-1]]]):
        assert isinstance(selector._new_estimator(target), JointPruneSurvival)


@pytest.mark.parametrize("copy", ["file", "pickle"])
def test_a_copy_predicts_the_same(fitted, table, tmp_path, copy):
    X, _ = table
    if copy == "file":
        again = passed_through(fitted, tmp_path)
    else:
        again = pickle.loads(pickle.dumps(fitted))
    assert_same_predictions(fitted, again, X, rtol=0)
    np.testing.assert_array_equal(fitted.unique_times_, again.unique_times_)
    assert clone(again).get_params() == fitted.get_params()


def test_it_is_read_by_displays_and_by_scikit_learn(quick, fitted, table):
    assert SupportDisplay.from_estimator(fitted).ax_ is not None
    assert "C-index" in fitted._repr_html_()
    assert cross_val_score(quick(), *table, cv=2).min() > 0.7


def test_images_have_risks_too(quick, table):
    _, y = table
    X = np.random.default_rng(0).normal(size=(300, 1, 6, 6)).astype(np.float32)
    conv = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten(), torch.nn.Linear(64, 1)
    )
    model = quick(module=conv, prune="none", max_epochs=1, retrain_epochs=2).fit(X, y)
    assert model.predict_survival_function(X[:3]).shape == (3,)


# --- beside scikit-survival


@pytest.mark.parametrize("decimals", [9, 1])
def test_a_linear_network_has_the_coefficients_of_scikit_survival(table, decimals):
    models = pytest.importorskip("sksurv.linear_model")
    X, y = table
    y = survival(y["event"], y["time"].round(decimals))  # many ties
    theirs = models.CoxPHSurvivalAnalysis(ties="efron", tol=1e-12).fit(X, y)
    weight = linear().fit(X, y).module_.output.weight.detach().numpy()
    np.testing.assert_allclose(weight[0], theirs.coef_, atol=1e-3)


def test_score_and_curves_are_those_of_scikit_survival(fitted, table):
    breslow = pytest.importorskip("sksurv.linear_model.coxph").BreslowEstimator
    metrics = pytest.importorskip("sksurv.metrics")
    X, y = table
    risk = fitted.predict(X)
    expected, *_ = metrics.concordance_index_censored(y["event"], y["time"], risk)
    assert fitted.score(X, y) == pytest.approx(expected, abs=1e-12)
    theirs = breslow().fit(risk, y["event"], y["time"])
    ours = fitted.predict_survival_function(X[:9])
    for f, g in zip(ours, theirs.get_survival_function(risk[:9]), strict=True):
        np.testing.assert_allclose(f.y, g.y, rtol=1e-5, atol=1e-12)
        np.testing.assert_array_equal(f.x, g.x)


def test_scikit_survival_scores_by_integrated_brier_score(fitted, table):
    metrics = pytest.importorskip("sksurv.metrics")
    X, y = table
    times = np.quantile(y["time"], [0.2, 0.4, 0.6])
    scorer = metrics.as_integrated_brier_score_scorer(fitted, times=times)
    scorer.fit(X, y)
    assert -0.25 < scorer.score(X, y) < 0
