"""Step 1 where no `alpha` is given: how much may go is found on the way.

Each column of a table has a rival: a shadow, the same numbers in another order of the
rows, which says nothing about y (Kursa, Rudnicki, "Feature selection with the Boruta
package", 2010). Columns and shadows are trained and pruned together in one run, until
all is gone. Columns that go before the last shadow are worth no more than chance. Of
the points after it, the smallest is looked for whose loss on held-out rows is as good
as the best: within half a standard error of the difference, row by row, as most of what
makes rows differ is the same for both networks. A short retraining tells whether it is
as good as larger ones. Then units go, in a phase of their own.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from skorch.history import History
from torch import Tensor

from .._graph.compact import compact_
from .._pruning.points import Point
from .._pruning.schedules import Sweep
from .._utils.warn import warn_caller
from .batches import run_rows
from .fit import Sparse
from .keep_points import PackedOnce
from .losses import gains_over_constant, losses_of_rows, mean_and_error
from .problem import Problem
from .progress import COMPARE, SEARCH
from .tasks import Task

N_POINTS, EVENTS_PER_POINT = 40, 2
AS_GOOD = 0.5  # standard errors of a difference that count for nothing
CONFIRMING_SHARE = 0.3  # of the epochs of retraining
UNITS_AFTER_SEARCH = 0.5  # of the epochs of sparsifying: the network is trained already
MOST_COMPARED = 3  # networks that are so retrained
# Where y says nothing, each more column outlives all shadows with a probability of 1/2.
SURELY_MORE_THAN_CHANCE = 5  # of them
SURE = 2  # standard errors of what is gained


def search(problem: Problem) -> Sparse:
    """Sparsify, and find how much may go."""
    rivals = problem.with_shadows()
    start = rivals.start()
    opened = rivals.open(start)
    n_inputs, n_rivals = problem.inputs.network_shape[0], rivals.inputs.network_shape[0]
    judge = Judge(rivals.trainer.task, opened, n_inputs, n_rivals)
    rivals.trainer.progress.begin(SEARCH, rivals.epochs.sparsify, n_rivals - n_inputs)
    rivals.trainer.sweep(
        opened.point.network,
        opened.data,
        rivals.epochs.sparsify,
        replace(rivals.prices_of(opened), prune="inputs"),
        Sweep(None, N_POINTS, EVENTS_PER_POINT),
        start.history,
        judge,
    )
    size = problem.dense_size(start.size.units)

    def sparse(point: Point) -> Sparse:
        return problem.view_of(Sparse(point, problem.data, size, start.history))

    if judge.says_nothing:
        warn_caller(
            "Held-out rows do not show that X says anything about y: one input is "
            "kept. Set `alpha` to a number to keep more."
        )
        if judge.last is not None and len(judge.last.kept) == 1:
            return problem.sparsify_units(sparse(judge.last), UNITS_AFTER_SEARCH)
        single = replace(problem, n_inputs=max(1, problem.inputs.n_always_kept))
        return single.sparsify(single.start(), "auto")
    point = judge.chosen
    assert point is not None  # or y says nothing
    if problem.data.valid is not None:
        points = [point, *reversed(judge.larger)]
        point, losses = _large_enough(problem, points, sparse)
        if problem.screens and _says_more_unscreened(problem, losses):
            return search(replace(problem, screens=False))
    return problem.sparsify_units(sparse(point), UNITS_AFTER_SEARCH)


def _large_enough(
    problem: Problem, points: list[Point], sparse: Callable[[Point], Sparse]
) -> tuple[Point, Tensor]:
    """Return the smallest of points that is as good as the largest, once retrained.

    With it come the losses that tell so. While inputs go, a network is far from its
    best, and tells little of their worth.
    `points` ascend in size; between the first and the last, one is tried.
    """
    if len(points) > MOST_COMPARED:
        points = [points[0], points[len(points) // 2], points[-1]]
    *smaller, largest = points
    best = _losses_once_retrained(problem, sparse(largest))
    for point in smaller:
        losses = _losses_once_retrained(problem, sparse(point))
        worse, error = mean_and_error(losses - best)
        if worse <= AS_GOOD * error:
            return point, losses
    return largest, best


def _says_more_unscreened(problem: Problem, losses: Tensor) -> bool:
    """Return whether all inputs together have less loss than those of a screening.

    Many that say little may say much together, as words do.
    """
    whole = replace(problem, screens=False)
    together = _losses_once_retrained(whole, whole.open(whole.start()))
    worse, error = mean_and_error(losses - together)
    return worse > AS_GOOD * error


def epochs_of_comparing(problem: Problem) -> int:
    """Return the epochs of a short retraining, also of a fit that ends without one."""
    of_all = problem.epochs.retrain or problem.epochs.sparsify
    return math.ceil(CONFIRMING_SHARE * of_all)


def _losses_once_retrained(problem: Problem, sparse: Sparse) -> Tensor:
    """Return the losses of held-out rows after a short retraining."""
    epochs = epochs_of_comparing(problem)
    problem.train_again(sparse, epochs, CONFIRMING_SHARE, History(), COMPARE)
    rows = sparse.data.valid
    assert rows is not None
    return losses_of_rows(problem.trainer.task, sparse.point.network.module, rows)


class Judge:
    """Looks at each point of a run, and keeps the one to take.

    Parameters
    ----------
    task : Task
    opened : Sparse
        What the run begins with. Its data lose inputs as the network does.
    n_inputs, n_rivals : int
        How many inputs there are, without shadows, which come after them, and with.

    Attributes
    ----------
    chosen : Point or None
        The smallest point without shadows that is as good as the best of these.
    larger : list of Point
        Larger ones, each of about half the inputs of the one before.
    last : Point or None
        The last point without shadows.
    """

    def __init__(self, task: Task, opened: Sparse, n_inputs: int, n_rivals: int):
        self.task, self.data = task, opened.data
        self.kept, self.n_inputs, self.n_rivals = opened.point.kept, n_inputs, n_rivals
        self.chosen: Point | None = None
        self.last: Point | None = None
        self.larger: list[Point] = []
        self._n_first = 0  # inputs that outlived all shadows
        self._best: Tensor | None = None
        # of the chosen one: outputs for held-out rows, their targets and weights
        self._read: tuple[Tensor, Tensor, Tensor] | None = None
        self._packed = PackedOnce()

    def look(self, point: Point) -> None:
        """Look at a point, whose network is changed later."""
        point = point.among(self.kept, self.n_rivals)
        n_real = int((point.kept < self.n_inputs).sum())
        without_shadows = n_real == len(point.kept)
        halved = not self.larger or n_real <= len(self.larger[-1].kept) / 2
        if not n_real or not (without_shadows or halved):
            return
        point = _without_shadows(point.copy(), self.n_inputs)
        if halved:
            self.larger.append(point)
        if not without_shadows:
            return
        self._n_first = self._n_first or n_real
        self.last = point
        valid = self.data.valid
        if valid is None:  # only shadows tell
            self.chosen = self.chosen or point
            return
        outputs, y, weight = run_rows(point.network.module, valid)
        losses = self.task.losses(outputs, y) * weight
        if self._best is None or losses.mean() < self._best.mean():
            self._best = losses
        worse, error = mean_and_error(losses - self._best)
        if worse <= AS_GOOD * error:
            self.chosen, self._read = point, (outputs, y, weight)
            self.larger = [p for p in self.larger if len(p.kept) > n_real]

    def state_dict(self) -> dict[str, Any]:
        """Return what it keeps; a point of several uses is written once."""
        held = [self.chosen, self.last, *self.larger]
        points = {id(point): point for point in held if point is not None}
        number = {key: i for i, key in enumerate(points)}
        return {
            "points": self._packed.pack([*points.values()]),
            "held": [None if p is None else number[id(p)] for p in held],
            "n_first": self._n_first,
            "best": self._best,
            "read": self._read,
        }

    def load_state_dict(self, state: dict[str, Any], dense: Point) -> None:
        """Keep what a state holds; its networks were once that of `dense`."""
        points = [dense.restored(s) for s in state["points"]]
        held: list[Any] = [None if i is None else points[i] for i in state["held"]]
        self.chosen, self.last, *self.larger = held
        self._n_first = state["n_first"]
        self._best, self._read = state["best"], state["read"]

    @property
    def says_nothing(self) -> bool:
        """Whether no better than a constant is left, as far as rows can tell."""
        if self.chosen is None:
            return True
        if self._read is None or self._n_first >= SURELY_MORE_THAN_CHANCE:
            return False
        gains = gains_over_constant(self.task, self.data.train, *self._read)
        gained, error = mean_and_error(gains)
        return gained < SURE * error


def _without_shadows(point: Point, n_inputs: int) -> Point:
    """Return a point whose network has lost the shadows."""
    real = point.kept < n_inputs
    if not real.all():
        compact_(point.network, {point.network.inputs.name: real})
    importances = point.importances[:n_inputs]
    return replace(point, kept=point.kept[real], importances=importances)
