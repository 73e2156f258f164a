"""Sizes that code asks for, and which of them a layer must put in when channels go.

`x.view(n, t, 4, 8)` holds for as many channels as there were. Code asks for numbers
that it writes down, keeps as attributes, or computes from the shape of another tensor.
Where these do not follow, the layer whose code it is puts in others
(`_layers/sizes.py`).
"""

from itertools import groupby
from typing import Any

import torch

from .._layers.sizes import AS_IT_IS, BEFORE, OF, PutSize, reaches_layers
from .counted import Counted
from .held_numbers import HeldInt
from .labels import Labels, SizeAsked
from .tracer import ROWS


def settle_sizes(labels: Labels) -> None:
    """Let sizes that do not follow be put in by layers, or pin what they count."""
    put = [size for size in labels.sizes if size.name is not None]
    for size in labels.sizes:
        if size.name is None and not _follows(labels, size):
            _pin(labels, [size])

    def place(size: SizeAsked) -> tuple[str, str]:
        return size.owner, str(size.name)

    _settle_means(labels)
    for (owner, name), group in groupby(sorted(put, key=place), place):
        sizes = list(group)
        if all(_follows(labels, size) for size in sizes):
            continue
        if reaches_layers(labels.module.get_submodule(owner), name):
            _pin(labels, [size for size in sizes if not _follows(labels, size)])
            continue
        sizes += _within(owner, name, put)
        full = f"{owner}.{name}".removeprefix(".")
        if all(size.kept for size in sizes):
            labels.put_in[full] = sizes
            continue
        written = {_written(size) for size in sizes}
        if len(written) == 1 or any(_changes(labels, size) for size in sizes):
            _put_in(labels, full, sizes)
            continue
        for number in sorted(written):  # as of queries, and of fewer keys
            some = [size for size in sizes if _written(size) == number]
            if not all(_follows(labels, size) for size in some):
                _put_in(labels, f"{full}{OF}{number}", some)


def _put_in(labels: Labels, full: str, sizes: list[SizeAsked]) -> None:
    """Let a layer put one number in at each of several calls, or pin what it counts."""
    vary = {labels.vary(size.x, size.dim) for size in sizes}
    asked = {(int(size.n), _has_rows(size)) for size in sizes}
    if len(asked) > 1 or len(vary) > 1:
        _pin(labels, [size for size in sizes if not _follows(labels, size)])
        return
    labels.put_in[full] = sizes
    if vary == {True}:
        for size in sizes:
            along = labels.channels(size.x, size.dim)
            labels.bind(full, 0, "count", along[: _numbers_put_in(size)])


def _written(size: SizeAsked) -> int:
    """Return a size as the code writes it, also where another was put in."""
    return size.n.written if isinstance(size.n, PutSize) else int(size.n)


def _changes(labels: Labels, size: SizeAsked) -> bool:
    """Tell whether the code itself asks for another size once channels went."""
    held = isinstance(size.n, HeldInt) and size.n.name in labels.renewed
    return held or isinstance(size.n, Counted) or _has_rows(size)


def _within(owner: str, name: str, sizes: list[SizeAsked]) -> list[SizeAsked]:
    """Return what the layers within one ask for: it goes through its hands, too."""
    return [
        size
        for size in sizes
        if size.name == name and size.owner.startswith(f"{owner}.".lstrip("."))
        if size.owner != owner
    ]


def _settle_means(labels: Labels) -> None:
    """Let layers count channels that are gone in means, or pin those in the means.

    A layer has one number for all means over a dimension of tensors of as many.
    """
    for size in labels.means:
        name = str(size.name)
        if not labels.vary(size.x, size.dim):
            continue
        alike = [s for s in labels.means if (s.owner, s.name) == (size.owner, name)]
        alike += _within(size.owner, name, labels.means)
        owner = labels.module.get_submodule(size.owner)
        if len({s.n for s in alike}) > 1 or reaches_layers(owner, name):
            labels.pin(size.x, f"{size.node!r} is one of several means in a layer")
        else:
            labels.put_in[f"{size.owner}.{name}".removeprefix(".")] = [size]


