"""Our estimators within other packages that test inputs, where these are installed."""

import numpy as np
import pytest
from _helpers import RELEVANT
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold

from skjointprune._error_rates.rates import knockoff_threshold
from skjointprune._error_rates.sample import minimum_reconstructability


@pytest.fixture(scope="module")
def network(quick):
    return quick(n_features_to_select=6, max_epochs=8)


@pytest.mark.parametrize("name", ["CFI", "PFI", "LOCO"])
def test_hidimstat_finds_what_decides_by_our_network(name, network, planted):
    hidimstat = pytest.importorskip("hidimstat")
    X, y = planted
    kwargs = {} if name == "LOCO" else {"n_permutations": 5, "random_state": 0}
    method = getattr(hidimstat, name)(
        clone(network).fit(X[:300], y[:300]),
        method="predict_proba",
        loss=log_loss,
        **kwargs,
    )
    method.fit(X[:300], y[:300])
    importances = method.importance(X[300:], y[300:])
    assert sorted(np.argsort(-importances)[:3]) == RELEVANT


@pytest.mark.filterwarnings("ignore:invalid value encountered in divide")
def test_hidimstat_selects_at_a_rate_by_our_network(network, planted):
    hidimstat = pytest.importorskip("hidimstat")
    cfi = hidimstat.CFICV(
        network,
        cv=KFold(4, shuffle=True, random_state=0),
        method="predict_proba",
        loss=log_loss,
        n_permutations=5,
        random_state=0,
    )
    cfi.fit_importance(*planted)
    # an input that no fold's network reads has no p-value
    assert sorted(np.argsort(np.nan_to_num(cfi.pvalues_, nan=1))[:3]) == RELEVANT
    assert cfi.pvalues_[RELEVANT].max() < 0.05


def test_ipss_selects_at_a_rate_by_our_importances(network, planted):
    ipss = pytest.importorskip("ipss")

    def importances(X, y):
        return clone(network).set_params(max_epochs=3).fit(X, y).feature_importances_

    found = ipss.ipss(*planted, selector=importances, B=4, preselect=False)
    q_values = np.array([found["q_values"][i] for i in range(12)])
    assert sorted(np.argsort(q_values, kind="stable")[:3]) == RELEVANT


@pytest.mark.parametrize("rho", [0.3, 0.8])
def test_distances_of_knockoffs_are_those_of_knockpy(rho):
    smatrix = pytest.importorskip("knockpy.smatrix")
    correlation = rho ** np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    S = smatrix.compute_smatrix(correlation, method="mvr")
    np.testing.assert_allclose(
        minimum_reconstructability(correlation), np.diag(S), atol=0.01
    )


def test_the_threshold_is_that_of_knockpy():
    stats = pytest.importorskip("knockpy.knockoff_stats")
    rng = np.random.default_rng(0)
    for _ in range(20):
        W = np.append(rng.normal(2, 1, 15), rng.normal(0, 1, 20))  # no ties
        for fdr in (0.05, 0.1, 0.3):
            theirs = stats.data_dependent_threshhold(W, fdr=fdr)
            assert knockoff_threshold(W, fdr) == theirs
