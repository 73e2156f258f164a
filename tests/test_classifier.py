import copy
import pickle
import re

import numpy as np
import pytest
import torch
from _helpers import RELEVANT, assert_same_fit, assert_unfitted
from _networks import Residual
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.metrics import recall_score
from skorch.callbacks import Checkpoint
from torch import nn

from skjointprune import JointPruneClassifier
from skjointprune._context import evaluating
from skjointprune.modules import MLP

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


def test_auto_epochs_make_at_least_4000_steps_in_each_phase(xor):
    _, _, clf = xor
    for phase in ("sparsify", "retrain"):
        rows = [row for row in clf.history_ if row["phase"] == phase]
        assert sum(row["train_batch_count"] for row in rows) >= 4000


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
    linear = next(m for m in joint.module_.modules() if isinstance(m, nn.Linear))
    assert linear.in_features == joint.support_.sum()
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
    clf = quick(n_features_to_select=3, max_epochs=40, retrain_epochs=20)
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


# --- training


@pytest.mark.parametrize(
    ("optimizer", "lr"),
    [
        ("adam", 0.01),
        ("adamw", 0.01),
        ("sgd", 0.1),
        (torch.optim.NAdam, 0.01),
        (torch.optim.RMSprop, 0.01),
        (torch.optim.Adagrad, 0.05),
    ],
)
def test_any_optimizer_finds_the_planted_inputs(quick, planted, optimizer, lr):
    clf = quick(n_features_to_select=3, optimizer=optimizer, lr=lr).fit(*planted)
    assert clf.get_support(indices=True).tolist() == RELEVANT
    assert clf.score(*planted) > 0.9


def test_optimizer_parameters_reach_the_optimizer(quick, planted):
    X, y = planted
    free, decayed = (
        quick(prune="none", optimizer="adamw", optimizer__weight_decay=decay).fit(X, y)
        for decay in (0.0, 10.0)
    )
    norm = [clf.module_.output.weight.norm() for clf in (free, decayed)]
    assert norm[1] < norm[0] / 2


def test_sgd_takes_momentum(quick, planted):
    params = {"optimizer__momentum": 0.9, "optimizer__nesterov": True}
    clf = quick(n_features_to_select=3, optimizer="sgd", **params).fit(*planted)
    assert clf.score(*planted) > 0.9


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_the_user_chooses_how_an_optimizer_computes(quick, planted, optimizer):
    """One kernel for all parameters unless another way is asked for."""
    fused = quick(optimizer=optimizer).fit(*planted)
    assert fused.net_.optimizer_.defaults["fused"]
    each = quick(optimizer=optimizer, optimizer__foreach=True).fit(*planted)
    assert not each.net_.optimizer_.defaults["fused"]


def test_an_optimizer_whose_state_is_of_rows_and_columns_begins_anew(quick, planted):
    params = {"optimizer": torch.optim.Adafactor, "lr": 0.05}
    clf = quick(n_features_to_select=3, **params).fit(*planted)
    assert clf.get_support(indices=True).tolist() == RELEVANT


def test_the_best_network_can_be_loaded_while_retraining(quick, planted, tmp_path):
    best = Checkpoint(monitor="valid_acc_best", load_best=True, dirname=tmp_path)
    clf = quick(callbacks=[best], retrain_epochs=8).fit(*planted)
    of_retraining = [r["valid_acc"] for r in clf.history_ if r["phase"] == "retrain"]
    assert clf.report_.scores["after retraining"] == max(of_retraining)


def test_history_has_a_row_an_epoch_of_both_phases(fitted):
    assert fitted.n_iter_ == len(fitted.history_) == 15 + 8
    assert fitted.history_[:, "epoch"] == list(range(1, 24))
    assert fitted.history_[:, "phase"] == ["sparsify"] * 15 + ["retrain"] * 8
    assert np.isfinite(fitted.history_[:, "train_loss"]).all()
    assert all(0 <= acc <= 1 for acc in fitted.history_[:, "valid_acc"])


