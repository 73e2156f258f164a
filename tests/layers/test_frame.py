import torch

from skjointprune._layers.frame import Frame


def test_images_are_filled_up_with_copies_of_what_is_retained():
    X = torch.arange(8.0).reshape(1, 2, 2, 2)
    places = torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), torch.tensor([1, 0])
    framed = Frame(*places)(X)
    assert framed.shape == (1, 3, 3, 2)
    assert torch.equal(framed[:, 1], framed[:, 2])
    assert framed[0, 0].tolist() == [[1, 0], [1, 0], [3, 2]]


def test_places_are_kept_with_the_weights():
    frame = Frame(*torch.zeros(3, 1, dtype=torch.long))
    assert list(frame.state_dict()) == ["channels", "rows", "columns"]
    assert list(frame.parameters()) == []
