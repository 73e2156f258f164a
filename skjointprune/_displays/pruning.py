"""A picture of a network's layers before and after pruning."""

import numpy as np

from .._report.report import PruningReport
from .._utils.unwrap import fitted_end_of, holder_of
from .style import DROPPED, RETAINED, label_rows, make_axes


class PruningDisplay:
    """Units of each layer before and after pruning, and inputs.

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
            Without matplotlib.
        """
        report = holder_of(fitted_end_of(estimator), "report_").report_
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
            counts of units, without the inputs, which may be of another order.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        dense, pruned = self.report.dense, self.report.pruned
        rows = [(name, size, pruned.units[name]) for name, size in dense.units.items()]
        if normalize:
            rows.insert(0, ("inputs", dense.inputs, pruned.inputs))
        figsize = (6.4, min(max(1.4 + 0.3 * len(rows), 2.4), 12))
        ax = make_axes(ax, "PruningDisplay", figsize=figsize)
        names = [name for name, *_ in rows]
        before, after = np.array([sizes for _, *sizes in rows]).reshape(-1, 2).T
        at = np.arange(len(rows))
        scale = before if normalize else 1
        ax.barh(at, before / scale, color=DROPPED, label="before pruning")
        ax.barh(at, after / scale, color=RETAINED, label="after pruning")
        labels = label_rows(ax, names)
        for y, (name, k, left) in enumerate(rows):
            whole = " (kept whole)" if name in self.report.kept_whole else ""
            ax.annotate(
                f"{left:,} of {k:,}{whole}",
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
