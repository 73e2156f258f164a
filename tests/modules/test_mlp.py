import pytest
from _helpers import RELEVANT
from torch import nn

from skjointprune.modules import MLP


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"activation": "swish"}, "`activation`.*'swish'"),
        ({"norm": "group"}, "`norm`.*'group'"),
        ({"dropout": 1.0}, "`dropout`.*1.0"),
        ({"hidden_layer_sizes": (3, 0)}, "`hidden_layer_sizes`"),
    ],
)
def test_parameters_out_of_range_are_refused_by_name(params, says):
    with pytest.raises(ValueError, match=says):
        MLP(4, 2, **params)


def test_no_hidden_layer_is_a_linear_model():
    assert [type(m) for m in MLP(4, 2, ())] == [nn.Linear]


def test_hidden_layer_sizes_empty_is_a_linear_model(quick, planted):
    clf = quick(hidden_layer_sizes=(), n_features_to_select=3).fit(*planted)
    assert clf.get_support(indices=True).tolist() == RELEVANT
    assert [type(m) for m in clf.module_] == [nn.Linear]
