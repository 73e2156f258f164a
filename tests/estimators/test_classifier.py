import copy

import numpy as np
import pytest
import torch
from _helpers import RELEVANT, assert_same_fit
from sklearn.metrics import recall_score

from skjointprune import JointPruneClassifier

# --- selection


def test_linear_rule_over_3_of_30_inputs_is_found(quick):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(1000, 30))
    y = X[:, [2, 11, 29]] @ [1.0, -1.0, 1.0] > 0
    clf = quick(n_features_to_select=3).fit(X[:700], y[:700])
    assert clf.get_support(indices=True).tolist() == [2, 11, 29]
    assert clf.score(X[700:], y[700:]) > 0.93


@pytest.fixture(scope="module")
def xor():
    """Class by the signs of two of 20 inputs, and the defaults' fit of it."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 20))
    y = (X[:, 3] > 0) ^ (X[:, 11] > 0)
    return X, y, JointPruneClassifier(n_features_to_select=2, random_state=0).fit(X, y)


def test_defaults_find_the_two_inputs_of_an_xor(xor):
    X, y, clf = xor
    assert clf.get_support(indices=True).tolist() == [3, 11]
    assert clf.score(X, y) > 0.93


def test_auto_epochs_make_steps_by_the_root_of_the_rows(xor):
    X, _, clf = xor
    n_train = 0.9 * len(X)
    # inputs are chosen in half as many more, and then units go
    for phase, times in {"sparsify": 2.5, "retrain": 1}.items():
        rows = [row for row in clf.history_ if row["phase"] == phase]
        steps = sum(row["train_batch_count"] for row in rows) / times
        assert 30 * n_train**0.5 <= steps <= 1.2 * 30 * n_train**0.5


def test_alpha_drops_noise_inputs_and_units_and_keeps_what_matters(joint, planted):
    assert joint.get_support(indices=True).tolist() == RELEVANT
    assert joint.report_.pruned.units["linear1"] < 16
    assert joint.score(*planted) > 0.93


def test_more_alpha_keeps_fewer_inputs(quick, planted):
    kept = [
        quick(alpha=alpha).fit(*planted).support_.sum()
        for alpha in (1e-6, 5e-2, 0.12, 0.3)
    ]
    assert kept == sorted(kept, reverse=True)
    assert kept[0] == 12 > kept[-1]


@pytest.mark.parametrize(
    ("prune", "fewer_inputs", "fewer_units"),
    [
        ("joint", True, True),
        ("inputs", True, False),
        ("weights", False, True),
        ("none", False, False),
    ],
)
def test_prune_says_what_may_go(quick, planted, prune, fewer_inputs, fewer_units):
    clf = quick(alpha=0.12, prune=prune).fit(*planted)
    assert (clf.support_.sum() < 12) == fewer_inputs
    assert (clf.report_.pruned.units["linear1"] < 16) == fewer_units
    assert clf.score(*planted) > 0.9


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (1, 1),
        (5, 5),
        (12, 12),
        (np.int64(4), 4),
        (0.25, 3),
        (0.5, 6),
        (1.0, 12),
        (1e-3, 1),
    ],
)
def test_n_features_to_select_is_met_exactly(quick, planted, k, expected):
    clf = quick(n_features_to_select=k, max_epochs=5, retrain_epochs=2).fit(*planted)
    assert clf.get_support().sum() == expected
    assert clf.report_.pruned.inputs == expected


@pytest.mark.filterwarnings("ignore:`alpha`")  # of constant inputs no unit lives
@pytest.mark.parametrize("k", [1, 5, 0.5, 11])
@pytest.mark.parametrize("kind", ["duplicated", "constant", "all constant"])
def test_n_features_to_select_is_met_on_degenerate_columns(quick, planted, k, kind):
    X, y = planted
    if kind == "duplicated":
        X = np.repeat(X[:, :3], 4, axis=1)
    else:
        X = X.copy()
        X[:, 2 if kind == "constant" else 0 :] = 7.0
    clf = quick(n_features_to_select=k, max_epochs=5, retrain_epochs=2).fit(X, y)
    assert clf.get_support().sum() == {1: 1, 5: 5, 0.5: 6, 11: 11}[k]
    assert np.isfinite(clf.predict_proba(X)).all()


def test_constant_columns_are_not_kept_by_alpha(quick, planted):
    X, y = planted
    X = X.copy()
    X[:, [0, 9]] = 3.0
    support = quick(alpha=0.01).fit(X, y).get_support()
    assert not support[[0, 9]].any()
    assert support[RELEVANT].all()


def test_n_features_to_select_leaves_only_units_to_alpha(quick, planted):
    kept = []
    for alpha in (1e-6, 0.05):
        clf = quick(n_features_to_select=5, alpha=alpha).fit(*planted)
        assert clf.get_support().sum() == 5
        kept.append(clf.report_.pruned.units["linear1"])
    assert kept[0] == 16 > kept[1]


@pytest.mark.parametrize("prune", ["joint", "inputs"])
def test_too_large_alpha_keeps_the_most_salient_input_and_warns(quick, planted, prune):
    X, _ = planted
    y = X[:, 4] * 5 + X[:, 1] + X[:, 2] > 0
    with pytest.warns(UserWarning, match="`?alpha") as caught:
        clf = quick(alpha=1e6, prune=prune).fit(X, y)
    assert {warning.filename for warning in caught} == {__file__}
    assert clf.get_support(indices=True).tolist() == [4]
    assert clf.report_.pruned.units["linear1"] >= 1
    assert clf.score(X, y) > 0.8


@pytest.mark.parametrize(
    ("penalty", "alpha"), [("group_l0", 0.12), ("group_lasso", 0.01)]
)
def test_both_penalties_find_the_planted_inputs(quick, planted, penalty, alpha):
    clf = quick(penalty=penalty, alpha=alpha).fit(*planted)
    assert clf.get_support(indices=True).tolist() == RELEVANT
    assert clf.score(*planted) > 0.93


class HardThresholdAtDouble:
    def value(self, s, alpha):
        return (2 * alpha) ** 2 / 2 * (s > 0)

    def prox(self, s, alpha):
        return torch.where(s > 2 * alpha, s, torch.zeros_like(s))


def test_penalty_may_be_an_object_with_value_and_prox(quick, planted):
    X, y = planted
    custom = quick(penalty=HardThresholdAtDouble(), alpha=0.06).fit(X, y)
    assert_same_fit(custom, quick(penalty="group_l0", alpha=0.12).fit(X, y), X)


def test_retained_inputs_and_only_they_have_positive_importance(fitted, joint):
    for clf in (fitted, joint):
        assert clf.feature_importances_.shape == (12,)
        assert (clf.feature_importances_ >= 0).all()
        np.testing.assert_array_equal(clf.feature_importances_ > 0, clf.support_)


def test_input_with_the_larger_effect_has_the_larger_importance(quick, planted):
    X, _ = planted
    y = X[:, 4] * 5 + X[:, 1] * 2 > 0
    importances = quick(prune="none").fit(X, y).feature_importances_
    assert np.argsort(importances)[::-1][:2].tolist() == [4, 1]


def test_importances_do_not_depend_on_the_units_of_the_columns(quick, planted):
    X, y = planted
    scales = 2.0 ** np.arange(-6, 6)  # exact in floating point
    plain, scaled = (quick(prune="none").fit(A, y) for A in (X, X * scales))
    np.testing.assert_allclose(
        scaled.feature_importances_, plain.feature_importances_, rtol=0.05
    )


def test_get_support_gives_mask_or_positions(fitted):
    assert fitted.get_support().dtype == bool
    np.testing.assert_array_equal(fitted.get_support(), fitted.support_)
    np.testing.assert_array_equal(
        fitted.get_support(indices=True), np.flatnonzero(fitted.support_)
    )


def test_classifier_does_not_transform(fitted):
    assert not hasattr(fitted, "transform")


# --- the finished module


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("norm", ["batch", "layer", None])
def test_module_takes_raw_retained_inputs(quick, planted, standardize, norm):
    X, y = planted
    X = X * np.geomspace(0.1, 10, 12) + np.arange(12)
    clf = quick(n_features_to_select=5, standardize=standardize, module__norm=norm)
    clf.fit(X, y)
    with torch.no_grad():
        logits = clf.module_(torch.tensor(X[:, clf.support_], dtype=torch.float32))
    np.testing.assert_allclose(
        torch.softmax(logits, 1).numpy(), clf.predict_proba(X), atol=1e-5
    )
    np.testing.assert_array_equal(
        clf.predict_log_proba(X), np.log(clf.predict_proba(X))
    )


def test_dropped_columns_are_not_read(fitted, planted):
    X, _ = planted
    changed = np.where(fitted.support_, X, 1e9)
    np.testing.assert_array_equal(
        fitted.predict_proba(changed), fitted.predict_proba(X)
    )


def test_module_is_plain_and_in_evaluation_mode(joint):
    for layer in joint.module_.modules():
        assert type(layer).__module__.startswith(("torch.nn.modules", "skjointprune"))
        assert not layer.training
        assert not hasattr(layer, "parametrizations")
        hooks = [k for k, v in vars(layer).items() if k.endswith("_hooks") and v]
        assert hooks == []
    assert not [name for name in joint.module_.state_dict() if "mask" in name]


def test_module_is_as_small_as_the_report_says(joint):
    n_parameters = sum(p.numel() for p in joint.module_.parameters())
    assert n_parameters == joint.report_.pruned.parameters
    assert n_parameters < joint.report_.dense.parameters
    network = joint.module_.network
    assert network.embedding.n_features_in == joint.support_.sum()
    linear = network.linear1
    assert linear.in_features == joint.support_.sum() * network.embedding.width
    assert linear.out_features == joint.report_.pruned.units["linear1"]


def test_net_holds_the_module_and_predicts_the_same(fitted, planted):
    X, _ = planted
    assert fitted.net_.module_ is fitted.module_
    retained = X[:, fitted.support_].astype("float32")
    np.testing.assert_allclose(
        fitted.net_.predict_proba(retained), fitted.predict_proba(X), atol=1e-5
    )


def test_net_does_not_silently_rebuild_the_dense_network(fitted, planted):
    X, _ = planted
    clf = copy.deepcopy(fitted)
    with pytest.raises(ValueError, match="module"):
        clf.net_.set_params(module__dropout=0.5)
    assert_same_fit(clf, fitted, X)


# --- weights


def test_rows_of_weight_zero_do_no_harm(quick, planted):
    X, y = planted
    wrong = np.arange(len(y)) % 5 < 3
    weight = np.where(wrong, 0.0, 1.0)
    clf = quick(n_features_to_select=3, max_epochs=40, retrain_epochs=20, batch_size=32)
    clf.fit(X, np.where(wrong, 1 - y, y), sample_weight=weight)
    assert clf.get_support(indices=True).tolist() == RELEVANT
    assert clf.score(X, y) > 0.9


def test_rows_of_weight_zero_are_as_absent_rows(quick, planted):
    X, y = planted
    absent = np.arange(len(y)) % 3 == 0
    y = np.where(absent, 1 - y, y)
    weight = np.where(absent, 0.0, 2.0)
    weighted = quick(n_features_to_select=3).fit(X, y, sample_weight=weight)
    kept = ~absent
    plain = quick(n_features_to_select=3).fit(X[kept], y[kept], weight[kept])
    assert_same_fit(weighted, plain, X)


def test_equal_weights_are_as_no_weights(quick, planted, fitted):
    X, y = planted
    clf = quick(n_features_to_select=3).fit(X, y, sample_weight=np.ones(len(y)))
    assert_same_fit(clf, fitted, X)


def test_small_weight_lessens_a_wrong_label(quick, planted):
    X, y = planted
    wrong = np.arange(len(y)) % 2 == 0
    noisy = np.where(wrong, 1 - y, y)
    weighted = quick(max_epochs=40).fit(X, noisy, np.where(wrong, 0.01, 1.0))
    assert weighted.score(X, y) > 0.85 > quick().fit(X, noisy).score(X, y)


@pytest.fixture(scope="module")
def imbalanced():
    """Overlapping classes, one in ten rows of class 1."""
    rng = np.random.default_rng(0)
    y = (np.arange(600) % 10 == 0).astype(int)
    return rng.normal(size=(600, 4)) + y[:, None] * [1.0, 0, 0, 0], y


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1, 1: 9}])
def test_class_weight_raises_the_recall_of_the_rare_class(
    quick, imbalanced, class_weight
):
    X, y = imbalanced
    plain = quick().fit(X, y)
    weighted = quick(class_weight=class_weight).fit(X, y)
    recalls = [recall_score(y, clf.predict(X)) for clf in (plain, weighted)]
    assert recalls[1] > recalls[0] + 0.2


def test_class_weight_is_a_sample_weight_by_class(quick, imbalanced):
    X, y = imbalanced
    by_class = quick(class_weight={0: 1, 1: 9}).fit(X, y)
    by_row = quick().fit(X, y, sample_weight=np.where(y == 1, 9.0, 1.0))
    np.testing.assert_array_equal(by_class.support_, by_row.support_)
    np.testing.assert_allclose(
        by_class.predict_proba(X), by_row.predict_proba(X), atol=1e-4
    )


def test_class_weight_goes_by_label(quick, imbalanced):
    X, y = imbalanced
    names = np.array(["usual", "rare"])[y]  # sorts the other way round
    weighted = quick(class_weight={"usual": 1, "rare": 9}).fit(X, names)
    plain = quick().fit(X, names)
    rare = [(clf.predict(X) == "rare").sum() for clf in (plain, weighted)]
    assert rare[1] > rare[0]


def test_rows_of_a_class_without_weight_are_not_scored(quick, planted):
    X, y = planted
    rare = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:1]]  # not held out
    clf = quick(class_weight={0: 0, 1: 1}).fit(X[rare], y[rare])
    assert clf.report_.scores["after retraining"] is None


@pytest.mark.parametrize("weights", [{0: -1, 1: 1}, {0: 0, 1: 0}])
def test_class_weights_that_say_nothing_are_refused(quick, planted, weights):
    with pytest.raises(ValueError, match="`class_weight` must not be"):
        quick(class_weight=weights).fit(*planted)
