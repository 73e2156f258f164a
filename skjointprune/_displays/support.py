"""Picture of a support: inputs as pixels of an image, or as ranked bars."""

import math

import numpy as np

from .._utils.input_names import input_names
from .._utils.unwrap import (
    find_estimator_with,
    find_final_estimator,
    find_inner_estimator,
)
from .pixels import draw_pixels, figure_size
from .style import RETAINED, label_bars, make_axes


class SupportDisplay:
    """The inputs that are retained, as an image or as ranked bars.

    Make one with `from_estimator`; all parameters are attributes.

    Parameters
    ----------
    support : array-like of shape (n_features,) or (channels, height, width), bool
        Which inputs are retained.
    importances : array-like of the shape of support, or None, default=None
        The importance of each.
    importances_se : array-like of the shape of support, or None, default=None
        Their standard errors, which bars show; NaN where one is not known.
    feature_names : array-like of shape (n_features,) or None, default=None
        Names of columns; None is x0, x1, …, or x0_1_2 of an image.
    image_shape : tuple of int or None, default=None
        (height, width) or (channels, height, width), where the columns of a table are
        the numbers of an image. None is the shape of `support`, if it has three
        dimensions.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the picture.
    figure_ : matplotlib Figure
        The figure that holds them.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skjointprune import JointPruneClassifier, SupportDisplay
    >>> clf = JointPruneClassifier((16,), max_epochs=8, retrain_epochs=0)
    >>> clf = clf.fit(*load_digits(return_X_y=True))
    >>> display = SupportDisplay.from_estimator(clf, image_shape=(8, 8))
    >>> display.support.shape
    (1, 8, 8)
    """

    def __init__(
        self,
        support,
        *,
        importances=None,
        importances_se=None,
        feature_names=None,
        image_shape=None,
    ):
        support = np.asarray(support, dtype=bool)
        shape_of_names = support.shape  # a table's, even if it is shown as an image
        if image_shape is None and support.ndim == 3:
            image_shape = support.shape
        self.image_shape = None
        if image_shape is not None:
            self.image_shape = _check_image_shape(image_shape, support.size)
            support = support.reshape(self.image_shape)
        self.support = support
        self.importances = _numbers_of_inputs("importances", importances, support)
        self.importances_se = _numbers_of_inputs(
            "importances_se", importances_se, support
        )
        self.feature_names = feature_names
        self._names = input_names(shape_of_names, feature_names)
        if len(self._names) != support.size:
            raise ValueError(
                f"`feature_names` must hold one name for each of the {support.size} "
                f"inputs of `support`. Got {len(self._names)}; None is x0, x1, …."
            )

    @classmethod
    def from_estimator(
        cls,
        estimator,
        *,
        image_shape=None,
        feature_names=None,
        ax=None,
        kind=None,
        values=None,
        n_top=20,
        cmap=None,
        colorbar=True,
    ):
        """Plot the inputs that a fitted estimator keeps.

        Parameters
        ----------
        estimator : estimator with `get_support`
            Fitted. Where it, or the one that a selector fitted, has
            `feature_importances_`, these are shown; and `feature_importances_se_`, as
            bars of one standard error. Of a search the best one, of a Pipeline the
            last step.
        image_shape : tuple of int or None, default=None
            (height, width) or (channels, height, width), where the columns of a table
            are the numbers of an image. An estimator of images knows it.
        feature_names : array-like of shape (n_features,) or None, default=None
            Names of columns. None takes `feature_names_in_`, or x0, x1, ….
        ax, kind, values, n_top, cmap, colorbar
            As in `plot`.

        Returns
        -------
        SupportDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If it selects no inputs, `image_shape` does not fit its number of inputs,
            and as in `plot`.
        ImportError
            If matplotlib is not installed.
        """
        estimator = find_final_estimator(estimator)
        support = find_estimator_with("get_support", estimator).get_support()
        if feature_names is None:
            feature_names = getattr(estimator, "feature_names_in_", None)
        display = cls(
            support,
            importances=_find("feature_importances_", estimator, support.size),
            importances_se=_find("feature_importances_se_", estimator, support.size),
            feature_names=feature_names,
            image_shape=image_shape,
        )
        return display.plot(
            ax, kind=kind, values=values, n_top=n_top, cmap=cmap, colorbar=colorbar
        )

    def plot(
        self,
        ax=None,
        *,
        kind=None,
        values=None,
        n_top=20,
        cmap=None,
        colorbar=True,
    ):
        """Draw the image or the bars.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw. None makes a figure. Long names find room in a figure with
            ``layout="constrained"``.
        kind : {"image", "bar"} or None, default=None
            An image of each channel, side by side; or bars of the most important
            inputs, or, without importances, of the first that are retained.
            None is "image" where there is an `image_shape`.
        values : {"importances", "support"}, array-like or None, default=None
            What an image shows of the retained inputs: their importances; that they
            are retained; or their numbers in an image that is given, of all channels
            or of one for all. None is importances where there are any, else support.
        n_top : int or None, default=20
            How many bars; None is one for each input.
        cmap : str, matplotlib Colormap or None, default=None
            Of an image of values. None is "viridis" for importances, "gray" for an
            image that is given.
        colorbar : bool, default=True
            Whether an image of importances has a scale.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no `image_shape` to draw an image, `values` has another shape,
            or `n_top` is no whole number of at least 1.
        ImportError
            If matplotlib is not installed.
        """
        if kind is None:
            kind = "bar" if self.image_shape is None else "image"
        if kind == "image":
            shown, kind_of_values = self._choose_values(values)
            size = figure_size(*self.support.shape)
            self.ax_ = make_axes(ax, "SupportDisplay", figsize=size)
            self.im_ = draw_pixels(
                self.ax_,
                self.support,
                shown,
                kind_of_values,
                cmap=cmap,
                colorbar=colorbar,
            )
        elif kind == "bar":
            self._draw_bars(ax, n_top)
        else:
            raise ValueError(
                f"`kind` must be 'image', 'bar' or None. Got {kind!r}; None picks one."
            )
        self.figure_ = self.ax_.figure
        return self

    def _choose_values(self, values) -> tuple[np.ndarray, str]:
        """Return the values of an image of the support, and their kind."""
        if self.image_shape is None:
            raise ValueError(
                "An image needs its shape. Got `image_shape`=None; pass (height, "
                "width), or use `kind`='bar'."
            )
        if values is None:
            values = "support" if self.importances is None else "importances"
        if isinstance(values, str):
            named = {"importances": self.importances, "support": self.support}
            if named.get(values) is None:
                raise ValueError(
                    "`values` must be 'importances', where there are any, 'support' or "
                    f"an image. Got {values!r}."
                )
            return named[values], values
        image = np.asarray(values, dtype=float)
        if image.shape in (self.image_shape[1:], (1, *self.image_shape[1:])):
            image = np.broadcast_to(image, self.image_shape)
        if image.size != self.support.size:
            raise ValueError(
                f"`values` must be an image of shape {self.image_shape}. Got one of "
                f"shape {image.shape}."
            )
        return image.reshape(self.image_shape), "image"

    def _draw_bars(self, ax, n_top: int | None) -> None:
        """Draw a bar for each of the first inputs, the most important first."""
        if n_top is not None and not (
            isinstance(n_top, int | np.integer) and n_top >= 1
        ):
            raise ValueError(
                "`n_top` must be a whole number of at least 1, or None for all inputs. "
                f"Got {n_top!r}; change it."
            )
        support = self.support.ravel()
        has_importances = self.importances is not None
        importances = support.astype(float)
        if self.importances is not None:
            importances = self.importances.ravel()
        # Among equals, retained ones come first, then in the order of columns.
        order = np.lexsort((~support, -importances))[:n_top]
        kept = support[order]
        positions = np.arange(len(order))
        figsize = (6.4, min(max(1.3 + 0.22 * len(order), 2.4), 24))
        ax = make_axes(ax, "SupportDisplay", figsize=figsize)
        total = support.sum()
        label = f"retained ({total:,} of {len(support):,})"
        ax.barh(positions[kept], importances[order][kept], color=RETAINED, label=label)
        if self.importances_se is not None:
            error, middle = self.importances_se.ravel()[order], importances[order]
            known = ~np.isnan(error)
            ends = [(middle + sign * error)[known] for sign in (-1, 1)]
            ax.hlines(positions[known], *ends, color="0.3")
        if not kept.all():
            # A dropped input has an importance of 0, and a bar of it no length.
            from matplotlib.transforms import offset_copy

            ax.plot(
                importances[order][~kept],
                positions[~kept],
                "x",
                color="0.5",
                markersize=5,
                transform=offset_copy(ax.transData, ax.figure, x=6, units="points"),
                label=f"dropped ({len(support) - total:,})",
            )
        labels = label_bars(ax, self._names[order].tolist())
        for label, retained in zip(labels, kept, strict=True):
            if not retained:
                label.set_color("0.5")
        ax.set_xlim(left=0)
        if has_importances:
            ax.set_xlabel("importance")
        else:
            ax.set_xticks([])  # the length of a bar says nothing
        ax.legend(loc="lower right")
        self.ax_ = ax


