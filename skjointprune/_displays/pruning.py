"""Picture of a report: units of each layer before and after pruning."""

import numpy as np

from .._report.report import PruningReport
from .._utils.unwrap import find_estimator_with, find_final_estimator
from .style import DROPPED, RETAINED, label_bars, make_axes


class PruningDisplay:
    """Units of each layer, and inputs, before and after pruning.

    Make one with `from_estimator`; the parameter is an attribute.

    Parameters
    ----------
    report : PruningReport
        Of a fit.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the bars.
    figure_ : matplotlib Figure
        The figure that holds them.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skjointprune import JointPruneClassifier, PruningDisplay
    >>> clf = JointPruneClassifier((16,), max_epochs=20, retrain_epochs=8)
    >>> clf = clf.fit(*load_iris(return_X_y=True))
    >>> PruningDisplay.from_estimator(clf).ax_.get_xlabel()
    'retained'
    """

    def __init__(self, report: PruningReport):
        self.report = report

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, normalize=True):
        """Plot the sizes of a fitted estimator's network.

        Parameters
        ----------
        estimator : estimator with `report_`
            Fitted; or an `InputFeatureSelector` of one. Of a search the best one, of a
            Pipeline the last step.
        ax, normalize
            As in `plot`.

        Returns
        -------
        PruningDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If it has no report.
        ImportError
            If matplotlib is not installed.
        """
        estimator = find_final_estimator(estimator)
        report = find_estimator_with("report_", estimator).report_
        return cls(report).plot(ax, normalize=normalize)

    def plot(self, ax=None, *, normalize=True):
        """Draw a bar for each layer.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw. None makes a figure. Long names find room in a figure with
            ``layout="constrained"``.
        normalize : bool, default=True
            Whether bars are shares of what was there before. Otherwise they are
            counts of units, without the inputs, of which there may be many more.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        dense, pruned = self.report.dense, self.report.pruned
        sizes = [(name, k, pruned.units[name]) for name, k in dense.units.items()]
        if normalize:
            sizes.insert(0, ("inputs", dense.inputs, pruned.inputs))
        figsize = (6.4, min(max(1.4 + 0.3 * len(sizes), 2.4), 12))
        ax = make_axes(ax, "PruningDisplay", figsize=figsize)
        before, after = np.array([counts for _, *counts in sizes]).reshape(-1, 2).T
        positions = np.arange(len(sizes))
        scale = before if normalize else 1
        ax.barh(positions, before / scale, color=DROPPED, label="before pruning")
        ax.barh(positions, after / scale, color=RETAINED, label="after pruning")
        labels = label_bars(ax, [name for name, *_ in sizes])
        for y, (name, n_before, n_after) in enumerate(sizes):
            whole = " (kept whole)" if name in self.report.kept_whole else ""
            ax.annotate(
                f"{n_after:,} of {n_before:,}{whole}",
                (1, y),
                xycoords=ax.get_yaxis_transform(),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize=labels[y].get_fontsize(),
            )
        ax.set_xlabel("retained" if normalize else "units")
        if normalize:
            ax.set_xlim(0, 1)
            ax.xaxis.set_major_formatter("{x:.0%}")
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self