@pytest.mark.parametrize("fraction", [0, 0.0, None])
def test_without_held_out_rows_there_are_no_held_out_scores(quick, planted, fraction):
    clf = quick(validation_fraction=fraction, max_epochs=3, retrain_epochs=2)
    clf.fit(*planted)
    assert set(clf.report_.scores.values()) == {None}
    assert "valid_acc" not in clf.history_[-1]
    assert "None" not in repr(clf.report_)


def test_rows_too_few_to_hold_out_any_still_fit(quick):
    X, y = np.eye(6)[:, :4], [0, 1] * 3
    clf = quick(max_epochs=2, retrain_epochs=2, batch_size="auto").fit(X, y)
    assert set(clf.report_.scores.values()) == {None}


def test_retrain_epochs_zero_leaves_the_pruned_network_as_it_is(quick, planted):
    clf = quick(n_features_to_select=3, retrain_epochs=0).fit(*planted)
    assert clf.n_iter_ == len(clf.history_) == 15
    scores = clf.report_.scores
    assert scores["after retraining"] == pytest.approx(scores["after pruning"])
    assert np.isfinite(clf.predict_proba(planted[0])).all()


def test_hidden_layer_sizes_empty_is_a_linear_model(quick, planted):
    clf = quick(hidden_layer_sizes=(), n_features_to_select=3).fit(*planted)
    assert clf.get_support(indices=True).tolist() == RELEVANT
    assert [type(m) for m in clf.module_] == [nn.Linear]


def test_verbose_0_is_silent(quick, planted, capsys):
    quick(max_epochs=2, retrain_epochs=2).fit(*planted)
    assert capsys.readouterr() == ("", "")


def test_verbose_1_shows_a_bar_for_each_phase_on_stderr(quick, planted, capsys):
    quick(max_epochs=2, retrain_epochs=2, verbose=1).fit(*planted)
    out, err = capsys.readouterr()
    assert out == ""
    assert "100%" in err and "2/2" in err
    assert re.search("(?i)sparsify", err) and re.search("(?i)retrain", err)


def test_bar_says_what_is_left_and_how_good_it_is(quick, planted, capsys):
    clf = quick(alpha=0.12, verbose=1).fit(*planted)
    last = capsys.readouterr().err.replace("\r", "\n").strip().splitlines()[-1]
    said = dict(re.findall(r"(\w+)=([\d.]+)", last))
    assert list(said) == ["inputs", "units", "train_loss", "valid_acc"]
    assert int(said["inputs"]) == clf.support_.sum() < 12
    assert int(said["units"]) == clf.module_.linear1.out_features < 16
    assert float(said["valid_acc"]) == pytest.approx(
        clf.report_.scores["after retraining"], abs=1e-4
    )


def test_bar_sums_the_units_of_many_layers(quick, planted, capsys):
    sizes = (8,) * 6
    quick(hidden_layer_sizes=sizes, prune="none", max_epochs=1, verbose=1).fit(*planted)
    assert "units=48," in capsys.readouterr().err


def test_verbose_2_prints_a_line_an_epoch(quick, planted, capsys):
    quick(max_epochs=3, retrain_epochs=2, verbose=2).fit(*planted)
    assert len(re.findall(r"(?m)^ +\d+ ", capsys.readouterr().out)) == 5


# --- modules of one's own


class Net(nn.Module):
    def __init__(self, n_features_in, n_outputs, width=8):
        super().__init__()
        self.body = nn.Linear(n_features_in, width)
        self.norm = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, n_outputs)

    def forward(self, X):
        return self.head(torch.relu(self.norm(self.body(X))))


def make_net(n_features_in, n_outputs, width=8):
    return nn.Sequential(
        nn.Linear(n_features_in, width), nn.SiLU(), nn.Linear(width, n_outputs)
    )


