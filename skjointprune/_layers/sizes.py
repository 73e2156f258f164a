"""Layers whose code writes sizes down, which follow when channels go.

Code as `x.view(n, t, self.heads, self.width // self.heads)` says how many channels
there are along a dimension. When some have gone, the layer puts in how many are left.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .norms import group_norm, layer_norm, rms_norm

PREFIX = "size_of_"  # of the attributes that hold the sizes
# of one that holds the size of one row, before channels went, if rows are part of it
BEFORE = "_before"
MEAN = "mean"  # of which a size is that of before, whatever goes
OF = "_of_"  # before the number that is written, where calls alike write several
# of linear layers and convolutions that are called as functions
ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
AS_IT_IS = 0  # in place of a size: that of this dimension, which a view leaves alone


class PutSize(int):
    """A size that is put in place of one that is `written`, as its name tells."""

    written: int


class Call(NamedTuple):
    """A call with other sizes; `function` is what is called instead, None for none."""

    args: tuple
    kwargs: dict[str, Any]
    function: Callable | None = None


class Asked(NamedTuple):
    """The sizes that a call asks for.

    `call` tells calls of one layer apart by the numbers of dimensions or of parts.
    `put` returns the call with other sizes.
    """

    call: str
    sizes: tuple[Any, ...]
    put: Callable[[tuple[Any, ...]], Call]

    def name(self, i: int) -> str:
        """Return the name of the attribute that holds the size at a position."""
        return f"{PREFIX}{self.call}_at_{i}"


def asked_sizes(function: str, args: tuple, kwargs: dict[str, Any]) -> Asked | None:
    """Return the sizes that a call of a function of tensors asks for, if it does.

    `args` begin with a tensor, of numbers or of labels.
    """
    if not args and "input" in kwargs:
        kwargs = dict(kwargs)
        args = (kwargs.pop("input"),)
    if function not in READERS or not args or not isinstance(args[0], Tensor):
        return None
    return READERS[function](*args, **kwargs)


def _of_view(x: Tensor, *shape: Any, **kwargs: Any) -> Asked | None:
    if kwargs:
        if shape or not kwargs.keys() <= {"shape", "size"}:
            return None
        shape = tuple(kwargs.values())
    packed = len(shape) == 1 and isinstance(shape[0], tuple | list)
    sizes = tuple(shape[0]) if packed else shape
    if not sizes or any(isinstance(n, torch.dtype) for n in sizes):
        return None
    call = f"view_{x.ndim}_{len(sizes)}"
    return Asked(call, sizes, lambda new: Call((x, new), {}))


def _of_unflatten(x: Tensor, dim: Any, sizes: Any) -> Asked | None:
    if isinstance(dim, str):
        return None
    call = f"unflatten_{x.ndim}_{len(sizes)}"
    return Asked(call, tuple(sizes), lambda new: Call((x, dim, new), {}))


def _of_expand(x: Tensor, *shape: Any, **kwargs: Any) -> Asked | None:
    asked = _of_view(x, *shape, **kwargs)
    return asked and asked._replace(call=f"expand_{x.ndim}_{len(asked.sizes)}")


def _of_split(
    x: Tensor,
    split_size_or_sections: Any = None,
    dim: int = 0,
    split_size: Any = None,
    split_sizes: Any = None,
) -> Asked | None:
    given = (split_size_or_sections, split_size, split_sizes)
    asked: Any = next((n for n in given if n is not None), None)
    several = isinstance(asked, tuple | list)
    sizes = tuple(asked) if several else (asked,)
    call = f"split_{x.ndim}_{dim % x.ndim}_{len(sizes) if several else 'equally'}"
    return Asked(
        call, sizes, lambda new: Call((x, list(new) if several else new[0], dim), {})
    )


def _of_group_norm(x: Tensor, num_groups: Any, *args: Any, **kwargs: Any) -> Asked:
    if num_groups == 1:
        name = f"{MEAN}_group_norm_{x.ndim}"
        given = (1, *args)
        return _of_norm(name, group_norm, x, range(1, x.ndim), given, kwargs)
    call = f"group_norm_{x.ndim}"
    return Asked(call, (num_groups,), lambda new: Call((x, *new, *args), kwargs))


def _of_convolution(*args: Any, **kwargs: Any) -> Asked | None:
    """Return into how many groups the channels fall, if they do."""
    given = dict(zip(ARGUMENTS, args, strict=False)) | kwargs
    groups = given.get("groups", 1)
    if isinstance(groups, int) and groups == 1:
        return None
    return Asked(
        f"convolution_{given['input'].ndim}",
        (groups,),
        lambda new: Call((), given | {"groups": new[0]}),
    )


def _of_layer_norm(function: Callable) -> Callable[..., Asked]:
    """Return what reads calls of `layer_norm` or of `rms_norm`."""

    def read(x: Tensor, normalized_shape: Any, *args: Any, **kwargs: Any) -> Asked:
        n_dims = len(normalized_shape)
        name = f"{MEAN}_{function.__name__}_{x.ndim}_{n_dims}"
        dims = range(x.ndim - n_dims, x.ndim)
        given = (tuple(x.shape[x.ndim - n_dims :]), *args)
        return _of_norm(name, function, x, dims, given, kwargs)

    return read


def _of_norm(
    name: str,
    function: Callable,
    x: Tensor,
    dims: Sequence[int],
    given: tuple,
    kwargs: dict[str, Any],
) -> Asked:
    """Return how many numbers there are along each dimension, as of a mean.

    `function` normalises over dimensions of which a share is left.
    """

    def put(new: tuple[Any, ...]) -> Call:
        share = math.prod(x.shape[d] / new[d] for d in dims)
        instead = None if share == 1 else partial(function, share=share)
        return Call((x, *given), kwargs, instead)

    return Asked(name, tuple(x.shape), put)


def _of_mean(
    x: Tensor, dim: Any = None, *args: Any, axis: Any = None, **kwargs: Any
) -> Asked | None:
    """Return how many numbers there are along each dimension: a mean counts them all.

    Of those that are gone, which are zeros, too: what is left is made smaller.
    """
    dims = axis if dim is None else dim
    if dims is None:
        return None
    of = [dims] if isinstance(dims, int) else list(dims)

    def put(new: tuple[Any, ...]) -> Call:
        share = math.prod(x.shape[d] / new[d] for d in of)
        return Call((x * share, dims, *args), kwargs)

    return Asked(f"{MEAN}_{x.ndim}", tuple(x.shape), put)


def _of_softmax(x: Tensor, dim: Any = None, *args: Any, **kwargs: Any) -> Asked | None:
    """Return how many numbers there are along each dimension: the sum counts them all.

    Of those that are gone, which are zeros, too.
    """
    if not isinstance(dim, int):
        return None

    def put(new: tuple[Any, ...]) -> Call:
        n_gone = new[dim] - x.shape[dim]
        instead = partial(_softmax_beside_zeros, n_zeros=n_gone) if n_gone else None
        return Call((x, dim, *args), kwargs, instead)

    return Asked(f"{MEAN}_softmax_{x.ndim}", tuple(x.shape), put)


def _softmax_beside_zeros(
    x: Tensor, dim: int, *args: Any, n_zeros: int, **kwargs: Any
) -> Tensor:
    """Return the softmax of x among so many zeros more."""
    given = (*args, *kwargs.values())
    dtype = next((a for a in given if isinstance(a, torch.dtype)), None)
    zeros = torch.zeros_like(x.narrow(dim, 0, 1)) + math.log(n_zeros)  # as one number
    beside = torch.cat([x, zeros], dim).softmax(dim, dtype)
    return beside.narrow(dim, 0, x.shape[dim])


READERS: dict[str, Callable[..., Asked | None]] = {
    "view": _of_view,
    "reshape": _of_view,
    "expand": _of_expand,
    "unflatten": _of_unflatten,
    "split": _of_split,
    "split_with_sizes": _of_split,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _of_convolution),
    "group_norm": _of_group_norm,
    "layer_norm": _of_layer_norm(layer_norm),
    "rms_norm": _of_layer_norm(rms_norm),
    "mean": _of_mean,
    "softmax": _of_softmax,
}
# What layers of torch call by themselves, with sizes that they hold as attributes.
CALLED_BY: dict[type[nn.Module], str] = {
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), "convolution"),
    nn.GroupNorm: "group_norm",
    nn.LayerNorm: f"{MEAN}_layer_norm",
    nn.RMSNorm: f"{MEAN}_rms_norm",
    **dict.fromkeys((nn.Softmax, nn.Softmax2d), f"{MEAN}_softmax"),
    nn.Unflatten: "unflatten",
}


def reaches_layers(layer: nn.Module, name: str) -> bool:
    """Tell whether a layer of torch within would be given a size of that name, too."""
    call = name.removeprefix(PREFIX)
    kinds = tuple(k for k, of in CALLED_BY.items() if call.startswith(f"{of}_"))
    return any(
        isinstance(within, kinds) and getattr(within, "groups", 0) != 1
        for within in layer.modules()
        if within is not layer
    )


class WithSizes(nn.Module):
    """A layer that puts sizes, which are attributes of it, in place of those written.

    `let_sizes_follow_` makes a layer one. Its class is a subclass of its own class.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the layer, with sizes put in."""
        with _PutSizes(self):
            return super().__call__(*args, **kwargs)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # a class that is made on the way cannot be found by its name
        reduced: Any = super().__reduce_ex__(protocol)
        _, _, *state = reduced
        return _make, (type(self).__mro__[2],), *state


class _PutSizes(TorchFunctionMode):
    """Puts a layer's sizes in place of those that its code asks for."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.held = vars(layer)

    def __torch_function__(self, func, types, args=(), kwargs=None) -> Any:
        name = getattr(func, "__name__", "")
        if name in READERS:
            call = put_sizes(self.held, name, args, kwargs or {})
            return (call.function or func)(*call.args, **call.kwargs)
        return func(*args, **(kwargs or {}))


