"""Parameters with skorch's double underscore, on a scikit-learn estimator."""

import inspect
from typing import Any

from .._data.image_options import ImageInput

PREFIXES = ("module__", "optimizer__")


def params_for(estimator: Any, prefix: str) -> dict[str, Any]:
    """Return the parameters of an estimator that have a prefix, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in sorted(vars(estimator).items())
        if name.startswith(prefix)
    }


class PassedOnParams:
    """Take `module__…` and `optimizer__…` as parameters, without listing them.

    Each is an attribute of its full name, there only when it was given; so `clone`,
    `get_params`, `set_params` and grid search see them like any other.
    """

    images: ImageInput | None  # a parameter of the estimator

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        # scikit-learn takes every name in the signature for a parameter.
        signature = inspect.signature(cls.__init__)
        listed = [
            p
            for name, p in signature.parameters.items()
            if name != "self" and p.kind is not p.VAR_KEYWORD
        ]
        cls.__signature__ = signature.replace(parameters=listed)  # type: ignore[attr-defined]

    def _set_passed_on(self, params: dict) -> None:
        for name, value in params.items():
            if not name.startswith(PREFIXES):
                raise TypeError(
                    f"{type(self).__name__} has no parameter {name!r}. See its "
                    "docstring; module__… and optimizer__… are passed on."
                )
            setattr(self, name, value)

    def get_params(self, deep=True):
        """Get the parameters, `module__…` and `optimizer__…` among them.

        Parameters
        ----------
        deep : bool, default=True
            As elsewhere in scikit-learn.

        Returns
        -------
        dict
            Parameter names and values.
        """
        passed_on = {n: v for n, v in vars(self).items() if n.startswith(PREFIXES)}
        return super().get_params(deep=deep) | passed_on  # type: ignore[misc]

    def set_params(self, **params):
        """Set parameters, `module__…` and `optimizer__…` among them.

        Where `images` is None, `images__…` makes an `ImageInput`.

        Parameters
        ----------
        **params : dict
            Parameter names and values.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no parameter of a name.
        """
        of_images = {n: v for n, v in params.items() if n.startswith("images__")}
        if of_images and self.images is None and "images" not in params:
            values = {n.removeprefix("images__"): v for n, v in of_images.items()}
            images = ImageInput().set_params(**values)
            params = {n: v for n, v in params.items() if n not in of_images}
            params["images"] = images
        passed_on = {n: v for n, v in params.items() if n.startswith(PREFIXES)}
        super().set_params(**{n: params[n] for n in params.keys() - passed_on})  # type: ignore[misc]
        self._set_passed_on(passed_on)
        return self
