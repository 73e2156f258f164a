"""Ties between whole numbers by union-find, many at once."""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


class Ties:
    """Numbers 0, 1, …, some of which are tied; the smallest of these stands for all."""

    def __init__(self) -> None:
        self._parent: Numbers = np.arange(64)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, n: int) -> None:
        """Add n numbers that are tied to none."""
        self._size += n
        if self._size > len(self._parent):
            more = np.arange(len(self._parent), 2 * self._size)
            self._parent = np.concatenate([self._parent, more])

    def root(self, i: int) -> int:
        """Return the number that stands for all that are tied to i."""
        parent = self._parent
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return int(i)

    def roots(self, x: Numbers) -> Numbers:
        """Return the number that stands for each."""
        parent = self._parent
        found = parent[x]
        while (found != (further := parent[found])).any():
            found = further
        parent[x] = found  # the next way is short
        return found

    def tie(self, a: Numbers, b: Numbers) -> None:
        """Tie numbers, (n,), to others, one by one."""
        while True:
            a, b = self.roots(a), self.roots(b)
            apart = a != b
            if not apart.any():
                return
            a, b = a[apart], b[apart]
            # of several that a root is tied to, it gets the smallest; then once more
            np.minimum.at(self._parent, np.maximum(a, b), np.minimum(a, b))
