"""Labels beside the lines of a picture, and round ticks below them."""

from __future__ import annotations

import curves
import pytest


def test_labels_neither_overlap_nor_leave_the_picture() -> None:
    lowest = curves.HEIGHT - curves.BOTTOM
    assert curves.spread([10.0, 50.0]) == [10.0, 50.0]
    assert curves.spread([10.0, 12.0]) == [10.0, 23.0]
    assert curves.spread([lowest - 5, lowest - 1]) == [lowest - 13, lowest]
    assert curves.spread([]) == []


@pytest.mark.parametrize(("most", "last"), [(220, 250), (120, 120), (50, 50), (7, 8), (0.9, 1)])
def test_ticks_are_round_and_end_little_above_the_most(most: float, last: float) -> None:
    found = curves.ticks(most)
    assert found[0] == 0
    assert found[-1] == pytest.approx(last)
    assert 5 <= len(found) <= 7
