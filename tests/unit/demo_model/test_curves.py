"""Labels beside the lines of a picture."""

from __future__ import annotations

import curves


def test_labels_neither_overlap_nor_leave_the_picture() -> None:
    lowest = curves.HEIGHT - curves.BOTTOM
    assert curves.spread([10.0, 50.0]) == [10.0, 50.0]
    assert curves.spread([10.0, 12.0]) == [10.0, 23.0]
    assert curves.spread([lowest - 5, lowest - 1]) == [lowest - 13, lowest]
    assert curves.spread([]) == []
