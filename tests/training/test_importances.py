import numpy as np
import pytest
import torch
from torch import nn

from skjointprune import JointPruneClassifier, JointPruneRegressor
from skjointprune._data.prepare import Data
from skjointprune._data.tables import Table
from skjointprune._pruning.gates import InputGates
from skjointprune._training.importances import loss_given_up
from skjointprune._training.tasks import MULTICLASS, REGRESSION

WEIGHTS = torch.tensor([1.0, 0.5, 0.2, 0.0])
GIVEN_UP = 2 * WEIGHTS**2  # of independent columns of variance 1: twice its variance
COLUMNS = torch.arange(4)
SQUARED = REGRESSION["squared_error"]


def linear():
    module = nn.Linear(4, 1, bias=False)
    module.weight.data.copy_(WEIGHTS)
    return module


def rows(n, seed=0, weight=None):
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(n, 4, generator=generator)
    y = X @ WEIGHTS[:, None] + 0.3 * torch.randn(n, 1, generator=generator)
    return Table(X, y, torch.ones(n) if weight is None else weight)


def data(train, valid=None):
    return Data(train, valid, None, None, InputGates(("channel",), (4,)))


def measure(parts, module=None, columns=COLUMNS, seed=0, task=SQUARED):
    return loss_given_up(task, module or linear(), parts, columns, seed)


@pytest.mark.parametrize("n", [(1500,), (60,), (900, 200)])
def test_the_loss_of_a_linear_rule_is_as_computed(n):
    means, errors = measure(data(*(rows(m, seed=m) for m in n)))
    assert (errors[:3] > 0).all()
    assert ((means - GIVEN_UP).abs() <= 3 * errors + 1e-6).all()


@pytest.mark.parametrize("n", [(80,), (160, 40)])
def test_standard_errors_are_deviations_over_samples_of_rows(n):
    found = [
        measure(data(*(rows(m, seed=10 * seed + m) for m in n)), seed=seed)
        for seed in range(60)
    ]
    means, errors = (torch.stack(parts)[:, :3] for parts in zip(*found, strict=True))
    ratio = errors.mean(dim=0) / means.std(dim=0)
    assert ((ratio > 0.75) & (ratio < 1.35)).all()


def test_four_times_the_rows_halve_the_standard_error():
    errors = [measure(data(rows(n)))[1][0] for n in (100, 400, 1600)]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.35)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.35)


def test_shares_add_up_to_the_loss_more_where_all_is_another_rows():
    module = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))
    X = torch.randn(200, 4)
    module[2].weight.data.mul_(4)
    y = module(X).argmax(dim=1)
    means, _ = measure(
        data(Table(X, y, torch.ones(200))), module=module, task=MULTICLASS
    )
    with torch.no_grad():
        outputs = module(X)
        pairs = [MULTICLASS.losses(outputs.roll(k, 0), y).mean() for k in range(1, 200)]
        more = torch.stack(pairs).mean() - MULTICLASS.losses(outputs, y).mean()
    assert float(means.sum()) == pytest.approx(float(more), rel=0.1)


def test_rows_of_weight_0_do_not_count():
    counted = rows(100)
    weight = torch.cat([torch.ones(100), torch.zeros(50)])
    X = torch.cat([counted.X, 100 * torch.ones(50, 4)])
    y = torch.cat([counted.y, torch.zeros(50, 1)])
    means, errors = measure(data(Table(X, y, weight)))
    assert ((means - GIVEN_UP).abs() < 3 * errors + 1e-6).all()
    train = Table(X, y, weight)
    means, errors = measure(data(train, rows(30, seed=1)))
    assert ((means - GIVEN_UP).abs() < 3 * errors + 1e-6).all()


def test_rows_count_by_their_weights():
    # What is given up is 2 in the second half, and nothing in the mean in the first.
    X = torch.randn(4000, 2)
    y = X[:, :1].clone()
    y[2000:] = X[2000:, 1:]
    weight = torch.ones(4000)
    weight[2000:] = 10

    class Half(nn.Module):
        def forward(self, X):
            return X[:, 1:]

    means, errors = measure(
        data(Table(X, y, weight)), module=Half(), columns=torch.arange(2)
    )
    assert abs(float(means[1]) - 2 * 10 / 11) < 3 * float(errors[1])
    assert float(errors[1]) < 0.3 and float(means[0]) == 0


def test_held_out_rows_are_asked_where_there_are_two():
    odd = rows(40)
    odd.y.neg_()  # what is held out is the opposite of what was learnt
    assert measure(data(rows(200), odd))[0][0] < 0
    one = Table(odd.X[:1], odd.y[:1], odd.weight[:1])
    assert measure(data(rows(200), one))[0][0] > 0


