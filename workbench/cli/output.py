"""Standard output of this program: what it still owes there, and what it means when nothing can be written to it."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.errors import WorldError


class OutputUnwritable(WorldError):
    """Standard output takes no more, as on a full disk."""

    code = "output_unwritable"

    def __init__(self, error: OSError) -> None:
        super().__init__(f"Standard output could not be written: {error.strerror or error}.")


@dataclass
class Duty:
    """`is_json`: one document is owed, also by a command that fails; `is_run`: it has the keys of a run."""

    is_json: bool = False
    is_run: bool = False
    is_done: bool = False

    @property
    def is_owed(self) -> bool:
        return self.is_json and not self.is_done


duty = Duty()


def begin() -> None:
    """At the start of the program."""
    duty.is_json = duty.is_run = duty.is_done = False


def ask_json(is_asked: bool) -> bool:
    """The callback of `--json`."""
    duty.is_json = duty.is_json or is_asked
    return is_asked
