import pytest
import torch
from _networks import Net
from torch import nn

from skjointprune._groups import find_groups


@pytest.mark.parametrize(
    ("module", "shape", "says"),
    [
        (
            nn.Sequential(nn.Linear(3, 2)),
            (4,),
            r"at Linear '0' \(.*as many inputs as X has columns",
        ),
        (
            nn.Sequential(nn.Linear(4, 5), nn.Linear(6, 2)),
            (4,),
            r"at Linear '1' \(.*Let its layers fit each other\.",
        ),
        (
            nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(9, 2)),
            (3, 4, 4),
            r"at Linear '2' \(.*and images of the `input_shape`\.",
        ),
        (
            Net(lambda m, x: m.a(x) + torch.ones(7), a=nn.Linear(4, 2)),
            (4,),
            r"at 'add' \(",
        ),
        (
            Net(lambda m, x: m.a(x).flatten(1), a=nn.Embedding(4, 2)),
            (4,),
            r"at Embedding 'a' \(.*`x.long\(\)` are.*`standardize=False`",
        ),
    ],
)
def test_what_does_not_run_is_named_with_its_remedy(module, shape, says):
    with pytest.raises(ValueError, match=says):
        find_groups(module, shape)


def test_where_rows_are_mixed_up_is_named():
    mixed = Net(lambda m, x: m.a(x).relu().reshape(-1, 2), a=nn.Linear(4, 6))
    with pytest.raises(ValueError, match=r"Got \(6, 2\) from 2 rows.* at 'reshape';"):
        find_groups(mixed, (4,))


def test_a_network_for_two_rows_alone_is_refused():
    module = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    exported = torch.export.export(module, (torch.zeros(2, 4),)).module()
    with pytest.raises(ValueError, match="runs on 2 rows, and not on 4"):
        find_groups(exported, (4,))
