"""Estimators of others around ours, and ours in their pipelines."""

import imblearn.pipeline
import numpy as np
import optuna
import pytest
from _helpers import RELEVANT
from imblearn.over_sampling import RandomOverSampler
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFECV
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import HalvingGridSearchCV, cross_val_score
from sklearn.tree import DecisionTreeClassifier

from skjointprune import InputFeatureSelector


@pytest.fixture
def three(quick):
    return quick(n_features_to_select=3)


def test_stacking_and_calibration_wrap_the_classifier(three, planted):
    X, y = planted
    stacked = StackingClassifier(
        [("ours", three), ("tree", DecisionTreeClassifier(random_state=0))], cv=2
    )
    for model in (stacked, CalibratedClassifierCV(three, cv=2)):
        assert model.fit(X, y).score(X, y) > 0.9


def test_a_halving_search_chooses_the_number_of_inputs(quick, planted):
    grid = {"n_features_to_select": [1, 3]}
    search = HalvingGridSearchCV(quick(), grid, cv=2, factor=2, random_state=0)
    assert search.fit(*planted).best_params_["n_features_to_select"] == 3


def test_recursive_elimination_goes_by_our_importances(quick, planted):
    rfe = RFECV(quick(prune="none"), step=3, min_features_to_select=3, cv=2)
    assert rfe.fit(*planted).support_[RELEVANT].all()


def test_permuting_columns_matters_where_they_are_retained(three, planted):
    clf = three.fit(*planted)
    found = permutation_importance(clf, *planted, n_repeats=2, random_state=0)
    assert (found.importances_mean[~clf.support_] == 0).all()
    assert (found.importances_mean[clf.support_] > 0.05).all()


def test_pipelines_of_imbalanced_learn_resample_before_the_selector(three, planted):
    X, y = planted
    rows = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:40]]
    pipe = imblearn.pipeline.make_pipeline(
        RandomOverSampler(random_state=0),
        InputFeatureSelector(three),
        LogisticRegression(),
    ).fit(X[rows], y[rows])
    assert pipe[1].get_support(indices=True).tolist() == RELEVANT


def test_optuna_searches_alpha(quick, planted):
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def score(trial):
        alpha = trial.suggest_float("alpha", 1e-3, 1e-1, log=True)
        return cross_val_score(quick(alpha=alpha), *planted, cv=2).mean()

    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(score, n_trials=2)
    assert study.best_value > 0.9
