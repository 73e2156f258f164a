import numpy as np
import pytest
import torch
from _helpers import assert_prox_minimises, assert_same_fit, passed_through

from skjointprune import InputFeatureSelector, JointPruneCV, joint_prune_path, penalties
from skjointprune.penalties import PENALTIES, GroupL0, GroupLasso


@pytest.mark.parametrize("penalty", [p() for p in PENALTIES.values()])
@pytest.mark.parametrize("alpha", [0.1, 0.7, 3.0])
def test_prox_minimises_its_objective(penalty, alpha):
    assert_prox_minimises(penalty, alpha)


@pytest.mark.parametrize("penalty", [p() for p in PENALTIES.values()])
def test_groups_go_at_alpha_and_stay_above(penalty):
    s = torch.tensor([0.5, 1.0, 1.001, 2.0])
    assert (penalty.prox(s, 1.0) > 0).tolist() == [False, False, True, True]


def test_l0_leaves_survivors_alone_and_lasso_shrinks_them():
    s = torch.tensor([2.0, 3.0])
    assert GroupL0().prox(s, 1.0).tolist() == [2, 3]
    assert GroupLasso().prox(s, 1.0).tolist() == [1, 2]


class ProxAlone:
    def prox(self, s, alpha):
        return (s - alpha).clamp(min=0)


def test_a_penalty_needs_no_value(quick, planted):
    X, y = planted
    clf = quick(penalty=ProxAlone(), alpha=0.01).fit(X, y)
    assert_same_fit(clf, quick(penalty="group_lasso", alpha=0.01).fit(X, y), X)


def test_a_proximal_step_is_enough_for_all_that_takes_a_penalty(
    quick, planted, tmp_path
):
    X, y = planted
    clf = quick(penalty=ProxAlone(), max_epochs=6, retrain_epochs=2)
    path = joint_prune_path(X, y, alphas=[0.001, 0.01], estimator=clf)
    assert path.inputs[0] >= path.inputs[1]
    cv = JointPruneCV(clf, alphas=[0.001, 0.01], cv=2).fit(X, y)
    assert cv.estimator_.penalty is not clf.penalty  # cloned
    selector = InputFeatureSelector(clf, n_features_to_select=3).fit(X, y)
    assert selector.get_support().sum() == 3
    with pytest.warns(UserWarning, match="left out .*`penalty`"):
        loaded = passed_through(cv, tmp_path)
    np.testing.assert_array_equal(loaded.predict(X), cv.predict(X))


class ValueAlone:
    def value(self, s, alpha):
        return alpha * s


def test_a_penalty_needs_a_proximal_step(quick, planted):
    with pytest.raises(ValueError, match="'penalty' parameter"):
        quick(penalty=ValueAlone()).fit(*planted)


def test_every_penalty_of_a_name_is_public():
    assert {kind.__name__ for kind in PENALTIES.values()} < set(penalties.__all__)


@pytest.mark.parametrize("name", penalties.__all__)
def test_public_penalties_are_documented_with_an_example(name):
    assert ">>> " in getattr(penalties, name).__doc__
