"""Layers with normalised weights: those of torch, and what users write.

What users write is known by what it computes, as normalisations of channels are.
"""

from collections.abc import Iterator
from copy import copy, deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils.spectral_norm import SpectralNorm as OldSpectralNorm
from torch.nn.utils.weight_norm import WeightNorm as OldWeightNorm
from torch.overrides import TorchFunctionMode

from .weight_norms import NORMED, SpectralNorm, Standardised, WeightNorm

EPS = (1e-5, 1e-6, 1e-4, 1e-8, 1e-10, 1e-12, 0.0)
SCALES = (1.0, 1e-3)  # of weights: the second shows `eps`
TOLERANCE = 1e-6
MOST_ROWS = 16  # of a weight, by which candidates are compared
PLAIN = ("weight", "bias")  # parameters of plain layers
MULTIPLY = (F.linear, F.conv1d, F.conv2d, F.conv3d)


def without_parametrization(layer: nn.Module) -> nn.Module | None:
    """Return a layer that normalises its weight as a parametrization of torch does.

    It has the same parameters. None where that is not all that the layer does.
    """
    if not parametrize.is_parametrized(layer):
        return None
    ((name, norms), *others) = layer.parametrizations.items()  # type: ignore
    plain = type(layer).__bases__[0]
    if name != "weight" or others or len(norms) != 1 or plain not in NORMED:
        return None
    (norm,) = norms
    made: nn.Module
    if type(norm) is parametrizations._WeightNorm and norm.dim in (0, -1):
        weight, made = norms.original1, WeightNorm(norms.original0)
    elif type(norm) is parametrizations._SpectralNorm and norm.dim == 0:
        weight = norms.original
        made = SpectralNorm(norm._u, norm._v, norm.n_power_iterations, norm.eps)
    else:
        return None
    new = NORMED[plain].of(layer, made)
    del new.parametrizations
    new.weight = weight
    new._load_state_dict_pre_hooks.clear()  # for names of before parametrizations
    return new


