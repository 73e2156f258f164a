"""Which callbacks a phase of training has, of the user's and of ours."""

from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    LRScheduler,
    TrainEndCheckpoint,
)
from torch.optim.lr_scheduler import OneCycleLR

from .._data.prepare import Scaling
from .callbacks import OneCycle
from .ranks import Ranks
from .scoring import RowScoring
from .tasks import Task

PEAK = 2  # one cycle peaks at this multiple of `lr`
WRITERS = (Checkpoint, TrainEndCheckpoint)

NamedCallbacks = list[tuple[str, Callback]]


def of_retraining(
    given: NamedCallbacks, task: Task, target_scaling: Scaling | None, ranks: Ranks
) -> NamedCallbacks:
    """Return the user's callbacks; those that score read rows as ours are.

    Of several ranks, the first writes.
    """
    return [
        (name, RowScoring.like(c, task, target_scaling))
        if type(c) is EpochScoring
        else (name, c)
        for name, c in given
        if not (ranks.number and isinstance(c, WRITERS))
    ]


def before_retraining(callbacks: NamedCallbacks) -> NamedCallbacks:
    """Return those of the callbacks of retraining that other phases have as well.

    None of them may stop a phase early, which would cut its schedule short, or load an
    earlier network, which may be larger.
    """
    return [
        (name, c)
        for name, c in callbacks
        if not isinstance(c, EarlyStopping)
        and not (isinstance(c, Checkpoint) and c.load_best)
    ]


def with_cycle(callbacks: NamedCallbacks, lr: float, n_steps: int) -> NamedCallbacks:
    """Add one cycle of the learning rate, unless the user has a schedule."""
    if not n_steps or any(isinstance(c, LRScheduler) for _, c in callbacks):
        return callbacks
    cycle = OneCycle(
        policy=OneCycleLR,
        max_lr=PEAK * lr,
        total_steps=n_steps,
        pct_start=0.1 if n_steps > 10 else 0.3,  # torch divides by 0 at 0.1 * 10
        cycle_momentum=False,
        step_every="batch",
    )
    return [*callbacks, ("one_cycle", cycle)]
