"""Keeps what llama.cpp planned for a file, as JSON beside its header, and clears away what nobody asks for."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.errors import SpecError
from workbench.paths import write_atomically
from workbench.runs.memory_plan import MemoryPlan
from workbench.runs.spec import EngineOptions, from_plain, to_json

log = logging.getLogger(__name__)
FILE_NAME = "plans.json"
_VERSION = 1
# A curve has some eight plans; these are a few dozen curves.
_MOST_PLANS = 400
KEPT_DAYS = 30


def options_key(options: EngineOptions) -> str:
    """Threads change no memory; adapters are no part of a plan."""
    return to_json(replace(options, threads=None, adapters=()))


class PlanCache:
    """The plans of one file. Another build of llama.cpp begins an empty cache."""

    def __init__(self, folder: Path, build: str) -> None:
        self.folder, self._build = folder, build

    def read(self) -> dict[str, MemoryPlan]:
        """By `options_key`. What cannot be read is as if it were not there: it can be planned again."""
        try:
            content: Any = json.loads((self.folder / FILE_NAME).read_text("utf-8"))
            if content["version"] != _VERSION or content["build"] != self._build:
                return {}
            plans = {key: from_plain(MemoryPlan, plan) for key, plan in content["plans"].items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SpecError) as error:
            log.warning("the plans in %s cannot be read and are made again: %s", self.folder, error)
            return {}
        return plans

    def add(self, plans: Mapping[str, MemoryPlan]) -> None:
        """A write that fails costs another second of planning next time, and no answer."""
        kept = {**self.read(), **plans}
        latest = dict(list(kept.items())[-_MOST_PLANS:])
        content = {
            "version": _VERSION,
            "build": self._build,
            "plans": {key: dataclasses.asdict(plan) for key, plan in latest.items()},
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / FILE_NAME, json.dumps(content))
        except OSError as error:
            log.warning("the plans in %s cannot be kept: %s", self.folder, error)

    def touch(self) -> None:
        """Marks the folder as used today."""
        if self.folder.is_dir():
            try:
                os.utime(self.folder)
            except OSError as error:
                log.warning("%s cannot be marked as used: %s", self.folder, error)


def clear_old(plans_dir: Path, days: float = KEPT_DAYS) -> int:
    """Removes the folders that nobody has used for `days`; how many they were."""
    oldest = datetime.now(UTC).timestamp() - days * 86_400
    removed = 0
    for folder in plans_dir.iterdir() if plans_dir.is_dir() else ():
        try:
            if folder.is_dir() and folder.stat().st_mtime < oldest:
                shutil.rmtree(folder)
                removed += 1
        except OSError as error:
            # Another program may be clearing it away too, or be reading it on a system that does not allow both.
            log.info("%s is not removed: %s", folder, error)
    return removed
