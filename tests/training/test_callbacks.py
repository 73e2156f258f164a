from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from _helpers import assert_unfitted, small_net, table
from skorch.callbacks import Callback
from skorch.history import History
from torch import nn

from skjointprune import JointPruneRegressor
from skjointprune._estimators.pose import pose
from skjointprune._pruning.schedules import Rise
from skjointprune._training.callbacks import HeldOut, Prune
from skjointprune._training.forget import forget_
from skjointprune._training.net import train
from skjointprune._training.tasks import REGRESSION
from skjointprune._utils.seeds import seeded


class Recorder:
    """Stands in for a sparsifier of six inputs."""

    n_groups = 6

    def __init__(self):
        self.alphas, self.n_steps = [], 0

    def prune(self, alpha, n_inputs=None, alpha_of_units=None):
        self.alphas.append(alpha)
        return torch.arange(6)

    def watch(self):
        self.n_steps += 1


def run(schedule, epochs):
    """Train under a schedule, four steps an epoch; return what it asked for."""
    data, recorder, events, started = table(), Recorder(), [], []
    callback = Prune(
        lambda optimizer: recorder,
        schedule,
        [data],
        n_steps=4 * epochs,
        on_start=lambda: started.append(len(recorder.alphas)),
        on_event=events.append,
    )
    net = small_net(16, callback)
    train(net, data, epochs)
    assert started == [0]
    assert recorder.n_steps == 4 * epochs
    return recorder, events


@pytest.mark.parametrize("epochs", [1, 7, 100])
def test_a_fit_raises_the_threshold_to_alpha_within_the_phase(epochs):
    recorder, events = run(Rise(0.3), epochs)
    assert recorder.alphas == sorted(recorder.alphas)
    assert recorder.alphas[-1] == 0.3
    assert len(events) == len(recorder.alphas) <= min(Rise.n_events, 4 * epochs)


class Poison(Callback):
    """Spoil the weights in the second phase."""

    now = 0

    def on_train_begin(self, net, **kwargs):
        self.now += 1

    def on_batch_begin(self, net, **kwargs):
        if self.now == 2:
            with torch.no_grad():
                next(net.module_.parameters()).fill_(torch.nan)


def test_divergence_in_retraining_loses_nothing(quick, planted):
    clf = quick(max_epochs=1, callbacks=[Poison()])
    with pytest.raises(ValueError, match=r"(?is)epoch \d+.*\blr\b|\blr\b.*epoch \d+"):
        clf.fit(*planted)
    assert_unfitted(clf)


class Ways(nn.Module):
    """Gives a constant, which a test sets."""

    def __init__(self):
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1))

    def forward(self, X):
        return self.value.expand(len(X), 1)


def trained_through(values, held_out):
    """Let epochs end with some values; return the value after training."""
    callback, net = HeldOut(REGRESSION["squared_error"], keeps_best=True), Ways()
    X, targets = torch.zeros(len(held_out), 2), (held_out[:, None], torch.ones(9))
    history = History()
    holder = SimpleNamespace(module_=net, history=history)
    callback.on_train_begin(holder)
    for value in values:
        history.new_epoch()
        net.value.data.fill_(value)
        callback.on_epoch_begin(holder)
        callback.on_batch_end(holder, batch=(X, targets), y_pred=net(X).detach())
        callback.on_epoch_end(holder)
    callback.on_train_end(holder)
    return float(net.value.detach())


def test_training_ends_with_the_best_epoch_where_the_last_is_surely_worse():
    y = torch.ones(9)
    assert trained_through([0.0, 0.9, 3.0], y) == pytest.approx(0.9)
    assert trained_through([0.0, 3.0, 0.9], y) == pytest.approx(0.9)


def test_training_ends_with_the_last_epoch_where_rows_cannot_tell():
    y = torch.tensor([-2.0, 2.0, -2.0, 2.0, -2.0, 2.0, -2.0, 2.0, 0.0])
    assert trained_through([0.0, 0.1], y) == pytest.approx(0.1)


def test_a_network_that_knows_its_rows_by_heart_partly_begins_anew():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 10)), rng.normal(size=80)
    reg = JointPruneRegressor((32,), prune="none", max_epochs=100, random_state=0)
    device = torch.device("cpu")
    with seeded(0, device):
        problem = pose(reg, X, y, None, 0, device)
        sparse = problem.sparsify(problem.start(), "auto")
        network, data = sparse.point.network, sparse.data

        def share_kept(data, share):
            trial = network.copy()
            before = trial.module.linear1.weight.detach().clone()
            forget_(problem.trainer.task, trial, data, share)
            now = trial.module.linear1.weight.detach()
            return float((now * before).sum() / (before**2).sum())

        assert share_kept(data, 1.0) < 0.5
        assert 0.5 < share_kept(data, 0.1) < 1
        # as good on other rows: nothing was learnt by heart
        assert share_kept(replace(data, valid=data.train), 1.0) == 1
        assert share_kept(replace(data, valid=None), 1.0) == 1