def put_sizes(
    held: dict[str, Any],
    function: str,
    args: tuple,
    kwargs: dict[str, Any],
    traced: bool = False,
) -> Call:
    """Return a call with the sizes that a layer's attributes hold.

    Where it is `traced`, they know what was written.
    """
    asked = asked_sizes(function, args, kwargs)
    if asked is None:
        return Call(args, kwargs)
    names = [_name_in(held, asked.name(i), n) for i, n in enumerate(asked.sizes)]
    if not any(name in held for name in names):
        return Call(args, kwargs)
    sizes = [
        n
        if name not in held or (isinstance(n, int) and n < 0)  # torch finds out
        # rows, so many times what each has
        else n // held[name + BEFORE] * held[name]
        if name + BEFORE in held
        else args[0].shape[i]
        if held[name] == AS_IT_IS
        else held[name]
        for i, (name, n) in enumerate(zip(names, asked.sizes, strict=True))
    ]
    if traced:
        sizes = [
            _put(n, old) if OF in name else n
            for name, n, old in zip(names, sizes, asked.sizes, strict=True)
        ]
    return asked.put(tuple(sizes))


def _name_in(held: dict[str, Any], name: str, n: Any) -> str:
    """Return the name of a size by its number, too, if there is one."""
    by_number = f"{name}{OF}{int(n)}" if isinstance(n, int) else name
    return by_number if by_number in held else name


def _put(size: int, written: int) -> PutSize:
    put = PutSize(size)
    put.written = int(written)
    return put


@cache
def _class_of(kind: Any) -> Any:
    about = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (WithSizes, kind), about)


def _make(kind: Any) -> nn.Module:
    return _class_of(kind).__new__(_class_of(kind))


def let_sizes_follow_(layer: nn.Module, sizes: dict[str, int]) -> None:
    """Give a layer sizes, by the names of `Asked.name`, to put in."""
    if not isinstance(layer, WithSizes):
        kind: Any = type(layer)
        layer.__class__ = _class_of(kind)
    for name, size in sizes.items():
        stays = name.endswith(BEFORE) or name.startswith(f"{PREFIX}{MEAN}_")
        if not (stays and hasattr(layer, name)):
            setattr(layer, name, size)
