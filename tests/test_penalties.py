import pytest
import torch
from _helpers import assert_prox_minimises

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
