import pytest
import torch
from _helpers import assert_unfitted, table
from skorch.callbacks import Callback
from torch import nn

from skjointprune._pruning.schedules import Rise
from skjointprune._training.batches import Batches
from skjointprune._training.callbacks import Prune
from skjointprune._training.net import PruningNet, train


class Recorder:
    """Stands in for a sparsifier of six inputs."""

    n_groups = 6

    def __init__(self):
        self.alphas, self.n_steps = [], 0

    def prune(self, alpha, n_inputs=None):
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
    net = PruningNet(
        nn.Linear(6, 2),
        criterion=nn.CrossEntropyLoss,
        criterion__reduction="none",
        iterator_train=Batches,
        batch_size=16,
        train_split=None,
        callbacks=[callback],
        verbose=0,
    ).initialize()
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
