"""Overlap of sets of inputs."""

import math
from itertools import combinations

import numpy as np


def mean_jaccard(supports) -> float:
    """Return the mean overlap of pairs of sets of inputs; NaN if there is one set.

    The overlap of two sets is the number of inputs in both, over the number in either.
    `supports` are masks, (n_sets, n_features).
    """
    pairs = list(combinations(np.asarray(supports, dtype=bool), 2))
    either = [(a | b).sum() for a, b in pairs]
    both = [(a & b).sum() for a, b in pairs]
    overlaps = [b / e if e else 1.0 for b, e in zip(both, either, strict=True)]
    return float(np.mean(overlaps)) if pairs else math.nan
