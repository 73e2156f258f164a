"""One run along a path: sparsify all the way, then retrain points of it."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone

from .._graph.network import Network
from .._pruning.schedules import Sweep
from .._training.checkpoint import Checkpoint
from .._training.fit import Fit, Sparse
from .._training.plan import plan_of_path
from .._training.problem import Problem
from .._training.progress import Progress
from .._utils.seeds import seeded
from .._utils.torch import choose_device
from .base import JointPruneEstimator
from .fitted import adopt
from .pose import pose

SPARSIFY_SHARE = 2  # a path sparsifies for as many times the epochs of a fit,
RETRAIN_SHARE = 1 / 8  # and retrains each point for this share of a fit's


@dataclass(frozen=True)
class PathRun:
    """What a run along a path leaves: networks of falling size, to be retrained."""

    estimator: JointPruneEstimator
    problem: Problem
    points: list[Sparse]

    @property
    def alphas(self) -> np.ndarray:
        """The strength of regularisation at each point, ascending."""
        return np.array([sparse.point.alpha for sparse in self.points])

    def fit_at(self, number: int, share: float) -> Fit:
        """Trace a point back, and retrain it for a share of a fit's epochs."""
        problem = self.problem
        with problem.random_state():
            sparse = problem.view_of(self.points[number])
            traced = problem.trace_back(sparse)
            return problem.retrain(sparse, traced, share)

    def estimator_of(self, number: int, fit: Fit) -> JointPruneEstimator:
        """Return a fitted estimator for a point, whose `alpha` is the point's."""
        fitted = clone(self.estimator).set_params(alpha=self.points[number].point.alpha)
        return adopt(fitted, fit)


def follow_path(
    estimator: JointPruneEstimator,
    X: Any,
    y: Any,
    sample_weight: Any,
    alphas: Any,
    n_alphas: int,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
    retrained: list[float] | None = None,
) -> PathRun:
    """Sparsify all the way, and copy the network at each point.

    The progress expects that points are then retrained for some shares of the epochs;
    None is each point, for a point's share. A checkpoint is open around all of this.

    Raises
    ------
    ValueError
        If the estimator asks for an exact number of inputs or prunes nothing, nothing
        of the network may go, or there are too few steps; and what a fit raises.
    """
    estimator = clone(estimator)
    estimator._validate_params()
    checked = check_alphas(alphas)
    if estimator.n_features_to_select is not None or estimator.prune == "none":
        raise ValueError(
            "A path goes from all inputs to one. Got an estimator with "
            f"`n_features_to_select`={estimator.n_features_to_select} and "
            f"`prune`={estimator.prune!r}; leave the first at None, and let `prune` be "
            "'joint', 'inputs' or 'weights'."
        )
    device = choose_device(estimator.device)
    checkpoint = checkpoint or Checkpoint()
    seed = checkpoint.draw_seed(estimator.random_state)
    schedule = Sweep(checked, n_alphas)
    if retrained is None:
        retrained = schedule.n_points * [RETRAIN_SHARE]
    progress = progress or Progress(0)
    with seeded(seed, device):
        problem = pose(
            estimator, X, y, sample_weight, seed, device, progress, checkpoint
        )
        epochs = SPARSIFY_SHARE * problem.epochs.sparsify
        plan = plan_of_path(problem, epochs, retrained)
        progress.expect(plan, problem.inputs.n_numbers)
        start = problem.start()
        _check_that_something_may_go(problem, start.network)
        _check_that_steps_suffice(problem, epochs, schedule)
        points = problem.sweep(start, epochs, schedule)
    return PathRun(estimator, problem, points)


def _check_that_something_may_go(problem: Problem, network: Network) -> None:
    if not problem.prices.targets(network, problem.data.gates):
        raise ValueError(
            f"A path needs something that may go. Got `prune`={problem.prices.prune!r} "
            f"and a network of which is kept whole: {network.kept_whole}. Change "
            "`prune` or `module`."
        )


def _check_that_steps_suffice(problem: Problem, epochs: int, schedule: Sweep) -> None:
    steps = epochs * problem.trainer.n_batches(problem.data)
    needed = math.ceil(schedule.n_events / (schedule.stop - schedule.start))
    if steps < needed:  # or two events would fall on one step
        raise ValueError(
            f"A path of {schedule.n_points} points needs at least {needed} optimiser "
            f"steps. Got {steps} from twice `max_epochs`, {epochs} epochs; raise it or "
            "ask for fewer points."
        )


def check_alphas(alphas: Any) -> list[float] | None:
    """Return ascending points, or None for those that are to be found.

    Raises
    ------
    ValueError
        If there are none, or one is not a number above 0.
    """
    if alphas is None:
        return None
    checked = np.asarray(alphas)
    if (
        checked.ndim != 1
        or not len(checked)
        or checked.dtype.kind not in "iuf"
        or not (np.isfinite(checked) & (checked > 0)).all()
    ):
        raise ValueError(
            f"`alphas` must hold finite numbers above 0. Got {alphas!r}; None finds "
            "them from the data."
        )
    return sorted(checked.astype(float).tolist())
