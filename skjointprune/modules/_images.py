"""Networks for images: torchvision's, with a width and a fit to small images.

torchvision is imported within functions: it costs seconds.
"""

import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from math import inf
from numbers import Integral
from typing import Any

import torch
from torch import nn

# Five halvings take 224 rows to 7, and fewer than this to one or two: too few for
# ResNet's coarse stem, and for VGG's head, which would see each of them many times.
SMALL = 64


def vgg16(
    n_outputs: int,
    input_shape: Sequence[int],
    width: float = 1.0,
    dropout: float = 0.5,
    weights: Mapping[str, torch.Tensor] | str | os.PathLike[str] | None = None,
) -> nn.Module:
    """VGG16 with batch normalisation.

    At full width and 3 x 224 x 224 it is torchvision's `vgg16_bn`, and takes its
    state dicts. Images with fewer than 64 rows or columns get a smaller head: the
    average over all places and one linear layer. Images of any size run through
    either network, as its poolings round up.

    Parameters
    ----------
    n_outputs : int
        Number of outputs; for classification one logit a class.
    input_shape : sequence of int, (channels, height, width)
        Shape of an image.
    width : float, default=1.0
        Factor on the number of units of each hidden layer; each keeps at least one.
    dropout : float, default=0.5
        Probability that an input of the head's last linear layer (of three, the
        last two) is dropped in a training step; 0 for none.
    weights : state dict, str, path-like or None, default=None
        Tensors to start from, by name, or a file of these. The last linear layer's
        may be left out: it keeps its initial values. None initialises at random, as
        torchvision does.

    Returns
    -------
    nn.Module
        Maps (n_samples, channels, height, width) to (n_samples, n_outputs).

    Raises
    ------
    ValueError
        If `input_shape`, `width` or `dropout` is not one of the above, or `weights`
        are none or do not fit the network.

    References
    ----------
    Simonyan & Zisserman, "Very deep convolutional networks for large-scale image
    recognition", 2014, arXiv:1409.1556; configuration D.

    Examples
    --------
    >>> from skjointprune.modules import vgg16
    >>> vgg16(10, (1, 28, 28), width=0.25).classifier
    Sequential(
      (0): Dropout(p=0.5, inplace=False)
      (1): Linear(in_features=128, out_features=10, bias=True)
    )
    """
    _check_sizes(input_shape, width)
    if not 0 <= dropout < 1:
        raise ValueError(
            f"`dropout` must be at least 0 and below 1. Got {dropout!r}; 0.5 is usual."
        )
    from torchvision.models.vgg import cfgs

    features: list[nn.Module] = []
    channels = input_shape[0]
    for size in cfgs["D"]:
        if size == "M":
            # Rounding up, a single row stays a row; at even sizes nothing changes.
            features.append(nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=True))
        else:
            units = _scaled(size, width)
            features += [
                nn.Conv2d(channels, units, kernel_size=3, padding=1),
                nn.BatchNorm2d(units),
                nn.ReLU(inplace=True),
            ]
            channels = units
    if _is_small(input_shape):
        places = 1
        # The dropout stays where it is 0, so that names do not depend on it.
        head = [nn.Dropout(dropout), nn.Linear(channels, n_outputs)]
    else:
        places = 7
        units = _scaled(4096, width)
        head = [
            nn.Linear(channels * places**2, units),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(units, units),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(units, n_outputs),
        ]
    # torchvision's class would make its large head for small images as well.
    net = nn.Sequential(
        OrderedDict(
            features=nn.Sequential(*features),
            avgpool=nn.AdaptiveAvgPool2d(places),
            flatten=nn.Flatten(),
            classifier=nn.Sequential(*head),
        )
    )
    for name, values in net.named_parameters():
        if name.endswith(".bias"):
            nn.init.zeros_(values)
        elif values.ndim == 4:  # of a convolution
            nn.init.kaiming_normal_(values, mode="fan_out", nonlinearity="relu")
        elif values.ndim == 2:  # of a linear layer
            nn.init.normal_(values, std=0.01)
    if weights is not None:
        _load(net, weights)
    return net


def resnet18(
    n_outputs: int,
    input_shape: Sequence[int],
    width: float = 1.0,
    weights: Mapping[str, torch.Tensor] | str | os.PathLike[str] | None = None,
) -> nn.Module:
    """ResNet18.

    At full width and 3 x 224 x 224 it is torchvision's `resnet18`, and takes its
    state dicts. Images with fewer than 64 rows or columns get a smaller stem: a
    3 x 3 convolution that keeps every row and column, and no pooling. Images of any
    size run through either network.

    Parameters
    ----------
    n_outputs : int
        Number of outputs; for classification one logit a class.
    input_shape : sequence of int, (channels, height, width)
        Shape of an image.
    width : float, default=1.0
        Factor on the number of units of each hidden layer; each keeps at least one.
    weights : state dict, str, path-like or None, default=None
        Tensors to start from, by name, or a file of these. The last linear layer's
        may be left out: it keeps its initial values. None initialises at random, as
        torchvision does.

    Returns
    -------
    nn.Module
        Maps (n_samples, channels, height, width) to (n_samples, n_outputs).

    Raises
    ------
    ValueError
        If `input_shape` or `width` is not one of the above, or `weights` are none or
        do not fit the network.

    References
    ----------
    He, Zhang, Ren & Sun, "Deep residual learning for image recognition", 2015,
    arXiv:1512.03385; the stem for small images is that of its section 4.2.

    Examples
    --------
    >>> from skjointprune.modules import resnet18
    >>> net = resnet18(10, (1, 28, 28), width=0.25)
    >>> net.conv1, net.fc
    (Conv2d(1, 16, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False), \
Linear(in_features=128, out_features=10, bias=True))
    """
    _check_sizes(input_shape, width)
    stem: dict[str, Any]
    pool: nn.Module
    if _is_small(input_shape):
        stem = {"kernel_size": 3, "stride": 1, "padding": 1}
        pool = nn.Identity()
    else:
        stem = {"kernel_size": 7, "stride": 2, "padding": 3}
        pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
    units = [_scaled(size, width) for size in (64, 128, 256, 512)]
    # torchvision's class has its widths fixed; its blocks have not.
    net = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(input_shape[0], units[0], bias=False, **stem),
            bn1=nn.BatchNorm2d(units[0]),
            relu=nn.ReLU(inplace=True),
            maxpool=pool,
            layer1=_two_blocks(units[0], units[0], stride=1),
            layer2=_two_blocks(units[0], units[1], stride=2),
            layer3=_two_blocks(units[1], units[2], stride=2),
            layer4=_two_blocks(units[2], units[3], stride=2),
            avgpool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            fc=nn.Linear(units[3], n_outputs),
        )
    )
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    if weights is not None:
        _load(net, weights)
    return net


