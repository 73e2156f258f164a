"""Probes of a network: constants and gradients that show when a copy of it is run."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .._utils.torch import kind_of_rows
from .network import Axis, Channels, Network
from .rules.recurrent import reads_its_state
from .tensors import get_tensor, layers_by_parameter, locate_tensor

PROBED_ROWS = 16
# arguments of products, in their order
NAMED = ("input", "mat1", "weight", "other", "mat2")
ADD_PRODUCTS = ("addmm", "addbmm", "baddbmm")  # to their first argument


def absorbs_constants(layer: nn.Module) -> bool:
    """Tell whether a constant that a layer reads can go into its bias."""
    plain = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    if not any(type(layer).forward is kind.forward for kind in plain):
        return False
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        padded = layer.padding_mode == "zeros" and layer.padding not in (0, "valid")
        return not (padded and any(layer._reversed_padding_repeated_twice))
    return True


def find_constants_(network: Network) -> tuple[set[str], set[str]]:
    """Note which weights read a constant of units that are zeroed.

    Returns the names of channels of which that is not told, as where zeros leave 0 / 0;
    and of those that zeros do not make a constant. The weights that read these go as
    zeros, too.

    A sigmoid of zero is 0.5, for example. Units are kept whole if no bias can take the
    constant up. Every other channel is zeroed, beside others that live. Statistics and
    parameters are drawn anew, both larger and smaller: a ReLU lets only one of these
    through. They are drawn closer to what they were where a deep network would end in
    numbers that are not finite.
    """
    zeroed = [c for c in network.hidden if not c.pinned and c.size > 1]
    dead = {c.name: torch.arange(c.size) % 2 == 0 for c in zeroed}
    untold: set[str] = set()
    vary: set[str] = set()
    for sign in (1, -1, 0):
        for by in (0.1, 0.01, 0.001):
            read = _read_beside_zeros(network, zeroed, dead, sign, by)
            sizes = {axis: _sum_sizes(values) for axis, values in read.items()}
            finite = all(each.isfinite().all() for each in sizes.values())
            if finite:
                break
        if sign > 0 or finite:
            not_zero = {axis: each != 0 for axis, each in sizes.items()}
            found = _note_constants_(network, zeroed, dead, read, not_zero)
            untold, vary = untold | found[0], vary | found[1]
    return untold, vary


def _read_beside_zeros(
    network: Network,
    zeroed: list[Channels],
    dead: dict[str, Tensor],
    sign: int,
    by: float,
) -> dict[Axis, Tensor]:
    """Return what weights read where some of some channels are zero."""
    probe = deepcopy(network.module).eval()
    generator = torch.Generator().manual_seed(0)
    redraw_(probe, sign, generator, by)
    _zero_(probe, zeroed, dead)
    rows = torch.rand(2, *network.input_shape, generator=generator)
    axes = [a for c in zeroed for a in c.read_by + c.averaged_by]
    return record_reads(probe, axes, rows)


def _sum_sizes(values: Tensor) -> Tensor:
    """Return the sum of absolute values of each channel, the last dimension."""
    others = tuple(range(values.ndim - 1))
    if not values.is_floating_point() and not values.is_complex():
        values = values.to(torch.float32)
    return torch.linalg.vector_norm(values, ord=1, dim=others)


def redraw_(
    module: nn.Module, sign: int, generator: torch.Generator, by: float = 0.1
) -> None:
    """Draw anew what a network has learnt: initial zeros would hide constants.

    All is larger, or smaller, by the sign. But products of many weights of one sign are
    alike whatever is read, which would pass for a constant: with a sign of 0, numbers
    are drawn around what they were.
    """

    def draw(shape: torch.Size) -> Tensor:
        if sign == 0:
            return torch.randn(shape, generator=generator)
        return sign * torch.rand(shape, generator=generator)

    with torch.no_grad():
        for name, statistic in module.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                random = torch.rand(statistic.shape, generator=generator) + 0.5
                mean = (sign or 1) * random
                statistic.copy_(mean if name.endswith("mean") else random)
        for p in module.parameters():
            if p.is_floating_point():
                # matrices keep their scale, which is small where they read many
                rms = float(p.norm()) / p.numel() ** 0.5
                scale = rms if sign == 0 and p.ndim > 1 else 1.0
                p.add_(by * scale * draw(p.shape).to(p))


def _zero_(module: nn.Module, zeroed: list[Channels], dead: dict[str, Tensor]) -> None:
    """Zero all that makes some of some channels."""
    with torch.no_grad():
        for channels in zeroed:
            for axis in channels.produced_by:
                t = get_tensor(module, axis.tensor)
                slots = axis.where(dead[channels.name]).nonzero().flatten()
                t.index_fill_(axis.dim, slots.to(t.device), 0)


def _note_constants_(
    network: Network,
    zeroed: list[Channels],
    dead: dict[str, Tensor],
    read: dict[Axis, Tensor],
    not_zero: dict[Axis, Tensor],
) -> tuple[set[str], set[str]]:
    """Note which of the values that were read of zeroed channels are constants.

    `not_zero` tells of which channels any value that was read is not zero.
    Returns the names of those of which that is not told, and of those that vary.
    """
    untold, vary = set(), set()
    layers_of = layers_by_parameter(network.module)
    for channels in zeroed:
        mine = dead[channels.name]
        for axis in channels.read_by:
            if axis not in read or not not_zero[axis][axis.where(mine)].any():
                continue
            if axis in channels.produced_by:  # what reads them goes as zeros, too
                continue
            values = read[axis][..., axis.where(mine)].flatten(0, -2)
            layers = layers_of[id(get_tensor(network.module, axis.tensor))]
            one = values[:1]
            equal = torch.allclose(values, one, rtol=1e-5, atol=1e-8)
            constant = equal and one.isfinite().all()
            network.reads_constants.add(axis)
            if channels.pinned:
                continue
            if values.isnan().all():
                untold.add(channels.name)
            elif not constant:  # a head of queries, where all heads share values
                channels.produced_by.append(axis)
                vary.add(channels.name)
            elif not (
                len(layers) == 1
                and absorbs_constants(layers[0])
                and _has_its_own_bias(network, axis.tensor, layers_of)
            ):
                channels.pinned = (
                    "a constant is left of them that the bias of "
                    f"{axis.tensor.rpartition('.')[0] or axis.tensor!r} cannot take up"
                )
        for axis in channels.averaged_by:
            if axis in read and not_zero[axis][axis.where(mine)].any():
                layer = axis.tensor.rpartition(".")[0]
                channels.pinned = f"zeroed, they still add to means of {layer!r}"
    return untold, vary


def _has_its_own_bias(
    network: Network, weight: str, layers_of: dict[int, list[nn.Module]]
) -> bool:
    """Tell whether a layer alone uses its weight and its bias."""
    layer, _ = locate_tensor(network.module, weight)
    bias = weight.removesuffix("weight") + "bias"
    shared = layer.bias is not None and len(layers_of[id(layer.bias)]) > 1
    return not shared and network.by_function.isdisjoint((weight, bias))


def pin_what_has_no_gradient_(network: Network) -> None:
    """Keep channels whole where a weight that reads them has no gradient.

    Their saliency comes of such gradients. A weight that is frozen, or used under
    `torch.no_grad`, has none.

    Raises
    ------
    ValueError
        If the outputs do not depend on anything that is trained.
    """
    probe = deepcopy(network.module).cpu()
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(PROBED_ROWS, *network.input_shape, generator=generator)
    rows = rows.to(**kind_of_rows(probe))
    with torch.enable_grad(), torch.random.fork_rng(devices=[]):
        try:
            out = probe(rows[:2].clone())
        except ValueError:  # as of a batch that the code cuts into parts to normalise
            out = probe(rows.clone())
        if not out.requires_grad:
            raise ValueError(
                f"The outputs of `module` {type(probe).__name__} do not depend on any "
                "parameter that requires gradients. Let some do, and do not detach the "
                "outputs."
            )
        out.abs().sum().backward()
    probe.eval()
    read = {axis.tensor for c in network.channels for axis in c.read_by}
    unknown = {
        name
        for name in sorted(read)
        if get_tensor(probe, name).grad is None and _matters(probe, name, rows)
    }
    for channels in network.hidden:
        made_by = [get_tensor(probe, axis.tensor) for axis in channels.produced_by]
        if not channels.read_by and all(p.grad is None for p in made_by):
            channels.pinned = channels.pinned or "no weights read them"
    for channels in network.channels:
        for axis in channels.read_by:
            if axis.tensor in unknown and not channels.pinned:
                channels.pinned = (
                    f"{axis.tensor!r}, which reads them, is frozen or has no gradient"
                )


def _matters(module: nn.Module, tensor: str, rows: Tensor) -> bool:
    """Tell whether the outputs change with a weight."""
    weight = get_tensor(module, tensor)
    before = weight.detach().clone()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        expected = module(rows.clone())
        weight.add_(torch.rand(weight.shape, generator=generator).to(weight))
        changed = not torch.equal(module(rows.clone()), expected)
        weight.copy_(before)
    return changed


def record_reads(
    module: nn.Module, axes: Iterable[Axis], rows: Tensor
) -> dict[Axis, Tensor]:
    """Run rows through a module; return the values that some axes read or average.

    A tensor (..., channels) for each axis: of all rows and calls. They are what
    functions multiply by the weight of the axis. Where none does, they are all inputs
    of its layers that are as long.
    """
    axes = list(dict.fromkeys(axes))  # one that several channels share, once
    layers_of = layers_by_parameter(module)
    inputs: dict[Axis, list[Tensor]] = {axis: [] for axis in axes}
    weights: dict[Axis, Tensor] = {}
    sizes: dict[Axis, int] = {}

    def hook_of(axis: Axis):
        def hook(layer, args, kwargs):
            inputs[axis] += [x for x in (*args, *kwargs.values()) if torch.is_tensor(x)]

        return hook

    hooks = []
    for axis in axes:
        layer, attribute = locate_tensor(module, axis.tensor)
        if reads_its_state(layer, attribute):
            continue  # which no other layer sees; zero where its units are
        held, layers = getattr(layer, attribute), [layer]
        if isinstance(held, Tensor):
            weights[axis], layers = held, layers_of[id(held)]
        sizes[axis] = weights[axis].shape[axis.dim] if axis in weights else held
        hooks += [
            layer.register_forward_pre_hook(hook_of(axis), with_kwargs=True)
            for layer in layers
        ]
    try:
        with torch.no_grad(), recording_factors(list(weights.values())) as factors:
            module(rows.to(**kind_of_rows(module)))
    finally:
        for handle in hooks:
            handle.remove()
    read = {}
    for axis, size in sizes.items():
        multiplied = factors[id(weights[axis])] if axis in weights else []
        values = [
            torch.atleast_2d(x.movedim(axis.of, -1))
            for x in multiplied or inputs[axis]
            if x.shape[axis.of :][:1] == (size,)
        ]
        if len(values) == 1:  # without a copy
            read[axis] = values[0]
        elif values:
            read[axis] = torch.cat([x.reshape(-1, size) for x in values])
    return read


class _RecordFactors(TorchFunctionMode):
    """Records the first argument of functions whose second one is a given weight.

    Or the second and the third, where the first is added to their product.
    """

    def __init__(self, factors: dict[int, list[Tensor]]):
        super().__init__()
        self.factors = factors

    def __torch_function__(self, func, types, args=(), kwargs=None) -> Any:
        kwargs = kwargs or {}
        given = [*args, *(kwargs[name] for name in NAMED if name in kwargs)]
        x, weight, *_ = [*given[func.__name__ in ADD_PRODUCTS :], None, None]
        if isinstance(x, Tensor) and isinstance(weight, Tensor):
            if weight._base is not None:  # transposed
                weight = weight._base
            self.factors.get(id(weight), []).append(x)
        return func(*args, **kwargs)


@contextmanager
def recording_factors(weights: list[Tensor]) -> Iterator[dict[int, list[Tensor]]]:
    """Record, by the identity of each weight, what functions multiply by it."""
    factors: dict[int, list[Tensor]] = {id(w): [] for w in weights}
    with _RecordFactors(factors):
        yield factors


def gives_probabilities(module: nn.Module, shape: tuple[int, ...]) -> bool:
    """Tell whether the outputs for rows of a shape end in a softmax or a sigmoid.

    They stay between 0 and 1 for rows that are a thousand times as large, too; there
    they sum to 1, or most are close to 0 or to 1. Few logits may lie between by chance.
    """
    probe = deepcopy(module).cpu().eval()
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(PROBED_ROWS, *shape, generator=generator)
    rows = torch.cat([rows, 1000 * rows]).to(**kind_of_rows(probe))
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            out = probe(rows)
    except Exception:  # what it looks up is not there
        return False
    inside = bool(((out >= 0) & (out <= 1)).all())
    large = out[PROBED_ROWS:]
    sums_to_one = bool(torch.isclose(large.sum(dim=-1), torch.ones(()).to(large)).all())
    at_ends = bool(((large < 0.05) | (large > 0.95)).double().mean() > 0.5)
    some = bool(out.max() > 0)  # a ReLU may give zeros alone
    return inside and some and (sums_to_one or at_ends)


def check_outputs(module: nn.Module, rows: Tensor) -> None:
    """Raise ValueError where a module fails on rows of X, or gives NaN."""
    probe = deepcopy(module).cpu().eval()  # a GPU would not survive what may happen
    try:
        with torch.no_grad():
            out = probe(rows.cpu().clone())
    except Exception as error:
        raise ValueError(
            f"`module` fails on rows of X ({type(error).__name__}: {error}). If it "
            "looks numbers up, let it have all that X holds, and leave these as they "
            "are (`standardize=False`)."
        ) from error
    if out.isnan().any():
        raise ValueError(
            "`module` gives NaN for rows of X, before any training. Look at its "
            "weights and at its code."
        )
