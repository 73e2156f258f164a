import numpy as np
import pytest
import torch
from torch import nn

from skjointprune._data.tables import Table
from skjointprune._pruning.schedules import Rise
from skjointprune._training.batches import Batches, score_rows
from skjointprune._training.callbacks import Prune
from skjointprune._training.net import PruningNet, train
from skjointprune._training.tasks import MULTICLASS


def table(n=50, d=6):
    X = torch.randn(n, d)
    return Table(X, (X[:, 0] > 0).long(), torch.ones(n))


@pytest.mark.parametrize(("n", "size"), [(50, 16), (33, 16), (17, 16), (5, 16), (1, 4)])
@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_hold_every_row_once_and_none_alone(n, size, shuffle):
    data = Table(torch.arange(n)[:, None], torch.arange(n), torch.ones(n))
    batches = list(Batches(data, size, shuffle))
    sizes = [len(X) for X, _ in batches]
    assert sorted(torch.cat([X for X, _ in batches]).flatten().tolist()) == list(
        range(n)
    )
    assert max(sizes) <= size and max(sizes) - min(sizes) <= 1
    assert min(sizes) > 1 or n == 1
    assert len(batches) == len(Batches(data, size))


def test_batches_are_shuffled_anew_and_by_torch_alone():
    data = table()
    torch.manual_seed(3)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    batches = Batches(data, 16, shuffle=True)
    first, second = (torch.cat([X for X, _ in batches]) for _ in range(2))
    torch.manual_seed(3)
    again = torch.cat([X for X, _ in Batches(data, 16, shuffle=True)])
    assert not torch.equal(first, second)
    assert torch.equal(first, again)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_columns_that_go_little_by_little_are_those_that_go_at_once():
    data, X = table(d=20), None
    X = data.X.clone()
    left = torch.arange(20)
    for kept in ([0, *range(2, 20)], list(range(3, 19)), [1, 2, 5, 9], [0, 3]):
        data.keep_inputs(torch.tensor(kept))
        left = left[kept]
        rows, _ = data[np.array([4, 1])]
        assert torch.equal(rows, X[[4, 1]][:, left])
        assert torch.equal(data[:3][0], X[:3][:, left])
    assert data.X.shape[1] == 2


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


def test_noise_is_added_to_the_inputs_of_batches_alone():
    data = table(4000, 3)
    before = data.X.clone()
    noisy = list(Batches(data, 500, noise=2.0))
    assert torch.equal(data.X, before)
    assert torch.equal(torch.cat([y for _, (y, _) in noisy]), data.y)
    difference = torch.cat([X for X, _ in noisy]) - before
    assert difference.std().item() == pytest.approx(2, rel=0.05)
    assert torch.equal(torch.cat([X for X, _ in Batches(data, 500)]), before)


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
