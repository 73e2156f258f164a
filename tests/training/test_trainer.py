import pickle
import re

import numpy as np
import pytest
import torch
from _helpers import RELEVANT, At, assert_same_fit, interrupt
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback, Checkpoint, EarlyStopping
from torch import nn
from torch._dynamo import register_backend

from skjointprune import (
    JointPruneClassifier,
    JointPruneCV,
    JointPruneRegressor,
    joint_prune_path,
)
from skjointprune._estimators.pose import pose
from skjointprune._training import progress
from skjointprune._utils.torch import evaluating


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
    norm = [clf.module_.network.output.weight.norm() for clf in (free, decayed)]
    assert norm[1] < norm[0] / 2


def test_sgd_takes_momentum(quick, planted):
    params = {"optimizer__momentum": 0.9, "optimizer__nesterov": True}
    clf = quick(n_features_to_select=3, optimizer="sgd", **params).fit(*planted)
    assert clf.score(*planted) > 0.9


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_the_user_chooses_how_an_optimizer_computes(quick, planted, optimizer):
    """One kernel for all parameters unless another way is asked for."""
    short = {"optimizer": optimizer, "max_epochs": 1, "retrain_epochs": 1}
    fused = quick(**short).fit(*planted)
    assert fused.net_.optimizer_.defaults["fused"]
    each = quick(**short, optimizer__foreach=True).fit(*planted)
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
    X, y = np.eye(2), [0, 1]
    clf = quick(max_epochs=2, retrain_epochs=2, batch_size="auto").fit(X, y)
    assert set(clf.report_.scores.values()) == {None}


def test_retrain_epochs_zero_leaves_the_pruned_network_as_it_is(quick, planted):
    clf = quick(n_features_to_select=3, retrain_epochs=0).fit(*planted)
    assert clf.n_iter_ == len(clf.history_) == 15
    scores = clf.report_.scores
    assert scores["after retraining"] == pytest.approx(scores["after pruning"])
    assert np.isfinite(clf.predict_proba(planted[0])).all()


def test_verbose_0_is_silent(quick, planted, capsys):
    quick(max_epochs=2, retrain_epochs=2).fit(*planted)
    assert capsys.readouterr() == ("", "")


def test_verbose_1_says_nothing_of_a_short_fit(quick, planted, capsys, monkeypatch):
    monkeypatch.setattr(progress, "SILENT", 1e6)
    quick(max_epochs=2, retrain_epochs=2, verbose=1).fit(*planted)
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def impatient(monkeypatch):
    """Let lines follow each other without a pause, from the first step on."""
    for name in ("SILENT", "REWRITTEN", "REPEATED"):
        monkeypatch.setattr(progress, name, 0.0)


@pytest.mark.usefixtures("impatient")
def test_verbose_1_tells_the_phases_and_the_inputs_left_on_stderr(
    quick, planted, capsys
):
    clf = quick(n_features_to_select=3, distillation=0.5, verbose=1).fit(*planted)
    out, err = capsys.readouterr()
    assert out == ""
    *lines, last = err.splitlines()
    assert last.startswith("done in ")
    phases = list(dict.fromkeys(line.split(",")[0] for line in lines))
    assert phases == ["training a teacher", "removing inputs and units", "retraining"]
    n_left = [int(re.search("([0-9]+) of 12 inputs left", line)[1]) for line in lines]
    assert n_left == sorted(n_left, reverse=True)
    assert n_left[0] == 12 and n_left[-1] == clf.support_.sum() == 3
    assert "about 0 s to go" in lines[-1]


@pytest.mark.usefixtures("impatient")
def test_a_search_tells_its_phases_and_that_shadows_are_among_the_inputs(
    planted, capsys
):
    X, y = planted
    clf = JointPruneClassifier(
        (8,), max_epochs=8, retrain_epochs=4, lr=1e-2, random_state=0, verbose=1
    ).fit(X, y)
    *lines, _ = capsys.readouterr().err.splitlines()
    phases = list(dict.fromkeys(line.split(",")[0] for line in lines))
    assert phases == [
        "searching", "comparing numbers of inputs", "removing units", "retraining"
    ]  # fmt: skip
    assert "24 of 24 inputs and shadows left" in lines[0]
    assert f"{clf.support_.sum()} of 12 inputs left" in lines[-1]


