"""Tables whose true inputs are known, to see whether a selection finds them."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from sklearn.utils import Bunch, check_array, check_random_state

from ._utils.sklearn import Interval, StrOptions, validate_params

__all__ = ["PLANTED_KINDS", "make_planted"]

Rule = Callable[[np.ndarray], np.ndarray]
Noise = Callable[[np.random.RandomState, int], np.ndarray]


def _normal(random_state: np.random.RandomState, shape) -> np.ndarray:
    return random_state.normal(size=shape)


def _uniform(random_state: np.random.RandomState, shape) -> np.ndarray:
    return random_state.uniform(size=shape)


def _student(random_state: np.random.RandomState, shape) -> np.ndarray:
    return random_state.standard_t(2, size=shape)


@dataclass(frozen=True)
class _Kind:
    """A rule over the true inputs Z, (rows, n_true), and what is around it.

    `copies` are the positions in Z of what has a copy among the other inputs, each
    that input plus normal noise of standard deviation `blur`.
    """

    formula: str
    n_true: int
    rule: Rule
    task: str = "classification"
    draw: Callable = _normal
    noise: Noise | None = None
    noise_std: float = 1.0
    copies: tuple[int, ...] = ()
    blur: float = 0.0


_KINDS = {
    "linear": _Kind(
        "1 if z1 - z2 + z3 - z4 + z5 > 0, else 0",
        5,
        lambda Z: Z @ np.array([1, -1, 1, -1, 1]) > 0,
    ),
    "xor": _Kind("1 if z1 z2 > 0, else 0", 2, lambda Z: Z[:, 0] * Z[:, 1] > 0),
    "ring": _Kind(
        "1 if z1^2 + z2^2 > 2 log 2, else 0",  # the median
        2,
        lambda Z: (Z**2).sum(axis=1) > 2 * np.log(2),
    ),
    "friedman1": _Kind(
        "10 sin(pi z1 z2) + 20 (z3 - 0.5)^2 + 10 z4 + 5 z5 + e, z uniform on [0, 1)",
        5,
        lambda Z: (
            10 * np.sin(np.pi * Z[:, 0] * Z[:, 1])
            + 20 * (Z[:, 2] - 0.5) ** 2
            + 10 * Z[:, 3]
            + 5 * Z[:, 4]
        ),
        task="regression",
        draw=_uniform,
        noise=_normal,
    ),
    "correlated": _Kind(
        "1 if z1 - z2 + z3 > 0, else 0; two copies of each z, z + 0.5 e",
        3,
        lambda Z: Z @ np.array([1, -1, 1]) > 0,
        copies=(0, 0, 1, 1, 2, 2),
        blur=0.5,
    ),
    "products": _Kind(
        "z1 z2 + z3 z4 + 0.1 e",
        4,
        lambda Z: Z[:, 0] * Z[:, 1] + Z[:, 2] * Z[:, 3],
        task="regression",
        noise=_normal,
        noise_std=0.1,
    ),
    "sine": _Kind(
        "sin(2 z1) + sin(2 z2) + 0.1 e",
        2,
        lambda Z: np.sin(2 * Z).sum(axis=1),
        task="regression",
        noise=_normal,
        noise_std=0.1,
    ),
    "duplicate": _Kind(
        "1 if z1 z2 > 0, else 0; one copy of z1, z1 + 0.3 e",
        2,
        lambda Z: Z[:, 0] * Z[:, 1] > 0,
        copies=(0,),
        blur=0.3,
    ),
    "heavy_tails": _Kind(
        "2 z1 - 2 z2 + 2 z3 + t, t of Student's distribution with 2 degrees of freedom",
        3,
        lambda Z: Z @ np.array([2, -2, 2]),
        task="regression",
        noise=_student,
    ),
    "imbalanced": _Kind(
        "1 if z1 + z2 + z3 > 2.849, else 0: one row in twenty",  # 1.645 sqrt(3)
        3,
        lambda Z: Z.sum(axis=1) > 2.849,
    ),
    "three_signs": _Kind("1 if z1 z2 z3 > 0, else 0", 3, lambda Z: Z.prod(axis=1) > 0),
}
PLANTED_KINDS = tuple(_KINDS)


@validate_params(
    {
        "kind": [StrOptions(set(_KINDS))],
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "X": ["array-like", None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_planted(kind, n_samples=2000, n_features=100, *, X=None, random_state=None):
    """Make a table of which a few inputs decide the target.

    With z1, z2, … for the true inputs, which are columns drawn at random, and e for
    standard normal noise, drawn anew wherever it stands:

    ============== =================================================== ==============
    kind           target                                              task
    ============== =================================================== ==============
    "linear"       z1 - z2 + z3 - z4 + z5 > 0                          classification
    "xor"          z1 z2 > 0                                           classification
    "ring"         z1^2 + z2^2 > 2 log 2                               classification
    "friedman1"    10 sin(pi z1 z2) + 20 (z3 - 0.5)^2 + 10 z4 + 5 z5   regression
                   + e [1]_
    "correlated"   z1 - z2 + z3 > 0, and of each z two other columns   classification
                   are copies, z + 0.5 e
    "products"     z1 z2 + z3 z4 + 0.1 e                               regression
    "sine"         sin(2 z1) + sin(2 z2) + 0.1 e                       regression
    "duplicate"    z1 z2 > 0, and another column is a noisy            classification
                   duplicate, z1 + 0.3 e
    "heavy_tails"  2 z1 - 2 z2 + 2 z3 + t, with t of Student's         regression
                   distribution with 2 degrees of freedom
    "imbalanced"   z1 + z2 + z3 > 2.849, one row in twenty             classification
    "three_signs"  z1 z2 z3 > 0                                        classification
    ============== =================================================== ==============

    A class is 1 where the inequality holds, else 0, without exceptions. Inputs are
    independent and standard normal, but for copies, and for "friedman1", where all
    are uniform on [0, 1).

    The true inputs are the z alone, and not their copies: given the z, a copy says
    nothing more about the target, while no copy says all that its z does. So they are
    the one smallest set that the target depends on, its Markov blanket.

    Parameters
    ----------
    kind : str
        One of the above; all are in `PLANTED_KINDS`.
    n_samples : int, default=2000
        Number of rows.
    n_features : int, default=100
        Number of columns, the true ones and copies among them.
    X : array-like of shape (rows, columns) or None, default=None
        Inputs to plant the target in, instead of drawn ones: correlated ones, say. Its
        shape stands for `n_samples` and `n_features`. Copies replace columns of it.
    random_state : int, RandomState or None, default=None
        Seed of the true columns, the inputs and the noise.

    Returns
    -------
    Bunch
        With `data`, ndarray of shape (n_samples, n_features); `target`, ndarray of
        shape (n_samples,), int classes or float numbers; `signal`, the target without
        noise; `support`, ndarray of shape (n_features,), bool, the true inputs;
        `true_inputs`, their positions in the order z1, z2, …; `copies`, dict of the
        position of each copy to that of its original; `task`, "classification" or
        "regression"; and `DESCR`, the rule.

    Raises
    ------
    ValueError
        If there is no such kind, or `n_features` leaves no room for it.

    References
    ----------
    .. [1] Friedman, "Multivariate adaptive regression splines", Annals of Statistics
       19 (1991); as `sklearn.datasets.make_friedman1`, but for the order of columns.

    Examples
    --------
    >>> from skjointprune.datasets import make_planted
    >>> table = make_planted("xor", n_samples=200, n_features=10, random_state=0)
    >>> table.data.shape, table.support.sum()
    ((200, 10), np.int64(2))
    >>> z1, z2 = table.data[:, table.true_inputs].T
    >>> bool(((z1 * z2 > 0) == table.target).all())
    True
    """
    planted = _KINDS[kind]
    if X is not None:
        X = check_array(X, dtype=np.float64, copy=True, input_name="X")
        n_samples, n_features = X.shape
    n_used = planted.n_true + len(planted.copies)
    if n_features < n_used:
        raise ValueError(
            f"`n_features` must be at least {n_used}, the true inputs of {kind!r} and "
            f"their copies. Got {n_features}; raise it."
        )
    rng = check_random_state(random_state)
    if X is None:
        X = planted.draw(rng, (n_samples, n_features))
    used = rng.permutation(n_features)[:n_used]
    true, copied = used[: planted.n_true], used[planted.n_true :]
    originals = true[list(planted.copies)]
    X[:, copied] = X[:, originals] + planted.blur * rng.normal(
        size=(n_samples, len(copied))
    )

    signal = planted.rule(X[:, true])
    target = signal = signal.astype(int if planted.task == "classification" else float)
    if planted.noise is not None:
        target = signal + planted.noise_std * planted.noise(rng, n_samples)
    support = np.zeros(n_features, dtype=bool)
    support[true] = True
    return Bunch(
        data=X,
        target=target,
        signal=signal,
        support=support,
        true_inputs=true,
        copies=dict(zip(copied.tolist(), originals.tolist(), strict=True)),
        task=planted.task,
        DESCR=f"{kind}: {planted.formula}",
    )
