"""Numbers that the traced code computes from sizes, which know what they count."""

from torch import Tensor

from .held_numbers import HeldInt


class Counted:
    """A number that the traced code computes from sizes.

    `of` holds tensors of labels, each with the dimension whose size was used;
    `computed` tells whether the number is computed from sizes, and not one itself. `by`
    is what a size was divided by, if the number depends on nothing else.
    """

    of: list[tuple[Tensor, int]]
    computed: bool = False
    by: int | None = None

    @property
    def by_attribute(self) -> str | None:
        """The name of the attribute that a size was divided by, if it was one."""
        return self.by.name if isinstance(self.by, HeldInt) else None


class CountedInt(Counted, int):
    """A whole number, such as a size."""


class CountedFloat(Counted, float):
    """A real number, such as the square root of a size."""
