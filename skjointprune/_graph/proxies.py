"""Proxies: what traced code gets in place of tensors and sizes."""

import math
import operator
from typing import Any

from torch import Tensor, fx
from torch.fx.proxy import Attribute

# Attributes of a tensor that are the same whatever is pruned: the code gets themselves,
# as `torch.autocast` and `torch.finfo` take no proxy.
SETTLED = ("device", "dtype", "is_cuda")


class Proxy(fx.Proxy):
    """A tensor or a size, which is a number where the code must have one."""

    tracer: Any  # a `Tracer`

    def __getattr__(self, name: str) -> Any:
        if name in SETTLED:
            value = self.tracer.value(self.node)
            if isinstance(value, Tensor):
                return getattr(value, name)
        return _Attribute(self, name)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._call(operator.setitem, self, key, value)

    def __index__(self) -> int:
        return operator.index(self.tracer.decide(self.node))

    def __int__(self) -> int:
        return int(self.tracer.decide(self.node))

    def __float__(self) -> float:
        return float(self.tracer.decide(self.node))

    def __round__(self, n_digits: int | None = None) -> float:
        return round(self.tracer.decide(self.node), n_digits)

    def __ceil__(self) -> Any:
        return self._call(math.ceil, self)

    def __floor__(self) -> Any:
        return self._call(math.floor, self)

    def __trunc__(self) -> Any:
        return self._call(math.trunc, self)

    def __len__(self) -> int:
        return self.tracer.length(self.node)

    def __hash__(self) -> int:  # of a size that is looked up in a set or dict
        if isinstance(self.tracer.value(self.node), Tensor):
            return id(self)
        self.tracer.hashed.append(self)
        return hash(self.tracer.decide(self.node))

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any):
        """Trace a function of numpy, such as `np.ceil` of a size."""
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        return self._call(function, *args, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any):
        """Trace a function of numpy, such as `np.prod` of a shape."""
        return self._call(func, *args, **kwargs)

    def _call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_function", function, args, kwargs)


class _Attribute(Proxy, Attribute):
    """An attribute of a proxy, such as `shape`, or a method."""


PROXIES = (Proxy, _Attribute)


def tracer_of(given: Any) -> Any:
    """Return the tracer of the proxies that a function is given, None without any."""
    flat: list[Any] = []
    fx.node.map_aggregate(given, flat.append)
    return next((a.tracer for a in flat if isinstance(a, Proxy)), None)
