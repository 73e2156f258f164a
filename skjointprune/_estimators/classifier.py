"""`JointPruneClassifier`: sparsify, trace back, compact and retrain."""

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from .._data.targets import EncodedTargets, encode_classes, read_labels
from .._utils.sklearn import StrOptions, _fit_context
from .base import JointPruneEstimator
from .docstrings import documented
from .scores import ScoresDatasets


@documented(
    parameters="""
standardize : bool, default=True
    Whether to standardise the columns of X for training. The scaling is part of
    `module_`, which takes raw inputs.
validation_fraction : float in [0, 1) or None, default=0.1
    Share of each class that is held out of training to be scored in `report_`
    and `history_`. 0 and None train on all rows.
class_weight : dict, list of dict, "balanced" or None, default=None
    Weights of classes, as elsewhere in scikit-learn; a list for several labels.
module : str, class, callable, nn.Module or None, default=None
    "vgg16" or "resnet18" for images, or any module that `torch.fx` can trace and
    that returns one logit a class. A class or factory is given `n_features_in`
    (channels of images), `n_outputs` and `input_shape` if it takes them; an
    instance is copied. None is `skjointprune.modules.MLP`, for tables; embeddings,
    normalisation and dropout are what suits classes and the number of columns, unless
    `module__…` says otherwise. Layers without a rule are kept whole: see
    `report_.kept_whole`.
""",
    attributes="""
classes_ : ndarray of shape (n_classes,), or list of ndarray
    Class labels; with several labels a row, [0, 1] for each of them.
module_ : nn.Module
    The finished network: plain, compact, from retained raw inputs to logits.
""",
)
class JointPruneClassifier(ScoresDatasets, ClassifierMixin, JointPruneEstimator):
    """A neural network that keeps only the inputs and units it needs.

    `fit` trains in three phases: it drives groups of weights to zero, one group an
    input and one group a unit; traces back which inputs nothing reads any more; and
    retrains the network that is left, physically smaller, over the inputs that are
    left [1]_.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    InputFeatureSelector : The same selection, as a transformer.

    Notes
    -----
    There is no `partial_fit`: inputs and units go by a schedule, which needs to know
    how long training will last. `fit` reads tables that are larger than memory from
    their files.

    References
    ----------
    .. [1] Hubens et al., "Induced Feature Selection by Structured Pruning",
       arXiv 2303.10999.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skjointprune import JointPruneClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> clf = JointPruneClassifier(n_features_to_select=5, random_state=0).fit(X, y)
    >>> clf.get_support().sum(), clf.score(X, y) > 0.9
    (np.int64(5), True)
    """

    _parameter_constraints = {  # noqa: RUF012
        **JointPruneEstimator._parameter_constraints,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }
    _y_numeric = False

    def __init__(
        self,
        hidden_layer_sizes=(256, 128),
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
        class_weight=None,
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
        self.class_weight = class_weight
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
        X : array-like of shape (n_samples, n_features), dataset or images
            Training rows. What is larger than memory may be a memory-mapped array, a
            pyarrow Dataset, or a torch Dataset or IterableDataset of rows or batches.
            Or images, (n_samples, channels, height, width), uint8 or floats, as an
            array (which may be memory-mapped), a tensor or a torch Dataset. Images are
            read batch by batch, never copied whole.
        y : array-like of shape (n_samples,) or (n_samples, n_labels), str or None
            Class labels: integers, strings or booleans; or an indicator matrix of
            several labels, which may be sparse. None takes those of a torch Dataset.
            The name of a column, or a list of names, takes these of a pyarrow Dataset.
        sample_weight : array-like of shape (n_samples,), str or None, default=None
            Weights of rows, or the column of a pyarrow Dataset that holds them. They
            count in training, scaling, saliencies and scores.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X or y hold what cannot be learnt from, a parameter does not fit the
            data or the module, or the loss diverges. The estimator is then as it
            was before.
        """
        return self._fit(X, y, sample_weight)

    def _read_y(self, y):
        return read_labels(y)

    def _encode(self, y, weight: np.ndarray) -> EncodedTargets:
        return encode_classes(y, weight, self.class_weight)

    def predict_proba(self, X):
        """Predict the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), dataset or images
            Rows as in `fit`. Only the retained columns are read; a frame may lack the
            others. Or images as in `fit`, whole.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, classes in the order of `classes_`; with several labels,
            of each label.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X lacks a retained column, or one holds infinity. (NaN is a gap.)
        """
        return self._outputs(X)

    def predict(self, X):
        """Predict the class of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or dataset
            Rows as in `predict_proba`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
            Labels, as in `classes_`; with several labels, an indicator matrix.

        Raises
        ------
        NotFittedError, ValueError
            As `predict_proba`.
        """
        check_is_fitted(self)
        return self._targets.decode(self.predict_proba(X))

    def predict_log_proba(self, X):
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), dataset or images
            Rows as in `predict_proba`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Logarithms of what `predict_proba` returns; of 0 it is minus infinity.

        Raises
        ------
        NotFittedError, ValueError
            As `predict_proba`.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
