"""Layers of torch that cannot lose channels, and those that stand in for them."""

from collections.abc import Callable
from typing import Any

from torch import nn
from torchvision.models.convnext import LayerNorm2d as TorchvisionLayerNorm2d

from ._attention import MultiheadAttention
from ._norms import GroupNorm, LayerNorm, LayerNorm2d, RMSNorm

STAND_INS: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    nn.MultiheadAttention: MultiheadAttention.of,
    nn.LayerNorm: LayerNorm.of,
    nn.RMSNorm: RMSNorm.of,
    nn.GroupNorm: GroupNorm.of,
    TorchvisionLayerNorm2d: LayerNorm2d.of,
}

# they read the parameters of the layers in them
LOOK_INSIDE = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)


def with_prunable_layers(module: nn.Module) -> nn.Module:
    """Replace, in place, layers of torch by equivalent ones that can lose channels.

    Not where these would do something else, where the layer has hooks, or within
    torch's own transformer layers.
    """
    made: dict[int, nn.Module] = {}  # a layer in several places stays one
    for parent in list(module.modules()):
        if isinstance(parent, LOOK_INSIDE):
            continue
        for name, child in list(parent.named_children()):
            if _can_be_replaced(child):
                if id(child) not in made:
                    made[id(child)] = STAND_INS[type(child)](child)
                setattr(parent, name, made[id(child)])
    return module


def _can_be_replaced(layer: nn.Module) -> bool:
    """Tell whether a layer is one of torch, as torch made it, that has a stand-in."""
    if type(layer) not in STAND_INS:
        return False
    if layer._forward_hooks or layer._forward_pre_hooks:
        return False
    if isinstance(layer, nn.LayerNorm | nn.RMSNorm):
        return len(layer.normalized_shape) == 1
    if isinstance(layer, nn.GroupNorm):
        return layer.num_groups == 1
    return layer.bias_k is None and not layer.add_zero_attn
