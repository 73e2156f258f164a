"""Step 1 where the number of inputs is given, and there are few: which ones stay.

What an input is worth depends on which others stay: of two that stand in for each
other, one is worth all or nothing. So a network is trained on rows of which inputs are
hidden at random. It learns what y is likely to be given any of them, and tells the loss
of any choice without being trained again (Frye et al., "Shapley explainability on the
data manifold", ICLR 2021, where this gives Shapley values). Then units go from another
network, which begins anew with the chosen inputs.
"""

import math

import torch
from torch import Tensor

from .._data.rows import batches_in_order
from .._graph.compact import compact_
from .._graph.network import Network
from .._pruning.masks import Masks, choose_groups
from .._pruning.points import Point
from .._utils.torch import evaluating
from .fit import Sparse
from .forget import reset_
from .problem import Problem
from .progress import CHOOSE

# Shares of the epochs of sparsifying. A judge has more to learn, and the network that
# units go from is a new one.
CHOOSING_SHARE, UNITS_AFTER_CHOICE = 1.5, 1.0
ROWS_TO_JUDGE = 2048
ROWS_FOR_MEANS = 10_000


def choose(problem: Problem) -> Sparse:
    """Choose inputs, and let units go."""
    start = problem.start()
    judge = start.network.copy()
    masks = _make_masks(problem)
    epochs = math.ceil(problem.epochs.sparsify * CHOOSING_SHARE)
    problem.trainer.progress.begin(CHOOSE, epochs)
    problem.trainer.train_masked(judge, problem.data, epochs, masks, start.history)
    before = {"before pruning": problem.trainer.score(judge, problem.data)}
    kept = _choose_inputs(problem, judge, masks)
    # Where no unit goes, no phase follows in which another network would learn.
    anew = problem.prices.prune == "joint"
    network = start.network if anew else judge
    compact_(network, {network.inputs.name: kept})
    if anew and not problem.epochs.pretrain:
        reset_(network.module)  # it drew weights for all inputs, which are small ones
    positions = kept.nonzero().flatten()
    point = Point(network, 0.0, positions, kept.float(), before, problem.data.gates)
    sparse = Sparse(point, problem.data, start.size, start.history)
    return problem.sparsify_units(problem.view_of(sparse), UNITS_AFTER_CHOICE)


def _make_masks(problem: Problem) -> Masks:
    X, _ = problem.data.train.sample[:ROWS_FOR_MEANS]
    groups = problem.prices.number_groups(X.shape[1])
    assert problem.n_inputs is not None
    return Masks(X.mean(dim=0), groups, problem.n_inputs)


def _choose_inputs(problem: Problem, judge: Network, masks: Masks) -> Tensor:
    """Return a mask over inputs, (inputs,), with which the judge has a small loss."""
    rows, task = problem.data.train.sample, problem.trainer.task
    drawn = torch.randperm(len(rows))[:ROWS_TO_JUDGE].numpy()
    parts = [
        rows[drawn[part]]
        for part in batches_in_order(len(drawn), rows.batch_size_to_score)
    ]

    def loss(shown: Tensor) -> float:
        total = 0.0
        for X, (y, weight) in parts:
            outputs = judge.module(masks.hide(X, shown))
            total += float((task.losses(outputs, y) * weight).sum())
        return total / len(drawn)

    costs = problem.prices.costs
    always = torch.zeros(masks.n_groups, dtype=torch.bool)
    if costs is not None:
        always[masks.groups[costs == 0]] = True
    with evaluating(judge.module), torch.inference_mode():
        shown = choose_groups(loss, always, masks.n_asked)
    return shown[masks.groups]
