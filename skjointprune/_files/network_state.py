"""State of a network: tensors and a few numbers, and the network built from these.

The code of the network comes from the estimator, which builds the dense one again.
Then every tensor is replaced by the one that was saved, in its own shape, and so is
every number in the layers that pruning changed, such as `out_features`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._data.inputs import Inputs
from .._data.targets import Targets
from .._graph.rules.registry import has_registered_rule
from .._graph.tensors import get_tensor, locate_tensor, names_of_tensors
from .._layers.affine import Affine
from .._layers.encode_columns import EncodeColumns
from .._layers.frame import Frame
from .._layers.scatter_inputs import ScatterInputs
from .._layers.sizes import PREFIX, let_sizes_follow_
from .._layers.stand_ins import with_prunable_norms
from .._layers.wrap import wrap
from .._storage.json_values import is_known
from .._training.fit import Fit
from .._training.network import dense_module, module_for
from .._utils.seeds import seeded
from .._utils.torch import kind_of_rows

GOLDEN = 0.6180339887498949  # its multiples modulo 1 are spread evenly
SIZES = "hidden_layer_sizes"
# what `MLP` was given for a table by versions that did not write it down
PLAIN_MLP = {
    "norm": "batch",
    "dropout": 0.2,
    "embedding": None,
    "clip": None,
    "scale_inputs": False,
}
TOLERANCE = 1e-3  # of the largest output: machines and versions sum in other orders


def is_custom(module: Any) -> bool:
    """Tell whether the code of a `module` is the user's own."""
    return not (module is None or isinstance(module, str) or is_known(module))


