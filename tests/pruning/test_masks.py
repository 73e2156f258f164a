import math
from itertools import combinations

import pytest
import torch

from skjointprune._pruning.masks import Masks, choose_groups


def test_hidden_groups_are_means_and_shown_ones_are_as_they_were():
    X = torch.randn(50, 4) + 3
    masks = Masks(X.mean(dim=0), torch.tensor([0, 1, 1, 2]), n_asked=1)
    hidden = masks.hide(X, torch.tensor([True, False, True]))
    assert torch.equal(hidden[:, [0, 3]], X[:, [0, 3]])
    torch.testing.assert_close(hidden[:, 1:3], X[:, 1:3].mean(dim=0).expand(50, 2))


def test_rows_are_hidden_each_on_its_own_and_their_groups_whole():
    X = torch.randn(5000, 5) + 3
    masks = Masks(torch.zeros(5), torch.tensor([0, 0, 1, 2, 3]), n_asked=2)
    shown = masks.hide_some(X) != 0
    assert torch.equal(shown[:, 0], shown[:, 1])
    # from half of the two that are asked for, of four, up to all
    assert shown.float().mean() == pytest.approx(0.75 / math.log(4), abs=0.02)
    sizes = shown[:, 1:].sum(dim=1)
    assert set(sizes.tolist()) == {0, 1, 2, 3, 4}


def loss_of_parts(worth, twins=()):
    """A loss that each group lowers by its worth, twins together only once."""

    def loss(shown):
        here = set(shown.nonzero().flatten().tolist())
        for first, second in twins:
            if {first, second} <= here:
                here.remove(second)
        return 10 - sum(worth[i] for i in here)

    return loss


@pytest.mark.parametrize("n_more", [0, 20], ids=["few choices", "many"])
def test_of_groups_that_stand_in_for_each_other_one_is_chosen(n_more):
    # by what they are worth alone, or beside all others, both would stay, or go
    worth = [3.0, 3.0, 1.0, 0.5, 0.1] + n_more * [0.01]
    loss = loss_of_parts(worth, twins=[(0, 1)])
    chosen = choose_groups(loss, torch.zeros(len(worth), dtype=torch.bool), 2)
    assert chosen.sum() == 2
    assert chosen[2] and chosen[:2].sum() == 1


def test_of_few_choices_one_is_found_that_no_swap_leads_to():
    def loss(shown):  # two that help together, and each of the others alone
        return 9.0 - 5 * (shown[0] and shown[1]) - float(shown[2:].sum())

    chosen = choose_groups(loss, torch.zeros(8, dtype=torch.bool), 2)
    assert chosen.nonzero().flatten().tolist() == [0, 1]


def test_a_group_that_always_stays_is_chosen_and_counts():
    always = torch.tensor([False, False, True, False])
    chosen = choose_groups(loss_of_parts([3.0, 2.0, 0.0, 1.0]), always, 2)
    assert chosen.tolist() == [True, False, True, False]


def test_no_swap_of_two_groups_makes_the_loss_less():
    torch.manual_seed(0)
    matrix = torch.randn(40, 11)
    target = matrix @ torch.randn(11) + torch.randn(40)

    def loss(shown):
        fit = torch.linalg.lstsq(matrix[:, shown], target[:, None]).solution
        return float(((matrix[:, shown] @ fit)[:, 0] - target).pow(2).mean())

    chosen = choose_groups(loss, torch.zeros(11, dtype=torch.bool), 3)
    best = min(
        loss(torch.isin(torch.arange(11), torch.tensor(some)))
        for some in combinations(range(11), 3)
    )
    assert loss(chosen) == pytest.approx(best)