@pytest.mark.usefixtures("impatient")
def test_a_fit_that_fails_ends_its_line_and_says_no_more(quick, planted, capsys):
    def fail():
        raise RuntimeError("no more")

    clf = quick(verbose=1, callbacks=[At(phase=1, epoch=3, action=fail)])
    with pytest.raises(RuntimeError, match="no more"):
        clf.fit(*planted)
    err = capsys.readouterr().err
    assert err.endswith("\n") and "done" not in err


@pytest.mark.usefixtures("impatient")
def test_folds_say_which_they_are(quick, planted, capsys):
    cv = JointPruneCV(quick(max_epochs=6, verbose=1), n_alphas=2, cv=2)
    cv.fit(*planted)
    lines = capsys.readouterr().err.splitlines()
    labels = list(dict.fromkeys(line.split(":")[0] for line in lines))
    assert labels == ["all rows", "fold 1 of 2", "fold 2 of 2"]
    assert [line for line in lines if "done in" in line][-1].startswith("all rows")


@pytest.mark.usefixtures("impatient")
def test_training_is_the_same_whatever_is_shown(quick, planted):
    shown, silent = (
        quick(alpha=0.12, verbose=verbose).fit(*planted) for verbose in (1, 0)
    )
    assert_same_fit(shown, silent, planted[0])
    assert not [name for name, _ in shown.net_.callbacks_ if name == "advance"]


def test_verbose_2_prints_a_line_an_epoch(quick, planted, capsys):
    quick(max_epochs=3, retrain_epochs=2, verbose=2).fit(*planted)
    assert len(re.findall(r"(?m)^ +\d+ ", capsys.readouterr().out)) == 5


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
    problem = pose(clf, X, y, None, 0, torch.device("cpu"))
    network, rows = problem.start().network, problem.data.train
    with evaluating(network.module), torch.no_grad():
        outputs = network.module(rows[:][0])
    torch.testing.assert_close(rows.teacher, outputs)
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


