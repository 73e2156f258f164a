import pytest

from skjointprune._utils.input_names import input_names


@pytest.mark.parametrize(
    ("shape", "names"),
    [((3,), ["x0", "x1", "x2"]), ((1, 2, 2), ["x0_0_0", "x0_0_1", "x0_1_0", "x0_1_1"])],
)
def test_inputs_are_numbered_by_their_position(shape, names):
    assert input_names(shape).tolist() == names


def test_names_of_a_user_are_taken_as_they_are():
    assert input_names((2,), ["a", "b c"]).tolist() == ["a", "b c"]
