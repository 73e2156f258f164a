import torch

from skjointprune._layers.code_levels import CodeLevels

NAN = torch.nan


def test_levels_become_positions_and_other_columns_stay():
    levels = torch.tensor([[0.5, 2.0, NAN], [1.0, 3.0, 7.0]])
    layer = CodeLevels(4, torch.tensor([1, 3]), levels, torch.tensor([2.0, -1.0]))
    X = torch.tensor([[9.0, 2.0, 8.0, 7.0], [0.5, 0.5, 1.0, 1.0], [0.0, 4.0, 0, 5.0]])
    assert layer(X).tolist() == [[9, 1, 8, 2], [0.5, 0, 1, 0], [0, 2, 0, -1]]


def test_what_is_missing_stays_so():
    layer = CodeLevels(1, torch.tensor([0]), torch.tensor([[1.0]]), torch.zeros(1))
    assert layer(torch.tensor([[NAN]])).isnan().all()
