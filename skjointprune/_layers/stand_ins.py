"""Stand-ins for layers of torch that cannot lose channels."""

from collections.abc import Callable
from typing import Any

from torch import nn

from .attention import MultiheadAttention
from .norms import GroupNorm, LayerNorm, LayerNorm2d, RMSNorm
from .norms_by_hand import norm_alike
from .transformer import (
    TransformerDecoder,
    TransformerEncoder,
    TransformerEncoderLayer,
)
from .weight_norms_by_hand import (
    normed_alike,
    without_hook,
    without_parametrization,
)

StandIn = Callable[[Any], nn.Module]

STAND_INS: dict[type[nn.Module], StandIn] = {
    nn.MultiheadAttention: MultiheadAttention.of,
    nn.LayerNorm: LayerNorm.of,
    nn.RMSNorm: RMSNorm.of,
    nn.GroupNorm: GroupNorm.of,
    nn.TransformerEncoderLayer: TransformerEncoderLayer,
    nn.TransformerEncoder: TransformerEncoder,
    nn.TransformerDecoder: TransformerDecoder,
}
# Those of torchvision by their names: to import it for its classes costs seconds.
STAND_INS_BY_NAME: dict[str, StandIn] = {
    "torchvision.models.convnext.LayerNorm2d": LayerNorm2d.of,
}
# Layers that read the parameters of their parts: these must stay as they are.
READ_THEIR_PARTS = (
    nn.TransformerEncoder,
    nn.TransformerEncoderLayer,
)


def with_prunable_layers(module: nn.Module) -> nn.Module:
    """Replace, in place, layers of torch by equivalent ones that can lose channels.

    Layers with hooks stay, and so do layers with options that their stand-ins lack and
    parts of layers that read the parameters of these.
    """
    return _replaced(module, _stand_in_for)


def with_prunable_norms(
    module: nn.Module, has_rule: Callable[[nn.Module], bool]
) -> nn.Module:
    """Replace, in place, normalisations of channels and of weights.

    Those that users write, and have no rule for, and those of torch.
    """
    return _replaced(
        module, lambda layer: None if has_rule(layer) else _norm_for(layer)
    )


def _replaced(
    module: nn.Module, stand_in_for: Callable[[nn.Module], StandIn | None]
) -> nn.Module:
    made: dict[nn.Module, nn.Module] = {}  # a layer in several places stays one

    def replace_within(parent: nn.Module) -> None:
        for name, child in list(parent._modules.items()):
            if child is None:
                continue
            if child not in made:
                stand_in = stand_in_for(child)
                new = child if stand_in is None else stand_in(child)
                made[child] = new
                if not isinstance(new, READ_THEIR_PARTS):
                    replace_within(new)
            parent._modules[name] = made[child]

    replace_within(module)
    return module


def _stand_in_for(layer: nn.Module) -> StandIn | None:
    """Return what makes the stand-in for a layer, if it is as torch made it."""
    kind = type(layer)
    name = f"{kind.__module__}.{kind.__qualname__}"
    stand_in = STAND_INS.get(kind, STAND_INS_BY_NAME.get(name))
    return stand_in if _can_be_replaced(layer) else None


def _norm_for(layer: nn.Module) -> StandIn | None:
    """Return what makes the stand-in for a normalisation, of channels or of a weight.

    Those of channels are a user's; weights are also normalised by parametrizations.
    """
    home = type(layer).__module__.partition(".")[0]
    if home == "skjointprune":
        return None
    alike: nn.Module | None = without_hook(layer)
    if alike is None and not _can_be_replaced(layer):
        return None
    alike = alike or without_parametrization(layer)
    if alike is None and home != "torch":
        alike = norm_alike(layer) or normed_alike(layer)
    return None if alike is None else lambda _: alike


def _can_be_replaced(layer: nn.Module) -> bool:
    """Tell whether a layer has no hooks, and no options that its stand-in lacks."""
    hooks = (
        layer._forward_hooks,
        layer._forward_pre_hooks,
        layer._backward_hooks,
        layer._backward_pre_hooks,
    )
    if any(hooks):
        return False
    if type(layer) in (nn.LayerNorm, nn.RMSNorm):
        return len(layer.normalized_shape) == 1  # type: ignore[arg-type]
    if type(layer) is nn.GroupNorm:
        return layer.num_groups == 1
    if isinstance(layer, nn.MultiheadAttention):
        return layer.bias_k is None and not layer.add_zero_attn
    return True
