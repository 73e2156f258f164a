import torch

from skjointprune._layers.affine import Affine


def test_columns_are_scaled_and_shifted():
    layer = Affine(torch.tensor([2.0, 0.5]), torch.tensor([1.0, -1.0]))
    X = torch.tensor([[1.0, 4.0], [0.0, 2.0]])
    assert layer(X).tolist() == [[3, 1], [1, 0]]


def test_channels_of_images_are_scaled_and_shifted():
    scale, shift = torch.tensor([2.0, 3.0]), torch.tensor([0.0, 1.0])
    layer = Affine(scale[:, None, None], shift[:, None, None])
    X = torch.ones(4, 2, 3, 3)
    assert layer(X)[:, :, 1, 2].tolist() == [[2, 4]] * 4


def test_there_is_nothing_to_train_and_all_is_kept_with_the_weights():
    layer = Affine(torch.ones(2), torch.zeros(2))
    assert list(layer.parameters()) == []
    assert list(layer.state_dict()) == ["scale", "shift"]
