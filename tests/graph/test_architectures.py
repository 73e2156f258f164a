"""Architectures of torchvision, and torch-pruning as a second opinion on them."""

import io
import re
from functools import partial
from types import SimpleNamespace

import pytest
import torch
import torch_pruning as tp
from _networks import compact, random_masks
from torch import nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.swin_transformer import (
    PatchMergingV2,
    SwinTransformerBlockV2,
)
from torchvision.models.vgg import make_layers

from skjointprune._graph.compact import compact_, zero_groups_
from skjointprune._graph.groups import find_groups
from skjointprune._layers.stand_ins import with_prunable_layers


def vgg(batch_norm):
    """VGG11 at an eighth of its width, as most of its weights are in the head."""
    sizes = [8, "M", 16, "M", 32, 32, "M", 64, 64, "M", 64, 64, "M"]
    net = models.VGG(make_layers(sizes, batch_norm), num_classes=10)
    net.avgpool = nn.AdaptiveAvgPool2d(2)
    net.classifier[0], net.classifier[3] = nn.Linear(256, 64), nn.Linear(64, 64)
    net.classifier[6] = nn.Linear(64, 10)
    return net


def alexnet():
    """AlexNet with a smaller head, likewise."""
    net = models.AlexNet(num_classes=10)
    net.classifier[1], net.classifier[4] = nn.Linear(9216, 64), nn.Linear(64, 64)
    net.classifier[6] = nn.Linear(64, 10)
    return net


def resnet(block, *depths, **options):
    return partial(models.ResNet, block, list(depths), num_classes=10, **options)


def swin(**options):
    """A Swin transformer of two stages."""
    sizes = ([4, 4], 8, [2, 2], [2, 4], [2, 2])
    return partial(models.SwinTransformer, *sizes, num_classes=10, **options)


def inception(kind):
    """An Inception without the second head that it has in training."""
    options = {"transform_input": False, "init_weights": False}
    return partial(kind, 10, aux_logits=False, **options)


def by_name(name):
    return partial(models.get_model, name, num_classes=10)


SMALL, MIDDLE = (3, 32, 32), (3, 64, 64)
BOTTLENECK = models.resnet.Bottleneck
ARCHITECTURES = {
    "alexnet": (alexnet, MIDDLE),
    "vgg11": (partial(vgg, False), SMALL),
    "vgg11_bn": (partial(vgg, True), SMALL),
    "resnet18": (by_name("resnet18"), SMALL),
    "resnet34": (by_name("resnet34"), SMALL),
    "resnet50": (resnet(BOTTLENECK, 2, 2, 2, 2), SMALL),
    "resnext": (resnet(BOTTLENECK, 2, 2, 1, 1, groups=8, width_per_group=4), SMALL),
    "wide_resnet": (resnet(BOTTLENECK, 1, 2, 1, 1, width_per_group=128), SMALL),
    "densenet": (partial(models.DenseNet, 8, (3, 4), 16, num_classes=10), SMALL),
    "densenet121": (by_name("densenet121"), SMALL),
    "googlenet": (inception(models.GoogLeNet), SMALL),
    "inception_v3": (inception(models.Inception3), (3, 80, 80)),
    "squeezenet1_0": (by_name("squeezenet1_0"), MIDDLE),
    "squeezenet1_1": (by_name("squeezenet1_1"), MIDDLE),
    "mobilenet_v2": (by_name("mobilenet_v2"), SMALL),
    "mobilenet_v3_small": (by_name("mobilenet_v3_small"), SMALL),
    "mobilenet_v3_large": (by_name("mobilenet_v3_large"), SMALL),
    "mnasnet0_5": (by_name("mnasnet0_5"), SMALL),
    "mnasnet1_0": (by_name("mnasnet1_0"), SMALL),
    "efficientnet_b0": (by_name("efficientnet_b0"), SMALL),
    "efficientnet_v2_s": (by_name("efficientnet_v2_s"), SMALL),
    "regnet_x_400mf": (by_name("regnet_x_400mf"), SMALL),
    "regnet_y_400mf": (by_name("regnet_y_400mf"), SMALL),
    "shufflenet_v2_x0_5": (by_name("shufflenet_v2_x0_5"), SMALL),
    "shufflenet_v2_x1_0": (by_name("shufflenet_v2_x1_0"), SMALL),
    "mc3_18": (partial(models.video.mc3_18, num_classes=10), (3, 4, 16, 16)),
    "convnext": (
        partial(
            models.ConvNeXt,
            [CNBlockConfig(8, 16, 2), CNBlockConfig(16, None, 2)],
            num_classes=10,
        ),
        SMALL,
    ),
    "vit": (
        partial(models.VisionTransformer, 32, 8, 2, 2, 16, 32, num_classes=10),
        SMALL,
    ),
    "swin": (swin(), SMALL),
    "swin_v2": (
        swin(block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2),
        SMALL,
    ),
    "maxvit": (
        partial(models.MaxVit, (64, 64), 8, 2, [8, 16], [1, 1], 4, 0.1, num_classes=10),
        MIDDLE,
    ),
}

