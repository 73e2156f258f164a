"""Trials: whether channels go exactly where the graph alone does not tell."""

import torch
from torch import Tensor

from .._utils.torch import kind_of_rows
from .collect import roots_made
from .compact import is_exact
from .labels import Labels
from .network import Network
from .probes import PROBED_ROWS, redraw_

# The signs and sizes by which parameters change for a trial: a ReLU may hide much.
CHANGES = ((0, 0.1), (1, 0.1), (-1, 0.1), (1, 1.0), (-1, 1.0))
SUMS = "to a sum of products, a mean or a maximum"


def pin_what_adds_to_sums_(
    network: Network, labels: Labels, inputs: Tensor, untold: set[str], vary: set[str]
) -> None:
    """Keep channels whole that add to sums of products where all of them are zero.

    After a sigmoid, for example. No weight reads these products, so it is tried. And
    so are channels of parameters of which weights are computed, as by an exponential,
    and those that are `untold` by constants, or that `vary` as zeros. What varies and
    adds to a sum stays: what it costs to make it zero there is not known.
    """
    summed = {root for along in labels.summed for root in labels.roots(along).tolist()}
    of_inputs = labels.roots_in(labels.members(inputs))
    suspects: dict[str, str] = {}  # and what is said of them where they stay
    for channels in network.channels:
        roots = of_inputs if channels is network.inputs else set()
        computed = {a.tensor for a in channels.axes} & labels.computed
        roots |= roots_made(channels, labels)
        adds = bool(roots & summed or computed)
        if channels.pinned or channels.size < 2:
            continue
        to = f"to what is computed of {min(computed)!r}" if computed else SUMS
        if adds and channels.name in vary:
            channels.pinned = f"zeroed, they still add {to}"
        elif adds:
            suspects[channels.name] = f"zeroed, they still add {to}"
        elif channels.name in untold | vary:
            suspects[channels.name] = "zeroed, they are still not constant"
    keep = {
        c.name: torch.arange(c.size) % 2 == 0
        for c in network.channels
        if c.name in suspects
    }
    if not keep or _always_goes_exactly(network, keep):  # one trial for all
        return
    for channels in network.channels:
        if channels.name not in suspects:
            continue
        found = _always_goes_exactly(network, {channels.name: keep[channels.name]})
        is_untold = channels.name in untold | vary
        if found is False or (is_untold and found is None):
            channels.pinned = suspects[channels.name]


def pin_what_is_decided_by_(network: Network, labels: Labels) -> None:
    """Keep channels whole that do not go exactly with an attribute that counts them.

    The code may do more with it than the graph tells, as by `range(self.n_features)`.
    """
    for channels in network.channels:
        counted = [a.tensor for a in channels.counted_by if a.tensor in labels.renewed]
        if channels.pinned or channels.size < 2 or not counted:
            continue
        keep = {channels.name: torch.arange(channels.size) % 2 == 0}
        if False in [_goes_exactly(network, keep, 1, by) for by in (0.1, 1.0)]:
            channels.pinned = labels.renewed[counted[0]]


def _always_goes_exactly(network: Network, keep: dict[str, Tensor]) -> bool | None:
    """Try a cut with parameters that change in five ways; None if none tells."""
    told = None
    for sign, by in CHANGES:
        found = _goes_exactly(network, keep, sign, by)
        if found is False:
            return False
        told = told or found
    return told


def _goes_exactly(
    network: Network, keep: dict[str, Tensor], sign: int, by: float
) -> bool | None:
    """Try a cut, with parameters that are drawn anew.

    None where outputs are not finite, which tells nothing.
    """
    kinds = torch.float64, kind_of_rows(network.module)["dtype"]
    for kind in kinds:  # some code has a type written down
        trial = network.copy()
        trial.module.cpu().to(kind).eval()
        generator = torch.Generator().manual_seed(0)
        redraw_(trial.module, sign, generator, by)
        # each image has many positions
        n_rows = 2 if len(network.input_shape) > 2 else PROBED_ROWS
        shape = (n_rows, *network.input_shape)
        rows = torch.rand(shape, generator=generator, dtype=kind)
        try:
            with torch.no_grad():
                tells = trial.module(rows.clone()).isfinite().all()
        except Exception:  # whatever the module raises
            continue
        return is_exact(trial, keep, rows) if tells else None
    return False
