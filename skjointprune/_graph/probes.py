"""What shows of a network when a copy of it is run: what its channels say and learn."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .._utils.torch import kind_of_rows
from .network import Axis, Channels, Network
from .tensors import get_tensor, layers_by_parameter, locate_tensor


def absorbs_constants(layer: nn.Module) -> bool:
    """Tell whether a constant that a layer reads can go into its bias."""
    plain = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    if not any(type(layer).forward is kind.forward for kind in plain):
        return False
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        padded = layer.padding_mode == "zeros" and layer.padding not in (0, "valid")
        return not (padded and any(layer._reversed_padding_repeated_twice))
    return True


def note_what_speaks_(network: Network) -> None:
    """Note what units say when they are zeroed.

    Those that say what no bias can take up are kept whole. Statistics and parameters
    are drawn anew, both larger and smaller, as a ReLU lets only one of these through.
    """
    silent = [c for c in network.hidden if not c.pinned]
    for sign in (1, -1):
        probe = deepcopy(network.module).eval()
        generator = torch.Generator().manual_seed(0)
        _redraw_(probe, sign, generator)
        _silence_(probe, silent)
        rows = torch.rand(2, *network.input_shape, generator=generator)
        axes = [a for c in silent for a in c.read_by + c.averaged_by]
        heard = listen(probe, axes, rows)
        if sign > 0 or all(said.isfinite().all() for said in heard.values()):
            _note_(network, silent, heard, layers_by_parameter(network.module))


def _redraw_(module: nn.Module, sign: int, generator: torch.Generator) -> None:
    """Change what a network has learnt: zeros, as some begin with, would silence it."""
    with torch.no_grad():
        for name, statistic in module.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                random = torch.rand(statistic.shape, generator=generator) + 0.5
                statistic.copy_(sign * random if name.endswith("mean") else random)
        for p in module.parameters():
            if p.is_floating_point():
                p.add_(sign * 0.1 * torch.rand(p.shape, generator=generator).to(p))


def _silence_(module: nn.Module, silent: list[Channels]) -> None:
    """Zero all of some channels."""
    with torch.no_grad():
        for channels in silent:
            for axis in channels.produced_by:
                t = get_tensor(module, axis.tensor)
                all_dead = torch.ones(channels.size, dtype=torch.bool, device=t.device)
                t.index_fill_(axis.dim, axis.where(all_dead).nonzero().flatten(), 0)


def _note_(
    network: Network,
    silent: list[Channels],
    heard: dict[Axis, Tensor],
    layers_of: dict[int, list[nn.Module]],
) -> None:
    """Note what was heard of channels that are zero."""
    for channels in silent:
        everywhere = torch.ones(channels.size, dtype=torch.bool)
        for axis in channels.read_by:
            if axis not in heard:
                continue
            said = heard[axis][:, axis.where(everywhere)]  # (positions, slots)
            layers = layers_of[id(get_tensor(network.module, axis.tensor))]
            constant = torch.allclose(said, said[:1]) and said[:1].isfinite().all()
            if said.any():
                network.speaking.add(axis)
            if channels.pinned:
                continue
            if not constant:
                channels.pinned = "they are not silent when they are zero"
            elif said.any() and not (
                len(layers) == 1
                and absorbs_constants(layers[0])
                and axis.tensor not in network.by_function
            ):
                channels.pinned = (
                    "a constant is left of them that the bias of "
                    f"{axis.tensor.rpartition('.')[0] or axis.tensor!r} cannot take up"
                )
        for axis in channels.averaged_by:
            if axis in heard and heard[axis][:, axis.where(everywhere)].any():
                layer = axis.tensor.rpartition(".")[0]
                channels.pinned = f"zeroed, they still add to means of {layer!r}"


def pin_what_has_no_gradient_(network: Network) -> None:
    """Keep channels whole whose saliency would not be known.

    It comes of the gradients of the weights that read them, which have none where they
    are frozen, or used under `torch.no_grad`.

    Raises
    ------
    ValueError
        If the outputs do not depend on anything that is trained.
    """
    probe = deepcopy(network.module).cpu()
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(2, *network.input_shape, generator=generator)
    rows = rows.to(**kind_of_rows(probe))
    with torch.enable_grad(), torch.random.fork_rng(devices=[]):
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
    for channels in network.channels:
        for axis in channels.read_by:
            if axis.tensor in unknown and not channels.pinned:
                channels.pinned = (
                    f"{axis.tensor!r}, which reads them, is frozen or has no gradient"
                )


POINTS = 256  # on the way of inputs to zero


def gradients_tell_all(module: nn.Module, rows: Tensor) -> bool:
    """Tell whether gradients account for all that inputs do to the outputs for rows.

    On the way of one half of a row to zero, and of the other, outputs change by the
    integral of their gradient, unless they jump: where a number is compared with
    another, rounded or looked up. To be told by gradients what inputs are worth, there
    must be no jump; and zeros must do.
    """
    probe = deepcopy(module).cpu().eval()
    generator = torch.Generator().manual_seed(0)
    rows = rows.cpu().to(**kind_of_rows(probe))
    half = torch.rand(rows.shape, generator=generator) < 0.5
    stay, go = (
        torch.cat([rows * a, rows * b]) for a, b in ((half, ~half), (~half, half))
    )

    def outputs(X: Tensor) -> Tensor:
        """Return a random sum of the outputs, (rows,)."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # dropout, if there is any, is the same each time
            out = probe(X)
            return out @ torch.rand(out.shape[1]).to(out)

    def slope(share: float) -> Tensor:
        """Return how fast outputs change with the share that is left of what goes."""
        X = (stay + share * go).requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(outputs(X.clone()).sum(), X)
        return (gradient * go).sum(dim=1)

    try:
        with torch.no_grad():
            change = outputs(stay + go) - outputs(stay.clone())
        told = sum(slope((i + 0.5) / POINTS) for i in range(POINTS)) / POINTS
    except Exception:  # zeros do not run, or gradients do not: whatever is raised
        return False
    return bool((change - told).abs().max() <= 0.01 * change.abs().max() + 1e-6)


