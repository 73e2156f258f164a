import numpy as np
import pytest
import torch
from _helpers import assert_unfitted, small_net, table
from _pictures import make
from _waits import Waits
from skorch.callbacks import BatchScoring, Callback
from torch import nn

from skjointprune import ImageInput
from skjointprune._data import images
from skjointprune._data.tables import Table
from skjointprune._pruning.schedules import Rise
from skjointprune._training import net as nets
from skjointprune._training.batches import Batches, score_rows
from skjointprune._training.net import PruningNet
from skjointprune._training.tasks import MULTICLASS


def test_weights_enter_loss_and_accuracy():
    module = nn.Linear(2, 2)
    with torch.no_grad():
        module.weight.copy_(torch.eye(2))
        module.bias.zero_()
    X = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    weighted = Table(X, torch.tensor([0, 0]), torch.tensor([3.0, 1.0]))
    assert score_rows(module, weighted, MULTICLASS.score) == 0.75
    net = PruningNet(
        module, criterion=nn.CrossEntropyLoss, criterion__reduction="none"
    ).initialize()
    _, (y, w) = weighted[:]
    losses = nn.functional.cross_entropy(X, y, reduction="none")
    expected = (3 * losses[0] + losses[1]) / 2
    torch.testing.assert_close(net.get_loss(X, (y, w)), expected)


def test_a_share_of_the_loss_is_the_distance_from_the_teacher():
    data = table()
    data.teacher = torch.randn(50, 2)
    ((X, of),) = Batches(data, 50, taught=True)
    y, weight, teacher = of
    assert torch.equal(teacher, data.teacher)
    net = PruningNet(
        nn.Linear(6, 2),
        criterion=nn.CrossEntropyLoss,
        criterion__reduction="none",
        distillation=0.25,
        distance=MULTICLASS.distance,
    ).initialize()
    out = net.module_(X)
    hard = nn.functional.cross_entropy(out, y)
    soft = MULTICLASS.distance(out, teacher).mean()
    torch.testing.assert_close(net.get_loss(out, of), 0.25 * soft + 0.75 * hard)
    torch.testing.assert_close(net.get_loss(out, (y, weight)), hard)


def test_one_row_is_predicted_as_among_many(fitted, planted):
    X, _ = planted
    np.testing.assert_allclose(
        fitted.predict_proba(X[:1]), fitted.predict_proba(X)[:1], rtol=1e-5
    )


def mirror_some(X):
    mirrored = torch.rand(len(X), 1, 1, 1, device=X.device) < 0.5
    return torch.where(mirrored, X.flip(3), X)


def test_only_removals_of_inputs_of_a_table_wait_for_a_device(quick, planted):
    waits = Waits()
    quick(n_features_to_select=3, callbacks=[waits], max_epochs=8).fit(*planted)
    assert len(waits.between) > 50
    assert not any(waits.between)
    assert all(waits.at_events)


def test_only_removals_wait_for_a_device_that_holds_images(pictures, monkeypatch):
    monkeypatch.setattr(images, "free_memory", lambda device: 2**40)
    waits = Waits()
    how = ImageInput(
        groups=("channel", "row", "patch"),
        transform=mirror_some,
        transform_batches=True,
    )
    make(
        images=how,
        callbacks=[waits],
        distillation=0.5,
        pretrain_epochs=1,
        max_epochs=14,
        retrain_epochs=2,
        batch_size=20,
        amp=True,
    ).fit(*pictures)
    assert len(waits.between) > 100  # gates of images have other steps after 100
    assert not any(waits.between)
    assert all(waits.at_events)


class Losses(Callback):
    """Takes note of the loss of each training step, and of what the history has."""

    def __init__(self):
        self.losses, self.n_read = [], []

    def on_batch_end(self, net, loss=None, training=False, **kwargs):
        if training:
            self.losses.append(loss.item())
            held = net.history[-1, "batches", :, "train_loss"]
            self.n_read.append(sum(isinstance(loss, float) for loss in held))


def test_losses_are_read_some_together_and_in_their_order(monkeypatch):
    monkeypatch.setattr(nets, "STEPS_UNREAD", 4)
    seen = Losses()
    net = small_net(5, seen)
    nets.train(net, table(), 2)
    assert seen.n_read == [0, 0, 0, 0, 4, 4, 4, 4, 8, 8] * 2
    found = [loss for row in net.history for loss in row["batches"]]
    assert [row["train_loss"] for row in found] == seen.losses
    mean = np.mean(seen.losses[10:])
    np.testing.assert_allclose(net.history[-1, "train_loss"], mean)


class Spoil(Callback):
    """Spoil the weights before a step, and let another thing happen after some more."""

    def __init__(self, phase, step, then=None):
        self.phase, self.step, self.then = phase, step, then
        self.n_phases = 0

    def on_train_begin(self, net, **kwargs):
        self.n_phases += 1
        self.n_steps = 0

    def on_batch_begin(self, net, training=False, **kwargs):
        if self.n_phases != self.phase or not training:
            return
        self.n_steps += 1
        if self.n_steps == self.step:
            with torch.no_grad():
                next(net.module_.parameters()).fill_(torch.nan)
        if self.n_steps == self.step + 2 and self.then is not None:
            raise self.then


@pytest.mark.parametrize("then", [None, KeyboardInterrupt(), RuntimeError("p is NaN")])
@pytest.mark.parametrize("phase", [1, 2])
def test_nothing_is_fitted_once_a_loss_is_not_finite(quick, planted, phase, then):
    clf = quick(max_epochs=2, retrain_epochs=2, callbacks=[Spoil(phase, 4, then)])
    with pytest.raises(ValueError, match=r"became nan in epoch 1\. Lower `lr`"):
        clf.fit(*planted)
    assert_unfitted(clf)


def test_nothing_is_removed_once_a_loss_is_not_finite(quick, planted, monkeypatch):
    spoilt = []

    def prune(self, sparsifier, event):
        weights = sparsifier.network.module.parameters()
        spoilt.append(not all(w.isfinite().all() for w in weights))
        return torch.arange(sparsifier.network.inputs.size)

    monkeypatch.setattr(Rise, "prune", prune)
    clf = quick(alpha=0.1, max_epochs=20, callbacks=[Spoil(1, 100)])
    with pytest.raises(ValueError, match="loss became nan in epoch"):
        clf.fit(*planted)
    assert len(spoilt) > 20
    assert not any(spoilt)


def test_a_callback_of_skorch_that_does_not_suit_is_named(quick, planted):
    clf = quick(callbacks=[("own", BatchScoring("accuracy"))])
    with pytest.raises(ValueError, match=r"callback 'own' \(BatchScoring\) failed in"):
        clf.fit(*planted)
    assert_unfitted(clf)