def _check_image_shape(image_shape, n_inputs: int) -> tuple[int, ...]:
    """Return (channels, height, width)."""
    shape = tuple(image_shape) if np.iterable(image_shape) else ()
    if (
        len(shape) not in (2, 3)
        or not all(isinstance(size, int | np.integer) and size > 0 for size in shape)
        or math.prod(shape) != n_inputs
    ):
        raise ValueError(
            "`image_shape` must be (height, width) or (channels, height, width) of "
            f"{n_inputs} inputs in all. Got {image_shape!r}; pass whole numbers whose "
            f"product is {n_inputs}."
        )
    return (1, *shape) if len(shape) == 2 else shape


def _numbers_of_inputs(name: str, numbers, support: np.ndarray) -> np.ndarray | None:
    """Return a number for each input, in the shape of a support."""
    if numbers is None:
        return None
    numbers = np.asarray(numbers, dtype=float)
    if numbers.size != support.size:
        raise ValueError(
            f"`{name}` must hold one number for each of the {support.size} inputs of "
            f"`support`. Got {numbers.size}; pass as many."
        )
    return numbers.reshape(support.shape)


def _find(attribute: str, estimator, n_inputs: int):
    """Return numbers of inputs of an estimator, or of the one within a selector.

    None if neither has one for each input.
    """
    for candidate in (estimator, find_inner_estimator(estimator)):
        numbers = getattr(candidate, attribute, None)
        if numbers is not None and np.size(numbers) == n_inputs:
            return numbers
    return None
