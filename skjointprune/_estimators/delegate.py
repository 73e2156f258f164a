"""What an estimator takes from the one that it holds: `estimator`, `estimator_`."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted


def attribute_of_estimator(name: str) -> property:
    """Return a property that reads an attribute of the fitted estimator."""

    def read(self):
        return getattr(self.estimator_, name)

    return property(read, doc=f"`{name}` of `estimator_`.")


def method_of_estimator(method: Callable) -> Callable:
    """Return a method that asks the fitted estimator, and is documented as there."""

    @wraps(method)
    def ask(self, *args, **kwargs):
        check_is_fitted(self)
        return getattr(self.estimator_, method.__name__)(*args, **kwargs)

    return ask


def method_where_it_is(method: Callable) -> Any:
    """Return the same for a method that not all estimators have.

    It is there if the estimator has it; or may have it, chosen by y.
    """

    def has(self) -> bool:
        inner = getattr(self, "estimator_", self.estimator)
        return inner is None or hasattr(inner, method.__name__)

    return available_if(has)(method_of_estimator(method))


class HoldsEstimator:
    """An estimator around another, which is chosen by y where `estimator` is None."""

    estimator: Any

    def set_params(self, **params):
        """Set parameters; `estimator__…` are those of `estimator`.

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
            If there is no parameter of a name, or no `estimator` yet to have it.
        """
        of_estimator = [name for name in params if name.startswith("estimator__")]
        if of_estimator and params.get("estimator", self.estimator) is None:
            raise ValueError(
                f"`{of_estimator[0]}` is a parameter of `estimator`, which is None: it "
                "is chosen by y in `fit`. Pass `estimator`=JointPruneClassifier(), a "
                "JointPruneRegressor or a JointPruneSurvival."
            )
        return super().set_params(**params)  # type: ignore[misc]
