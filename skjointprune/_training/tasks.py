"""What is learnt: the loss, how outputs are read, how they are scored."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._data.survival import Survival
from .._data.targets import Classes, LabelSets, Targets
from .survival import CoxLoss, score_ranks

Score = Callable[[Tensor, Tensor, Tensor], float]


def _loss_over_loss(known: float, unknown: float) -> float:
    return known / unknown


def _gain_over_gain(known: float, unknown: float) -> float:
    """Return the share for a loss that is 0 where nothing is known, and falls."""
    return max(unknown / known, 0.0)


@dataclass(frozen=True)
class Task:
    """A loss, and how the outputs that it trains are read and scored.

    `criterion` is a loss of torch that takes `reduction`; `read` makes outputs
    predictions; `score` is of outputs, targets and the weights of rows. A history
    has the score on held-out rows as `column`. `distance`, (rows,), is a loss of
    outputs that are to follow the outputs of a teacher. `best_constant`, (1, outputs),
    is the best that can be said of targets, given their weights, without inputs.
    `memory` is the share of the steps of sparsifying over which squared gradients are
    averaged. As inputs and units go, those that are left matter more, and a short
    memory sees that first. But a regression may fit so closely that gradients vanish,
    which takes a long memory.
    `takes_logits` is whether outputs are read as logits, of which `read` makes
    probabilities. `loss_of_noise` is whether the loss that is left is that of noise in
    the targets, beside which units may cost little. `takes_scorers` is whether scorers
    of scikit-learn can be given targets. `carries_over` returns, for the losses on rows
    to train on and on others, the share of what was learnt that holds for others.
    `nearness` is how far outputs are taken from the best constant to them, where it is
    asked whether they say anything: where losses of rows vary most by outputs that are
    too sure, a short way tells (for Cox's it is the score test).
    `batch_sizes` say how many rows a step has by default: a part of all, at least and
    at most so many.
    """

    criterion: type[nn.Module]
    read: Callable[[Tensor], Tensor]
    score: Score
    score_name: str
    column: str
    distance: Callable[[Tensor, Tensor], Tensor]
    best_constant: Callable[[Tensor, Tensor], Tensor]
    memory: float = 1 / 12
    takes_logits: bool = True
    loss_of_noise: bool = False
    takes_scorers: bool = True
    carries_over: Callable[[float, float], float] = _loss_over_loss
    nearness: float = 1.0
    batch_sizes: tuple[int, int, int] = (10, 16, 256)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each row, (rows,)."""
        losses = self.criterion(reduction="none")(outputs, targets)
        return losses.mean(dim=1) if losses.ndim > 1 else losses


def _softmax(outputs: Tensor) -> Tensor:
    return outputs.softmax(dim=1)


def _as_they_are(outputs: Tensor) -> Tensor:
    return outputs


def accuracy(outputs: Tensor, targets: Tensor, weight: Tensor) -> float:
    """Return the weighted share of rows whose largest logit is the right one."""
    right = outputs.argmax(dim=1) == targets
    return float(weight[right].sum() / weight.sum())


def subset_accuracy(outputs: Tensor, targets: Tensor, weight: Tensor) -> float:
    """Return the weighted share of rows with all labels right."""
    right = ((outputs > 0) == (targets > 0.5)).all(dim=1)
    return float(weight[right].sum() / weight.sum())


def r2(outputs: Tensor, targets: Tensor, weight: Tensor) -> float:
    """Return the weighted coefficient of determination, mean over targets.

    As in scikit-learn, a constant target scores 1 if it is met exactly, else 0.
    """
    w = weight[:, None].double()
    y = targets.double()
    mean = (w * y).sum(dim=0) / w.sum()
    left = (w * (y - outputs) ** 2).sum(dim=0)
    total = (w * (y - mean) ** 2).sum(dim=0)
    constant = (left == 0).double()
    scores = torch.where(total > 0, 1 - left / total.clamp(min=1e-300), constant)
    return float(scores.mean())


# Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network", arXiv
# 1503.02531; the square keeps gradients of the size of those by labels.
TEMPERATURE = 3.0


def _of_classes(outputs: Tensor, teacher: Tensor) -> Tensor:
    soft = (teacher / TEMPERATURE).softmax(dim=1)
    return TEMPERATURE**2 * F.cross_entropy(
        outputs / TEMPERATURE, soft, reduction="none"
    )


def _of_labels(outputs: Tensor, teacher: Tensor) -> Tensor:
    soft = (teacher / TEMPERATURE).sigmoid()
    losses = F.binary_cross_entropy_with_logits(
        outputs / TEMPERATURE, soft, reduction="none"
    )
    return TEMPERATURE**2 * losses.mean(dim=1)


def _of_targets(outputs: Tensor, teacher: Tensor) -> Tensor:
    return ((outputs - teacher) ** 2).mean(dim=1)


def _log_shares(y: Tensor, weight: Tensor) -> Tensor:
    shares = torch.zeros(int(y.max()) + 1, device=y.device).index_add_(0, y, weight)
    return (shares / shares.sum()).log()[None]


def _logits(y: Tensor, weight: Tensor) -> Tensor:
    return torch.logit(_mean(y, weight), eps=1e-6)


def _mean(y: Tensor, weight: Tensor) -> Tensor:
    return (weight[:, None] * y).sum(dim=0, keepdim=True) / weight.sum()


def _zero(y: Tensor, weight: Tensor) -> Tensor:
    return torch.zeros(1, 1, device=y.device)


MULTICLASS = Task(
    nn.CrossEntropyLoss,
    _softmax,
    accuracy,
    "accuracy",
    "valid_acc",
    _of_classes,
    _log_shares,
)
MULTILABEL = Task(
    nn.BCEWithLogitsLoss,
    torch.sigmoid,
    subset_accuracy,
    "accuracy",
    "valid_acc",
    _of_labels,
    _logits,
)
REGRESSION = {
    name: Task(
        criterion,
        _as_they_are,
        r2,
        "R2",
        "valid_r2",
        _of_targets,
        _mean,
        memory=1 / 4,
        takes_logits=False,
        loss_of_noise=True,
    )
    for name, criterion in (
        ("squared_error", nn.MSELoss),
        ("absolute_error", nn.L1Loss),
        ("huber", nn.HuberLoss),
    )
}


SURVIVAL = Task(
    CoxLoss,
    _as_they_are,
    score_ranks,
    "C-index",
    "valid_c_index",
    _of_targets,
    _zero,
    takes_logits=False,
    takes_scorers=False,
    carries_over=_gain_over_gain,
    nearness=0.1,
    batch_sizes=(4, 64, 1024),
)


def task_for(targets: Targets, loss: str | None = None) -> Task:
    """Return what is learnt of targets, for numbers by a loss out of `REGRESSION`."""
    if isinstance(targets, LabelSets):
        return MULTILABEL
    if isinstance(targets, Classes):
        return MULTICLASS
    if isinstance(targets, Survival):
        return SURVIVAL
    return REGRESSION[loss or "squared_error"]
