"""Cox's loss and the concordance, against their definitions row by row."""

from itertools import combinations

import numpy as np
import pytest
import torch

from skjointprune._training.survival import CoxLoss, concordance, score_ranks
from skjointprune._training.tasks import SURVIVAL


def codes(rank, event, weight=None):
    weight = np.ones(len(rank)) if weight is None else weight
    return torch.tensor(np.column_stack([rank, event, weight]))


def drawn(n=40, n_times=12, seed=0):
    """Return outputs and codes of rows with many ties, with weights."""
    rng = np.random.default_rng(seed)
    rank = rng.integers(0, n_times, n)
    event = rng.random(n) < 0.6
    return torch.tensor(rng.normal(size=(n, 1))), codes(
        rank, event, rng.uniform(0.5, 2, n)
    )


def efron(f, rank, event, weight):
    """Return the log partial likelihood as R's survival has it, time by time."""
    total = 0.0
    risk = weight * np.exp(f)
    for time in np.unique(rank[event]):
        died = event & (rank == time)
        n = died.sum()
        at_risk, dying = risk[rank >= time].sum(), risk[died].sum()
        total += (weight * f)[died].sum()
        for place in range(n):
            total -= weight[died].mean() * np.log(at_risk - place / n * dying)
    return total


@pytest.mark.parametrize("seed", range(3))
def test_the_weighted_loss_is_efrons_likelihood_less_that_of_equal_outputs(seed):
    outputs, targets = drawn(seed=seed)
    rank, event, weight = targets.numpy().T
    event = event > 0
    f = outputs[:, 0].numpy()
    expected = efron(0 * f, rank, event, weight) - efron(f, rank, event, weight)
    losses = CoxLoss()(outputs, targets)
    assert float((losses * targets[:, 2]).sum()) == pytest.approx(expected)


def test_three_rows_by_hand():
    """Of risks 1, 2, 3: the first event has all against it, the last itself alone."""
    f = torch.tensor([[0.0], [np.log(2)], [np.log(3)]])
    losses = CoxLoss()(f, codes([0, 1, 2], [1, 0, 1]).float())
    first, second = np.log(6) - np.log(3), 0
    outlasted = np.array([1 / 6, 2 / 6, 3 / 6 + 1]) - [1 / 3, 1 / 3, 1 / 3 + 1]
    expected = np.array([first, 0, second]) + outlasted
    assert losses.tolist() == pytest.approx(expected.tolist(), abs=1e-6)
    assert float(losses.sum()) == pytest.approx(np.log(2))


def test_two_events_at_one_time_by_hand():
    """The set at risk is 6, and then 6 less half of 1 + 2."""
    f = torch.tensor([[0.0], [np.log(2)], [np.log(3)]])
    losses = CoxLoss()(f, codes([0, 0, 1], [1, 1, 0]).float())
    both = (np.log(6) + np.log(4.5) - np.log(3) - np.log(2)) / 2
    of_dying, of_last = 1 / 6 + 1 / 2 / 4.5, 1 / 6 + 1 / 4.5
    nothing_known = np.array([1 / 3 + 1 / 4, 1 / 3 + 1 / 4, 1 / 3 + 1 / 2])
    outlasted = np.array([of_dying, 2 * of_dying, 3 * of_last]) - nothing_known
    expected = np.array([both, both - np.log(2), 0]) + outlasted
    assert losses.tolist() == pytest.approx(expected.tolist())


def test_standard_errors_of_losses_are_those_of_their_mean():
    rng = np.random.default_rng(0)
    means, errors = [], []
    for _ in range(200):
        risk, end = rng.normal(size=100), rng.exponential(2, 100)
        time = rng.exponential(np.exp(-risk))
        targets = codes(np.minimum(time, end).argsort().argsort(), time < end)
        losses = CoxLoss()(torch.tensor(risk)[:, None], targets)
        means.append(float(losses.mean()))
        errors.append(float(losses.std()) / 10)
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.1)


def test_the_gradient_is_that_of_differences():
    outputs, targets = drawn(n=12, n_times=4)
    outputs.requires_grad_()
    assert torch.autograd.gradcheck(lambda f: CoxLoss()(f, targets), outputs)


