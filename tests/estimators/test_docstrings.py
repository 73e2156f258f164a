import re
from inspect import signature

import pytest

from skjointprune import JointPruneClassifier, JointPruneRegressor
from skjointprune._estimators.docstrings import ATTRIBUTES, PARAMETERS, documented

ESTIMATORS = [JointPruneClassifier, JointPruneRegressor]


def make(doc="""One line.\n\n    {parameters}\n\n    {attributes}\n    """, **own):
    class Example:
        __doc__ = doc

        def __init__(self, lr=1, *, alpha=2, size=3):
            pass

    return documented(**{"parameters": "size : int\n    How large.\n"} | own)(Example)


def entries(doc):
    return re.findall(r"^ {4}(\S+) : ", doc, re.M)


def test_parameters_are_in_the_order_of_the_signature_and_then_attributes():
    found = entries(make().__doc__)
    assert found == ["lr", "alpha", "size", *ATTRIBUTES]


def test_shared_entries_are_taken_whole_and_indented():
    doc = make().__doc__
    assert "{" not in doc.split("lr : ")[0]
    for name in ("lr", "alpha", "**kwargs"):
        for line in PARAMETERS[name].splitlines():
            assert f"\n    {line}\n" in doc


def test_an_entry_of_the_class_replaces_the_shared_one():
    doc = make(parameters="size : int\n    How large.\nlr : int\n    Another.").__doc__
    assert "lr : int\n        Another.\n" in doc
    assert PARAMETERS["lr"].splitlines()[0] not in doc
    own = make(attributes="n_iter_ : int\n    Mine.\nnew_ : int\n    New.").__doc__
    assert "n_iter_ : int\n        Mine.\n" in own
    assert own.count("n_iter_ : ") == own.count("new_ : ") == 1


def test_a_parameter_that_nothing_documents_is_an_error():
    with pytest.raises(KeyError, match="size"):
        make(parameters="")


def test_a_class_without_a_docstring_stays_without():
    assert make(doc=None).__doc__ is None


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_an_estimator_documents_each_parameter_once_in_its_order(kind):
    doc = kind.__doc__
    assert "{parameters}" not in doc and "{attributes}" not in doc
    names = [*signature(kind).parameters]
    assert entries(doc.split("Attributes\n")[0]) == names
    assert "\n    **kwargs\n" in doc


@pytest.mark.parametrize("name", ["fitted", "cropped"])
def test_every_attribute_that_a_fit_leaves_is_documented(name, request):
    clf = request.getfixturevalue(name)
    left = {n for n in vars(clf) if n.endswith("_") and not n.startswith("_")}
    told = set(entries(type(clf).__doc__.split("Attributes\n")[1]))
    assert left <= told