def renew_divisors(labels: Labels) -> None:
    """Let attributes count heads where sizes are divided by them: quotients then stay.

    As in `x.reshape(n, t, self.n_heads, d // self.n_heads) / (d // self.n_heads)**0.5`.
    """
    found = labels.quotients()
    for size in labels.sizes:  # code that divides as well, where no quotient says so
        if isinstance(size.n, HeldInt) and size.n.in_product:
            found.setdefault(size.n.name, [])
    for name, quotients in found.items():
        asked = [
            size
            for size in labels.sizes
            if isinstance(size.n, HeldInt) and size.n.name == name
        ]
        by: Any = quotients[0][0].by if quotients else asked[0].n
        heads = [size for size in asked if size.n == by]
        if not heads or by is None or by.used or name in labels.renewed:
            continue
        if not all(labels.vary(size.x, size.dim) for size in asked):
            continue
        one = labels.multiples(heads[0].x, heads[0].dim)
        several = [labels.multiples(size.x, size.dim) for size in asked]
        several += [labels.multiples(*number.of[0]) for number, _ in quotients]
        if all(_is_multiple(many, one) for many in several):
            for size in heads:
                labels.bind(name, 0, "count", labels.channels(size.x, size.dim))
            why = f"their number, {name!r}, divides others"
            labels.renewed[name] = quotients[0][1] if quotients else why


def _is_multiple(parts: dict[int, int], heads: dict[int, int]) -> bool:
    """Tell whether a size is a multiple of another, whatever goes."""
    each = {many / heads.get(root, 1) for root, many in parts.items()}
    return parts.keys() == heads.keys() and len(each) == 1


def _has_rows(size: SizeAsked) -> bool:
    """Tell whether a size counts rows as well: each has the same labels.

    Rows are in the first dimension, if it is a multiple of them. It is not where it
    holds queries, keys and values: then they may be in any other.
    """
    if int(size.n) % ROWS or (size.dim != 0 and len(size.x) % ROWS == 0):
        return False
    first, *others = size.x.movedim(size.dim, 0).tensor_split(ROWS)
    return all(torch.equal(first, other) for other in others)


def _numbers_put_in(size: SizeAsked) -> int:
    """Return a size as it is put in: of one row, where rows are part of it."""
    return int(size.n) // ROWS if _has_rows(size) else int(size.n)


def _follows(labels: Labels, size: SizeAsked) -> bool:
    """Tell whether a size is right whatever channels go."""
    varies = labels.vary(size.x, size.dim)
    if isinstance(size.n, HeldInt) and size.n.name in labels.renewed:
        return varies
    if isinstance(size.n, Counted) and labels.stays(size.n):
        return not varies
    if not isinstance(size.n, Counted):
        return not varies
    if not varies:
        return not labels.counts_channels(size.n)
    # channels that all hang together stay as many, and a number of them is one written
    return labels.counts_channels(size.n) and labels.counts(size.n, size.x)


def _pin(labels: Labels, sizes: list[SizeAsked]) -> None:
    for size in sizes:
        if isinstance(size.n, Counted):
            why = f"their number is a size at {size.node!r}"
            labels.pin(torch.tensor(labels.counted_by(size.n), dtype=torch.int64), why)
        else:
            why = f"their number, {size.n}, is written at {size.node!r}"
        if labels.vary(size.x, size.dim):
            labels.pin(size.x, why)


def next_choices(labels: Labels) -> dict[str, int]:
    """Return the choices to take at splits instead, where nothing could go by this.

    Of channels that are all pinned, or all tied, none can go. The splits of one layer
    go on together, as queries and values do. After the last choice comes the first
    again. Splits that choose last go on where no other can, and all others begin again.
    """
    pinned = labels.reasons_of_roots()
    stuck = set()
    for split in labels.splits.values():
        free = labels.roots_in(labels.members(split.x))
        if len(free) < 2 or free <= pinned.keys():
            stuck.add(split.owner)
    more = {}
    for node, split in labels.splits.items():
        chosen = labels.chosen.get(node, 0)
        if split.owner in stuck and chosen < split.n_choices:
            more[node] = chosen + 1
    first = {node: n for node, n in more.items() if not labels.splits[node].is_last}
    if first or not more:
        return first
    return dict.fromkeys(labels.splits, 0) | more


def sizes_to_put_in(labels: Labels) -> dict[str, dict[str, int]]:
    """Return the sizes that each layer puts in: by its name, by their names.

    Layers around which nothing can go need none.
    """
    pinned = labels.reasons_of_roots()
    found: dict[str, dict[str, int]] = {}
    needed = set()
    for full, sizes in labels.put_in.items():
        owner, _, name = full.rpartition(".")
        kept = all(size.kept for size in sizes)
        n = AS_IT_IS if kept else _numbers_put_in(sizes[0])
        found.setdefault(owner, {})[name] = n
        if not kept and _has_rows(sizes[0]):
            found[owner][name + BEFORE] = n
        counted = [
            i
            for size in sizes
            for i in (
                *labels.members(size.x),
                *(labels.counted_by(size.n) if isinstance(size.n, Counted) else ()),
            )
        ]
        if not labels.roots_in(counted) <= pinned.keys():
            needed.add(owner)
    return {owner: sizes for owner, sizes in found.items() if owner in needed}
