from copy import deepcopy

import numpy as np
import pytest
import torch
from _networks import Net
from torch import nn

from skjointprune import JointPruneClassifier, register_rule
from skjointprune._graph.groups import find_groups
from skjointprune._graph.rules import functions

HERE = r"at \S*test_refusals\.py:\d+\. "


def net(forward, **more):
    layers = {"a": nn.Linear(6, 8), "b": nn.Linear(8, 2)}
    return Net(forward, **layers, **more)


def a_layer_with_weights(m, x):
    return m.b(nn.LayerNorm(8)(m.a(x)))


def a_layer_in_a_plain_list(m, x):
    return m.b(m.hidden[0](m.a(x)))


def numpy_of_a_tensor(m, x):
    return m.b(torch.from_numpy(m.a(x).detach().numpy()))


def a_branch(m, x):
    x = m.a(x)
    return m.b(x if x.mean() > 0 else -x)


def a_branch_by_the_number_of_rows(m, x):
    return m.b(m.a(x) if len(x) > 1 else -m.a(x))


def one_row_after_the_other(m, x):
    return m.b(torch.stack([m.a(row) for row in x]))


def swish(x):
    return x * x.sigmoid()


def a_scripted_function(m, x):
    return m.b(torch.jit.script(swish)(m.a(x)))


def a_compiled_layer(m, x):
    return m.b(m.compiled(m.a(x)))


def a_gradient_that_is_changed(m, x):
    x = m.a(x).sigmoid()
    x[:, 0] = 0.0
    return m.b(x)


@pytest.mark.filterwarnings("ignore:.*jit.script.*:FutureWarning")
@pytest.mark.parametrize(
    ("forward", "says"),
    [
        (a_layer_with_weights, "'weight' would not be trained.*in `__init__`"),
        (a_layer_in_a_plain_list, "Linear is no layer of `module`.*nn.ModuleList"),
        (numpy_of_a_tensor, "no traced tensor.*functions of torch"),
        (a_branch, "numbers of a tensor.*branch on values"),
        (a_branch_by_the_number_of_rows, "number of rows.*branch on values"),
        (one_row_after_the_other, "one by one.*`chunk`"),
        (a_scripted_function, "Call the function itself, without `torch.jit.script`"),
        (a_compiled_layer, "compile `module_` afterwards"),
        (a_gradient_that_is_changed, r"changed in place.*x\.clone\(\)"),
    ],
)
def test_a_refusal_names_the_cause_and_the_remedy_that_fits(forward, says):
    module = net(forward)
    module.hidden = [nn.Linear(8, 8)]
    module.compiled = torch.compile(nn.ReLU(), backend="eager")
    with pytest.raises(ValueError, match=says) as caught:
        find_groups(module, (6,))
    branches = "branch on values" in says
    assert ("must not branch on values" in str(caught.value)) == branches


@pytest.mark.parametrize(
    "forward",
    [
        a_layer_with_weights,
        numpy_of_a_tensor,
        a_branch,
        a_branch_by_the_number_of_rows,
        one_row_after_the_other,
    ],
)
def test_a_refusal_names_the_line_of_the_code(forward):
    with pytest.raises(ValueError, match=HERE):
        find_groups(net(forward), (6,))


def test_a_module_that_does_not_run_is_told_with_the_line():
    with pytest.raises(ValueError, match=f"does not run on 6 inputs.*{HERE}"):
        find_groups(net(lambda m, x: m.b(m.a(x) + torch.ones(7))), (6,))


def test_a_rule_of_the_package_that_fails_is_one_error_with_the_line(monkeypatch):
    def failing(context, *args):
        raise IndexError("no such dimension")

    monkeypatch.setitem(functions.FUNCTION_RULES, "tanh", failing)
    says = r"What tanh.*, at \S*test_refusals\.py:\d+, .*IndexError: no such dimension"
    with pytest.raises(ValueError, match=says):
        find_groups(net(lambda m, x: m.b(torch.tanh(m.a(x)))), (6,))


class Collecting(nn.Sequential):
    """Has a hook that keeps what a layer gives, of the module itself alone."""

    def __init__(self):
        super().__init__(nn.Linear(6, 8), nn.Linear(8, 2))
        self.found = {}
        self[0].register_forward_hook(lambda *given: self.found.update(a=given[-1]))

    def forward(self, x):
        self[0](x)
        return self[1](self.found["a"])


def test_what_a_copy_lacks_is_named():
    says = rf"Collecting.*KeyError: 'a'\), {HERE}Correct this. What is run is a copy"
    for module in (Collecting(), deepcopy(Collecting())):
        with pytest.raises(ValueError, match=says):
            find_groups(module, (6,))


class Rows(nn.Module):
    """A layer that fails where it is trained."""

    def forward(self, x):
        if self.training:
            raise IndexError("no such row")
        return x


def test_no_other_error_leaves_fit():
    class Failing(nn.Sequential):
        def __init__(self, n_features_in, n_outputs):
            super().__init__(nn.Linear(n_features_in, 4), Rows(), nn.Linear(4, 3))

    X, y = np.random.default_rng(0).normal(size=(30, 6)), np.arange(30) % 3
    clf = JointPruneClassifier(module=Failing)
    with (
        register_rule(Rows, lambda layer, name, x, context: x),
        pytest.raises(ValueError, match=rf"IndexError: no such row\), {HERE}"),
    ):
        clf.fit(X, y)


@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm"])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_norms_of_weights_that_forbid_copies_are_refused_with_the_new_ones(kind):
    class Normed(nn.Sequential):
        def __init__(self, n_features_in, n_outputs):
            norm = getattr(nn.utils, kind)
            unfold = nn.Unflatten(1, (1, n_features_in))
            transposed = norm(nn.ConvTranspose1d(1, 4, n_features_in))
            last = nn.Linear(4 * (2 * n_features_in - 1), n_outputs)
            super().__init__(unfold, transposed, nn.Flatten(), last)

    X, y = np.random.default_rng(0).normal(size=(30, 6)), np.arange(30) % 3
    says = rf"ConvTranspose1d '1'.*copied, {HERE}Use.*parametrizations\.{kind}"
    with pytest.raises(ValueError, match=says):
        find_groups(Normed(6, 3), (6,))
    with pytest.raises(ValueError, match="parametrizations"):
        JointPruneClassifier(module=Normed).fit(X, y)


@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm"])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_old_norms_of_weights_are_fitted(kind):
    class Normed(nn.Sequential):
        def __init__(self, n_features_in, n_outputs):
            norm = getattr(nn.utils, kind)
            super().__init__(norm(nn.Linear(n_features_in, 4)), nn.Linear(4, 3))

    X, y = np.random.default_rng(0).normal(size=(30, 6)), np.arange(30) % 3
    clf = JointPruneClassifier(module=Normed, alpha=0.01, max_epochs=2)
    assert clf.fit(X, y).report_.kept_whole == {}