@pytest.mark.parametrize("module", [Net, make_net, MLP])
def test_module_may_be_a_class_or_a_factory(quick, planted, module):
    X, y = planted
    clf = quick(n_features_to_select=3, module=module).fit(X, y)
    assert clf.get_support(indices=True).tolist() == RELEVANT
    assert clf.score(X, y) > 0.9
    assert_same_fit(pickle.loads(pickle.dumps(clf)), clf, X)


@pytest.mark.parametrize("module", [Net, make_net])
def test_module_parameters_reach_a_module_of_ones_own(quick, planted, module):
    clf = quick(module=module, module__width=5, prune="none").fit(*planted)
    assert list(clf.report_.dense.units.values()) == [5]
    with pytest.raises(ValueError, match=r"(?i)did you mean.*module__width"):
        clf.set_params(module__widht=5).fit(*planted)


def test_instance_as_module_is_copied(quick, planted):
    X, y = planted
    module = Net(12, 2)
    before = copy.deepcopy(module.state_dict())
    clf = quick(n_features_to_select=3, module=module).fit(X, y)
    assert clf.get_support(indices=True).tolist() == RELEVANT
    assert clf.module is module
    assert module.training
    assert module.body.in_features == 12
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
    assert all(p.grad is None for p in module.parameters())
    assert_same_fit(clone(clf).fit(X, y), clf, X)


@pytest.mark.parametrize("sizes", [(11, 2), (12, 3), (12, 1)])
def test_instance_of_other_sizes_than_the_data_is_refused(quick, planted, sizes):
    clf = quick(module=Net(*sizes))
    with pytest.raises(ValueError, match="module"):
        clf.fit(*planted)
    assert_unfitted(clf)


def test_instance_takes_no_module_parameters(quick, planted):
    with pytest.raises(ValueError, match="module__width"):
        quick(module=Net(12, 2), module__width=5).fit(*planted)


def test_factory_must_return_a_module(quick, planted):
    with pytest.raises(TypeError, match="Module"):
        quick(module=lambda n_features_in, n_outputs: 3).fit(*planted)


def test_a_network_that_adds_its_inputs_is_pruned_with_them(quick, planted):
    clf = quick(module=Residual, n_features_to_select=3).fit(*planted)
    assert clf.get_support(indices=True).tolist() == RELEVANT
    assert clf.module_.get_submodule("network.body").weight.shape == (3, 3)


def test_a_layer_without_a_rule_is_kept_whole_and_reported(quick, planted):
    layers = [nn.Linear(12, 6), nn.Softmax(1), nn.Linear(6, 2)]
    clf = quick(module=nn.Sequential(*layers), n_features_to_select=3).fit(*planted)
    assert "Softmax" in clf.report_.kept_whole["0"]
    assert clf.report_.pruned.units == {"0": 6}
    assert clf.get_support(indices=True).tolist() == RELEVANT


class Branching(nn.Module):
    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.head = nn.Linear(n_features_in, n_outputs)

    def forward(self, X):
        return self.head(X) if X.sum() > 0 else self.head(-X)


def test_a_module_that_cannot_be_traced_is_refused_by_name(quick, planted):
    clf = quick(module=Branching)
    with pytest.raises(ValueError, match="Branching could not be traced"):
        clf.fit(*planted)
    assert_unfitted(clf)


def test_rows_of_a_class_without_weight_are_not_scored(quick, planted):
    X, y = planted
    rare = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:8]]  # none held out
    clf = quick(class_weight={0: 0, 1: 1}).fit(X[rare], y[rare])
    assert clf.report_.scores["after retraining"] is None


@pytest.mark.parametrize("weights", [{0: -1, 1: 1}, {0: 0, 1: 0}])
def test_class_weights_that_say_nothing_are_refused(quick, planted, weights):
    with pytest.raises(ValueError, match="`class_weight` must not be"):
        quick(class_weight=weights).fit(*planted)


