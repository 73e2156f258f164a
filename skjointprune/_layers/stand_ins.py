"""Layers of torch that cannot lose channels, and those that stand in for them."""

from collections.abc import Callable
from typing import Any

from torch import nn
from torchvision.models.convnext import LayerNorm2d as TorchvisionLayerNorm2d

from .attention import MultiheadAttention
from .norms import GroupNorm, LayerNorm, LayerNorm2d, RMSNorm
from .transformer import TransformerEncoder, TransformerEncoderLayer

STAND_INS: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    nn.MultiheadAttention: MultiheadAttention.of,
    nn.LayerNorm: LayerNorm.of,
    nn.RMSNorm: RMSNorm.of,
    nn.GroupNorm: GroupNorm.of,
    TorchvisionLayerNorm2d: LayerNorm2d.of,
    nn.TransformerEncoderLayer: TransformerEncoderLayer,
    nn.TransformerEncoder: TransformerEncoder,
}


# They read the parameters of their parts.
LOOK_INSIDE = (
    nn.TransformerEncoder,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
)


def with_prunable_layers(module: nn.Module) -> nn.Module:
    """Replace, in place, layers of torch by equivalent ones that can lose channels.

    Not where these would do something else, where the layer has hooks, or within
    layers of torch that look into it.
    """
    made: dict[nn.Module, nn.Module] = {}  # a layer in several places stays one

    def replace_within(parent: nn.Module) -> None:
        for name, child in list(parent._modules.items()):
            if child is None:
                continue
            if child not in made:
                new = STAND_INS[type(child)](child) if _has_stand_in(child) else child
                made[child] = new
                if not isinstance(new, LOOK_INSIDE):
                    replace_within(new)
            parent._modules[name] = made[child]

    replace_within(module)
    return module


def _has_stand_in(layer: nn.Module) -> bool:
    """Tell whether a layer is one of torch, as torch made it, that has a stand-in."""
    hooks = (
        layer._forward_hooks,
        layer._forward_pre_hooks,
        layer._backward_hooks,
        layer._backward_pre_hooks,
    )
    if type(layer) not in STAND_INS or any(hooks):
        return False
    if isinstance(layer, nn.LayerNorm | nn.RMSNorm):
        return len(layer.normalized_shape) == 1
    if isinstance(layer, nn.GroupNorm):
        return layer.num_groups == 1
    if isinstance(layer, nn.MultiheadAttention):
        return layer.bias_k is None and not layer.add_zero_attn
    return True
