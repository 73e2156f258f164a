"""One fit on several ranks: processes that torch's launchers start, one for a device.

Each rank holds all rows and does all that a fit does, from the same random state. Only
the steps of training are divided. A step reads the whole batch, so that order, noise
and masks are drawn as in one process. Each rank runs the network on its share of the
rows; outputs are put together, and each rank has the loss of the whole batch, also
where a row has a loss beside the others only. It takes the gradient by its own outputs,
and the gradients of all ranks are added up before anything sees them.

There is no wrapper of torch's around the network (`DistributedDataParallel`). That
takes note of the parameters when it is made, so it would have to be renewed after each
removal, and it takes the mean of losses over shares, which of Cox's is another loss.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from itertools import groupby
from multiprocessing import current_process
from threading import current_thread, main_thread
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .._graph.network import Channels
from .._pruning.gates import InputGates
from .._pruning.saliency import Saliency
from .whole_batch import WholeBatch

Value = TypeVar("Value")
LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # set by launchers


class Ranks:
    """The processes of one fit, which ask each other in the same order.

    One that is alone asks nobody.

    Parameters
    ----------
    number, size : int
        Of this rank, from 0; of all.
    group : ProcessGroup or None
        For tensors on the CPU; others go by the default one.
    """

    def __init__(self, number: int = 0, size: int = 1, group: Any = None):
        self.number, self.size, self.group = number, size, group

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.size > 1

    def device(self, asked: torch.device) -> torch.device:
        """Return the GPU of this rank, where a GPU is asked for."""
        if not self.several or asked.type != "cuda":
            return asked
        number = int(os.environ.get("LOCAL_RANK", self.number))
        return torch.device("cuda", number % torch.cuda.device_count())

    def share(self, n_rows: int) -> slice:
        """Return the positions of the rows of a batch that this rank runs."""
        first, after = self.number, self.number + 1
        return slice(n_rows * first // self.size, n_rows * after // self.size)

    def run(self, function: Callable[[Tensor], Tensor], X: Tensor) -> Tensor:
        """Return what a function gives for a batch, of which each rank runs a share.

        Gradients reach the share of this rank only.
        """
        n = len(X)
        if n < self.size:
            return function(X)
        share = self.share(n)
        if torch.is_grad_enabled():
            with WholeBatch(n, share, self.sum_):
                outputs = function(X[share])
            self._draw_alike(X.device)
        else:
            outputs = function(X[share])
        whole = outputs.new_zeros(n, *outputs.shape[1:])
        whole[share] = outputs.detach()
        self.sum_(whole)
        return torch.cat([whole[: share.start], outputs, whole[share.stop :]])

    def sum_gradients_(self, tensors: Iterable[Tensor]) -> None:
        """Add up the gradients of tensors over ranks; one has none if no rank has."""
        if not self.several:
            return
        learnt = sorted((t for t in tensors if t.requires_grad), key=_kind)
        for _, group in groupby(learnt, key=_kind):
            alike = list(group)
            parts = [torch.zeros_like(t) if t.grad is None else t.grad for t in alike]
            there = alike[0].new_tensor([t.grad is not None for t in alike])
            flat = torch.cat([there, *(part.flatten() for part in parts)])
            self.sum_(flat)
            there, *sums = flat.split([len(alike), *(t.numel() for t in alike)])
            for tensor, part, total, n in zip(alike, parts, sums, there, strict=True):
                if n != 0:
                    tensor.grad = part.copy_(total.view_as(part))

    def of_first(self, tensor: Tensor) -> Tensor:
        """Return a tensor as rank 0 has it."""
        if not self.several:
            return tensor
        tensor = tensor.detach().clone(memory_format=torch.contiguous_format)
        self._ask(dist.broadcast, tensor, self._group_for(tensor), src=0)
        return tensor

    def value_of_first(self, value: Value) -> Value:
        """Return a number, or what else can be pickled, as rank 0 has it."""
        if not self.several:
            return value
        values = [value]
        self._ask(dist.broadcast_object_list, values, self.group, src=0)
        return values[0]

    def share_saliency(self, saliency: Saliency, gates: InputGates) -> Saliency:
        """Return a saliency that all have alike, of a network behind gates."""
        return SharedSaliency(saliency, gates, self) if self.several else saliency

    def share_(self, module: nn.Module) -> None:
        """Let a module hold the numbers that it has on rank 0.

        Raises
        ------
        ValueError
            If it has other shapes here than there.
        """
        if not self.several:
            return
        held = [*module.parameters(), *module.buffers()]
        shapes = [tuple(tensor.shape) for tensor in held]
        self.refuse_differences("The ranks came to other networks", shapes, ())
        with torch.no_grad():
            for tensor in held:
                tensor.copy_(self.of_first(tensor))

    def refuse_differences(
        self, fact: str, values: Any, tensors: Sequence[Tensor]
    ) -> None:
        """Raise ValueError, on all ranks, where values or tensors are not the same."""
        if not self.several:
            return
        seen = blake2b(repr(values).encode())
        for tensor in tensors:
            seen.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        here = seen.digest()
        differ = torch.tensor(int(here != self.value_of_first(here)))
        self.sum_(differ)
        if differ:
            raise ValueError(
                f"{fact} than rank 0: {int(differ)} of {self.size} ranks. Start all "
                "with the same X, y, parameters and versions of packages; each holds "
                "all rows."
            )

    def refuse_params(self, **given: Any) -> None:
        """Raise ValueError where a parameter asks for what one process does only."""
        for name, value in given.items():
            if self.several and value:
                raise ValueError(
                    f"`{name}` is not for a fit on several ranks. Got {value!r}; leave "
                    "it out, or start one process."
                )

    def refuse_small_batches(self, smallest: int) -> None:
        """Raise ValueError where a batch has too few rows for so many ranks."""
        if smallest < self.size:
            raise ValueError(
                f"`batch_size` must leave each rank a row. Got batches of {smallest} "
                f"rows for {self.size} ranks; raise it, or start fewer."
            )

    def sum_(self, tensor: Tensor) -> None:
        """Add up a tensor over ranks, in place."""
        self._ask(dist.all_reduce, tensor, self._group_for(tensor))

    def wait(self) -> None:
        """Go on when all ranks have come here."""
        self.sum_(torch.zeros(()))

    def _draw_alike(self, device: torch.device) -> None:
        """Take the random state of rank 0: shares may have drawn unequally often."""
        torch.set_rng_state(self.of_first(torch.get_rng_state()))
        if device.type == "cuda":
            state = self.of_first(torch.cuda.get_rng_state(device))
            torch.cuda.set_rng_state(state, device)

    def _group_for(self, tensor: Tensor) -> Any:
        return self.group if tensor.device.type == "cpu" else None

    def _ask(self, collective: Callable, given: Any, group: Any, **kwargs: Any) -> None:
        try:
            collective(given, group=group, **kwargs)
        except RuntimeError as error:
            raise ValueError(
                f"Rank {self.number} lost another of the {self.size} ranks of the fit "
                f"({str(error).splitlines()[0]}). See what stopped that one, and start "
                "all again."
            ) from error

    def close(self, *, waits: bool) -> None:
        """End; others who still ask this rank get an error, and do not wait."""
        try:
            if waits:
                self.wait()
        finally:
            group, self.group = self.group, None  # the last to hold it
            if group is not None:
                dist.destroy_process_group(group)


ALONE = Ranks()


def _kind(tensor: Tensor) -> str:
    return f"{tensor.dtype} {tensor.device}"


@contextmanager
def open_ranks() -> Iterator[Ranks]:
    """Find the ranks of this fit, which all begin it.

    They are those of torch's default process group. Where a launcher has set its
    variables, and there is no such group yet, it is made. Fits in other threads and
    in processes of joblib are by themselves: they begin in no order.
    """
    if not _is_launched():
        yield ALONE
        return
    if not dist.is_initialized():
        dist.init_process_group()
    ranks = Ranks(dist.get_rank(), dist.get_world_size(), None)
    if not ranks.several:
        yield ALONE
        return
    # A group for this fit only can be ended, where one rank fails.
    ranks.group = dist.new_group(backend="gloo")
    ended = False
    try:
        # Not all are connected yet: one that fails now would cut the others off.
        ranks.wait()
        yield ranks
        ended = True
    finally:
        ranks.close(waits=ended)


def _is_launched() -> bool:
    """Tell whether this process is one of several, and the fit its main work."""
    if not dist.is_available() or current_thread() is not main_thread():
        return False
    if dist.is_initialized():
        return True
    launched = all(name in os.environ for name in LAUNCHED)
    in_main = current_process().name == "MainProcess"
    return launched and in_main and int(os.environ["WORLD_SIZE"]) > 1


class SharedSaliency:
    """A saliency that all ranks have alike, so that they remove the same.

    Gradients of parameters are added up before it sees them; those of gates, which
    belong to no network, here.
    """

    def __init__(self, saliency: Saliency, gates: InputGates, ranks: Ranks):
        self.saliency, self.gates, self.ranks = saliency, gates, ranks

    def watch(self) -> None:
        """Take note of a training step, after its backward pass."""
        if self.gates.values:
            self.ranks.sum_gradients_(self.gates.values.values())
        self.saliency.watch()

    def measure(self, channels: Channels) -> Tensor:
        """Return the saliency of each channel, (channels,)."""
        return self.ranks.of_first(self.saliency.measure(channels))

    def measure_groups(self, channels: Channels, groups: Tensor) -> Tensor:
        """Return the saliency of groups of channels that go together, (groups,)."""
        return self.ranks.of_first(self.saliency.measure_groups(channels, groups))

    def state_dict(self) -> dict[str, Any]:
        """Return what was noted so far."""
        return self.saliency.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what another one had noted."""
        self.saliency.load_state_dict(state)

    def keep(self, name: str, mask: Tensor) -> None:
        """Forget the channels that a mask, (channels,), leaves out."""
        self.saliency.keep(name, mask)

    def scale(self, name: str, factors: Tensor) -> None:
        """Take note that the weights which read channels were scaled, (channels,)."""
        self.saliency.scale(name, factors)