def test_distillation_trains_a_dense_network_first(quick, planted):
    X, y = planted
    clf = quick(distillation=0.9, n_features_to_select=3, module__dropout=0.2)
    clf.fit(X, y)
    phases = clf.history_[:, "phase"]
    assert phases == ["teach"] * 8 + ["sparsify"] * 15 + ["retrain"] * 8
    assert clf.get_support(indices=True).tolist() == RELEVANT
    assert clf.score(X, y) > 0.9
    dropouts = [m.p for m in clf.module_.modules() if isinstance(m, nn.Dropout)]
    assert dropouts == [0]


def test_pruning_may_begin_with_a_trained_network(quick, planted):
    X, y = planted
    fresh = quick(n_features_to_select=3, validation_fraction=0.2).fit(X, y)
    clf = quick(n_features_to_select=3, validation_fraction=0.2, pretrain_epochs=6)
    history = clf.fit(X, y).history_
    phases = history[:, "phase"]
    assert phases == ["pretrain"] * 6 + ["sparsify"] * 15 + ["retrain"] * 8
    assert history[6, "train_loss"] < history[0, "train_loss"] / 2
    first = clf.report_.scores["before pruning"]
    assert first > 0.9 > fresh.report_.scores["before pruning"]
    assert clf.get_support(indices=True).tolist() == RELEVANT
    assert clf.score(X, y) > 0.9


def test_a_pretrained_network_is_its_own_teacher(quick, planted):
    X, y = planted
    clf = quick(distillation=0.9, pretrain_epochs=3, n_features_to_select=3)
    data, _, network = clf._prepare(X, y, None, 0, torch.device("cpu"))
    with evaluating(network.module), torch.no_grad():
        says = network.module(data.train[:][0])
    torch.testing.assert_close(data.train.teacher, says)
    assert set(clf.fit(X, y).history_[:, "phase"]) == {
        "pretrain",
        "sparsify",
        "retrain",
    }
    assert clf.score(X, y) > 0.9


@pytest.mark.parametrize("prune", ["joint", "inputs"])
def test_dropout_falls_with_the_share_of_units_that_are_left(quick, planted, prune):
    clf = quick(alpha=0.05, module__dropout=0.4, prune=prune).fit(*planted)
    (units,) = clf.report_.pruned.units.values()
    assert units < 16 if prune == "joint" else units == 16
    (dropout,) = [m.p for m in clf.module_.modules() if isinstance(m, nn.Dropout)]
    assert dropout == pytest.approx(0.4 * units / 16)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input_noise", -1),
        ("distillation", 1.5),
        ("pretrain_epochs", -1),
        ("unit_cost", "x"),
        ("round_units_to", 0),
    ],
)
def test_parameters_of_training_out_of_range_are_refused_by_name(
    quick, planted, name, value
):
    with pytest.raises(ValueError, match=name):
        quick(**{name: value}).fit(*planted)


def test_noise_on_inputs_finds_what_is_memorised_over_without():
    # clusters in 4 of 100 inputs, 4 mixes of these, and few rows
    X, y = make_classification(
        600, 100, n_informative=4, n_redundant=4, n_clusters_per_class=4,
        shuffle=False, flip_y=0.0, random_state=3,
    )  # fmt: skip
    found = {
        noise: JointPruneClassifier(
            (64,), n_features_to_select=8, input_noise=noise, max_epochs=60,
            retrain_epochs=1, prune="inputs", random_state=0,
        ).fit(X, y).support_[:8].sum()
        for noise in (0, 1.5)
    }  # fmt: skip
    assert found[1.5] >= 7
    assert found[1.5] > found[0]


def linear(n_features_in, n_outputs):
    return nn.Linear(n_features_in, n_outputs)


def test_a_module_that_is_one_layer_is_pruned(quick, planted):
    clf = quick(module=linear, n_features_to_select=5).fit(*planted)
    assert clf.get_support().sum() == 5


def test_a_network_for_images_is_refused_for_a_table(quick, planted):
    with pytest.raises(ValueError, match="'vgg16' is a network for images"):
        quick(module="vgg16").fit(*planted)
