"""The trade-off of accuracy and size, from one warm-started run."""

import os
from dataclasses import dataclass, field
from numbers import Integral

import numpy as np

from .._data.targets import targets_of
from .._report.html import path_html
from .._report.report import NetworkSize
from .._training.progress import Progress
from .._utils.optional import import_optional
from .._utils.sklearn import Interval, validate_params
from .._utils.torch import choose_device
from .base import JointPruneEstimator
from .checkpoints import checkpoint_of
from .follow_path import RETRAIN_SHARE, follow_path
from .for_target import ESTIMATORS, default_estimator


@dataclass(frozen=True)
class PruningPath:
    """Networks of falling size, from one run: what `joint_prune_path` returns.

    Attributes
    ----------
    alphas : ndarray of shape (n_points,)
        The strength of regularisation at each point, ascending.
    supports : ndarray of shape (n_points, n_features), bool
        The retained inputs; of images (n_points, channels, height, width).
    importances : ndarray of the shape of `supports`
        The loss that the network of the point gives up without each input, as
        `feature_importances_` of an estimator; 0 for those that went.
    sizes : list of NetworkSize
        Inputs, units, parameters and MACs.
    scores : ndarray of shape (n_points,)
        Held-out score after a short retraining, NaN where no rows were held out.
    score_name : str
        What the scores are: "accuracy", "R2" or "C-index".
    estimators : list of estimator
        The fitted estimator of each point, if they were asked for, else empty.
    """

    alphas: np.ndarray
    supports: np.ndarray
    importances: np.ndarray
    sizes: list[NetworkSize]
    scores: np.ndarray
    score_name: str
    estimators: list[JointPruneEstimator] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.alphas)

    @property
    def inputs(self) -> np.ndarray:
        """Number of inputs of each point."""
        return np.array([size.inputs for size in self.sizes])

    @property
    def units(self) -> np.ndarray:
        """Number of units of each point, (n_points, n_layers)."""
        return np.array([list(size.units.values()) for size in self.sizes])

    @property
    def parameters(self) -> np.ndarray:
        """Number of parameters of each point."""
        return np.array([size.parameters for size in self.sizes])

    @property
    def macs(self) -> np.ndarray:
        """Number of multiply-accumulate operations of each point, for one row."""
        return np.array([size.macs for size in self.sizes])

    def to_frame(self):
        """Return the path as a DataFrame.

        Returns
        -------
        pandas.DataFrame
            A row a point; columns "alpha", "inputs", "units of …" for each layer,
            "parameters", "MACs", and the score, by its name.

        Raises
        ------
        ImportError
            Without pandas.
        """
        pandas = import_optional("pandas", "PruningPath.to_frame", "pandas")
        layers = zip(self.sizes[0].units, self.units.T, strict=True)
        return pandas.DataFrame(
            {
                "alpha": self.alphas,
                "inputs": self.inputs,
                **{f"units of {name}": units for name, units in layers},
                "parameters": self.parameters,
                "MACs": self.macs,
                self.score_name: self.scores,
            }
        )

    def _repr_html_(self) -> str:
        return path_html(self)

    def __repr__(self) -> str:
        lines = [
            f"{'alpha':>10}{'inputs':>8}{'units':>16}{'parameters':>12}{'MACs':>12}"
            f"{self.score_name:>10}"
        ]
        for alpha, size, score in zip(
            self.alphas, self.sizes, self.scores, strict=True
        ):
            units = "-".join(map(str, size.units.values()))
            lines.append(
                f"{alpha:>10.3g}{size.inputs:>8,}{units:>16}{size.parameters:>12,}"
                f"{size.macs:>12,}{score:>10.4f}"
            )
        return "\n".join(lines)


@validate_params(
    {
        "estimator": [*ESTIMATORS, None],
        "alphas": ["array-like", None],
        "n_alphas": [Interval(Integral, 1, None, closed="left")],
        "return_estimators": ["boolean"],
        "checkpoint": [str, os.PathLike, None],
    },
    prefer_skip_nested_validation=True,
)
def joint_prune_path(
    X,
    y=None,
    *,
    alphas=None,
    n_alphas=20,
    estimator=None,
    sample_weight=None,
    return_estimators=False,
    checkpoint=None,
):
    """Prune from the dense network to almost none, and score networks on the way.

    One network is trained while the threshold of saliency rises, twice as long as in
    a fit; at each point a copy of it is retrained for an eighth of a fit's epochs and
    scored on held-out rows. A fit with the `alpha` of a point gives about its size,
    and, trained longer, usually a better score; but not with a penalty that shrinks
    what stays, as a fit shrinks it more often.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), dataset or images
        Training rows, datasets and images as in the estimator's `fit`.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), str or None
        Class labels, indicators of labels, or targets. None takes those of a Dataset.
    alphas : array-like of shape (n_points,) or None, default=None
        The points, above 0. None finds them while pruning: from point to point the
        number of inputs and units falls by about the same ratio, down to the last.
    n_alphas : int, default=20
        How many points, where `alphas` is None.
    estimator : estimator of this package or None, default=None
        A JointPruneClassifier, JointPruneRegressor or JointPruneSurvival; its `alpha`
        is not used. None is chosen by y, as by `InputFeatureSelector`, with
        ``random_state=0``.
    sample_weight : array-like of shape (n_samples,) or None, default=None
        Weights of rows.
    return_estimators : bool, default=False
        Whether to return a fitted estimator for each point.
    checkpoint : str, path-like or None, default=None
        A file from which the same call goes on after an interruption, as of an
        estimator.

    Returns
    -------
    PruningPath
        Supports, sizes and scores, ordered by `alphas`.

    Raises
    ------
    ValueError
        If `alphas` holds a number that is not above 0, the estimator asks for an
        exact number of inputs, prunes nothing, trains for too few steps or has a
        `checkpoint` of its own; and what a fit raises.

    See Also
    --------
    JointPruneCV : Chooses a point by cross-validation.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skjointprune import JointPruneClassifier, joint_prune_path
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> clf = JointPruneClassifier(max_epochs=20, retrain_epochs=20, random_state=0)
    >>> path = joint_prune_path(X, y, n_alphas=6, estimator=clf)
    >>> len(path), path.inputs[-1]
    (6, np.int64(1))
    """
    y = targets_of(X, y)
    if estimator is None:
        estimator = default_estimator(y)
    if getattr(estimator, "checkpoint", None) is not None:
        raise ValueError(
            f"A path is one run of many networks. Got `checkpoint`="
            f"{estimator.checkpoint!r} of the estimator; pass it to joint_prune_path."
        )
    device = choose_device(estimator.device)
    points = {"call": "joint_prune_path", "alphas": alphas, "n_alphas": n_alphas}
    kept = checkpoint_of(estimator, checkpoint, device, **points)
    with Progress(int(estimator.verbose)) as progress, kept:
        run = follow_path(
            estimator, X, y, sample_weight, alphas, n_alphas, progress, kept
        )
        fits = [run.fit_at(number, RETRAIN_SHARE) for number in range(len(run.points))]
    scores = [fit.report.scores["after retraining"] for fit in fits]
    estimators = []
    if return_estimators:
        estimators = [run.estimator_of(number, fit) for number, fit in enumerate(fits)]
    return PruningPath(
        alphas=run.alphas,
        supports=np.array([fit.support for fit in fits]),
        importances=np.array([fit.importances for fit in fits]),
        sizes=[fit.report.pruned for fit in fits],
        scores=np.array([np.nan if s is None else s for s in scores]),
        score_name=fits[0].report.score_name,
        estimators=estimators,
    )