def test_numbers_of_one_column_are_summed_and_vary_together():
    parts = data(rows(200))
    means, errors = measure(parts)
    both, of_both = measure(parts, columns=torch.tensor([0, 1, 0, 1]))
    torch.testing.assert_close(both, means[:2] + means[2:])
    assert (of_both <= errors[:2] + errors[2:] + 1e-6).all()


def test_what_is_drawn_leaves_the_random_state_of_torch_alone():
    module, parts = linear(), data(rows(50))
    before = torch.get_rng_state()
    first = measure(parts, module=module)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    for again, value in zip(measure(parts, module=module), first, strict=True):
        assert torch.equal(again, value)


def test_the_module_is_asked_in_evaluation_mode_and_left_as_it_was():
    module = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.9), linear())
    module[0].eval()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    means, errors = measure(data(rows(300)), module=module)
    assert ((means - GIVEN_UP).abs() < 3 * errors + 1e-4).all()
    assert [layer.training for layer in module] == [False, True, True]
    for name, value in module.state_dict().items():
        assert torch.equal(value, state[name])
    assert all(p.grad is None for p in module.parameters())


class RoundsTwo(nn.Module):
    """Reads signs of the first two columns, which have no gradient, and the third."""

    def forward(self, X):
        return X[:, :1].sign() + 0.5 * X[:, 1:2].sign() + X[:, 2:3]


def test_columns_that_no_gradient_reaches_are_measured_all_the_same():
    X = torch.randn(600, 4)
    means, errors = measure(
        data(Table(X, RoundsTwo()(X), torch.ones(600))), module=RoundsTwo()
    )
    # A sign is another in half of the pairs, which costs the square of 2 or of 1.
    truth = torch.tensor([2.0, 0.5, 2.0, 0.0])
    assert ((means - truth).abs() < 3 * errors + 1e-6).all()


def test_one_row_has_no_standard_error():
    means, errors = measure(data(rows(1)))
    assert (means == 0).all() and errors.isnan().all()


def test_importances_of_a_fit_are_those_of_the_rule():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 8))
    y = 100 * (2 * X[:, 2] + X[:, 5] + 0.1 * rng.normal(size=1000))
    reg = JointPruneRegressor(
        (16,), n_features_to_select=3, max_epochs=15, retrain_epochs=15, random_state=0
    ).fit(X, y)
    means, errors = reg.feature_importances_, reg.feature_importances_se_
    truth = np.zeros(8)
    truth[[2, 5]] = 2 * np.array([4, 1]) / 5.01  # of targets of variance 1
    kept = reg.get_support()
    assert (np.abs(means - truth)[kept] < 3 * errors[kept] + 0.03).all()
    assert (errors[kept] < 0.3).all()
    np.testing.assert_array_equal(np.isnan(errors), ~kept)


def test_a_category_has_one_importance_that_its_levels_add_up_to():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X = pandas.DataFrame(
        {"a": rng.normal(size=300), "kind": rng.choice(["x", "y", "z"], 300)}
    )
    clf = JointPruneClassifier(
        (8,), prune="none", max_epochs=10, retrain_epochs=10, lr=0.01, random_state=0
    ).fit(X, X["kind"] == "y")
    assert clf.feature_importances_.shape == clf.feature_importances_se_.shape == (2,)
    share, other = clf.feature_importances_[[1, 0]]
    assert share > 0.5 > 10 * other


def test_importances_do_not_wait_for_retraining():
    X = np.random.default_rng(0).normal(size=(200, 5))
    clf = JointPruneClassifier(
        (8,), n_features_to_select=2, max_epochs=15, retrain_epochs=0, lr=0.01,
        random_state=0,
    ).fit(X, X[:, 3] > 0)  # fmt: skip
    assert clf.feature_importances_.argmax() == 3
    assert np.isfinite(clf.feature_importances_se_[clf.support_]).all()


class LooksUp(nn.Module):
    """A network whose inputs are levels, 0 to 3."""

    def __init__(self, n_inputs=2):
        super().__init__()
        self.levels = nn.Embedding(4, 3)
        self.linear = nn.Linear(3 * n_inputs, 2)

    def forward(self, X):
        return self.linear(self.levels(X.long().clamp(0, 3)).flatten(1))


def test_a_network_of_levels_that_are_looked_up_has_importances():
    X = np.random.default_rng(0).integers(0, 4, (200, 2)).astype(float)
    clf = JointPruneClassifier(
        module=LooksUp, standardize=False, max_epochs=15, retrain_epochs=15, lr=0.02,
        random_state=0,
    ).fit(X, X[:, 1] > 1)  # fmt: skip
    share, other = clf.feature_importances_[[1, 0]]
    assert share > 0.5 and other < 0.1
