"""Counts, on a CPU, where the host would wait for a GPU."""

import torch
from skorch.callbacks import Callback
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# What they return depends on numbers of tensors: a Python number, or a size.
READS = {
    "aten::_local_scalar_dense",  # of item(), bool(), float(), int()
    "aten::equal",
    "aten::is_nonzero",
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "aten::repeat_interleave.Tensor",
    "aten::bincount",
}
INDEXING = {"aten::index.Tensor", "aten::index_put_"}
COPIES = {Tensor.tolist, Tensor.numpy, Tensor.cpu}  # which on a CPU call nothing


class _OfOperations(TorchDispatchMode):
    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name()
        masks = [
            index
            for index in (args[1] if name in INDEXING else ())
            if index is not None and index.dtype == torch.bool
        ]
        if name in READS or masks:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


class _OfMethods(TorchFunctionMode):
    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in COPIES:
            self.seen.append(func.__name__)
        return func(*args, **(kwargs or {}))


class Waits(Callback):
    """Notes what is waited for in each training step, and before the next of its epoch.

    `between` are lists of names, one for each step after which nothing is removed;
    `at_events` one for each removal.
    """

    def __init__(self):
        self.between, self.at_events = [], []

    def on_train_begin(self, net, **kwargs):
        self.seen = []
        self.modes = [_OfOperations(self.seen), _OfMethods(self.seen)]
        for mode in self.modes:
            mode.__enter__()

    def on_train_end(self, net, **kwargs):
        for mode in reversed(self.modes):
            mode.__exit__(None, None, None)

    def on_epoch_begin(self, net, **kwargs):
        self.is_first = True

    def on_batch_begin(self, net, training=False, **kwargs):
        if not training:
            return
        prune = dict(net.callbacks_).get("prune")
        removed = prune is not None and prune.step_ in prune.event_at_
        if not self.is_first:
            (self.at_events if removed else self.between).append([*self.seen])
        self.is_first = False
        self.seen.clear()
