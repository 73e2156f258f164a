"""Docstrings of estimators, built from the parts that several of them share."""

import inspect
import re
from collections.abc import Callable
from textwrap import indent
from typing import TypeVar

Class = TypeVar("Class", bound=type)


def _entries(text: str) -> dict[str, str]:
    """Return the entries of a section of numpydoc by their names."""
    entries = re.split(r"\n(?=\S)", text.strip("\n"))
    return {entry.split()[0]: entry for entry in entries if entry}


def documented(*, parameters: str = "", attributes: str = "") -> Callable:
    """Fill `{parameters}` and `{attributes}` of a class's docstring.

    Parameters are in the order of the signature; an entry that is given here replaces
    the shared one of its name.
    """

    def fill(cls: Class) -> Class:
        if not cls.__doc__:  # python -OO
            return cls
        known = PARAMETERS | _entries(parameters)
        own = _entries(attributes)
        signature = [*inspect.signature(cls).parameters, "**kwargs"]
        sections = {
            "{parameters}": [known[name] for name in signature],
            "{attributes}": [*(own | ATTRIBUTES | own).values()],
        }
        for placeholder, entries in sections.items():
            text = indent("\n".join(entries), "    ").strip()
            cls.__doc__ = cls.__doc__.replace(placeholder, text)
        return cls

    return fill


PARAMETERS: dict[str, str] = _entries(
    """
hidden_layer_sizes : sequence of int, default=(256, 128)
    Units of each hidden layer before pruning. Used by the default `module` only.
alpha : float or "auto", default="auto"
    Strength of regularisation, above 0. An input or unit goes when its saliency
    falls to `alpha` or below. The saliency is the root of an estimate of what its
    removal costs in loss. "auto" finds out how many inputs are needed. Each column
    is compared with a shadow: the same numbers, in another order of the rows. Only
    columns that are worth more than all shadows stay, and as few of them as
    held-out rows allow. If X seems to say nothing about y, one input is kept and a
    warning says so. Units go as with 0.02; if y holds numbers, units go that cost
    little beside the loss that is left. Where columns outnumber rows, those that
    show no sign of mattering, by themselves or beside another, go before training.
    With another `module` than the default, "auto" is 0.02.
n_features_to_select : int, float in (0, 1] or None, default=None
    Exactly how many inputs to keep (groups of them, if there are any), or which
    share; `alpha` then governs the units only. None leaves the number to `alpha`.
    With the default `module` and `alpha`, and up to 40 inputs, the inputs are chosen
    together: a network that is trained on rows with inputs hidden at random tells
    which.
prune : {"joint", "inputs", "weights", "none"}, default="joint"
    What may go: inputs and units, inputs, units, or nothing.
penalty : {"group_l0", "group_lasso"} or object, default="group_l0"
    The price of a group; an object answers `prox(s, alpha)` for a tensor `s` of
    saliencies: see `skjointprune.penalties`.
categorical_features : "from_dtype", array-like, dict or None, default="from_dtype"
    Which columns hold categories: those of a frame whose type is text or levels; or
    a mask, names or positions; None for none. A category is one input: all its
    levels stay or go. Levels of fewer than 5 rows count as one.
feature_groups : array-like, list of lists, dict, "auto", encoder or None, default=None
    Columns that stay or go together: a label for each column, where a column
    without a label is alone; or lists of the names or positions of columns, where
    a column in no list is alone; or a fitted `OneHotEncoder` or
    `ColumnTransformer` that made X (within a `sklearn.frozen.FrozenEstimator` where
    this estimator is cloned, as in a search); or "auto", which finds the columns that
    an encoder made of one category: named alike up to a separator, neighbours, of two
    values each, and at most one of them the larger in a row.
feature_costs : array-like of shape (n_features,), dict or None, default=None
    What multiplies the threshold of each input, at least 0; the mean of a group
    counts, and what costs 0 always stays. A dict or a Series is by name, as in
    `feature_groups` and `categorical_features`. None is one each.
unit_cost : {"constant", "macs", "params"}, default="constant"
    Whether the threshold of a unit is multiplied by the root of the MACs or
    parameters that its removal saves, relative to the mean unit of the network.
round_units_to : int, default=1
    In layers that lose units or feature maps, the number left is a multiple of
    this: of those that would go, the most salient stay. GPUs run convolutions of
    multiples of 8 faster.
input_noise : float or "auto", default="auto"
    Standard deviation of Gaussian noise on the standardised inputs while
    sparsifying. It keeps the network from memorising rows by inputs that say
    nothing: where such inputs are many and rows few, noise finds inputs that are
    not found without. "auto" is for the default `module` on standardised columns.
    It is 1 in phases that begin with more columns than rows to train on, else 0.
    Classes are also retrained with noise, unless numbers are embedded: 0.04 times
    the root of the number of inputs left, at most 0.4, and less with more than
    20,000 rows. With a number, retraining has no noise.
distillation : float in [0, 1], default=0.0
    Share of the loss, while retraining, that is the distance from the outputs of
    a dense network: the pretrained one, or else one that is trained first, for
    `retrain_epochs`. Dropout is then off while retraining. If
    images have a transform, the dense network runs in each step of retraining. 0
    turns this off.
pretrain_epochs : int, default=0
    Passes over the training rows before sparsifying, in one cycle of the learning
    rate, so that pruning begins with a trained network. Networks for images are
    more accurate for it; where a table is learnt by heart, inputs are chosen
    worse. An `alpha` leaves another size then. 0 begins with `module` as it is.
max_epochs : int or "auto", default="auto"
    Passes over the training rows while sparsifying. Choosing inputs together takes
    one and a half times as many, and then units go in as many. Where "auto" as
    `alpha` finds how many inputs stay, units go afterwards, in half as many. "auto"
    makes at least 30 optimiser steps for each root of a row, from 300 in all, on a
    hundred rows, to 4,000, on 18,000 or more.
retrain_epochs : int or "auto", default="auto"
    Passes over the training rows after pruning, in one cycle of the learning
    rate, with the share of dropout that is the share of units left. 0 leaves the
    pruned network as it is. "auto" as above, and at least 20, or 8,000 steps if
    that is less. If the last epoch is clearly worse on held-out rows than the best one,
    the weights of the best one are used. A network that has
    memorised the rows of a table starts from weights that are partly new.
lr : float, default=2e-3
    Learning rate while sparsifying; retraining peaks at twice that.
batch_size : int or "auto", default="auto"
    Rows of a step. "auto" is a tenth of the rows, between 16 and 256.
optimizer : {"adam", "adamw", "sgd"} or class, default="adam"
    A class is a `torch.optim.Optimizer`.
random_state : int, RandomState or None, default=None
    Seed of initial weights, batches, dropout and held-out rows. None is another seed
    in each fit, whatever `np.random.seed` was given.
device : str or torch.device, default="auto"
    Where to train. "auto" is the GPU where there is one.
verbose : int, default=0
    1 shows a line on stderr once a fit has taken two seconds: the phase, how many
    inputs are left (numbers that the network is given; a category is several), and
    how long the fit will still take. 2 also prints a line an epoch.
callbacks : list of skorch callbacks or None, default=None
    Run in all phases, but for `EarlyStopping` and a `Checkpoint` that loads the
    best, which are for retraining only. A batch's y is a tuple (targets, weights),
    which scikit-learn's metrics do not take: for `EpochScoring`, give a function.
checkpoint : str, path-like or None, default=None
    A file from which the same `fit` goes on after an interruption, to the same result
    to the bit. It is written about once a minute, at the end of an epoch, and when a
    signal ends the process; a fit that is finished removes it. Other data, other
    parameters or a damaged file raise ValueError. Needs safetensors. A clone has none,
    as the fits of a search, or of folds, would share one file.
images : ImageInput or None, default=None
    How images are read, augmented and pruned, as `images__patch_size`; None is
    `ImageInput()`. For tables, leave it at None.
amp : bool, default=False
    Whether training steps use bfloat16 where torch finds that safe.
compile : bool or str, default=False
    Whether to train through `torch.compile`; a str names its backend. Not while
    sparsifying, as the network changes on the way. `module_` is not compiled. What
    this process compiled before is compiled again at its next call.
**kwargs
    `module__name` and `optimizer__name` set parameters of the two.
"""
)

