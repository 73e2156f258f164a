import torch

from skjointprune._layers.encode_columns import EncodeColumns


def layer():
    """Two numbers of a column, with a gap, and two levels of another."""
    return EncodeColumns(
        source=torch.tensor([0, 0, 1, 1]),
        level=torch.tensor([-1.0, -1, 0, 1]),
        gap=torch.tensor([False, True, False, False]),
        fill=torch.tensor([7.0, 7, 0, 0]),
    )


def test_gaps_are_filled_and_levels_are_one_hot():
    X = torch.tensor([[2.0, 1], [torch.nan, 0], [3, torch.nan], [4, -1]])
    expected = [[2, 0, 0, 1], [7, 1, 1, 0], [3, 0, 0, 0], [4, 0, 0, 0]]
    assert layer()(X).tolist() == expected


def test_numbers_have_the_type_of_the_layer():
    X = torch.tensor([[2.0, 1]], dtype=torch.float64)
    assert layer().double()(X).dtype == torch.float64


def test_it_says_what_it_makes_of_how_much():
    assert "2 columns, 4 numbers" in repr(layer())
