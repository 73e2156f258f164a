"""Building of the network to train, from what is passed as `module`."""

from collections.abc import Sequence
from copy import deepcopy
from difflib import get_close_matches
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from .._utils.torch import evaluating
from ._images import resnet18, vgg16

NAMED_MODULES = {"resnet18": resnet18, "vgg16": vgg16}


def build_module(
    module: Any, sizes: dict[str, Any], params: dict[str, Any]
) -> nn.Module:
    """Make the network to train from a class, a factory or an instance.

    Parameters
    ----------
    module : str, class, callable or nn.Module
        A name in `NAMED_MODULES`. A callable is given `params`, and each of `sizes`
        that it has a parameter for. An instance is copied.
    sizes : dict
        From the data: `n_features_in`, `n_outputs` and `input_shape`.
    params : dict
        The estimator's `module__…` parameters, without the prefix.

    Raises
    ------
    ValueError
        If the callable has no parameter of a given name, or `params` are given with an
        instance; or if the module is a wrapper, or cannot be copied.
    TypeError
        If the callable needs more than it is given, or does not return an `nn.Module`.
    """
    if isinstance(module, nn.Module):
        if params:
            raise ValueError(
                f"`module` is an instance, so `module__{min(params)}` has no effect. "
                f"Pass the class {type(module).__name__} to set its parameters."
            )
        return _copied(module)
    if isinstance(module, str):
        module = NAMED_MODULES[module]
    if isinstance(module, type) and not issubclass(module, nn.Module):
        raise TypeError(
            f"`module` must be a class of torch.nn.Module. Got {module.__name__}; pass "
            "a class of module, a function that returns one, or an instance."
        )
    check_names(module, params, "module")
    accepted = signature(module).parameters
    filled = {name: size for name, size in sizes.items() if name in accepted}
    try:
        signature(module).bind(**(filled | params))
    except TypeError as error:
        who = getattr(module, "__name__", module)
        raise TypeError(
            f"`module` {who} cannot be called: {error}. It is given "
            "`n_features_in`, `n_outputs` and `input_shape` where it has parameters of "
            "these names; set others by `module__…`."
        ) from error
    built = module(**(filled | params))
    if not isinstance(built, nn.Module):
        raise TypeError(
            f"`module` must make a torch.nn.Module. Got {type(built).__name__}; pass "
            "a class of module, a function that returns one, or an instance."
        )
    if _has_lazy_layers(built):
        _learn_sizes_(built, sizes["input_shape"])
    return _copied(built)


def _learn_sizes_(module: nn.Module, shape: Sequence[int]) -> None:
    """Run two rows, so that lazy layers learn their sizes."""
    try:
        with evaluating(module), torch.no_grad():
            module.float()(torch.zeros(2, *shape))
    except Exception as error:
        raise ValueError(
            f"`module` {type(module).__name__} has lazy layers, and does not run on "
            f"two rows of shape {tuple(shape)} ({error}). Set the sizes of its layers."
        ) from error


def _has_lazy_layers(module: nn.Module) -> bool:
    return any(is_lazy(p) for p in [*module.parameters(), *module.buffers()])


def _copied(module: nn.Module) -> nn.Module:
    """Return a copy of a module: the user's own is never trained."""
    name = type(module).__name__
    wrapper = (
        nn.DataParallel | nn.parallel.DistributedDataParallel | torch.jit.ScriptModule
    )
    if isinstance(module, wrapper) or hasattr(module, "_orig_mod"):
        raise ValueError(
            f"`module` is a {name}, which is around the network or made of it. Pass "
            "the network itself; `compile=True` compiles it for retraining."
        )
    if _has_lazy_layers(module):
        raise ValueError(
            f"`module` {name} has lazy layers, whose sizes are not known yet. Run it "
            "on a batch before, or pass a function that makes it."
        )
    # what old norms of weights compute before each call: torch copies no such tensor
    computed = {
        id(t): t.detach().clone()
        for layer in module.modules()
        for t in vars(layer).values()
        if isinstance(t, Tensor) and not t.is_leaf
    }
    try:
        return deepcopy(module, computed)
    except Exception as error:
        raise ValueError(
            f"`module` {name} cannot be copied ({str(error).partition('. ')[0]}). Keep "
            "locks, files and results out of it; weight_norm and spectral_norm are in "
            "torch.nn.utils.parametrizations."
        ) from error


def check_names(target: Any, params: dict[str, Any], prefix: str) -> None:
    """Refuse names that a callable does not take, and guess what was meant.

    Raises
    ------
    ValueError
        For the first name that the callable does not take.
    """
    accepted = signature(target).parameters
    if any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
        return
    for name in params:
        if name not in accepted:
            near = get_close_matches(name, accepted, n=1)
            remedy = (
                f"Did you mean {prefix}__{near[0]}?"
                if near
                else f"It takes {', '.join(accepted)}."
            )
            who = getattr(target, "__name__", target)
            raise ValueError(
                f"`{prefix}` {who} has no parameter for {prefix}__{name}. {remedy}"
            )
