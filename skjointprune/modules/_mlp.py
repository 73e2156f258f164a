"""The network for tables: a multi-layer perceptron."""

from collections import OrderedDict
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from torch import Tensor, nn

from ._embeddings import EMBEDDINGS, InputScale, PiecewiseEmbedding, SmoothClip

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
NORMS: dict[str, type[nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class MLP(nn.Sequential):
    """A stack of linear layers with normalisation, activation and dropout.

    Parameters
    ----------
    n_features_in : int
        Number of inputs.
    n_outputs : int
        Number of outputs; for classification one logit a class.
    hidden_layer_sizes : int or sequence of int, default=(256, 128)
        Units of each hidden layer. Empty gives a linear model.
    activation : {"relu", "gelu", "silu", "tanh", "sigmoid"}, default="relu"
        The activation after each hidden layer.
    norm : {"batch", "layer", None}, default="batch"
        The normalisation between a hidden layer and its activation.
    dropout : float, default=0.2
        Probability that a hidden unit is dropped in a training step; 0 for none.
    bias : bool, default=True
        Whether the linear layers have a bias.
    embedding : {"periodic", "piecewise", None}, default=None
        What each input goes through before the first layer: sines and cosines, or
        bins, an embedding of its own that goes with the input. Networks follow sharp
        functions of single inputs by it. None gives the numbers as they are.
    clip : float or None, default=None
        How far from zero inputs get, by `SmoothClip`, before all else; in standard
        deviations where they are standardised. None leaves them as they are.
    scale_inputs : bool, default=False
        Whether each input has a factor that is learnt quickly, an `InputScale`. So
        inputs that tell nothing are hardly learnt by heart.

    Raises
    ------
    ValueError
        If a size or another parameter is not one of the above.

    Examples
    --------
    >>> from skjointprune.modules import MLP
    >>> MLP(4, 3, hidden_layer_sizes=(8,), norm=None, dropout=0)
    MLP(
      (linear1): Linear(in_features=4, out_features=8, bias=True)
      (activation1): ReLU()
      (output): Linear(in_features=8, out_features=3, bias=True)
    )
    """

    def __init__(
        self,
        n_features_in: int,
        n_outputs: int,
        hidden_layer_sizes: int | Sequence[int] = (256, 128),
        activation: str = "relu",
        norm: str | None = "batch",
        dropout: float = 0.2,
        bias: bool = True,
        embedding: str | None = None,
        clip: float | None = None,
        scale_inputs: bool = False,
    ):
        if not isinstance(activation, str) or activation not in ACTIVATIONS:
            raise ValueError(
                f"`activation` must be one of {sorted(ACTIVATIONS)}. "
                f"Got {activation!r}; choose one of these."
            )
        if norm is not None and not (isinstance(norm, str) and norm in NORMS):
            raise ValueError(
                f"`norm` must be None or one of {sorted(NORMS)}. "
                f"Got {norm!r}; choose one of these."
            )
        if embedding is not None and not (
            isinstance(embedding, str) and embedding in EMBEDDINGS
        ):
            raise ValueError(
                f"`embedding` must be None or one of {sorted(EMBEDDINGS)}. "
                f"Got {embedding!r}; choose one of these."
            )
        if not (isinstance(dropout, Real) and 0 <= dropout < 1):
            raise ValueError(
                "`dropout` must be a number of at least 0 and below 1. "
                f"Got {dropout!r}; 0.2 is usual."
            )
        if clip is not None and not (isinstance(clip, Real) and clip > 0):
            raise ValueError(
                f"`clip` must be a number above 0, or None. Got {clip!r}; 3 is usual."
            )
        if not isinstance(scale_inputs, bool):
            raise ValueError(
                "`scale_inputs` must be True or False. "
                f"Got {scale_inputs!r}; choose one of these."
            )
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        width = n_features_in
        if clip is not None:
            layers["clip"] = SmoothClip(clip)
        if embedding is not None:
            embed = EMBEDDINGS[embedding](n_features_in)
            layers["embedding"] = embed
            width *= embed.width
        if scale_inputs:
            layers["scale"] = InputScale(n_features_in, width // n_features_in)
        for i, size in enumerate(check_sizes(hidden_layer_sizes), start=1):
            layers[f"linear{i}"] = nn.Linear(width, size, bias=bias)
            if norm is not None:
                layers[f"norm{i}"] = NORMS[norm](size)
            layers[f"activation{i}"] = ACTIVATIONS[activation]()
            if dropout:
                layers[f"dropout{i}"] = nn.Dropout(dropout)
            width = size
        layers["output"] = nn.Linear(width, n_outputs, bias=bias)
        super().__init__(layers)

    @property
    def needs_bins(self) -> bool:
        """Whether it has an embedding that takes bins from rows."""
        return isinstance(getattr(self, "embedding", None), PiecewiseEmbedding)

    def set_bins(self, X: Tensor) -> None:
        """Take the bins of a piecewise embedding from rows, (rows, n_features_in)."""
        embedding = getattr(self, "embedding", None)
        if isinstance(embedding, PiecewiseEmbedding):
            clip = getattr(self, "clip", nn.Identity())
            embedding.set_bins(clip(X))


def check_sizes(hidden_layer_sizes: Any) -> tuple[int, ...]:
    """Return sizes of layers as a tuple of int; one number is one layer.

    Raises
    ------
    ValueError
        If one is no whole number of at least 1.
    """
    sizes = np.atleast_1d(np.asarray(hidden_layer_sizes, dtype=object)).tolist()
    try:
        whole = tuple(int(size) for size in sizes)
        right = all(n >= 1 and n == size for n, size in zip(whole, sizes, strict=True))
    except (TypeError, ValueError, OverflowError):
        right = False
    if not right or any(isinstance(size, bool | str) for size in sizes):
        raise ValueError(
            "`hidden_layer_sizes` must hold whole numbers of at least 1. Got "
            f"{hidden_layer_sizes!r}; leave a layer out instead of emptying it."
        )
    return whole


# A category is as many inputs as it has levels.
EMBEDDED_NUMBERS = 256  # up to so many inputs are embedded for numbers as targets,
EMBEDDED_CLASSES = 50  # and up to so many for classes


def mlp_defaults(
    n_features_in: int, hidden_layer_sizes: tuple[int, ...], *, regression: bool
) -> dict[str, Any]:
    """Return parameters of `MLP` that suit most tables with numbers, or classes, as y.

    Functions of single inputs are sharp in most tables, but not in wide ones: pixels,
    words, gene expression. Targets that are numbers need exact sums, which noise from
    normalisation and dropout spoils. Without hidden layers a linear model is wanted.
    """
    sizes = {"hidden_layer_sizes": hidden_layer_sizes}
    if not hidden_layer_sizes:
        return sizes
    limit = EMBEDDED_NUMBERS if regression else EMBEDDED_CLASSES
    embedded = n_features_in <= limit
    return sizes | {
        "norm": None if regression and embedded else "batch",
        "dropout": (0.1 if regression else 0.2) if embedded else 0.4,
        "embedding": "piecewise" if embedded else None,
        "clip": 3.0,
        "scale_inputs": True,
    }
