"""Structures as in the tests of torch-pruning and OTO, and networks of torchvision."""

from functools import partial

import torch
import torch.nn.functional as F
from _network_list import N_OUTPUTS, Case
from torch import nn

IMAGE = (3, 32, 32)


class Net(nn.Module):
    """Layers by name, and a function of them and of the rows."""

    def __init__(self, run, **layers):
        super().__init__()
        self.run = run
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        """Return the logits."""
        return self.run(self, x)


def conv(n_in, n_out, size=3, **options):
    """Return a convolution, normalised, and a ReLU."""
    padding = size // 2
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, size, padding=padding, bias=False, **options),
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
    )


def head(n_in):
    """Means over positions, and a linear layer."""
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n_in, N_OUTPUTS)
    )


def run_concat_split(self, x):
    """Split by sizes that are written, and concatenate in another order."""
    a, b = torch.split(self.stem(x), [8, 16], dim=1)
    return self.head(torch.cat([self.b(b), self.a(a)], dim=1))


def run_split_by_attribute(self, x):
    """Split by sizes that layers tell."""
    x = self.stem(x)
    a, b = torch.split(x, [self.a[0].in_channels, self.b[0].in_channels], dim=1)
    return self.head(torch.cat([self.b(b), self.a(a)], dim=1))


def run_chunk(self, x):
    """Cut into chunks that meet again."""
    a, b = self.stem(x).chunk(2, dim=1)
    return self.head(self.a(a) + self.a(b))


def run_nested_concat(self, x):
    """Concatenate what is concatenated."""
    x = self.stem(x)
    inner = torch.cat([self.a(x), self.b(x)], dim=1)
    return self.head(torch.cat([inner, x, self.c(inner)], dim=1))


def run_slices(self, x):
    """Slice channels."""
    x = self.stem(x)
    return self.head(torch.cat([self.a(x[:, :12]), x[:, 12:]], dim=1))


def run_flatten(self, x):
    """Flatten positions into a linear layer."""
    x = F.adaptive_avg_pool2d(self.stem(x), 4)
    return self.head(F.relu(self.fc(torch.flatten(x, 1))))


def run_view(self, x):
    """Flatten by view and the number of rows."""
    x = F.adaptive_avg_pool2d(self.stem(x), 4)
    return self.head(F.relu(self.fc(x.view(x.size(0), -1))))


def run_reshape_by_length(self, x):
    """Flatten by the length of the batch."""
    x = F.adaptive_avg_pool2d(self.stem(x), 4)
    return self.head(F.relu(self.fc(x.reshape(len(x), -1))))


def run_residual(self, x):
    """Run two residual blocks, one with a projection."""
    x = self.stem(x)
    x = F.relu(x + self.a(x))
    return self.head(F.relu(self.skip(x) + self.b(x)))


def run_shared(self, x):
    """Use one layer twice."""
    return self.head(self.a(self.a(self.stem(x))))


def run_gate(self, x):
    """Squeeze and excite."""
    x = self.stem(x)
    gate = self.up(F.relu(self.down(x.mean((2, 3), keepdim=True))))
    return self.head(x * gate.sigmoid())


def run_unet(self, x):
    """Go down, up by a transposed convolution, and across."""
    first = self.stem(x)
    second = self.down(first)
    up = self.up(second)
    return self.head(self.out(torch.cat([first, up], dim=1)))


def run_pixel_shuffle(self, x):
    """Make positions of channels."""
    return self.head(F.pixel_shuffle(self.stem(x), 2))


def run_shuffle(self, x):
    """Shuffle channels, as in ShuffleNet."""
    x = self.stem(x)
    n, c, h, w = x.shape
    x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
    return self.head(self.a(x))


def run_layer_made_in_forward(self, x):
    """Use a ReLU that is made here."""
    return self.head(nn.ReLU()(self.stem(x)))


def run_instance_norm(self, x):
    """Normalise by image, with parameters, and PReLU."""
    return self.head(self.act(self.norm(self.stem(x))))


def run_upsample(self, x):
    """Interpolate, pool and pad."""
    x = F.interpolate(self.stem(x), scale_factor=2, mode="nearest")
    return self.head(self.a(F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 2)))


