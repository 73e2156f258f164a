"""`JointPruneRegressor`: sparsify, trace back, compact and retrain."""

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted

from .._training.tasks import REGRESSION, Task
from .._utils.sklearn import StrOptions, _fit_context
from .base import JointPruneEstimator


class JointPruneRegressor(RegressorMixin, JointPruneEstimator):
    """A neural network that keeps only the inputs and units it needs.

    `fit` trains in three phases, as `JointPruneClassifier` does [1]_: it drives groups
    of weights to zero, traces back which inputs nothing reads any more, and retrains
    the network that is left.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(256, 128)
        Units of each hidden layer before pruning. Used by the default `module` only.
    loss : {"squared_error", "absolute_error", "huber"}, default="squared_error"
        Of the standardised targets; "huber" is squared up to an error of one standard
        deviation of a target and linear from there.
    alpha : float, default=0.02
        Strength of regularisation, above 0. An input or unit goes when its saliency
        falls to `alpha` or below. The saliency is the root of the second-order
        estimate of what its removal costs in loss.
    n_features_to_select : int, float in (0, 1] or None, default=None
        Exactly how many inputs to keep (groups of them, if there are any), or which
        share; `alpha` then governs the units only. None leaves the number to `alpha`.
    prune : {"joint", "inputs", "weights", "none"}, default="joint"
        What may go: inputs and units, inputs, units, or nothing.
    penalty : {"group_l0", "group_lasso"} or object, default="group_l0"
        The price of a group; an object answers `value(s, alpha)` and
        `prox(s, alpha)` for a tensor `s` of saliencies.
    feature_groups : array-like, list of lists, "auto" or None, default=None
        Columns that stay or go together: a label for each column; or lists of the
        names or positions of columns, where a column in no list is alone; or "auto",
        which finds the columns that `OneHotEncoder` made of one category: named
        alike up to the last underscore, neighbours, and at most one of them 1 in a
        row.
    feature_costs : array-like of shape (n_features,) or None, default=None
        What multiplies the threshold of each input, above 0; the mean of a group
        counts. None is one each.
    unit_cost : {"constant", "macs", "params"}, default="constant"
        Whether the threshold of a unit is multiplied by the root of the MACs or
        parameters that its removal saves, relative to the mean unit of the network.
    round_units_to : int, default=1
        In layers that lose units or feature maps, the number left is a multiple of
        this: of those that would go, the most salient stay. GPUs run convolutions of
        multiples of 8 faster.
    input_noise : float, default=0.0
        Standard deviation of Gaussian noise on the standardised inputs while
        sparsifying. It keeps the network from memorising rows by inputs that say
        nothing: where such inputs are many and rows few, about 2 finds inputs that
        are not found without.
    distillation : float in [0, 1], default=0.0
        Share of the loss, while retraining, that is the distance from the outputs of
        a dense network: the pretrained one, or else one that is trained first, for
        `retrain_epochs`. Dropout is then off while retraining. With a
        `train_transform` that network runs in each step of retraining. 0 has none.
    pretrain_epochs : int, default=0
        Passes over the training rows before sparsifying, in one cycle of the learning
        rate, so that pruning begins with a trained network. Networks for images are
        more accurate for it; where a table is learnt by heart, inputs are chosen
        worse. An `alpha` leaves another size then. 0 begins with `module` as it is.
    max_epochs : int or "auto", default="auto"
        Passes over the training rows while sparsifying. "auto" makes at least 4,000
        optimiser steps, whatever the number of rows.
    retrain_epochs : int or "auto", default="auto"
        Passes over the training rows after pruning, in one cycle of the learning
        rate, with the share of dropout that is the share of units left. 0 leaves the
        pruned network as it is. "auto" as above, and at least 20.
    lr : float, default=1e-3
        Learning rate while sparsifying; retraining peaks at twice that.
    batch_size : int or "auto", default="auto"
        Rows of a step. "auto" is a twentieth of the rows, between 16 and 128.
    optimizer : {"adam", "adamw", "sgd"} or class, default="adam"
        A class is a `torch.optim.Optimizer`.
    standardize : bool, default=True
        Whether to standardise the columns of X for training. The scaling is folded
        into the first layer of `module_`, which takes raw inputs. Targets are always
        standardised, and that is folded into the last layer.
    validation_fraction : float in [0, 1) or None, default=0.1
        Share of the rows that is held out of training to be scored in `report_` and
        `history_`. 0 and None train on all rows.
    random_state : int, RandomState or None, default=None
        Seed of initial weights, batches, dropout and held-out rows.
    device : str or torch.device, default="auto"
        Where to train. "auto" is the GPU where there is one.
    verbose : int, default=0
        1 shows a progress bar for each phase, 2 also prints a line an epoch.
    callbacks : list of skorch callbacks or None, default=None
        Run in all phases, but for `EarlyStopping` and a `Checkpoint` that loads the
        best, which are for retraining only. A batch's y is a tuple (targets, weights),
        which scikit-learn's metrics do not take: for `EpochScoring`, give a function.
    input_groups : {"channel", "row", "column", "patch", "pixel", "feature"}, tuple \
            of these or None, default=None
        What of images goes together; None is ("channel", "row", "column"). Rows and
        columns are cropped; their thresholds are multiplied by half the root of the
        MACs that this saves, relative to the mean unit. What no product of channels,
        rows and columns can drop is zeroed, and its work is still done. For tables,
        leave it at None.
    patch_size : int, default=4
        Height and width of a patch of pixels.
    train_transform : callable or None, default=None
        Augments images for training: given one as a tensor, (channels, height, width),
        of the type of X and not yet cropped or standardised, returns another of the
        same shape and range.
    transform_batches : bool, default=False
        Whether `train_transform` is given the images of a step at once, (n, channels,
        height, width), on the device; which is faster, above all on a GPU.
    num_workers : int, default=0
        Processes that read images, and augment them one by one, ahead of the network
        in training, as those of torch's `DataLoader`. 0 reads each batch when it is
        due.
    amp : bool, default=False
        Whether training steps use bfloat16 where torch finds that safe.
    compile : bool or str, default=False
        Whether to retrain through `torch.compile`; a str names its backend. Not while
        sparsifying, as the network changes on the way. `module_` is not compiled, and
        what this process has compiled before is compiled anew when it is called again.
    module : str, class, callable, nn.Module or None, default=None
        "vgg16" or "resnet18" for images, or any module that `torch.fx` can trace and
        that returns one number a target. A class or factory is given `n_features_in`
        (channels of images), `n_outputs` and `input_shape` if it takes them; an
        instance is copied. None is `skjointprune.modules.MLP`, for tables. Layers
        without a rule are kept whole: see `report_.kept_whole`.
    **kwargs
        `module__name` and `optimizer__name` set parameters of the two.

    Attributes
    ----------
    support_ : ndarray of shape (n_features_in_,) or of one image, bool
        The retained inputs.
    feature_importances_ : ndarray of shape (n_features_in_,) or of one image
        Saliency of each input at the end of sparsifying, in the units of `alpha`; 0
        for an input that went; of a number of an image, the least of its groups.
    feature_groups_ : list of ndarray of int
        Positions of the columns of each group, in the order of `get_group_support`;
        of tables alone.
    module_ : nn.Module
        The finished network: plain, compact, from retained raw inputs to targets.
    net_ : skorch.NeuralNet
        The skorch net that retrained and holds it.
    history_ : skorch.history.History
        A row an epoch, of all phases.
    n_iter_ : int
        Number of epochs, of all phases.
    report_ : PruningReport
        Sizes and held-out scores before and after.
    input_shape_ : tuple of int
        The shape of a row: (columns,), or (channels, height, width).
    n_features_in_ : int
        Number of columns of X, or of channels.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where X had names.

    See Also
    --------
    JointPruneClassifier : The same for classes and labels.
    InputFeatureSelector : The same selection, as a transformer.

    References
    ----------
    .. [1] Hubens et al., "Induced Feature Selection by Structured Pruning",
       arXiv 2303.10999.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from skjointprune import JointPruneRegressor
    >>> X, y = make_friedman1(400, 20, random_state=0)
    >>> reg = JointPruneRegressor(n_features_to_select=5, random_state=0).fit(X, y)
    >>> reg.get_support(indices=True)
    array([0, 1, 2, 3, 4])
    """

    _parameter_constraints = {  # noqa: RUF012
        **JointPruneEstimator._parameter_constraints,
        "loss": [StrOptions(set(REGRESSION))],
    }
    _y_numeric = True

    def __init__(
        self,
        hidden_layer_sizes=(256, 128),
        *,
        loss="squared_error",
        alpha=0.02,
        n_features_to_select=None,
        prune="joint",
        penalty="group_l0",
        feature_groups=None,
        feature_costs=None,
        unit_cost="constant",
        round_units_to=1,
        input_noise=0.0,
        distillation=0.0,
        pretrain_epochs=0,
        max_epochs="auto",
        retrain_epochs="auto",
        lr=1e-3,
        batch_size="auto",
        optimizer="adam",
        standardize=True,
        validation_fraction=0.1,
        random_state=None,
        device="auto",
        verbose=0,
        callbacks=None,
        input_groups=None,
        patch_size=4,
        train_transform=None,
        transform_batches=False,
        num_workers=0,
        amp=False,
        compile=False,
        module=None,
        **kwargs,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.loss = loss
        self.alpha = alpha
        self.n_features_to_select = n_features_to_select
        self.prune = prune
        self.penalty = penalty
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
        self.input_groups = input_groups
        self.patch_size = patch_size
        self.train_transform = train_transform
        self.transform_batches = transform_batches
        self.num_workers = num_workers
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
            Training rows; or images, (n_samples, channels, height, width), uint8 or
            floats, as an array (which may be memory-mapped), a tensor or a torch
            Dataset. Images are read batch by batch, never copied whole.
        y : array-like of shape (n_samples,) or (n_samples, n_targets), or None
            Targets. None takes those of a Dataset.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of rows, in training, scaling, saliencies and scores.

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

    def _task(self) -> Task:
        return REGRESSION[self.loss]

    def _encode(self, y: np.ndarray, weight: np.ndarray):
        targets = y.astype(np.float64).reshape(len(y), -1)
        self._n_outputs = targets.shape[1]
        self._flat = y.ndim == 1
        return targets, weight

    def predict(self, X):
        """Predict the targets of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows as in `fit`, with all columns; only the retained ones are read.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            Targets, in the shape that y had.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X has other columns than in `fit`, or values that are not finite.
        """
        check_is_fitted(self)
        targets = self._outputs(X).astype(np.float64)
        return targets[:, 0] if self._flat else targets

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
