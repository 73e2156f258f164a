"""`ImageInput`: the parameters of an estimator that are for images alone."""

from numbers import Integral
from typing import Any

from sklearn.base import BaseEstimator

from .._pruning.gates import DEFAULT_KINDS, KINDS
from .._utils.sklearn import Interval, StrOptions


class ImageInput(BaseEstimator):
    """How images are read, augmented and pruned: `images` of an estimator.

    Its parameters are reached as `images__patch_size`, also in a search.

    Parameters
    ----------
    groups : {"channel", "row", "column", "patch", "pixel", "feature"}, tuple of \
            these or None, default=None
        What of images goes together; None is ("channel", "row", "column"). Rows and
        columns are cropped; their thresholds are multiplied by half the root of the
        MACs that this saves, relative to the mean unit. What no product of channels,
        rows and columns can drop is zeroed, and its work is still done.
    patch_size : int, default=4
        Height and width of a patch, in pixels.
    transform : callable or None, default=None
        Augments images for training: given one as a tensor, (channels, height, width),
        of the type of X and not yet cropped or standardised, returns another of the
        same shape and range.
    transform_batches : bool, default=False
        Whether `transform` is given the images of a step at once, (n, channels,
        height, width), on the device; which is faster, above all on a GPU.
    num_workers : int, default=0
        Processes that read images, and augment them one by one, ahead of the network
        in training, as those of torch's `DataLoader`. 0 reads each batch when it is
        due.

    See Also
    --------
    JointPruneClassifier : Takes it as `images`.

    Examples
    --------
    >>> from skjointprune import ImageInput, JointPruneClassifier
    >>> clf = JointPruneClassifier(module="vgg16", images=ImageInput(groups="row"))
    >>> clf.set_params(images__patch_size=8).images
    ImageInput(groups='row', patch_size=8)
    """

    _parameter_constraints = {  # noqa: RUF012
        "groups": [StrOptions(set(KINDS)), tuple, list, None],
        "patch_size": [Interval(Integral, 1, None, closed="left")],
        "transform": [callable, None],
        "transform_batches": ["boolean"],
        "num_workers": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        groups=None,
        *,
        patch_size=4,
        transform=None,
        transform_batches=False,
        num_workers=0,
    ):
        self.groups = groups
        self.patch_size = patch_size
        self.transform = transform
        self.transform_batches = transform_batches
        self.num_workers = num_workers


def resolve_kinds(groups: Any) -> tuple[str, ...]:
    """Return the kinds of groups that may go.

    Raises
    ------
    ValueError
        If there is none, one is unknown, or "feature" is beside another.
    """
    if groups is None:
        return DEFAULT_KINDS
    kinds = (groups,) if isinstance(groups, str) else tuple(groups)
    strange = [kind for kind in kinds if not isinstance(kind, str)]
    if strange:
        raise ValueError(
            "`images__groups` must hold names of kinds of groups, such as 'row'. Got "
            f"{strange[0]!r}; choose from {sorted(KINDS)}."
        )
    if not kinds or not set(kinds) <= set(KINDS) or len(set(kinds)) < len(kinds):
        raise ValueError(
            f"`images__groups` must name some of {KINDS}, each once. Got {groups!r}; "
            "'row' alone, or ('row', 'column'), for example."
        )
    if "feature" in kinds and len(kinds) > 1:
        raise ValueError(
            f"'feature' is each number of an image alone. Got `images__groups`="
            f"{groups!r}; leave the others out."
        )
    return kinds
