from types import SimpleNamespace

import pytest

from skjointprune._utils.replaced import replaced


def test_attributes_are_others_for_a_while_and_come_back_after_an_error():
    holder = SimpleNamespace(a=1, b=2, c=3)
    with pytest.raises(KeyError), replaced(holder, {"a": 10, "b": 20}):
        assert (holder.a, holder.b, holder.c) == (10, 20, 3)
        raise KeyError
    assert (holder.a, holder.b, holder.c) == (1, 2, 3)


def test_what_an_object_inherits_is_inherited_again():
    class Base:
        a = 1

    class Holder(Base):
        pass

    with replaced(Holder, {"a": 10}):
        assert Holder.a == 10 and Base.a == 1
    assert "a" not in vars(Holder) and Holder.a == 1