def without_hook(layer: Any) -> nn.Module | None:
    """Return a layer that normalises its weight as an old norm of torch's does.

    `torch.nn.utils.weight_norm` and `spectral_norm` set the weight by a hook before
    each call, and no copy can be made of it. None where there is more, or none.
    """
    plain = type(layer)
    others = (layer._forward_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    if plain not in NORMED or len(layer._forward_pre_hooks) != 1 or any(others):
        return None
    (hook,) = layer._forward_pre_hooks.values()
    made: nn.Module
    if getattr(hook, "name", None) != "weight":
        return None
    if isinstance(hook, OldWeightNorm) and hook.dim in (0, -1):
        weight, made = layer.weight_v, WeightNorm(layer.weight_g)
    elif isinstance(hook, OldSpectralNorm) and hook.dim == 0:
        n, u, v = hook.n_power_iterations, layer.weight_u, layer.weight_v
        weight, made = layer.weight_orig, SpectralNorm(u, v, n, hook.eps)
    else:
        return None
    new = NORMED[plain].of(layer, made)
    for held in (vars(new), new._parameters, new._buffers):
        for name in ("weight", "weight_g", "weight_v", "weight_orig", "weight_u"):
            held.pop(name, None)
    for hooks_of in ("forward_pre", "state_dict", "load_state_dict_pre"):
        getattr(new, f"_{hooks_of}_hooks").clear()
    new.weight = weight
    return new


def normed_alike(layer: nn.Module) -> nn.Module | None:
    """Return one of our layers that computes what a user's does, if one does.

    The user's has a weight, perhaps a bias, and perhaps a parameter that scales rows.
    """
    plain = next((kind for kind in NORMED if isinstance(layer, kind)), None)
    if plain is None or not _may_normalise(layer, plain):
        return None
    extra = [n for n, _ in layer.named_parameters(recurse=False) if n not in PLAIN]
    probe = _probe(layer)
    used = [_weight_used(probe, size) for size in SCALES]
    if any(weight is None for weight in used):
        return None
    scale = getattr(probe, extra[0]) if extra else None
    for norm in _candidates(probe, scale):
        if not _fits(norm, probe.weight, used):
            continue
        for same in (False, True):
            ours = NORMED[plain].of(probe, norm, same)
            if _computes_the_same(ours, probe):
                norm.scale = getattr(layer, extra[0]) if extra else None
                new = NORMED[plain].of(layer, norm, same)
                for name in extra:
                    delattr(new, name)
                return new
    return None


def _may_normalise(layer: Any, plain: type[nn.Module]) -> bool:
    """Tell whether a layer is a plain one but for its forward, and what scales rows."""
    own = dict(layer.named_parameters(recurse=False))
    return (
        type(layer).forward is not plain.forward
        and "weight" in own
        and len({*own} - {*PLAIN}) <= 1
        and all(p.numel() == len(layer.weight) for n, p in own.items() if n != "weight")
        and getattr(layer, "padding_mode", "zeros") == "zeros"
        and not any(True for _ in layer.children())
        and not any(True for _ in layer.buffers())
    )


def _probe(layer: Any) -> Any:
    """Return a copy with parameters drawn at random, in double precision."""
    probe = deepcopy(layer).cpu().double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in probe.parameters():
            random = torch.rand(p.shape, generator=generator, dtype=p.dtype)
            p.copy_(random - 0.3)
    return probe


def _rows(layer: Any, more: int) -> Tensor:
    """Return random rows that a layer takes, maps of some size and a little more."""
    generator = torch.Generator().manual_seed(1)
    if isinstance(layer, nn.Linear):
        shape = [2, layer.in_features]
    else:
        sizes = zip(layer.kernel_size, layer.dilation, layer.stride, strict=True)
        shape = [2, layer.in_channels, *(k * d + 2 * s + more for k, d, s in sizes)]
    return torch.randn(shape, generator=generator, dtype=torch.float64)


class _RecordWeights(TorchFunctionMode):
    """Records by which weights functions multiply."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[Tensor] = []

    def __torch_function__(self, func, types, args=(), kwargs=None) -> Any:
        if func in MULTIPLY and len(args) > 1:
            self.weights.append(args[1])
        return func(*args, **kwargs or {})


def _weight_used(probe: Any, size: float) -> Tensor | None:
    """Return the weight that a layer multiplies by, where its own is of a size."""
    of_size = copy(probe)
    of_size._parameters = probe._parameters | {
        "weight": nn.Parameter(size * probe.weight.detach())
    }
    try:
        with torch.no_grad(), _RecordWeights() as recorded:
            of_size(_rows(probe, 0))
    except Exception:  # whatever the layer raises
        return None
    if len(recorded.weights) != 1 or recorded.weights[0].shape != probe.weight.shape:
        return None
    return recorded.weights[0].detach()


def _candidates(probe: Any, scale: nn.Parameter | None) -> Iterator[Any]:
    """Yield normalisations of a weight."""
    if scale is not None:
        yield WeightNorm(scale)
    over = probe.weight[0].numel()
    own = [v for v in vars(probe).values() if isinstance(v, float) and 0 <= v < 0.1]
    for eps in dict.fromkeys([*own, *EPS]):
        for place, correction in (
            ("inside", 0),
            ("outside", 1),
            ("outside", 0),
            ("inside", 1),
            ("most", 0),
            ("most", 1),
        ):
            yield Standardised(over, eps, place, correction, scale=scale)


def _fits(norm: Any, weight: Tensor, used: list[Any]) -> bool:
    """Tell whether a normalisation gives the weights that are used, or a multiple.

    It then has the factor.
    """
    rows = weight.detach()[:MOST_ROWS]
    trial = copy(norm)
    trial._parameters = {
        name: None if p is None else nn.Parameter(p.detach()[:MOST_ROWS])
        for name, p in norm._parameters.items()
    }
    with torch.no_grad():
        got = torch.stack([trial(size * rows) for size in SCALES])
    expected = torch.stack([w[:MOST_ROWS] for w in used])
    if isinstance(norm, Standardised):
        norm.factor = float((got * expected).sum() / got.square().sum())
        got = norm.factor * got
    return _close(got, expected)


def _computes_the_same(ours: Any, probe: Any) -> bool:
    """Tell whether two layers have the same outputs, in and outside training."""
    with torch.no_grad():
        return all(
            _close(ours.train(mode)(X), probe.train(mode)(X))
            for X in (_rows(probe, 0), _rows(probe, 1))
            for mode in (True, False)
        )


def _close(got: Tensor, expected: Tensor) -> bool:
    if got.shape != expected.shape:
        return False
    return bool((got - expected).abs().max() <= TOLERANCE * expected.abs().max())
