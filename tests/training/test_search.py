import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_wine

from skjointprune import JointPruneClassifier, JointPruneRegressor
from skjointprune._estimators.pose import pose
from skjointprune._training.search import search
from skjointprune._utils.seeds import seeded
from skjointprune.datasets import make_planted
from skjointprune.modules import MLP

SMALL = {"hidden_layer_sizes": (32, 16), "random_state": 0}


def posed(estimator, X, y):
    device = torch.device("cpu")
    with seeded(0, device):
        return pose(estimator, X, y, None, 0, device)


@pytest.fixture(scope="module")
def table():
    return make_planted("linear", 300, 20, random_state=0)


@pytest.mark.parametrize("kind", ["linear", "friedman1"])
def test_planted_inputs_are_found_when_nothing_is_said(kind):
    table = make_planted(kind, 500, 30, random_state=0)
    regression = table.task == "regression"
    estimator = JointPruneRegressor if regression else JointPruneClassifier
    fitted = estimator(**SMALL).fit(table.data, table.target)
    missed = table.support & ~fitted.get_support()
    extra = fitted.get_support() & ~table.support
    assert missed.sum() <= 1
    assert extra.sum() <= 1


def test_where_y_says_nothing_one_input_is_kept_with_a_warning(table):
    y = np.random.default_rng(1).permutation(table.target)
    clf = JointPruneClassifier(**SMALL)
    with pytest.warns(UserWarning, match="one input is kept") as caught:
        clf.fit(table.data, y)
    assert len(caught) == 1  # and none about an `alpha` that nobody gave
    assert clf.get_support().sum() == 1


def test_shadows_are_columns_in_another_order_and_leave_rows_alone(table):
    problem = posed(JointPruneClassifier(**SMALL), table.data, table.target)
    before = problem.data.train.X.clone()
    rivals = problem.with_shadows()
    X = rivals.data.train.X
    n = table.data.shape[1]
    assert X.shape == (len(before), 2 * n)
    assert torch.equal(X[:, :n], before)
    assert torch.equal(problem.data.train.X, before)
    shadows = X[:, n:].sort(dim=0).values
    columns = before.sort(dim=0).values
    # each is one of the columns, and none is in the same order
    for shadow in shadows.T:
        assert (shadow[:, None] == columns).all(dim=0).any()
    assert not any((a[:, None] == before).all(dim=0).any() for a in X[:, n:].T)


def test_shadows_of_a_group_stay_together_and_are_one_group(table):
    groups = [[0, 1, 2], [5, 9]]
    clf = JointPruneClassifier(feature_groups=groups, **SMALL)
    problem = posed(clf, table.data, table.target)
    rivals = problem.with_shadows()
    n = len(problem.inputs.groups)
    assert len(rivals.inputs.groups) == 2 * n
    real, shadow = rivals.data.train.X[:, :20], rivals.data.train.X
    wide = [g for g in rivals.inputs.groups[n:] if len(g) == 3]
    (columns,) = wide
    rows = {tuple(row) for row in real[:, [0, 1, 2]].tolist()}
    assert {tuple(row) for row in shadow[:, columns].tolist()} == rows


def test_what_is_found_has_no_shadow_and_the_size_of_the_dense_network(table):
    clf = JointPruneClassifier(**SMALL)
    problem = posed(clf, table.data, table.target)
    with seeded(0, torch.device("cpu")):
        sparse = search(problem)
    assert int(sparse.point.kept.max()) < 20
    assert sparse.dense.inputs == 20
    assert sparse.point.network.inputs.size == len(sparse.point.kept)
    assert sparse.point.importances.shape == (20,)
    assert sparse.data.train[:2][0].shape[1] == len(sparse.point.kept)


def test_without_held_out_rows_shadows_alone_decide(table):
    clf = JointPruneClassifier(validation_fraction=None, **SMALL)
    with warnings.catch_warnings(action="error"):
        clf.fit(table.data, table.target)
    assert (clf.get_support() & table.support).sum() >= 4
    assert clf.get_support().sum() <= 10


@pytest.mark.parametrize(
    "params",
    [
        {"n_features_to_select": 3},
        {"prune": "weights"},
        {"prune": "none"},
        {"module": torch.nn.Linear(20, 2)},
    ],
)
def test_nothing_is_searched_where_it_is_said_or_cannot_be_found(table, params):
    clf = JointPruneClassifier(**SMALL, max_epochs=2, retrain_epochs=1, **params)
    assert not posed(clf, table.data, table.target).searches


def test_units_go_without_a_number_for_alpha(table):
    clf = JointPruneClassifier(prune="weights", **SMALL).fit(table.data, table.target)
    assert clf.report_.pruned.inputs == 20
    assert clf.report_.pruned.parameters < clf.report_.dense.parameters


def test_another_module_has_the_usual_alpha(table):
    class Own(MLP):
        pass

    params = SMALL | {"max_epochs": 4, "retrain_epochs": 1}
    auto, said = (
        JointPruneClassifier(module=Own, alpha=alpha, **params)
        .fit(table.data, table.target)
        .predict_proba(table.data)
        for alpha in ("auto", 0.02)
    )
    assert np.array_equal(auto, said)


def test_a_fit_of_hardly_any_steps_ends(table):
    clf = JointPruneClassifier(**SMALL, max_epochs=1, retrain_epochs=1, batch_size=300)
    with warnings.catch_warnings(action="ignore"):
        clf.fit(table.data, table.target)
    assert clf.get_support().any()


def test_other_words_for_alpha_are_refused(table):
    with pytest.raises(ValueError, match="'alpha' parameter"):
        JointPruneClassifier(alpha="best").fit(table.data, table.target)


def test_a_screening_is_given_up_where_all_columns_say_more_together():
    rng = np.random.default_rng(0)
    y = np.arange(300) % 2
    X = rng.normal(size=(300, 500)) + 0.15 * (2 * y[:, None] - 1)
    clf = JointPruneClassifier(prune="inputs", random_state=0).fit(X, y)
    assert clf.get_support().sum() > 300  # of which a screening leaves fewer


def test_what_is_selected_does_not_hang_on_retraining():
    X, y = load_wine(return_X_y=True)
    clf = JointPruneClassifier(prune="inputs", random_state=0)
    supports = [
        clf.set_params(retrain_epochs=epochs).fit(X, y).get_support()
        for epochs in (0, "auto")
    ]
    np.testing.assert_array_equal(*supports)
