"""Inputs that show no sign of mattering go before training, where columns are many."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.datasets import make_classification

from skjointprune import JointPruneClassifier, JointPruneRegressor
from skjointprune._data.sparse_table import SparseTable
from skjointprune._data.tables import Table
from skjointprune._pruning.prices import Prices
from skjointprune._training import screen as module
from skjointprune._training.screen import evidence, screen
from skjointprune._training.tasks import (
    MULTICLASS,
    MULTILABEL,
    REGRESSION,
    SURVIVAL,
)
from skjointprune.datasets import PLANTED_KINDS, make_planted
from skjointprune.penalties import GroupLasso

PRICES = Prices(GroupLasso())
# the product of three signs shows in no pair
KINDS = [kind for kind in PLANTED_KINDS if kind != "three_signs"]


def rows_of(X, y):
    y = torch.as_tensor(y)
    if y.is_floating_point():
        y = y.float().view(len(X), -1)
    return Table(torch.as_tensor(X).float(), y, torch.ones(len(X)))


def planted(kind, seed=0):
    table = make_planted(kind, 400, 600, random_state=seed)
    y = table.target
    task = MULTICLASS if y.dtype.kind == "i" else REGRESSION["squared_error"]
    return task, rows_of(table.data, y), table.support


@pytest.mark.parametrize("kind", KINDS)
def test_true_inputs_show_more_than_nearly_all_others(kind):
    task, rows, support = planted(kind)
    best = evidence(task, rows)
    assert (best[~support] > best[support].min()).sum() <= 6  # copies


def test_about_a_hundred_stay_that_say_nothing():
    torch.manual_seed(0)
    X = torch.randn(300, 2000)
    mask = screen(MULTICLASS, rows_of(X, torch.arange(300) % 2), PRICES, 5)
    assert 100 <= mask.sum() <= 130


def test_all_stay_that_are_related_to_y():
    torch.manual_seed(0)
    y = torch.arange(100) % 2
    X = torch.randn(100, 400)
    X[:, :300] += 2 * y[:, None]
    mask = screen(MULTICLASS, rows_of(X, y), PRICES, 5)
    assert mask[:300].all()


def test_more_stay_where_more_are_asked_for():
    task, rows, _ = planted("linear")
    assert screen(task, rows, PRICES, 60).sum() == 60 * module.LEFT_FOR_EACH
    assert screen(task, rows, PRICES, 600).sum() == 600


def test_inputs_are_judged_alike_in_any_units_and_order():
    task, rows, _ = planted("products")
    found = evidence(task, rows)
    order = torch.randperm(600, generator=torch.Generator().manual_seed(0))
    scale = torch.linspace(0.1, 10, 600)
    again = Table(rows.X[:, order] * scale + 5, rows.y, rows.weight)
    torch.testing.assert_close(
        evidence(task, again), found[order], rtol=1e-3, atol=1e-2
    )


def test_products_are_looked_at_among_the_most_evident_where_columns_are_very_many(
    monkeypatch,
):
    task, rows, support = planted("xor")
    full = evidence(task, rows)
    monkeypatch.setattr(module, "COLUMNS_AT_ONCE", 150)  # of 600
    # other blocks, other roundings of float32
    torch.testing.assert_close(evidence(task, rows), full, rtol=1e-5, atol=1e-5)
    monkeypatch.setattr(module, "MOST_PRODUCTS", 400 * 20**2)  # 20 columns
    fewer = evidence(task, rows)
    assert fewer[support].max() < full[support].min()


def test_a_column_that_never_changes_says_nothing():
    task, rows, _ = planted("linear")
    rows.X[:, 3] = 7
    found = evidence(task, rows)
    assert found.isfinite().all()
    assert found[3] < 1e-3


def test_one_extreme_row_makes_no_evidence():
    torch.manual_seed(0)
    X, y = torch.randn(200, 30), torch.randn(200)
    X[5, 3] = y[5] = 1e4
    found = evidence(REGRESSION["squared_error"], rows_of(X, y))
    assert found[3] < 3


def test_groups_stay_or_go_whole_and_what_costs_nothing_stays():
    task, rows, support = planted("linear")
    groups = torch.arange(600) // 2
    costs = torch.ones(600)
    costs[:10] = 0
    mask = screen(task, rows, Prices(GroupLasso(), groups=groups, costs=costs), 5)
    assert 2 * module.BY_CHANCE <= mask.sum() <= 300
    assert mask[:10].all()
    assert mask[support].all()
    assert (mask.view(-1, 2).sum(dim=1) != 1).all()


def test_rows_of_more_weight_say_more():
    torch.manual_seed(0)
    X = torch.randn(400, 10)
    y = torch.where(torch.arange(400) < 200, X[:, 0] > 0, X[:, 1] > 0).long()
    rows = rows_of(X, y.numpy())
    rows.weight = torch.where(torch.arange(400) < 200, 1.9, 0.1)
    found = evidence(MULTICLASS, rows)
    assert found[0] > 2 * found[1]


def test_any_task_is_screened():
    torch.manual_seed(0)
    X = torch.randn(300, 40)
    z = X[:, 0] * X[:, 1]
    labels = torch.stack([z > 0, X[:, 2] > 0], dim=1).float()
    time = (-z).argsort().argsort().float()
    cases = [
        (MULTILABEL, labels),
        (REGRESSION["absolute_error"], z),
        (REGRESSION["huber"], torch.stack([z, X[:, 3]], dim=1)),
        (SURVIVAL, torch.stack([time, torch.ones(300), torch.ones(300)], dim=1)),
    ]
    for task, y in cases:
        found = evidence(task, Table(X, y.view(300, -1), torch.ones(300)))
        assert {0, 1} <= set(found.argsort(descending=True)[:3].tolist())


def test_sparse_tables_are_screened_as_dense_ones():
    rng = np.random.RandomState(0)
    X = rng.poisson(0.2, (100, 300)).astype(np.float32)
    y = torch.as_tensor((X[:, 0] > 0).astype(int))
    dense = evidence(MULTICLASS, Table(torch.as_tensor(X), y, torch.ones(100)))
    rows = SparseTable(csr_matrix(X), y, torch.ones(100), None)
    torch.testing.assert_close(evidence(MULTICLASS, rows), dense, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["xor", "products", "duplicate"])
def test_a_fit_finds_an_interaction_among_many_more_columns_than_rows(kind):
    table = make_planted(kind, 300, 600, random_state=0)
    regression = table.task == "regression"
    estimator = JointPruneRegressor if regression else JointPruneClassifier
    k = int(table.support.sum())
    fitted = estimator(n_features_to_select=k, random_state=0)
    fitted.fit(table.data, table.target)
    assert (fitted.get_support() == table.support).all()
    assert (fitted.feature_importances_ > 0).sum() == k
    assert fitted.feature_importances_.shape == (600,)
    assert fitted.report_.dense.inputs == 600


@pytest.mark.parametrize("given", [{"alpha": 0.01}, {"alpha": "auto"}])
def test_the_number_of_inputs_asked_for_stays_with_and_without_screening(given):
    X, y = make_classification(60, 150, random_state=0)
    groups = np.arange(150) // 3
    fitted = JointPruneClassifier(
        n_features_to_select=10, feature_groups=groups, max_epochs=5, **given
    ).fit(X, y)
    kept = fitted.get_support()
    assert kept.sum() == 30
    assert (kept.reshape(-1, 3).sum(axis=1) % 3 == 0).all()


@pytest.mark.parametrize("prune", ["weights", "none"])
def test_no_column_is_screened_out_where_none_may_go(prune):
    X, y = make_classification(60, 150, random_state=0)
    clf = JointPruneClassifier(prune=prune, max_epochs=2, retrain_epochs=2).fit(X, y)
    assert clf.get_support().all()
