"""The trade-off of accuracy and size, from one warm-started run."""

import math
from dataclasses import dataclass, field
from numbers import Integral

import numpy as np
from sklearn.base import clone

from .._data.prepare import Data
from .._data.targets import targets_of
from .._graph.network import Network
from .._pruning.schedules import Sweep
from .._report.html import path_html
from .._report.report import NetworkSize
from .._training.trainer import Sparsified, Trainer
from .._utils.optional import import_optional
from .._utils.seeds import draw_seed, seeded
from .._utils.sklearn import Interval, validate_params
from .._utils.torch import choose_device
from .base import JointPruneEstimator
from .for_target import default_estimator

SPARSIFY_SHARE = 2  # a path sparsifies for as many times the epochs of a fit,
RETRAIN_SHARE = 1 / 8  # and retrains each point for this share of a fit's


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
        Saliency of each input, 0 for those that went.
    sizes : list of NetworkSize
        Inputs, units, parameters and MACs.
    scores : ndarray of shape (n_points,)
        Held-out score after a short retraining, NaN where no rows were held out.
    score_name : str
        What the scores are: "accuracy" or "R2".
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
        "estimator": [JointPruneEstimator, None],
        "alphas": ["array-like", None],
        "n_alphas": [Interval(Integral, 1, None, closed="left")],
        "return_estimators": ["boolean"],
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
):
    """Prune from the dense network to almost none, and score networks on the way.

    One network is trained while the threshold of saliency rises, twice as long as in
    a fit; at each point a copy of it is retrained for an eighth of a fit's epochs and
    scored on held-out rows. A fit with the `alpha` of a point gives about its size,
    and, trained longer, usually a better score; but not with a penalty that shrinks
    what stays, as a fit shrinks it more often.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), or images
        Training rows; images as in the estimator's `fit`.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), or None
        Class labels, indicators of labels, or targets. None takes those of a Dataset.
    alphas : array-like of shape (n_points,) or None, default=None
        The points, above 0. None finds them while pruning: from point to point the
        number of inputs and units falls by about the same ratio, down to the last.
    n_alphas : int, default=20
        How many points, where `alphas` is None.
    estimator : JointPruneClassifier, JointPruneRegressor or None, default=None
        What to fit; its `alpha` is not used. None is a classifier, or a regressor
        for a continuous y, with ``random_state=0``.
    sample_weight : array-like of shape (n_samples,) or None, default=None
        Weights of rows.
    return_estimators : bool, default=False
        Whether to return a fitted estimator for each point.

    Returns
    -------
    PruningPath
        Supports, sizes and scores, ordered by `alphas`.

    Raises
    ------
    ValueError
        If `alphas` holds a number that is not above 0, the estimator asks for an
        exact number of inputs, prunes nothing or trains for too few steps; and what a
        fit raises.

    See Also
    --------
    JointPruneClassifierCV : Chooses a point by cross-validation.

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
    if not hasattr(estimator, "alpha"):  # one that chooses by cross-validation
        raise ValueError(
            "`estimator` must be a JointPruneClassifier or a JointPruneRegressor. Got "
            f"{estimator!r}; pass one of these."
        )
    run = PathRun.of(estimator, X, y, sample_weight, alphas, n_alphas)
    points = [run.retrained(point, RETRAIN_SHARE) for point in run.points]
    scores = [p.report_.scores["after retraining"] for p in points]
    return PruningPath(
        alphas=np.array([p.alpha for p in points]),
        supports=np.array([p.support_ for p in points]),
        importances=np.array([p.feature_importances_ for p in points]),
        sizes=[p.report_.pruned for p in points],
        scores=np.array([np.nan if s is None else s for s in scores]),
        score_name=points[0].report_.score_name,
        estimators=points if return_estimators else [],
    )


@dataclass
class PathRun:
    """What one run along a path leaves: points to retrain, and what that takes."""

    estimator: JointPruneEstimator
    seed: int
    data: Data
    trainer: Trainer
    dense: NetworkSize
    points: list[Sparsified]

    @classmethod
    def of(
        cls, estimator: JointPruneEstimator, X, y, sample_weight, alphas, n_alphas: int
    ) -> "PathRun":
        """Sparsify, all the way, and copy the network at each point."""
        estimator = clone(estimator)
        estimator._validate_params()
        alphas = check_alphas(alphas)
        if estimator.n_features_to_select is not None or estimator.prune == "none":
            raise ValueError(
                "A path goes from all inputs to one. Got an estimator with "
                f"`n_features_to_select`={estimator.n_features_to_select} and "
                f"`prune`={estimator.prune!r}; leave the first at None, and let "
                "`prune` be 'joint', 'inputs' or 'weights'."
            )
        device = choose_device(estimator.device)
        seed = draw_seed(estimator.random_state)
        with seeded(seed, device):
            data, trainer, network = estimator._prepare(
                X, y, sample_weight, seed, device
            )
            dense = NetworkSize.of(network)
            _check_targets(estimator, network, data)
            points = trainer.sweep(
                network,
                data.view(),
                epochs=SPARSIFY_SHARE * trainer.epochs(estimator.max_epochs, data),
                prices=estimator._prices(),
                schedule=Sweep(alphas, n_alphas),
            )
        return cls(estimator, seed, data, trainer, dense, points)

    def retrained(self, point: Sparsified, share: float) -> JointPruneEstimator:
        """Return a fitted estimator: trace back, and retrain for a share of a fit's.

        Its `alpha` is the point's.
        """
        fitted = clone(self.estimator).set_params(alpha=point.alpha)
        known = vars(fitted)
        known |= {k: v for k, v in vars(self.estimator).items() if k not in known}
        trainer = self.trainer.branch()
        full = trainer.retrain_epochs(fitted.retrain_epochs, self.data)
        left = self.data.view(point.gates)
        for table in left.tables:
            table.keep_inputs(point.support)
        with seeded(self.seed, trainer.device):
            fitted._trace_back(point, left)
            epochs = math.ceil(full * share)
            fitted._retrain(trainer, point, left, epochs, self.dense)
        return fitted


def _check_targets(
    estimator: JointPruneEstimator, network: Network, data: Data
) -> None:
    if not estimator._prices().targets(network, data.gates):
        raise ValueError(
            f"A path needs something that may go. Got `prune`={estimator.prune!r} and "
            f"a network of which is kept whole: {network.kept_whole}. Change `prune` "
            "or `module`."
        )


def check_alphas(alphas) -> list[float] | None:
    """Return ascending points, or None for those that are to be found.

    Raises
    ------
    ValueError
        If there are none, or one is not a number above 0.
    """
    if alphas is None:
        return None
    checked = np.asarray(alphas)
    if (
        checked.ndim != 1
        or not len(checked)
        or checked.dtype.kind not in "iuf"
        or not (np.isfinite(checked) & (checked > 0)).all()
    ):
        raise ValueError(
            f"`alphas` must hold finite numbers above 0. Got {alphas!r}; None finds "
            "them from the data."
        )
    return sorted(checked.astype(float).tolist())