def _matters(module: nn.Module, tensor: str, rows: Tensor) -> bool:
    """Tell whether anything comes of a weight."""
    weight = get_tensor(module, tensor)
    before = weight.detach().clone()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        expected = module(rows.clone())
        weight.add_(torch.rand(weight.shape, generator=generator).to(weight))
        changed = not torch.equal(module(rows.clone()), expected)
        weight.copy_(before)
    return changed


def listen(module: nn.Module, axes: Iterable[Axis], rows: Tensor) -> dict[Axis, Tensor]:
    """Run rows through a module; return what is read, or averaged, through some axes.

    A tensor (positions, channels) for each axis: of all rows and calls. It is what
    functions multiply by the weight of the axis. Where none does, it is all that its
    layers are given that is as long.
    """
    axes = list(dict.fromkeys(axes))  # one that several channels share, once
    layers_of = layers_by_parameter(module)
    given: dict[Axis, list[Tensor]] = {axis: [] for axis in axes}
    weights: dict[Axis, Tensor] = {}
    sizes: dict[Axis, int] = {}

    def hook_of(axis: Axis):
        def hook(layer, args, kwargs):
            given[axis] += [x for x in (*args, *kwargs.values()) if torch.is_tensor(x)]

        return hook

    hooks = []
    for axis in axes:
        layer, attribute = locate_tensor(module, axis.tensor)
        held, layers = getattr(layer, attribute), [layer]
        if isinstance(held, Tensor):
            weights[axis], layers = held, layers_of[id(held)]
        sizes[axis] = weights[axis].shape[axis.dim] if axis in weights else held
        hooks += [
            layer.register_forward_pre_hook(hook_of(axis), with_kwargs=True)
            for layer in layers
        ]
    try:
        with torch.no_grad(), listening(list(weights.values())) as multiplied:
            module(rows.to(**kind_of_rows(module)))
    finally:
        for handle in hooks:
            handle.remove()
    heard = {}
    for axis, size in sizes.items():
        by_function = multiplied[id(weights[axis])] if axis in weights else []
        said = [
            x.movedim(axis.of, -1).reshape(-1, size)
            for x in by_function or given[axis]
            if x.shape[axis.of :][:1] == (size,)
        ]
        if said:
            heard[axis] = torch.cat(said)
    return heard


class _Listening(TorchFunctionMode):
    """Notes what comes first in functions that are given some weights second."""

    def __init__(self, weights: dict[int, list[Tensor]]):
        super().__init__()
        self.weights = weights

    def __torch_function__(self, func, types, args=(), kwargs=None) -> Any:
        kwargs = kwargs or {}
        x = args[0] if args else kwargs.get("input")
        weight = args[1] if len(args) > 1 else kwargs.get("weight")
        if isinstance(x, Tensor) and isinstance(weight, Tensor):
            if weight._base is not None:  # turned
                weight = weight._base
            self.weights.get(id(weight), []).append(x)
        return func(*args, **kwargs)


@contextmanager
def listening(weights: list[Tensor]) -> Iterator[dict[int, list[Tensor]]]:
    """Note, by the identity of each weight, what is multiplied by it."""
    heard: dict[int, list[Tensor]] = {id(w): [] for w in weights}
    with _Listening(heard):
        yield heard


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
