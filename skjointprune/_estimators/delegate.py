"""What an estimator takes from the fitted one that it holds, its `estimator_`."""

from collections.abc import Callable
from functools import wraps

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