def _two_blocks(n_in: int, n_out: int, stride: int) -> nn.Sequential:
    """Two residual blocks, of which the first may have a convolution as shortcut."""
    from torchvision.models.resnet import BasicBlock

    shortcut = None
    if stride != 1:
        shortcut = nn.Sequential(
            nn.Conv2d(n_in, n_out, kernel_size=1, stride=stride, bias=False),
            nn.BatchNorm2d(n_out),
        )
    return nn.Sequential(
        BasicBlock(n_in, n_out, stride, shortcut), BasicBlock(n_out, n_out)
    )


def _scaled(size: int, width: float) -> int:
    return max(1, round(width * size))


def _is_small(input_shape: Sequence[int]) -> bool:
    return min(input_shape[1:]) < SMALL


def _check_sizes(input_shape: Sequence[int], width: float) -> None:
    if (
        not isinstance(input_shape, Sequence)
        or len(input_shape) != 3
        or not all(isinstance(size, Integral) and size >= 1 for size in input_shape)
    ):
        raise ValueError(
            "`input_shape` must be three whole numbers of at least 1. "
            f"Got {input_shape!r}; give (channels, height, width), as (3, 32, 32)."
        )
    if not 0 < width < inf:
        raise ValueError(
            "`width` must be above 0 and finite. "
            f"Got {width!r}; 1.0 is the published network, 0.5 has half its units."
        )


def _load(
    net: nn.Module, weights: Mapping[str, torch.Tensor] | str | os.PathLike[str]
) -> None:
    """Copy a state dict, or a file of one, into a network whose last layer is its head.

    Raises
    ------
    ValueError
        If it is no state dict, or for the first tensor that does not fit.
    """
    given = _read(weights)
    needed = net.state_dict()
    head = list(needed)[-1].rpartition(".")[0]
    same = (
        "pass weights of the same network, `width` and `input_shape` (for images "
        f"below {SMALL} pixels it is another network)"
    )
    for name, tensor in needed.items():
        where = f"`weights` does not fit at {name!r}: "
        in_head = name.startswith(f"{head}.")
        if name not in given:
            # torchvision's published weights are older than this counter, which
            # only batch normalisation without a momentum reads.
            if in_head or name.endswith(".num_batches_tracked"):
                continue
            first = next(iter(given), None)
            begins = "it is empty" if first is None else f"it begins with {first!r}"
            raise ValueError(
                f"{where}it has no tensor of this name, and {begins}. "
                f"Rename its tensors, or {same}."
            )
        has, needs = tuple(given[name].shape), tuple(tensor.shape)
        if has != needs:
            fact = f"{where}it has shape {has} and the network needs {needs}."
            if in_head and has[1:] == needs[1:]:
                raise ValueError(
                    f"{fact} Leave the head {head!r} out of the state dict, or pass "
                    f"weights of a network with {needs[0]} outputs."
                )
            raise ValueError(f"{fact} Leave `weights` out, or {same}.")
    for name in given:
        if name not in needed:
            raise ValueError(
                f"`weights` does not fit at {name!r}: the network has no tensor of "
                f"this name. Leave it out of the state dict, or {same}."
            )
    net.load_state_dict(given, strict=False)  # all that is missing is missing above


def _read(
    weights: Mapping[str, torch.Tensor] | str | os.PathLike[str],
) -> Mapping[str, torch.Tensor]:
    """Load a state dict where given a path, and refuse what is none.

    Raises
    ------
    ValueError
        If it is no mapping of names to tensors, or a file does not load as one.
    """
    given: Any = weights
    what = "`weights` must be a state dict, a path to one, or None."
    if isinstance(weights, str | os.PathLike):
        what = f"`weights` must be a file of a state dict: {os.fspath(weights)!r}."
        try:
            given = torch.load(weights, map_location="cpu", weights_only=True)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{what} There is no such file; give its path, or a state dict, as of "
                "torchvision's `weights.get_state_dict()`."
            ) from error
        except OSError:
            raise
        except Exception as error:  # of any type: the file may hold anything
            raise ValueError(
                f"{what} It does not load as tensors alone; write it with "
                "torch.save(module.state_dict(), path)."
            ) from error
    if isinstance(given, Mapping):
        strange = [k for k, v in given.items() if not isinstance(v, torch.Tensor)]
        got = f"an entry {strange[0]!r} that is no tensor" if strange else ""
    else:
        got = type(given).__name__
    if got:
        raise ValueError(f"{what} Got {got}; pass what module.state_dict() returns.")
    return given
