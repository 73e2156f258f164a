"""Picture of a path: scores against sizes of the network."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._estimators.cross_validation import JointPruneCV
from .._estimators.folds import choose, standard_errors
from .._estimators.path import PruningPath
from .._utils.unwrap import find_final_estimator
from .style import CHOSEN, make_axes

SIZE_LABELS = {"inputs": "inputs", "parameters": "parameters", "macs": "MACs"}


class PathDisplay:
    """Accuracy against the size of a network, along a path.

    Make one with `from_path` or `from_estimator`; all parameters are attributes.

    Parameters
    ----------
    sizes : dict of str to array-like of shape (n_points,)
        Any of "inputs", "parameters" and "macs".
    scores : array-like of shape (n_points,)
        The score of each point.
    errors : array-like of shape (n_points,) or None, default=None
        The standard errors of `scores`.
    alphas : array-like of shape (n_points,) or None, default=None
        The strength of regularisation of each point.
    chosen : int or None, default=None
        Which point to mark.
    score_name : str, default="score"
        What the scores are.

    Attributes
    ----------
    ax_ : matplotlib Axes, or ndarray of them
        Axes with the curve; an array where `plot` drew more than one.
    figure_ : matplotlib Figure
        The figure that holds them.

    See Also
    --------
    joint_prune_path : Makes a path.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skjointprune import JointPruneClassifier, PathDisplay, joint_prune_path
    >>> clf = JointPruneClassifier((16,), max_epochs=20, retrain_epochs=8)
    >>> path = joint_prune_path(*load_iris(return_X_y=True), n_alphas=3, estimator=clf)
    >>> PathDisplay.from_path(path).ax_[0].get_xlabel()
    'inputs'
    """

    def __init__(
        self,
        sizes: Mapping[str, Any],
        scores,
        *,
        errors=None,
        alphas=None,
        chosen=None,
        score_name="score",
    ):
        n = len(scores)
        if chosen is not None and not (
            isinstance(chosen, int | np.integer) and -n <= chosen < n
        ):
            raise ValueError(
                f"`chosen` must be the position of one of the {n} points. Got "
                f"{chosen!r}; change it, or pass None."
            )
        self.sizes = sizes
        self.scores = scores
        self.errors = errors
        self.alphas = alphas
        self.chosen = chosen
        self.score_name = score_name

    @classmethod
    def from_path(
        cls, path: PruningPath, *, rule="best", chosen=None, ax=None, x=None, **kwargs
    ):
        """Plot a path that `joint_prune_path` returned.

        Parameters
        ----------
        path : PruningPath
            With scores, so from a fit that held rows out.
        rule : "best", float or None, default="best"
            Which point to mark: that of the best score; the largest `alpha` whose
            score is within that number of the best; or none.
        chosen : int or None, default=None
            The position of another point to mark, instead of the rule's.
        ax, x, **kwargs
            As in `plot`.

        Returns
        -------
        PathDisplay

        Raises
        ------
        ValueError
            If `path` is no PruningPath, has no scores or no point `chosen`, or if
            `rule` is none of these.
        ImportError
            If matplotlib is not installed.
        """
        if not isinstance(path, PruningPath):
            raise ValueError(
                "`path` must be what `joint_prune_path` returns. Got "
                f"{type(path).__name__}; `from_estimator` takes an estimator that "
                "cross-validates."
            )
        scores = np.asarray(path.scores, dtype=float)
        if np.isnan(scores).all():
            raise ValueError(
                "The path has no scores, as no rows were held out. Give the "
                "`estimator` of `joint_prune_path` a `validation_fraction`."
            )
        is_number = isinstance(rule, int | float) and not isinstance(rule, bool)
        if not (rule is None or rule == "best" or (is_number and rule >= 0)):
            raise ValueError(
                "`rule` must be 'best', a number that is not negative, or None. Got "
                f"{rule!r}; a path has no folds, so no standard errors."
            )
        if chosen is None and rule is not None:
            chosen = choose(scores, np.zeros_like(scores), rule)
        sizes = {name: getattr(path, name) for name in SIZE_LABELS}
        display = cls(
            sizes,
            scores,
            alphas=path.alphas,
            chosen=chosen,
            score_name=f"held-out {path.score_name}",
        )
        return display.plot(ax, x=x, **kwargs)

    @classmethod
    def from_estimator(cls, estimator: JointPruneCV, *, ax=None, x=None, **kwargs):
        """Plot what an estimator that cross-validates along paths has found.

        Scores are means over folds, with their standard errors; sizes are means, too.

        Parameters
        ----------
        estimator : JointPruneCV
            Fitted. Of a search the best one, of a Pipeline the last step.
        ax, x, **kwargs
            As in `plot`.

        Returns
        -------
        PathDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If it does not cross-validate along paths.
        ImportError
            If matplotlib is not installed.
        """
        estimator = find_final_estimator(estimator)
        if not isinstance(estimator, JointPruneCV):
            raise ValueError(
                "`estimator` must be a JointPruneCV. Got "
                f"{type(estimator).__name__}; `from_path` takes what "
                "`joint_prune_path` returns."
            )
        results, n_folds = estimator.cv_results_, estimator.n_splits_
        fold_scores = np.array(
            [results[f"split{i}_test_score"] for i in range(n_folds)]
        )
        name = estimator.scoring or estimator.report_.score_name
        display = cls(
            {name: results[f"mean_{name}"] for name in SIZE_LABELS},
            results["mean_test_score"],
            errors=standard_errors(fold_scores),
            alphas=estimator.alphas_,
            chosen=estimator.best_index_,
            score_name=name if isinstance(name, str) else "score",
        )
        kwargs.setdefault("label", f"mean of {n_folds} folds ± standard error")
        return display.plot(ax, x=x, **kwargs)

    def plot(self, ax=None, *, x=None, **kwargs):
        """Draw the curve, once for each kind of size.

        Parameters
        ----------
        ax : matplotlib Axes, sequence of them, or None, default=None
            Where to draw, one for each of `x`. None makes a figure.
        x : {"inputs", "parameters", "macs"}, sequence of these or None, default=None
            What to draw scores against. None is inputs, and then MACs where `ax` has
            room for both.
        **kwargs
            For matplotlib's `Axes.errorbar`, such as `color` and `label`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `x` names no size, or `ax` does not hold one axes for each of `x`.
        ImportError
            If matplotlib is not installed.
        """
        one_axes_given = ax is not None and not isinstance(ax, Sequence | np.ndarray)
        single = isinstance(x, str) or (x is None and one_axes_given)
        names = [x] if isinstance(x, str) else list(x or ("inputs", "macs"))
        if single:
            names = names[:1]
        unknown = [name for name in names if name not in self.sizes]
        if unknown:
            raise ValueError(
                f"`x` must name some of {list(self.sizes)}. Got {unknown[0]!r}; leave "
                "it at None for inputs and MACs."
            )
        if ax is None:
            figsize = (6.4, 4.8) if single else (1 + 4 * len(names), 3.8)
            ax = make_axes(
                None,
                "PathDisplay",
                n_columns=len(names),
                sharey=True,
                figsize=figsize,
            )
        axes = np.array(ax, dtype=object).ravel()
        if len(axes) != len(names):
            raise ValueError(
                f"`ax` must hold one axes for each of `x`={names}. Got {len(axes)}; "
                "pass as many."
            )
        for name, panel in zip(names, axes, strict=True):
            self._draw(panel, name, kwargs)
        axes[0].set_ylabel(self.score_name)
        if axes[-1].get_legend_handles_labels()[0]:
            axes[-1].legend(loc="lower right")
        self.ax_ = axes[0] if single else axes
        self.figure_ = axes[0].figure
        return self

    def _draw(self, ax, name: str, kwargs: dict) -> None:
        """Draw scores against one kind of size."""
        sizes, scores = np.asarray(self.sizes[name]), np.asarray(self.scores)
        style = {"fmt": "o-", "markersize": 4, "capsize": 2, "elinewidth": 1} | kwargs
        ax.errorbar(sizes, scores, self.errors, **style)
        if self.chosen is not None:
            label = "chosen"
            if self.alphas is not None:
                label = f"chosen: alpha={np.asarray(self.alphas)[self.chosen]:.3g}"
            ax.plot(
                sizes[self.chosen],
                scores[self.chosen],
                "*",
                color=CHOSEN,
                markersize=15,
                zorder=3,
                label=label,
            )
        ax.set_xlabel(SIZE_LABELS.get(name, name))
        _use_log_scale(ax)


def _use_log_scale(ax) -> None:
    """Let x be logarithmic, with ticks that read 20 and 5k, not powers of ten."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    ax.set_xscale("log")
    low, high = ax.get_xlim()
    subs = (1.0, 2.0, 5.0) if high / low < 300 else (1.0,)
    ax.xaxis.set_major_locator(LogLocator(subs=subs))
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.xaxis.set_minor_formatter(NullFormatter())
