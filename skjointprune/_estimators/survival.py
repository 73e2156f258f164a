"""`JointPruneSurvival`: sparsify, trace back, compact and retrain, by Cox's model."""

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from .._data.survival import Survival, encode_survival, read_survival
from .._data.targets import EncodedTargets
from .._training.survival import concordance
from .._utils.sklearn import _check_sample_weight, _fit_context
from .base import JointPruneEstimator
from .docstrings import documented


@documented(
    parameters="""
hidden_layer_sizes : sequence of int, default=(64,)
    Units of each hidden layer before pruning. Used by the default `module` only.
batch_size : int or "auto", default="auto"
    Rows of a step. An event is set against the rows of its batch that are at risk:
    larger batches tell more of a step, small ones add noise. "auto" is a quarter of the
    rows, between 64 and 1,024.
standardize : bool, default=True
    Whether to standardise the columns of X for training. The scaling is part of
    `module_`, which takes raw inputs.
validation_fraction : float in [0, 1) or None, default=0.1
    Share of the events, and of the censored rows, that is held out of training to be
    scored in `report_` and `history_`. 0 and None train on all rows.
callbacks : list of skorch callbacks or None, default=None
    Run in all phases, but for `EarlyStopping` and a `Checkpoint` that loads the
    best, which are for retraining only. A batch's y is a tuple (targets, weights);
    targets are rank of time, event and weight. `EpochScoring` is refused.
module : str, class, callable, nn.Module or None, default=None
    "vgg16" or "resnet18" for images, or any module that `torch.fx` can trace and
    that returns one number, the log of a hazard ratio. A class or factory is given
    `n_features_in` (channels of images), `n_outputs` and `input_shape` if it takes
    them; an instance is copied. None is `skjointprune.modules.MLP`, for tables, with
    dropout of 0.4, and no normalisation and no embeddings, unless `module__…` says
    otherwise. Layers without a rule are kept whole: see
    `report_.kept_whole`.
""",
    attributes="""
unique_times_ : ndarray of shape (n_times,)
    The times in y, ascending, each once: where survival functions have their steps.
module_ : nn.Module
    The finished network: plain, compact, from retained raw inputs to risk scores.
""",
)
class JointPruneSurvival(JointPruneEstimator):
    """A Cox model by a neural network that keeps only the inputs and units it needs.

    The network gives the log of a hazard ratio. `fit` trains it in three phases, as
    `JointPruneClassifier` does [1]_, by Cox's partial likelihood with Efron's ties
    [2]_. The rows at risk are those of the batch: see `batch_size`. y, predictions and
    score are as in scikit-survival, which is not needed.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    JointPruneRegressor : The same for numbers that are all known.
    InputFeatureSelector : The same selection, as a transformer.

    Notes
    -----
    The losses of rows add up to the negative log partial likelihood, less that of equal
    outputs: to 0 for a network that knows nothing. `feature_importances_` are in that
    unit. Rows share a likelihood, so importances add up only roughly to the loss where
    all inputs are those of another row.

    References
    ----------
    .. [1] Hubens et al., "Induced Feature Selection by Structured Pruning",
       arXiv 2303.10999.
    .. [2] Katzman et al., "DeepSurv: personalized treatment recommender system using a
       Cox proportional hazards deep neural network", BMC Medical Research Methodology
       18, 2018; ties: Efron, JASA 72, 1977.

    Examples
    --------
    >>> import numpy as np
    >>> from skjointprune import JointPruneSurvival
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 8))
    >>> time = rng.exponential(np.exp(X[:, 2] - X[:, 5]))
    >>> y = np.array([(t < 2, min(t, 2)) for t in time], "bool, float")
    >>> model = JointPruneSurvival(n_features_to_select=2, random_state=0).fit(X, y)
    >>> model.get_support(indices=True)
    array([2, 5])
    >>> model.score(X, y) > 0.7
    True
    """

    _y_numeric = True
    _needs_all_rows = True

    def __init__(
        self,
        hidden_layer_sizes=(64,),
        *,
        alpha="auto",
        n_features_to_select=None,
        prune="joint",
        penalty="group_l0",
        categorical_features="from_dtype",
        feature_groups=None,
        feature_costs=None,
        unit_cost="constant",
        round_units_to=1,
        input_noise="auto",
        distillation=0.0,
        pretrain_epochs=0,
        max_epochs="auto",
        retrain_epochs="auto",
        lr=2e-3,
        batch_size="auto",
        optimizer="adam",
        standardize=True,
        validation_fraction=0.1,
        random_state=None,
        device="auto",
        verbose=0,
        callbacks=None,
        checkpoint=None,
        images=None,
        amp=False,
        compile=False,
        module=None,
        **kwargs,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.alpha = alpha
        self.n_features_to_select = n_features_to_select
        self.prune = prune
        self.penalty = penalty
        self.categorical_features = categorical_features
        self.feature_groups = feature_groups
        self.feature_costs = feature_costs
        self.unit_cost = unit_cost
        self.round_units_to = round_units_to
        self.input_noise = input_noise
        self.distillation = distillation
        self.pretrain_epochs = pretrain_epochs
        self.max_epochs = max_epochs
        self.retrain_epochs = retrain_epochs
        self.lr = lr
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.standardize = standardize
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device
        self.verbose = verbose
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.images = images
        self.amp = amp
        self.compile = compile
        self.module = module
        self._set_passed_on(kwargs)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Train, prune and retrain.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or images
            Training rows, as `JointPruneRegressor.fit` takes them.
        y : structured ndarray of shape (n_samples,), or DataFrame
            Of each row whether the event was seen (a bool), and the time of the event
            or else of the censoring, at least 0; as `sksurv.util.Surv` makes it. Or a
            frame of these two columns. The event is the column of booleans, or named
            "event", or the first.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of rows, in training (of events, and of rows at risk), scaling,
            saliencies, scores and the baseline hazard.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X or y hold what cannot be learnt from, no event comes before another
            row's time, a parameter does not fit the data or the module, or the loss
            diverges. The estimator is then as it was before.
        """
        return self._fit(X, y, sample_weight)

    def _read_y(self, y) -> np.ndarray:
        return read_survival(y)

    def _encode(self, y: np.ndarray, weight: np.ndarray) -> EncodedTargets:
        return encode_survival(y, weight)

    @property
    def unique_times_(self):
        """The times in y of the fit, ascending, each once."""
        check_is_fitted(self)
        return self._survival.times

    @property
    def _survival(self) -> Survival:
        assert isinstance(self._targets, Survival)
        return self._targets

    def predict(self, X):
        """Predict the risk score of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows as in `fit`. Only the retained columns are read; a frame may lack the
            others.

        Returns
        -------
        ndarray of shape (n_samples,)
            The log of the hazard over the baseline hazard: the higher, the sooner.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X lacks a retained column, or one holds infinity. (NaN is a gap.)
        """
        check_is_fitted(self)
        return self._targets.decode(self._outputs(X))

    def predict_cumulative_hazard_function(self, X, return_array=False):
        """Predict the cumulative hazard of each row, by Breslow's estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows as in `predict`.
        return_array : bool, default=False
            Whether to return the values at `unique_times_`.

        Returns
        -------
        ndarray of StepFunction, of shape (n_samples,)
            Or an ndarray of float, of shape (n_samples, n_times).

        Raises
        ------
        NotFittedError, ValueError
            As `predict`.
        """
        values = self._cumulative_hazards(X)
        return values if return_array else self._survival.as_functions(values)

    def predict_survival_function(self, X, return_array=False):
        """Predict the probability of each row to have no event up to a time.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows as in `predict`.
        return_array : bool, default=False
            Whether to return the values at `unique_times_`.

        Returns
        -------
        ndarray of StepFunction, of shape (n_samples,)
            Or an ndarray of float, of shape (n_samples, n_times).

        Raises
        ------
        NotFittedError, ValueError
            As `predict`.
        """
        values = np.exp(-self._cumulative_hazards(X))
        return values if return_array else self._survival.as_functions(values)

    def _cumulative_hazards(self, X) -> np.ndarray:
        return self._survival.cumulative_hazards(self.predict(X))

    def score(self, X, y, sample_weight=None):
        """Return Harrell's concordance index of the risk scores.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows as in `predict`.
        y : structured ndarray of shape (n_samples,), or DataFrame
            As in `fit`.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of rows; a pair of rows counts by their product.

        Returns
        -------
        float
            From 0 to 1; a half is no better than chance.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            As `predict`, or if y is as `fit` does not take it, or no event in it comes
            before another row's time.
        """
        check_is_fitted(self)
        y = read_survival(y)
        risk = self.predict(X)
        check_consistent_length(risk, y, sample_weight)
        weight = _check_sample_weight(sample_weight, y, ensure_non_negative=True)
        found = concordance(y[:, 0] > 0, y[:, 1], risk, weight)
        if found is None:
            raise ValueError(
                "The score compares an event with rows that last longer. Got "
                f"{int(y[:, 0].sum())} events in {len(y)} rows and no such pair; score "
                "more rows."
            )
        return found

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
