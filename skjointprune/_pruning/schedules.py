"""Schedules of a fit and of a path: when a sparsifier prunes, and how much."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor

from .sparsifier import Sparsifier


class Schedule(Protocol):
    """Events at even intervals from `start` to `stop`, shares of a phase's steps.

    `alpha` is the threshold at the end, or that of the last event.
    """

    start: ClassVar[float]
    stop: ClassVar[float]
    alpha: float

    @property
    def n_events(self) -> int:
        """How many events there are."""

    def prune(self, sparsifier: Sparsifier, event: int) -> Tensor:
        """Prune at an event; return the positions of the inputs that stay."""


@dataclass
class Rise:
    """Raise the threshold to `alpha` with the cube of progress.

    With `n_inputs`, the number of (groups of) inputs falls to it as well, fastest at
    the beginning. `alpha_of_units` is asked at each event for the threshold of units,
    where it is another. After the last event the network has time to settle.
    """

    start: ClassVar[float] = 0.1
    stop: ClassVar[float] = 0.8

    alpha: float
    n_inputs: int | None = None
    alpha_of_units: Callable[[], float] | None = None
    n_events: int = 100

    def prune(self, sparsifier: Sparsifier, event: int) -> Tensor:
        """Prune as the progress asks."""
        progress = event / (self.n_events - 1)
        n_inputs = self.n_inputs
        if n_inputs is not None:
            n_inputs += round((sparsifier.n_groups - n_inputs) * (1 - progress) ** 3)
        of_units = self.alpha if self.alpha_of_units is None else self.alpha_of_units()
        rise = progress**3
        return sparsifier.prune(self.alpha * rise, n_inputs, of_units * rise)


class Sweep:
    """Raise the threshold from nothing until all is gone, past one point after another.

    Parameters
    ----------
    alphas : sequence of float or None
        The points, ascending. None finds them on the way, so that the number of
        inputs and units falls by about the same ratio from point to point.
    n_points : int
        How many points to find, where `alphas` is None.
    events_per_point : int

    Attributes
    ----------
    alpha : float
        The threshold of the last event.
    """

    start: ClassVar[float] = 0.15
    stop: ClassVar[float] = 1.0

    def __init__(self, alphas, n_points: int, events_per_point: int = 5):
        self.alphas = alphas
        self.events_per_point = events_per_point
        self.n_points = n_points if alphas is None else len(alphas)
        self.alpha = 0.0

    @property
    def n_events(self) -> int:
        """How many events there are."""
        return self.n_points * self.events_per_point

    def point_at(self, event: int) -> int | None:
        """Return the number of the point that an event reaches, if it does."""
        point, more = divmod(event + 1, self.events_per_point)
        return None if more else point - 1

    def prune(self, sparsifier: Sparsifier, event: int) -> Tensor:
        """Prune at the next threshold."""
        if self.alphas is None:
            alpha = sparsifier.alpha_for(share=(event + 1) / self.n_events)
            # A point is above 0, as an `alpha` is, even where there is nothing to go.
            self.alpha = max(self.alpha, alpha, 1e-12)
        else:
            self.alpha = alpha = self._between(event)
        return sparsifier.prune(alpha)

    def _between(self, event: int) -> float:
        """Interpolate between the points on a logarithmic scale."""
        point, step = divmod(event, self.events_per_point)
        share = (step + 1) / self.events_per_point
        if point == 0:
            return self.alphas[0] * share**3
        return self.alphas[point - 1] ** (1 - share) * self.alphas[point] ** share