def test_noise_on_inputs_finds_what_is_memorised_over_without():
    # clusters in 4 of 300 inputs, 4 mixes of these, and few rows
    X, y = make_classification(
        600, 300, n_informative=4, n_redundant=4, n_clusters_per_class=4,
        shuffle=False, flip_y=0.0, random_state=0,
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


class KeepColumn(Callback):
    """Keep all numbers of the first column that are trained on."""

    def on_train_begin(self, net, **kwargs):
        self.seen_ = set()

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        if training:
            self.seen_.update(batch[0][:, 0].tolist())


@pytest.mark.parametrize(
    ("estimator", "n_columns", "params", "noisy"),
    [
        (JointPruneClassifier, 60, {}, True),
        (JointPruneClassifier, 60, {"input_noise": 0}, False),
        (JointPruneClassifier, 60, {"hidden_layer_sizes": ()}, False),  # linear
        (JointPruneClassifier, 60, {"module__embedding": "piecewise"}, False),
        (JointPruneClassifier, 20, {}, False),  # embedded by default
        (JointPruneRegressor, 60, {}, False),
    ],
)
def test_classes_are_learnt_with_noise_from_numbers_that_are_not_embedded(
    estimator, n_columns, params, noisy
):
    X = np.random.default_rng(0).choice([0.0, 1.0], (80, n_columns))
    keep = KeepColumn()  # begins anew in each phase: what it holds is of the last
    estimator(
        prune="weights", max_epochs=1, retrain_epochs=2, callbacks=[keep], **params
    ).fit(X, X[:, 0])
    assert (len(keep.seen_) > 2) == noisy


@pytest.fixture
def count_graphs(quick, planted, request):
    """Compile a fit, which changes nothing; return how many graphs were compiled."""
    graphs = []

    def counting(graph, inputs):
        graphs.append(graph)
        return graph.forward

    backend = request.node.name  # each can be registered once
    register_backend(counting, name=backend)

    def count(**params):
        n_before = len(graphs)
        clf = quick(max_epochs=2, **params)
        same = clone(clf).set_params(compile=backend).fit(*planted)
        assert_same_fit(same, clf.fit(*planted), planted[0])
        return len(graphs) - n_before

    return count


def test_every_fit_of_a_process_is_compiled(count_graphs):
    counts = [count_graphs(hidden_layer_sizes=(width,)) for width in (8, 9, 10)]
    assert min(counts) > 2
    assert len(set(counts)) == 1


def test_a_dense_network_is_trained_compiled_as_well(count_graphs):
    without, one, two = (
        count_graphs(pretrain_epochs=n, retrain_epochs=2) for n in (0, 1, 2)
    )
    assert one == two > without


class InBatch(At):
    """The same as `At`, in the middle of the epoch."""

    def on_batch_end(self, net, **kwargs):
        super().on_epoch_end(net)


@pytest.mark.parametrize("when", [At, InBatch])
def test_interrupt_while_retraining_leaves_a_usable_fit_and_warns(quick, planted, when):
    X, y = planted
    clf = quick(n_features_to_select=3, callbacks=[when(2, 3, interrupt)])
    with pytest.warns(UserWarning, match="(?i)interrupt") as caught:
        clf.fit(X, y)
    assert {warning.filename for warning in caught} == {__file__}
    check_is_fitted(clf)
    assert clf.get_support(indices=True).tolist() == RELEVANT
    assert np.isfinite(clf.history_[:, "train_loss"]).all()
    assert 17 <= clf.n_iter_ == len(clf.history_) <= 18
    assert clf.score(X, y) > 0.8
    assert clf.report_.scores["after retraining"] is not None
    assert_same_fit(pickle.loads(pickle.dumps(clf)), clf, X)
    retained = torch.tensor(X[:, clf.support_], dtype=torch.float32)
    with torch.no_grad():
        proba = torch.softmax(clf.module_(retained), 1).numpy()
    np.testing.assert_allclose(proba, clf.predict_proba(X), atol=1e-5)


def test_early_stopping_ends_retraining_only(quick, planted):
    stop = EarlyStopping(monitor="train_loss", patience=4, threshold=0.99)
    clf = quick(n_features_to_select=3, retrain_epochs=20, callbacks=[stop])
    clf.fit(*planted)
    phases = clf.history_[:, "phase"]
    assert phases.count("sparsify") == 15
    assert 1 <= phases.count("retrain") < 20
    assert clf.n_iter_ == len(phases)
    assert clf.score(*planted) > 0.9


def test_early_stopping_ends_the_short_retrainings_of_a_search_and_a_path(
    quick, planted
):
    stop = EarlyStopping(monitor="train_loss", patience=1, threshold=0.99)
    clf = quick(alpha="auto", max_epochs=20, retrain_epochs=20, callbacks=[stop])
    phases = clf.fit(*planted).history_[:, "phase"]
    assert 1 <= phases.count("retrain") < 20
    path = joint_prune_path(*planted, n_alphas=3, estimator=clf, return_estimators=True)
    phases = [e.history_[:, "phase"] for e in path.estimators]
    assert all(1 <= p.count("retrain") <= 3 for p in phases)


class Ends(Callback):
    heard = 0

    def on_train_end(self, net, **kwargs):
        self.heard += 1


def test_callbacks_hear_the_end_of_both_phases_even_when_stopped_early(quick, planted):
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=0.99)
    for others in ([], [stop]):
        ends = Ends()
        quick(callbacks=[*others, ends]).fit(*planted)
        assert ends.heard == 2


class Spoil(At):
    def on_epoch_end(self, net, **kwargs):
        if self.now == self.phase and len(net.history) >= self.epoch:
            with torch.no_grad():
                for p in net.module_.parameters():
                    p.mul_(-1)


def test_early_stopping_can_load_the_best_weights(quick, planted):
    stop = EarlyStopping("train_loss", patience=4, threshold=0.99, load_best=True)
    good = quick(callbacks=[stop]).fit(*planted)
    spoilt = quick(callbacks=[stop, Spoil(2, 2, None)]).fit(*planted)
    assert good.score(*planted) > 0.9
    assert spoilt.score(*planted) > 0.9


def test_callbacks_may_be_named_pairs(quick, planted):
    seen = []
    pair = ("mine", At(1, 2, lambda: seen.append(1)))
    quick(callbacks=[pair], max_epochs=3, retrain_epochs=1).fit(*planted)
    assert seen == [1]


def test_a_teacher_gives_full_precision_where_it_is_asked_once(quick, planted):
    outputs = []
    for amp in (False, True):
        problem = pose(
            quick(distillation=0.5, amp=amp, retrain_epochs=1),
            *planted,
            None,
            0,
            torch.device("cpu"),
        )
        with problem.random_state():
            network = problem.start().network
        rows = problem.data.train
        problem.trainer.teach(network, problem.data)
        with evaluating(network.module), torch.no_grad():
            torch.testing.assert_close(rows.teacher, network.module(rows[:][0]))
        outputs.append(rows.teacher.dtype)
    assert set(outputs) == {torch.float32}
