"""The workbench for commands about models; what the Hub refuses is said in one sentence, with what helps."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from workbench.cli import session
from workbench.cli.exit_codes import ExitCode, for_error
from workbench.core import Workbench
from workbench.errors import HubError

TOKEN_HINT = "Keep a token with: workbench models token set"
log = logging.getLogger(__name__)


@contextmanager
def opened() -> Iterator[Workbench]:
    """Like `session.opened`. The client library's own words about a failure go to the log, not to the screen."""
    with session.opened() as workbench:
        try:
            yield workbench
        except HubError as error:
            if error.detail:
                log.warning("%s", error.detail)
            hint = f" {TOKEN_HINT}" if for_error(error) == ExitCode.ACCESS else ""
            raise type(error)(f"{error.message}{hint}", code=error.code) from error
