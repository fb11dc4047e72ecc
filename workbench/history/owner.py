"""Which process a running row belongs to, and whether that process still lives."""

from __future__ import annotations

import os
from dataclasses import dataclass

# psutil derives the start from the boot time, which the system clock may move a little.
_CLOCK_SLACK_S = 2.0


@dataclass(frozen=True, slots=True)
class Owner:
    """Process id and start (seconds since 1970): ids are used again, both together are not."""

    pid: int
    created: float

    @classmethod
    def this_process(cls) -> Owner:
        import psutil  # 45 ms, not needed for reading a history

        return cls(os.getpid(), psutil.Process().create_time())

    def is_alive(self) -> bool:
        import psutil

        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return bool(abs(process.create_time() - self.created) < _CLOCK_SLACK_S)
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True
