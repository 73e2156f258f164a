import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, r2_score

from skjointprune._training.tasks import MULTICLASS, MULTILABEL, REGRESSION

TASKS = {"classes": MULTICLASS, "labels": MULTILABEL, **REGRESSION}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_distance_is_least_where_the_teacher_is(task):
    teacher = torch.randn(7, 4, dtype=torch.float64) * 3
    outputs = teacher.clone().requires_grad_()
    losses = task.distance(outputs, teacher)
    assert losses.shape == (7,)
    losses.sum().backward()
    torch.testing.assert_close(outputs.grad, torch.zeros_like(teacher))
    moved = teacher + torch.randn(7, 4, dtype=torch.float64)
    assert (task.distance(moved, teacher) > losses).all()


@pytest.mark.parametrize("n_targets", [1, 3])
def test_r2_is_that_of_scikit_learn(n_targets):
    y, outputs = torch.randn(50, n_targets), torch.randn(50, n_targets)
    weight = torch.rand(50)
    expected = r2_score(y.numpy(), outputs.numpy(), sample_weight=weight.numpy())
    got = REGRESSION["huber"].score(outputs, y, weight)
    assert got == pytest.approx(expected, abs=1e-5)


def test_r2_of_a_constant_target_is_that_of_scikit_learn():
    y = torch.ones(5, 1)
    score = REGRESSION["huber"].score
    ones = y.numpy()
    assert score(y.clone(), y, torch.ones(5)) == 1 == r2_score(ones, ones)
    assert score(y + 1, y, torch.ones(5)) == 0 == r2_score(ones, ones + 1)


def test_accuracies_are_those_of_scikit_learn():
    logits, weight = torch.randn(60, 3), torch.rand(60)
    codes, labels = torch.randint(3, (60,)), torch.randint(2, (60, 3))
    for task, y, predicted in (
        (MULTICLASS, codes, logits.argmax(1)),
        (MULTILABEL, labels.float(), (logits > 0).long()),
    ):
        expected = accuracy_score(
            y.long().numpy(), predicted.numpy(), sample_weight=weight.numpy()
        )
        assert task.score(logits, y, weight) == pytest.approx(expected, abs=1e-6)


def test_probabilities_are_read_from_logits():
    logits = torch.randn(6, 3)
    np.testing.assert_allclose(MULTICLASS.read(logits).sum(1), 1, rtol=1e-6)
    torch.testing.assert_close(MULTILABEL.read(logits), 1 / (1 + (-logits).exp()))