ATTRIBUTES: dict[str, str] = _entries(
    """
support_ : ndarray of shape (n_features_in_,) or of one image, bool
    The retained inputs.
feature_importances_ : ndarray of shape (n_features_in_,) or of one image
    The loss that the finished network gives up where the input is that of another
    row (expected gradients: Erion et al., 2021). They add up to what it gives up
    where all inputs are those of another row. The loss is the mean over held-out
    rows, or over training rows where none are held out: for a classifier,
    cross-entropy in nats, of several labels their mean; for a regressor its `loss`
    of standardised targets, of several targets their mean. 0 for an input that went;
    at least 1e-12 for one that is retained, even if it seems to do harm. Of images,
    an estimate from the end of sparsifying of the loss that the removal of one input
    costs; of a number of an image, the least of its groups.
feature_importances_se_ : ndarray of the shape of `feature_importances_`
    Standard error of each importance, as rows vary; the network is taken as it is.
    NaN for an input that went, and of images.
feature_groups_ : list of ndarray of int
    Positions of the columns of each group, in the order of `get_group_support`;
    of tables alone.
categories_ : dict
    Of each column that holds a category, by its name or position, the levels that
    have a number of their own; only where there is one. `module_` takes a category as
    the position of its level there, and the number of levels for all others.
net_ : skorch.NeuralNet
    The skorch net that retrained and holds it.
history_ : skorch.history.History
    A row an epoch, of all phases; not of networks that are only compared.
n_iter_ : int
    Number of epochs in it.
report_ : PruningReport
    Sizes and held-out scores before and after.
input_shape_ : tuple of int
    The shape of a row: (columns,), or (channels, height, width).
n_features_in_ : int
    Number of columns of X, or of channels.
feature_names_in_ : ndarray of shape (n_features_in_,)
    Names of the columns, where X had names.
"""
)
