"""Points of sparsifying that are kept, and written with a checkpoint."""

from collections.abc import Sequence
from typing import Any

from .._pruning.points import Point
from .._storage.packed import Packed, pack


class PackedOnce:
    """Packs points, which do not change, once each."""

    def __init__(self) -> None:
        self._packed: list[tuple[Point, Packed]] = []

    def pack(self, points: Sequence[Point]) -> list[Packed]:
        """Return the states of points; those of others are forgotten."""
        known = {id(point): packed for point, packed in self._packed}
        self._packed = [
            (point, known.get(id(point)) or pack(point.state_dict()))
            for point in points
        ]
        return [packed for _, packed in self._packed]


class AllPoints:
    """Keeps a copy of every point."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self._packed = PackedOnce()

    def look(self, point: Point) -> None:
        """Keep a copy of a point."""
        self.points.append(point.copy())

    def state_dict(self) -> dict[str, Any]:
        """Return the points."""
        return {"points": self._packed.pack(self.points)}

    def load_state_dict(self, state: dict[str, Any], dense: Point) -> None:
        """Keep the points of a state; their networks were once that of `dense`."""
        self.points = [dense.restored(s) for s in state["points"]]
