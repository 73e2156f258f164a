import dataclasses

import numpy as np
import pytest
from _helpers import row_names

from skjointprune import (
    PruningDisplay,
)

pytestmark = pytest.mark.usefixtures("closed_figures")


def test_layers_are_drawn_before_and_after(joint):
    display = PruningDisplay.from_estimator(joint)
    assert row_names(display.ax_) == ["inputs", "linear1"]
    before, after = display.ax_.containers
    assert [bar.get_width() for bar in before] == [1, 1]
    size = joint.report_.pruned
    shares = [size.inputs / 12, size.units["linear1"] / 16]
    np.testing.assert_allclose([bar.get_width() for bar in after], shares)
    texts = [text.get_text() for text in display.ax_.texts]
    assert texts == [f"{size.inputs} of 12", f"{size.units['linear1']} of 16"]


def test_counts_are_of_units_alone(joint):
    display = PruningDisplay.from_estimator(joint, normalize=False)
    before, after = display.ax_.containers
    assert [bar.get_width() for bar in before] == [16]
    assert [bar.get_width() for bar in after] == [joint.report_.pruned.units["linear1"]]


def test_what_is_kept_whole_is_marked(joint):
    whole = dataclasses.replace(joint.report_, kept_whole={"linear1": "a reason"})
    texts = [text.get_text() for text in PruningDisplay(whole).plot().ax_.texts]
    assert ["kept whole" in text for text in texts] == [False, True]


def test_network_without_hidden_layers_has_its_inputs(joint):
    bare = dataclasses.replace(
        joint.report_,
        dense=dataclasses.replace(joint.report_.dense, units={}),
        pruned=dataclasses.replace(joint.report_.pruned, units={}),
    )
    assert row_names(PruningDisplay(bare).plot().ax_) == ["inputs"]
    assert row_names(PruningDisplay(bare).plot(normalize=False).ax_) == []