# What is kept whole, by patterns of names of layers, and why. In all others, nothing.
ATTENTION = r"there is no rule for shifted_window_attention"
TOGETHER = "they all hang together"
WRITTEN = r"their number, \d+, is written at"
KEPT_WHOLE = {
    "shufflenet_v2_x0_5": {r"stage3\.(0\.branch1\.2|7\.branch2\.5)": TOGETHER},
    "shufflenet_v2_x1_0": {r"stage[23]\.(0\.branch1\.2|[37]\.branch2\.5)": TOGETHER},
    "swin": {
        r"features\.(0\.0|2\.reduction|[13]\.[01]\.attn\.(qkv|proj))": ATTENTION,
    },
    "swin_v2": {
        r"features\.(0\.0|2\.reduction|[13]\.[01]\.attn(\.qkv|\.proj|))": ATTENTION,
        r"features\.[13]\.[01]\.attn\.cpb_mlp\.2": "there is no rule for",
    },
}


def shake_(module):
    """Make all parameters and statistics non-trivial, and outputs not too large."""
    with torch.no_grad():
        for p in module.parameters():
            vector = p.numel() == max(p.shape)  # biases, scales, also of layers
            p.add_(torch.randn_like(p), alpha=0.2 if vector else 0.01)
        for name, statistic in module.named_buffers():
            if name.endswith("running_mean"):
                statistic.normal_(std=0.3)
            elif name.endswith("running_var"):
                statistic.uniform_(0.5, 1.5)
    return module.eval()


@pytest.fixture(scope="module", params=ARCHITECTURES)
def pruned(request):
    """An architecture, some groups of which are zeroed, and removed."""
    torch.manual_seed(0)
    make, shape = ARCHITECTURES[request.param]
    X = torch.randn(2, *shape)
    with torch.no_grad():
        module = with_prunable_layers(shake_(make()))  # as the estimators do
        dense = module(X)
        network = find_groups(module, shape)
        keep = random_masks(network, 0.7)
        small = compact(network, keep)
        zero_groups_(network, keep)
        return SimpleNamespace(
            name=request.param,
            kept_whole=network.kept_whole,
            small=small,
            dense=dense,
            expected=module(X),
            left=X[:, keep["inputs"]],
            module=module,
        )


def test_compact_architecture_matches_the_zeroed_one(pruned):
    with torch.no_grad():
        got = pruned.small.module(pruned.left)
    largest = pruned.expected.abs().max()
    assert (got - pruned.expected).abs().max() < 1e-4 * largest
    assert (pruned.dense - pruned.expected).abs().max() > 1e-3 * largest


def test_compact_architecture_is_smaller(pruned):
    def count(module):
        return sum(p.numel() for p in module.parameters())

    share = count(pruned.small.module) / count(pruned.module)
    assert share < (0.95 if pruned.name in KEPT_WHOLE else 0.72)


def test_compact_architecture_is_the_same_when_it_is_read_back(pruned):
    file = io.BytesIO()
    torch.save(pruned.small.module, file)
    file.seek(0)
    back = torch.load(file, weights_only=False)
    with torch.no_grad():
        assert torch.equal(back(pruned.left), pruned.small.module(pruned.left))


def test_what_is_kept_whole_is_known(pruned):
    known = KEPT_WHOLE.get(pruned.name, {})
    unseen = set(known)
    for name, reason in pruned.kept_whole.items():
        pattern = next((p for p in known if re.fullmatch(p, name)), None)
        assert pattern is not None, f"{name}: {reason}"
        assert re.search(known[pattern], reason), f"{name}: {reason}"
        unseen.discard(pattern)
    assert not unseen


# Left out: grouped convolutions and the shuffles of ShuffleNet, on which torch-pruning
# 1.6 raises.
SECOND_OPINION = [
    "vgg11_bn",
    "resnet18",
    "densenet",
    "googlenet",
    "squeezenet1_1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mnasnet0_5",
    "convnext",
    "vit",
]


@pytest.mark.filterwarnings("ignore:Unwrapped parameters detected")
@pytest.mark.parametrize("name", SECOND_OPINION)
def test_torch_pruning_removes_the_same_numbers(name):
    make, shape = ARCHITECTURES[name]
    ours = make().eval()
    theirs = make().eval()
    theirs.load_state_dict(ours.state_dict())
    graph = tp.DependencyGraph().build_dependency(theirs, torch.randn(1, *shape))
    network = find_groups(ours, shape)
    agree, differ = [], []
    for channels in network.hidden:
        if channels.pinned or channels.size < 4:
            continue
        keep = torch.ones(channels.size, dtype=torch.bool)
        keep[[0, 2]] = False
        weights = [a for a in channels.produced_by if a.tensor.endswith("weight")]
        axis = next(a for a in weights if ours.get_parameter(a.tensor).ndim > 1)
        layer = theirs.get_submodule(axis.tensor.removesuffix(".weight"))
        linear = isinstance(layer, nn.Linear)
        cut = tp.prune_linear_out_channels if linear else tp.prune_conv_out_channels
        gone = axis.where(~keep).nonzero().flatten().tolist()
        graph.get_pruning_group(layer, cut, gone).prune()
        compact_(network, {channels.name: keep})
        equal = shapes(ours) == shapes(theirs)
        (agree if equal else differ).append(channels.name)
    assert differ == []
    assert len(agree) + len(network.kept_whole) > len(network.hidden) / 2
    with torch.no_grad():
        X = torch.randn(2, *shape)
        torch.testing.assert_close(ours(X), theirs(X))


def shapes(module):
    return {name: p.shape for name, p in module.named_parameters()}
