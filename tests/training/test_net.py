import numpy as np
import torch
from _helpers import table
from torch import nn

from skjointprune._data.tables import Table
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
