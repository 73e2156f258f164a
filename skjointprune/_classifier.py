"""`JointPruneClassifier`: sparsify, trace back, compact and retrain."""

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from ._base import JointPruneEstimator
from ._context import all_or_nothing, choose_device, draw_seed, seeded
from ._data import Data, prepare
from ._fitting import AUTO_RETRAIN_EPOCHS
from ._groups import Network, find_groups
from ._report import NetworkSize, PruningReport
from ._sklearn import _check_sample_weight, _fit_context
from .modules import MLP, build_module


class JointPruneClassifier(ClassifierMixin, JointPruneEstimator):
    """A neural network that keeps only the inputs and units it needs.

    `fit` trains in three phases: it drives groups of weights to zero, one group an
    input and one group a unit; traces back which inputs nothing reads any more; and
    retrains the network that is left, physically smaller, over the inputs that are
    left [1]_.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(256, 128)
        Units of each hidden layer before pruning. Used by the default `module` only.
    alpha : float, default=1e-3
        Strength of regularisation, above 0. An input or unit goes when its saliency
        falls to `alpha` or below. The saliency is the root mean, over the weights
        that read (and, for a unit, produce) it, of the second-order estimate of what
        zeroing the weight costs in loss.
    n_features_to_select : int, float in (0, 1] or None, default=None
        Exactly how many inputs to keep, or which share of them; `alpha` then governs
        the units only. None leaves the number to `alpha`.
    prune : {"joint", "inputs", "weights", "none"}, default="joint"
        What may go: inputs and units, inputs, units, or nothing.
    penalty : {"group_l0", "group_lasso"} or object, default="group_l0"
        The price of a group; an object answers `value(s, alpha)` and
        `prox(s, alpha)` for a tensor `s` of saliencies.
    max_epochs : int or "auto", default="auto"
        Passes over the training rows while sparsifying. "auto" makes at least 4,000
        optimiser steps, whatever the number of rows.
    retrain_epochs : int or "auto", default="auto"
        Passes over the training rows after pruning, in one cycle of the learning
        rate. 0 leaves the pruned network as it is. "auto" as above, and at least 20.
    lr : float, default=1e-3
        Learning rate while sparsifying; retraining peaks at twice that.
    batch_size : int or "auto", default="auto"
        Rows of a step. "auto" is a twentieth of the rows, between 16 and 128.
    optimizer : {"adam", "adamw", "sgd"} or class, default="adam"
        A class is a `torch.optim.Optimizer`.
    standardize : bool, default=True
        Whether to standardise the columns of X for training. The scaling is folded
        into the first layer of `module_`, which takes raw inputs.
    validation_fraction : float in [0, 1) or None, default=0.1
        Share of each class that is held out of training to be scored in `report_`
        and `history_`. 0 and None train on all rows.
    class_weight : dict, "balanced" or None, default=None
        Weights of classes, as elsewhere in scikit-learn.
    random_state : int, RandomState or None, default=None
        Seed of initial weights, batches, dropout and held-out rows.
    device : str or torch.device, default="auto"
        Where to train. "auto" is the GPU where there is one.
    verbose : int, default=0
        1 shows a progress bar for each phase, 2 also prints a line an epoch.
    callbacks : list of skorch callbacks or None, default=None
        Run in both phases, but for `EarlyStopping`, which ends retraining only.
    module : class, callable, nn.Module or None, default=None
        A stack of linear, normalisation, dropout and activation layers that returns
        one logit a class. A class or factory is given `n_features_in` and
        `n_outputs` if it takes them; an instance is copied. None is
        `skjointprune.modules.MLP`.
    **kwargs
        `module__name` and `optimizer__name` set parameters of the two.

    Attributes
    ----------
    support_ : ndarray of shape (n_features_in_,), bool
        The retained inputs.
    feature_importances_ : ndarray of shape (n_features_in_,)
        Saliency of each input at the end of sparsifying, in the units of `alpha`; 0
        for an input that went.
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    module_ : nn.Module
        The finished network: plain, compact, over the retained inputs, unscaled.
    net_ : skorch.NeuralNetClassifier
        The skorch net that retrained and holds it.
    history_ : skorch.history.History
        A row an epoch, of both phases.
    n_iter_ : int
        Number of epochs, of both phases.
    report_ : PruningReport
        Sizes and held-out scores before and after.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where X had names.

    See Also
    --------
    InputFeatureSelector : The same selection, as a transformer.

    References
    ----------
    .. [1] Hubens et al., "Induced Feature Selection by Structured Pruning",
       arXiv 2303.10999.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skjointprune import JointPruneClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> clf = JointPruneClassifier(n_features_to_select=5, random_state=0).fit(X, y)
    >>> clf.get_support().sum(), clf.score(X, y) > 0.9
    (np.int64(5), True)
    """

    def __init__(
        self,
        hidden_layer_sizes=(256, 128),
        *,
        alpha=1e-3,
        n_features_to_select=None,
        prune="joint",
        penalty="group_l0",
        max_epochs="auto",
        retrain_epochs="auto",
        lr=1e-3,
        batch_size="auto",
        optimizer="adam",
        standardize=True,
        validation_fraction=0.1,
        class_weight=None,
        random_state=None,
        device="auto",
        verbose=0,
        callbacks=None,
        module=None,
        **kwargs,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.alpha = alpha
        self.n_features_to_select = n_features_to_select
        self.prune = prune
        self.penalty = penalty
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
        self.module = module
        self._set_passed_on(kwargs)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train, prune and retrain.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,)
            Class labels: integers, strings or booleans.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of rows, in training, scaling and scores.

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
        device = choose_device(self.device)
        seed = draw_seed(self.random_state)
        with all_or_nothing(self), seeded(seed, device):
            data = self._validate(X, y, sample_weight, seed, device)
            trainer = self._trainer(len(data.train), device)
            network = self._build(data, device)
            dense = NetworkSize.of(network)

            # 1. Sparsify. Groups are removed as they die, so training gets cheaper.
            sparsifier, scores = trainer.sparsify(
                network,
                data,
                epochs=trainer.epochs(self.max_epochs, data),
                penalty=self._penalty(),
                alpha=self.alpha,
                prune=self.prune,
                n_inputs=self._n_inputs(),
            )
            # 2. Trace back: what no weight reads any more is not needed.
            self.support_ = np.zeros(self.n_features_in_, dtype=bool)
            self.support_[sparsifier.support.numpy()] = True
            self.feature_importances_ = sparsifier.importances().numpy()
            # 3. Retrain what is left.
            self.net_ = trainer.retrain(
                network,
                data,
                epochs=trainer.epochs(self.retrain_epochs, data, AUTO_RETRAIN_EPOCHS),
            )

            scores["after retraining"] = trainer.score(network, data)
            trainer.finish(self.net_, network, data, sparsifier.support)
            self.classes_ = data.classes
            self.history_ = trainer.history
            self.n_iter_ = len(self.history_)
            self.report_ = PruningReport(
                dense, NetworkSize.of(network), scores, network.kept_whole
            )
        return self

    def _validate(self, X, y, sample_weight, seed: int, device) -> Data:
        """Check what was given against the data; encode, hold out, standardise."""
        small = isinstance(X, np.ndarray) and X.dtype.itemsize <= 2
        X, y = validate_data(
            self, X, y, dtype=np.float32 if small else [np.float64, np.float32]
        )
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        asked = self.n_features_to_select
        if asked is not None and self._n_inputs() > self.n_features_in_:
            raise ValueError(
                "`n_features_to_select` must be at most the "
                f"{self.n_features_in_} features of X. Got {asked}; lower it or pass "
                "a fraction."
            )
        if asked is not None and self.prune in ("weights", "none"):
            raise ValueError(
                f"`n_features_to_select`={asked} asks for fewer inputs, but "
                f"`prune`={self.prune!r} keeps all. Use 'joint' or 'inputs', or leave "
                "`n_features_to_select` at None."
            )
        return prepare(
            X,
            y,
            _check_sample_weight(sample_weight, X, ensure_non_negative=True),
            class_weight=self.class_weight,
            validation_fraction=self.validation_fraction,
            standardize=self.standardize,
            seed=seed,
            device=device,
        )

    def _build(self, data: Data, device) -> Network:
        """Make the dense network and find its groups."""
        params = self._params_for("module__")
        module = self.module
        if module is None:
            module = MLP
            sizes = {"hidden_layer_sizes": tuple(self.hidden_layer_sizes)}
            params = sizes | params
        n_classes = len(data.classes)
        built = build_module(module, self.n_features_in_, n_classes, params)
        network = find_groups(built.float().to(device), self.n_features_in_)
        if network.channels[-1].size != n_classes:
            raise ValueError(
                f"`module` must give one logit for each of the {n_classes} classes of "
                f"y. Got {network.channels[-1].size} outputs; let it take `n_outputs` "
                "as a parameter."
            )
        if network.inputs.pinned and self.n_features_to_select is not None:
            raise ValueError(
                f"`n_features_to_select`={self.n_features_to_select} cannot be met: "
                f"the inputs are kept whole, as {network.inputs.pinned}. Let a linear "
                "layer come first."
            )
        return network

    def predict_proba(self, X):
        """Predict the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows as in `fit`, with all columns; only the retained ones are read.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, classes in the order of `classes_`.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X has other columns than in `fit`, or values that are not finite.
        """
        kept = self._retained(X)
        return self.net_.predict_proba(kept)

    def predict(self, X):
        """Predict the class of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows as in `fit`, with all columns.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels, as in `classes_`.

        Raises
        ------
        NotFittedError, ValueError
            As `predict_proba`.
        """
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
