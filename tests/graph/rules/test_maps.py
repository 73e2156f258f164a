import pytest
import torch
from _cases import (
    I3,
    I8,
    check,
    flat,
    image,
    linear,
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


def smooth(x):
    """Make a kernel, (1, 1, 3, 3), of numbers that are written."""
    k = torch.tensor([1.0, 2.0, 1.0], device=x.device, dtype=x.dtype)
    return (k[:, None] * k)[None, None] / 16


class Blur(nn.Module):
    """Holds a kernel for each channel, and their number."""

    def __init__(self, n_channels):
        super().__init__()
        self.n_channels = n_channels
        self.register_buffer(
            "kernel", torch.rand(1, 1, 3, 3).repeat(n_channels, 1, 1, 1)
        )

    def forward(self, x):
        return F.conv2d(x, self.kernel, stride=2, groups=self.n_channels)


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
    "grid_sample at places that a layer finds": (
        image(
            lambda m, x: F.grid_sample(
                x,
                F.affine_grid(
                    m.c(x.mean((2, 3))).view(-1, 2, 3), x.size(), align_corners=False
                ),
                align_corners=False,
            ),
            c=linear(8, 6),
        ),
        I8 | {"c": "'affine_grid' reads them as places"},
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
    "convolution of each channel, of which there are written": (
        image(lambda m, x: F.conv2d(x, m.p, groups=8), p=parameter(8, 1, 3, 3)),
        I8,
    ),
    "blur of each channel, whose number is held": (
        image(lambda m, x: m.p(x), p=lambda: Blur(8)),
        I8,
    ),
    "kernel of the code, for each channel": (
        image(
            lambda m, x: F.conv2d(
                x, smooth(x).repeat(x.size(1), 1, 1, 1), groups=x.size(1)
            )
        ),
        I8,
    ),
    "kernel of the code, made for its input": (
        image(
            lambda m, x: F.conv2d(
                x,
                torch.outer(k := x.new_tensor([1.0, 2, 1]), k).expand(
                    x.shape[1], 1, -1, -1
                ),
                groups=x.shape[1],
            )
        ),
        I8,
    ),
    "kernel of the code, for channels that are rows": (
        image(
            lambda m, x: F.conv2d(
                x.reshape(len(x) * x.size(1), 1, *x.shape[2:]), smooth(x), padding=1
            ).reshape(x.shape)
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
    "kernel of the code, another for each channel": (
        image(
            lambda m, x: F.conv2d(x, torch.arange(72).to(x).view(8, 1, 3, 3), groups=8)
        ),
        whole("'conv2d' has a number for each, which does not go", 4),
    ),
    "kernel of the code, beside a bias": (
        image(
            lambda m, x: F.conv2d(
                x.reshape(-1, 1, *x.shape[2:]), smooth(x), m.p, padding=1
            ).reshape(x.shape),
            p=parameter(1),
        ),
        no_rule("conv2d at 'conv2d'", 4),
    ),
    "convolution of each channel, beside a layer that has groups": (
        image(
            lambda m, x: m.p(F.conv2d(x, m.q, padding=1, groups=8)),
            p=lambda: nn.Conv2d(8, 8, 3, padding=1, groups=4),
            q=parameter(8, 1, 3, 3),
        ),
        whole("their number, 8, is written at 'conv2d'", 4),
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