def run_attention(self, x):
    """Torch's attention over columns."""
    x = self.embed(x.unsqueeze(-1))
    x = self.norm(x + self.attention(x, x, x, need_weights=False)[0])
    return self.out(x.mean(1))


def run_recurrent(self, x):
    """Read the last state of a recurrent layer over the columns."""
    return self.out(self.recurrent(x.unsqueeze(-1))[0][:, -1])


class Unwrapped(nn.Module):
    """Parameters that the code uses by themselves."""

    def __init__(self):
        super().__init__()
        self.stem = conv(3, 16)
        self.scale = nn.Parameter(torch.ones(1, 16, 1, 1))
        self.token = nn.Parameter(torch.randn(16))
        self.weight = nn.Parameter(torch.randn(N_OUTPUTS, 16) / 4)

    def forward(self, x):
        """Return the logits."""
        x = (self.scale * self.stem(x)).mean((2, 3)) + self.token
        return F.linear(F.relu(x), self.weight)


class CustomNorm(nn.Module):
    """The layer of torch-pruning's test of customised layers."""

    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        """Return x by its norm, scaled."""
        norm = x.pow(2).sum(-1, keepdim=True).sqrt()
        return self.scale * (x / (norm + 1e-6)) + self.bias


def unet():
    """Return a U-Net of two levels."""
    return Net(
        run_unet,
        stem=conv(3, 16),
        down=conv(16, 24, stride=2),
        up=nn.ConvTranspose2d(24, 16, 2, stride=2),
        out=conv(32, 16),
        head=head(16),
    )


def depthwise():
    """Return a depthwise convolution between others."""
    return nn.Sequential(
        conv(3, 16), conv(16, 16, groups=16), conv(16, 24, 1), head(24)
    )


def grouped():
    """Return grouped convolutions."""
    return nn.Sequential(conv(3, 16), conv(16, 32, groups=4), conv(32, 24), head(24))


