"""Picture of a selection by knockoffs: statistics as ranked bars."""

import numpy as np

from .._error_rates.knockoff_result import KnockoffSelection
from .._utils.unwrap import find_estimator_with, find_final_estimator
from .style import DROPPED, RETAINED, label_bars, make_axes


class KnockoffDisplay:
    """How much more inputs are worth than their knockoffs, as ranked bars.

    Make one with `from_selection`; the parameter is an attribute.

    Parameters
    ----------
    selection : KnockoffSelection
        As `knockoff_selection` returns it.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the bars.
    figure_ : matplotlib Figure
        The figure that holds them.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import LinearRegression
    >>> from skjointprune import KnockoffDisplay, knockoff_selection
    >>> X, y = load_diabetes(return_X_y=True)
    >>> selection = knockoff_selection(LinearRegression(), X, y)
    >>> KnockoffDisplay.from_selection(selection).ax_.get_xlabel()
    'worth more than the knockoffs'
    """

    def __init__(self, selection: KnockoffSelection):
        self.selection = selection

    @classmethod
    def from_selection(cls, selection, *, ax=None, n_top=20):
        """Plot the statistics of a selection.

        Parameters
        ----------
        selection : KnockoffSelection
            As `knockoff_selection` returns it.
        ax, n_top
            As in `plot`.

        Returns
        -------
        KnockoffDisplay

        Raises
        ------
        ValueError
            As in `plot`.
        ImportError
            If matplotlib is not installed.
        """
        return cls(selection).plot(ax, n_top=n_top)

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, n_top=20):
        """Plot the statistics that a fitted selector has selected by.

        Parameters
        ----------
        estimator : estimator with `knockoffs_`
            A fitted `InputFeatureSelector` with `fdr`. Of a search the best one, of a
            Pipeline the last step.
        ax, n_top
            As in `plot`.

        Returns
        -------
        KnockoffDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If it did not select by knockoffs, and as in `plot`.
        ImportError
            If matplotlib is not installed.
        """
        estimator = find_final_estimator(estimator)
        selection = find_estimator_with("knockoffs_", estimator).knockoffs_
        return cls.from_selection(selection, ax=ax, n_top=n_top)

    def plot(self, ax=None, *, n_top=20):
        """Draw a bar for each of the first inputs, and a dot for each repeat.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw. None makes a figure. Long names find room in a figure with
            ``layout="constrained"``.
        n_top : int or None, default=20
            How many bars; None is one for each input.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `n_top` is no whole number of at least 1, or None.
        ImportError
            If matplotlib is not installed.
        """
        if n_top is not None and not (
            isinstance(n_top, int | np.integer) and n_top >= 1
        ):
            raise ValueError(
                "`n_top` must be a whole number of at least 1, or None for all inputs. "
                f"Got {n_top!r}; change it."
            )
        selection = self.selection
        statistics, support = selection.statistics_, selection.support_
        order = np.lexsort((-statistics, ~support))[:n_top]
        chosen, positions = support[order], np.arange(len(order))
        figsize = (6.4, min(max(1.3 + 0.22 * len(order), 2.4), 24))
        ax = make_axes(ax, "KnockoffDisplay", figsize=figsize)
        n_chosen = support.sum()
        for mask, color, label in (
            (chosen, RETAINED, f"selected at {selection.fdr:g} ({n_chosen:,})"),
            (~chosen, DROPPED, f"not selected ({len(support) - n_chosen:,})"),
        ):
            if mask.any():
                ax.barh(
                    positions[mask], statistics[order][mask], color=color, label=label
                )
        of_repeats = selection.statistics_of_inputs[:, order]
        ax.plot(
            of_repeats.ravel(),
            np.tile(positions, len(of_repeats)),
            ".",
            color="0.3",
            markersize=3,
            label="each repeat",
        )
        ax.axvline(0, color="0.5", linewidth=0.8)
        label_bars(ax, selection.names[order].tolist())
        ax.set_xlabel("worth more than the knockoffs")
        ax.legend(loc="lower right")
        self.ax_, self.figure_ = ax, ax.figure
        return self