def describe_network(
    fit: Fit, params: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what a fitted network has that a dense one has not: numbers and tensors.

    `params` are those of the estimator, from which the dense network is made.

    Raises
    ------
    ValueError
        If a layer has a state that is neither.
    """
    module = deepcopy(fit.network).cpu().eval()
    strange = [name for name in module.state_dict() if name.endswith("_extra_state")]
    if strange:
        raise ValueError(
            f"The layer of {strange[0]!r} keeps a state that is no tensor. Save the "
            "estimator with joblib or pickle instead."
        )
    tensors = {"check": _outputs(module, _shape_read(fit.inputs, fit.support))}
    inner, around = _unwrap(module)
    for place, layer in around.items():
        tensors |= {f"{place}.{k}": t for k, t in layer.state_dict().items()}
    shared = {}
    for name, (first, *_) in names_of_tensors(inner).items():
        if name == first:
            tensors[f"network.{name}"] = get_tensor(inner, name).detach()
        else:
            shared[name] = first
    _, defaults = module_for(fit.inputs, fit.targets, params["module"], params[SIZES])
    dense = _build_dense(fit.inputs, fit.targets, params, defaults)
    numbers = {}
    for path, layer in inner.named_modules():
        before = _numbers(dense.get_submodule(path))
        changed = {
            k: v
            for k, v in _numbers(layer).items()
            if before.get(k) != v and (k in before or not k.startswith("_"))
        }
        if changed:
            numbers[path] = changed
    description = {
        "numbers": numbers,
        "shared": shared,
        "scaled": list(around),
        "defaults": defaults,
    }
    # A copy each: what shares memory, or is not contiguous, cannot be written.
    plain = {
        name: t.clone(memory_format=torch.contiguous_format)
        for name, t in tensors.items()
    }
    return description, plain


def rebuild_network(
    inputs: Inputs,
    targets: Targets,
    support: np.ndarray,
    params: dict[str, Any],
    description: dict[str, Any],
    tensors: dict[str, Tensor],
) -> nn.Module:
    """Return the network, on the CPU, and see that it computes what it did.

    Raises
    ------
    ValueError
        If what the estimator builds has other tensors or layers, or other outputs.
    """
    defaults = ({} if params["module"] else PLAIN_MLP) | description.get("defaults", {})
    module = _build_dense(inputs, targets, params, defaults)
    saved = {
        name.removeprefix("network."): t
        for name, t in tensors.items()
        if name.startswith("network.")
    }
    _set_tensors_(module, saved, description["shared"])
    _set_numbers_(module, description["numbers"])
    for place in description["scaled"]:
        of_layer = {k: tensors[f"{place}.{k}"] for k in AROUND[place]}
        if (scaled := f"{place}.scaled") in tensors:  # of some columns that are read
            of_layer["scaled"] = tensors[scaled]
        module = wrap(module, place, _layer_of(inputs, of_layer))
    module.eval()
    expected = tensors["check"]
    with _blaming(params["module"]):
        outputs = _outputs(module, _shape_read(inputs, support))
    finite = expected[expected.isfinite()]
    scale = float(finite.abs().max()) if len(finite) else 0.0
    if outputs.shape != expected.shape or not torch.allclose(
        outputs, expected, rtol=0, atol=TOLERANCE * scale + 1e-6, equal_nan=True
    ):
        raise ValueError(
            "The network that `module` makes has the tensors that were saved, and "
            "computes something else. Pass the `module` of the fit."
        )
    return module


@contextmanager
def _blaming(module: Any) -> Iterator[None]:
    """Say of an error of the user's own code that it is not the code of the fit."""
    try:
        yield
    except Exception as error:  # of any type: the code may do anything
        if not is_custom(module):
            raise
        name = getattr(module, "__name__", type(module).__name__)
        raise ValueError(
            f"`module` does not make the network of the fit. Got {name}, which raises "
            f"{type(error).__name__}: {error}. Pass the `module` of the fit."
        ) from error


def _build_dense(
    inputs: Inputs, targets: Targets, params: dict[str, Any], defaults: dict[str, Any]
) -> nn.Module:
    """Build the dense network, without weights if its code is known to allow that.

    `defaults` are those of the day of the fit.
    """
    given = {name: v for name, v in defaults.items() if name != SIZES} | {
        name.removeprefix("module__"): value
        for name, value in params.items()
        if name.startswith("module__")
    }
    module = params["module"]
    how = {
        "targets": targets,
        "module": module,
        "hidden_layer_sizes": params[SIZES],
        "params": given,
    }
    if is_custom(module):
        with seeded(0, torch.device("cpu")), _blaming(module):
            dense = dense_module(inputs, **how)
            return with_prunable_norms(dense, has_registered_rule)
    given.pop("weights", None)  # a file to start from, not needed again
    with torch.device("meta"):
        return dense_module(inputs, **how)


def _shape_read(inputs: Inputs, support: np.ndarray) -> tuple[int, ...]:
    """Return the shape of what the finished network is given for one row."""
    return tuple(map(len, inputs.positions_read(support)))


def _outputs(module: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """Return the outputs for two rows that look random and are always the same.

    They are in [0, 1), as an embedding would read them as positions.
    """
    n = 2 * torch.Size(shape).numel()
    rows = (torch.arange(n, dtype=torch.float64) * GOLDEN % 1).view(2, *shape)
    with torch.no_grad():
        return module(rows.to(**kind_of_rows(module))).detach()


# What a fit puts around the user's network, and the tensors of each.
AROUND = {
    "frame": ("channels", "rows", "columns"),
    "columns": ("source", "level", "gap", "fill"),
    "places": ("weight", "places"),
    "inputs": ("scale", "shift"),
    "targets": ("scale", "shift"),
}


def _unwrap(module: nn.Module) -> tuple[nn.Module, dict[str, nn.Module]]:
    """Return the user's network, and what a fit put around it, inner first."""
    found: list[tuple[str, nn.Module]] = []
    while isinstance(module, nn.Sequential):
        children = dict(module.named_children())
        around = [
            n
            for n, c in children.items()
            if isinstance(c, Affine | EncodeColumns | Frame | ScatterInputs)
        ]
        if not around:
            break
        found.append((around[0], children[around[0]]))
        module = children["network"]
    return module, dict(reversed(found))


def _layer_of(inputs: Inputs, tensors: dict[str, Tensor]) -> nn.Module:
    """Return a layer that a fit put around the user's network."""
    if "scale" in tensors:
        return Affine(**tensors)
    if "rows" in tensors:
        return Frame(**tensors)
    if "source" in tensors:
        return EncodeColumns(**tensors)
    layer = ScatterInputs(inputs.network_shape[0], tensors.get("scaled"))
    layer.weight, layer.places = nn.Parameter(tensors["weight"]), tensors["places"]
    return layer


def _numbers(layer: nn.Module) -> dict[str, int | float]:
    return {
        name: value
        for name, value in vars(layer).items()
        if type(value) in (int, float)
    }


def _set_numbers_(module: nn.Module, numbers: dict[str, dict[str, Any]]) -> None:
    for path, changed in numbers.items():
        layer = dict(module.named_modules()).get(path)
        sizes = {n: v for n, v in changed.items() if n.startswith(PREFIX)}
        if layer is not None and sizes:
            let_sizes_follow_(layer, sizes)
        there = {} if layer is None else _numbers(layer)
        for name, number in changed.items():
            if name not in there or type(number) not in (int, type(there[name])):
                raise ValueError(
                    f"The layer {path!r} of the network that `module` makes has no "
                    f"number {name!r}. Pass the `module` of the fit."
                )
            setattr(layer, name, number)


def _set_tensors_(
    module: nn.Module, saved: dict[str, Tensor], shared: dict[str, str]
) -> None:
    """Put saved tensors in place; those that layers share stay shared."""
    there = set(names_of_tensors(module))
    groups = {name: [name] for name in saved}
    for alias, first in shared.items():
        groups[first].append(alias)
    names = {name for group in groups.values() for name in group}
    added = {n for n in names - there if _may_have(module, n)}  # a bias, by pruning
    wrong = sorted((names ^ there) - added)
    if wrong:
        has, has_not = "the network that `module` makes", "the saved one"
        if wrong[0] in names:
            has, has_not = has_not, has
        raise ValueError(
            f"The tensor {wrong[0]!r} is in {has} and not in {has_not}. Pass the "
            "`module` of the fit, with its parameters."
        )
    for first, group in groups.items():
        tensor = saved[first]
        old = None if first in added else get_tensor(module, first)
        if old is not None and (
            old.ndim != tensor.ndim
            or old.is_floating_point() != tensor.is_floating_point()
        ):
            raise ValueError(
                f"The tensor {first!r} of the network that `module` makes has shape "
                f"{tuple(old.shape)}, and {tuple(tensor.shape)} was saved. Pass the "
                "`module` of the fit."
            )
        if old is None or isinstance(old, nn.Parameter):
            trained = old is None or old.requires_grad
            tensor = nn.Parameter(tensor, requires_grad=trained)
        for name in group:
            layer, attribute = locate_tensor(module, name)
            setattr(layer, attribute, tensor)


def _may_have(module: nn.Module, name: str) -> bool:
    """Tell whether a layer has a place for a parameter, and none there."""
    path, _, attribute = name.rpartition(".")
    layer = dict(module.named_modules()).get(path)
    empty = getattr(layer, "_parameters", {})
    return attribute in empty and empty[attribute] is None
