"""Wide tables on narrow screens: columns that can be spared go first; a pipe gets all of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.cells import cell_len

from workbench.cli.terminal import console_on, print_table

PADDING = 2


def print_narrowed(
    headers: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int], spare: Sequence[int]
) -> None:
    """Like `print_table`; `spare` are the columns that a screen can do without, the first to go first."""
    kept = list(range(len(headers)))
    console = console_on(sys.stdout)
    if console.is_terminal:
        kept = columns_for(console.width, headers, rows, spare)
    moved = frozenset(new for new, old in enumerate(kept) if old in right)
    print_table([headers[index] for index in kept], [[row[index] for index in kept] for row in rows], moved)


def columns_for(width: int, headers: Sequence[str], rows: Sequence[Sequence[str]], spare: Sequence[int]) -> list[int]:
    """The columns that fit into `width` cells, or what is left without all the spare ones."""
    widths = [max(cell_len(row[index]) for row in (headers, *rows)) + PADDING for index in range(len(headers))]
    kept = list(range(len(headers)))
    for index in spare:
        if sum(widths[column] for column in kept) <= width:
            break
        kept.remove(index)
    return kept
