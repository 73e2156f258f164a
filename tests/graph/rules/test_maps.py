import pytest
import torch
from _cases import (
    I3,
    I8,
    check,
    flat,
    image,
    no_rule,
    parameter,
    row,
    whole,
)
from torch import nn
from torch.nn import functional as F


class Kernel(nn.Module):
    """Holds a kernel, which is not trained."""

    def __init__(self):
        super().__init__()
        self.register_buffer("kernel", torch.rand(1, 1, 3, 3))


# What is pruned, and how many groups there are.
PRUNED = {
    "grid_sample": (
        image(
            lambda m, x: F.grid_sample(
                x, torch.zeros(len(x), 5, 5, 2).to(x), align_corners=False
            )
        ),
        I8,
    ),
    "convolution of each channel": (
        image(
            lambda m, x: F.conv2d(x, m.p, m.q, 1, 1, 1, x.shape[1]),
            p=parameter(8, 1, 3, 3),
            q=parameter(8),
        ),
        I8,
    ),
    "blur of each channel": (
        image(
            lambda m, x: F.conv2d(
                x, m.p.kernel.repeat(x.size(1), 1, 1, 1), stride=2, groups=x.size(1)
            ),
            p=Kernel,
        ),
        I8,
    ),
    "pooling by functions": (
        flat(lambda m, x: F.avg_pool2d(F.max_pool2d(x, 2), 2).flatten(1), 3),
        I3,
    ),
    "interpolate": (image(lambda m, x: F.interpolate(x, scale_factor=2)), I8),
}

# What is kept whole, and why.
KEPT = {
    "convolution of each channel, of which there are written": (
        image(lambda m, x: F.conv2d(x, m.p, groups=8), p=parameter(8, 1, 3, 3)),
        no_rule(what := "conv2d at 'conv2d'", 4, p=f"there is no rule for {what}"),
    ),
    "times what is repeated as often as they are many": (
        row(lambda m, x: x * m.p.kernel.repeat(1, 1, x.size(1), 1).sum(), p=Kernel),
        whole("their number is a size at 'repeat'"),
    ),
}
ALL = PRUNED | KEPT


@pytest.mark.parametrize("name", ALL)
def test_channels_are_found_and_cut_exactly(name):
    check(*ALL[name])
