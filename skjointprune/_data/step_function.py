"""`StepFunction`: what a survival curve is."""

from typing import Any

import numpy as np


class StepFunction:
    """A function of time that is constant from each of some points to the next.

    It has the interface of `sksurv.functions.StepFunction`, so that scikit-survival's
    scores take it.

    Parameters
    ----------
    x : ndarray of shape (n_points,)
        Times, ascending.
    y : ndarray of shape (n_points,)
        The values from each of these times on.

    Attributes
    ----------
    domain : tuple of float
        The least and the largest time to ask for: 0, and the last of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> from skjointprune import StepFunction
    >>> f = StepFunction(np.array([1.0, 3.0]), np.array([0.9, 0.4]))
    >>> f([1.0, 2.0, 3.0])
    array([0.9, 0.9, 0.4])
    """

    def __init__(self, x: np.ndarray, y: np.ndarray):
        self.x, self.y = x, y

    @property
    def domain(self) -> tuple[float, float]:
        """The least and the largest time to ask for."""
        return 0.0, float(self.x[-1])

    def __call__(self, x: Any) -> Any:
        """Return the values at some times.

        Parameters
        ----------
        x : float or array-like of shape (n_times,)
            Times within `domain`. Before the first point the function has the value
            there, as in scikit-survival.

        Returns
        -------
        float or ndarray of shape (n_times,)
            A float where one time was asked for.

        Raises
        ------
        ValueError
            If a time is not finite, or not within `domain`.
        """
        asked = np.atleast_1d(np.asarray(x, dtype=np.float64))
        least, largest = self.domain
        outside = ~((asked >= least) & (asked <= largest))
        if outside.any():
            raise ValueError(
                f"`x` must be within [{least:g}, {largest:g}], the times of the fit. "
                f"Got {asked[outside][0]:g}; ask for times within."
            )
        at = np.searchsorted(self.x, asked, side="right") - 1
        values = self.y[np.maximum(at, 0)]
        return values[0] if len(values) == 1 else values

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StepFunction):
            return NotImplemented
        return np.array_equal(self.x, other.x) and np.array_equal(self.y, other.y)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"StepFunction(x={self.x!r}, y={self.y!r})"