def test_a_shift_of_all_outputs_changes_nothing():
    outputs, targets = drawn()
    torch.testing.assert_close(
        CoxLoss()(outputs + 7, targets), CoxLoss()(outputs, targets)
    )


def test_losses_follow_their_rows_in_any_order():
    outputs, targets = drawn()
    order = torch.randperm(len(outputs))
    torch.testing.assert_close(
        CoxLoss()(outputs[order], targets[order]), CoxLoss()(outputs, targets)[order]
    )


def test_equal_outputs_have_no_loss_whatever_is_at_risk():
    _, targets = drawn()
    losses = CoxLoss()(torch.full((len(targets), 1), 3.0), targets.float())
    torch.testing.assert_close(losses, torch.zeros(len(targets)), atol=1e-5, rtol=0)
    constant = SURVIVAL.best_constant(targets, targets[:, 2])
    assert constant.shape == (1, 1)


@pytest.mark.parametrize("n", [1, 2, 9])
def test_rows_without_events_have_no_loss_and_no_gradient(n):
    outputs = torch.randn(n, 1, requires_grad=True)
    losses = CoxLoss()(outputs, codes(np.arange(n), np.zeros(n)).float())
    losses.sum().backward()
    assert (losses == 0).all()
    assert (outputs.grad == 0).all()


def test_rows_that_end_with_the_last_events_have_finite_losses():
    targets = codes([0, 1, 1, 1], [0, 1, 1, 0]).float()
    outputs = torch.tensor([[0.0], [99.0], [99.0], [-99.0]], requires_grad=True)
    losses = CoxLoss()(outputs, targets)
    losses.sum().backward()
    assert losses.isfinite().all()
    assert outputs.grad.isfinite().all()


@pytest.mark.parametrize("size", [1e2, 1e4])
def test_large_outputs_give_finite_losses_and_gradients(size):
    outputs, targets = drawn()
    outputs = (outputs * size).float().requires_grad_()
    losses = CoxLoss()(outputs, targets.float())
    losses.sum().backward()
    assert losses.isfinite().all()
    assert outputs.grad.isfinite().all()


def by_pairs(event, time, risk, weight):
    right = total = 0.0
    for pair in combinations(range(len(time)), 2):
        for i, j in (pair, pair[::-1]):
            if event[i] and (time[i] < time[j] or (time[i] == time[j] and ~event[j])):
                total += weight[i] * weight[j]
                if risk[i] > risk[j]:
                    right += weight[i] * weight[j]
                elif risk[i] == risk[j]:
                    right += weight[i] * weight[j] / 2
    return right / total


def test_concordance_is_that_of_all_pairs():
    rng = np.random.default_rng(0)
    time, risk = rng.integers(0, 9, (2, 50)).astype(float)
    event, weight = rng.random(50) < 0.6, rng.uniform(0.5, 2, 50)
    expected = by_pairs(event, time, risk, weight)
    assert concordance(event, time, risk, weight) == pytest.approx(expected)


def test_concordance_does_not_depend_on_how_many_pairs_are_held_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    arrays = rng.random(60) < 0.6, rng.random(60), rng.random(60), np.ones(60)
    expected = concordance(*arrays)
    monkeypatch.setattr("skjointprune._training.survival.PAIRS_AT_ONCE", 200)
    assert concordance(*arrays) == pytest.approx(expected)


def test_an_order_that_is_right_scores_one_and_the_reverse_zero():
    time, event, ones = np.arange(5.0), np.array([1, 0, 1, 1, 0]) > 0, np.ones(5)
    assert concordance(event, time, -time, ones) == 1
    assert concordance(event, time, time, ones) == 0
    assert concordance(event, time, 0 * time, ones) == 0.5


def test_without_pairs_there_is_no_concordance():
    none = np.zeros(4) > 0
    assert concordance(none, np.arange(4), np.arange(4), np.ones(4)) is None
    outputs, targets = torch.randn(4, 1), codes(np.arange(4), np.zeros(4))
    assert score_ranks(outputs, targets, torch.ones(4)) == 0.5


def test_what_carries_over_is_the_share_of_the_gain():
    assert SURVIVAL.carries_over(-0.4, -0.1) == pytest.approx(0.25)
    assert SURVIVAL.carries_over(-0.4, 0.1) == 0