def group_norm():
    """Return normalisations of groups and of layers."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3),
        nn.GroupNorm(4, 16),
        nn.ReLU(),
        nn.Conv2d(16, 24, 3),
        nn.GroupNorm(1, 24),
        nn.ReLU(),
        head(24),
    )


def linear_layers():
    """Return a chain of linear layers."""
    return nn.Sequential(
        nn.Linear(20, 32),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Linear(32, 24),
        nn.Sigmoid(),
        nn.Linear(24, N_OUTPUTS),
    )


def custom_norm():
    """Return linear layers around a normalisation by hand."""
    return nn.Sequential(
        nn.Linear(20, 32), CustomNorm(32), nn.ReLU(), nn.Linear(32, N_OUTPUTS)
    )


def with_attention():
    """Return attention, and a normalisation after the sum."""
    return Net(
        run_attention,
        embed=nn.Linear(1, 16),
        attention=nn.MultiheadAttention(16, 4, batch_first=True),
        norm=nn.LayerNorm(16),
        out=nn.Linear(16, N_OUTPUTS),
    )


def recurrent(kind):
    """Return a recurrent layer over columns."""
    return Net(
        run_recurrent,
        recurrent=kind(1, 16, batch_first=True),
        out=nn.Linear(16, N_OUTPUTS),
    )


def of_images(run, width, **layers):
    """Return what makes a stem of so many channels, and layers."""
    return lambda: Net(run, stem=conv(3, width), **{k: v() for k, v in layers.items()})


def part(function, *args, **options):
    """Make a layer when the network is made, not before."""
    return partial(function, *args, **options)


CUT_APART = {"a": part(conv, 8, 8), "b": part(conv, 16, 8), "head": part(head, 16)}
IMAGES = {
    "concat_split": of_images(run_concat_split, 24, **CUT_APART),
    "split_by_attribute": of_images(run_split_by_attribute, 24, **CUT_APART),
    "chunk": of_images(run_chunk, 24, a=part(conv, 12, 16), head=part(head, 16)),
    "nested_concat": of_images(
        run_nested_concat,
        12,
        a=part(conv, 12, 8),
        b=part(conv, 12, 8),
        c=part(conv, 16, 8),
        head=part(head, 36),
    ),
    "slices": of_images(run_slices, 24, a=part(conv, 12, 12), head=part(head, 24)),
    "flatten": of_images(
        run_flatten, 8, fc=part(nn.Linear, 128, 32), head=part(nn.Linear, 32, N_OUTPUTS)
    ),
    "view": of_images(
        run_view, 8, fc=part(nn.Linear, 128, 32), head=part(nn.Linear, 32, N_OUTPUTS)
    ),
    "reshape_by_length": of_images(
        run_reshape_by_length,
        8,
        fc=part(nn.Linear, 128, 32),
        head=part(nn.Linear, 32, N_OUTPUTS),
    ),
    "residual": of_images(
        run_residual,
        16,
        a=part(conv, 16, 16),
        b=part(conv, 16, 24),
        skip=part(nn.Conv2d, 16, 24, 1),
        head=part(head, 24),
    ),
    "shared": of_images(run_shared, 16, a=part(conv, 16, 16), head=part(head, 16)),
    "gate": of_images(
        run_gate,
        16,
        down=part(nn.Conv2d, 16, 8, 1),
        up=part(nn.Conv2d, 8, 16, 1),
        head=part(head, 16),
    ),
    "unet": unet,
    "pixel_shuffle": of_images(run_pixel_shuffle, 32, head=part(head, 8)),
    "shuffle": of_images(run_shuffle, 16, a=part(conv, 16, 16), head=part(head, 16)),
    "layer_made_in_forward": of_images(
        run_layer_made_in_forward, 16, head=part(head, 16)
    ),
    "instance_norm": of_images(
        run_instance_norm,
        16,
        norm=part(nn.InstanceNorm2d, 16, affine=True),
        act=part(nn.PReLU, 16),
        head=part(head, 16),
    ),
    "upsample": of_images(run_upsample, 16, a=part(conv, 16, 24), head=part(head, 24)),
    "unwrapped": Unwrapped,
    "depthwise": depthwise,
    "grouped": grouped,
    "group_norm": group_norm,
}
COLUMNS = {
    "linear_layers": linear_layers,
    "custom_norm": custom_norm,
    "attention": with_attention,
    "lstm": partial(recurrent, nn.LSTM),
    "gru": partial(recurrent, nn.GRU),
}


def of_torchvision(name, **options):
    """Return a network of torchvision."""
    from torchvision import models

    return models.get_model(name, num_classes=N_OUTPUTS, **options)


def inception(name):
    """Return an Inception without the second head that it has in training."""
    return of_torchvision(name, aux_logits=False, init_weights=False)


SMALL_VIT = {
    "image_size": 32,
    "patch_size": 8,
    "num_layers": 2,
    "num_heads": 4,
    "hidden_dim": 32,
    "mlp_dim": 64,
}


def vit():
    """Return a vision transformer of two layers."""
    from torchvision.models import VisionTransformer

    return VisionTransformer(**SMALL_VIT, num_classes=N_OUTPUTS)


TORCHVISION = {
    "alexnet": 64,
    "resnet50": 32,
    "densenet121": 32,
    "squeezenet1_1": 64,
    "mobilenet_v2": 32,
    "mobilenet_v3_small": 32,
    "mnasnet0_5": 32,
    "efficientnet_b0": 32,
    "regnet_y_400mf": 32,
    "shufflenet_v2_x0_5": 32,
    "convnext_tiny": 32,
    "swin_t": 64,
}
CASES = {name: Case("peers", make, IMAGE) for name, make in IMAGES.items()} | {
    name: Case("peers", make, (20,), "columns") for name, make in COLUMNS.items()
}
CASES |= {
    f"torchvision {name}": Case(
        "torchvision", partial(of_torchvision, name), (3, size, size)
    )
    for name, size in TORCHVISION.items()
}
CASES["torchvision googlenet"] = Case(
    "torchvision", partial(inception, "googlenet"), IMAGE
)
CASES["torchvision vit"] = Case("torchvision", vit, IMAGE)
