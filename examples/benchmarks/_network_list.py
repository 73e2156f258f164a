"""The networks of `networks.py` by name, and how to make each."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from torch import nn

N_OUTPUTS = 7  # a size that no layer within has
VOCABULARY = 50  # of token models


class Case(NamedTuple):
    """A network to try: `make` returns it with random weights.

    `kind` is what a row is: "images", "columns" or "tokens" (whole numbers below
    VOCABULARY, which the network looks up).
    """

    family: str
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    kind: str = "images"


@cache
def all_cases():
    """Return all networks by name; packages are imported when one is made."""
    import _huggingface_networks
    import _peer_networks
    import _table_networks
    import _table_networks_of_papers
    import _timm_networks

    lists = (
        _peer_networks,
        _table_networks,
        _table_networks_of_papers,
        _huggingface_networks,
        _timm_networks,
    )
    cases = {}
    for module in lists:
        assert not cases.keys() & module.CASES.keys()
        cases |= module.CASES
    return cases


def case_of(name):
    """Return a network's case."""
    return all_cases()[name]


def build(name):
    """Return a network with random weights."""
    return case_of(name).make()
