"""The program: its commands, its version, and what becomes of errors that nobody expected."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import Annotated

import typer

from workbench import __version__
from workbench.cli import chat, doctor, exit_codes, glossary, history, models, output, profiles, run, window
from workbench.cli.exit_codes import ExitCode
from workbench.cli.output import OutputUnwritable
from workbench.errors import Bug, WorkbenchError

# Help formatted by rich costs 0.12 s of the 0.35 s that `--help` may take: rich_markup_mode=None, here and below.
app = typer.Typer(
    name="workbench",
    help="Run GGUF models on this machine and measure their latency, memory and cost. Without a command: the window.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=exit_codes.epilog())(run.run)
app.command(epilog=exit_codes.epilog())(chat.chat)
app.add_typer(history.app)
app.command()(doctor.doctor)
app.add_typer(profiles.app)
app.add_typer(models.app)
app.command()(glossary.glossary)


# An error of a file names the file; one of a stream that is not buffered comes without a name.
OUTPUT_ERRORS = frozenset({errno.ENOSPC, errno.EIO, errno.EBADF, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"workbench {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        raise typer.Exit(window.open_window())


def run_program() -> int:
    """Runs the command line; every ending is an exit code, and no ending is a traceback."""
    _make_streams_safe()
    output.begin()
    try:
        return _flushed(_ended())
    except BrokenPipeError:
        return _quiet_end(ExitCode.CANCELLED)
    except OutputUnwritable as error:
        _say(error.message, None)
        return _quiet_end(exit_codes.for_error(error))


def _ended() -> int:
    """Runs the command and says why it failed, where it did. Raises what hinders standard output."""
    try:
        app(prog_name="workbench")
    except SystemExit as ended:
        # Typer turns Ctrl-C into this code.
        if ended.code == ExitCode.CANCELLED:
            return _cancelled()
        return ended.code if isinstance(ended.code, int) else 1 if ended.code else 0
    except (BrokenPipeError, OutputUnwritable):
        raise
    except WorkbenchError as error:
        return _failed(error)
    except KeyboardInterrupt:
        return _cancelled()
    except Exception as error:  # the last place where a bug can become a sentence
        _require_output()
        if isinstance(error, OSError) and error.filename is None and error.errno in OUTPUT_ERRORS:
            raise OutputUnwritable(error) from error
        return _failed(Bug(f"This is a bug of the workbench: {type(error).__name__}: {error}. {_logged()}"))
    return ExitCode.FINISHED


def _failed(error: WorkbenchError) -> int:
    """One JSON document where it was asked for and is not out; else a sentence."""
    if output.duty.is_owed:
        from workbench.cli.json_output import error_object, failure_object, print_json

        print_json(failure_object(error) if output.duty.is_run else {"error": error_object(error)})
    else:
        _say(error.message, error.detail)
    return exit_codes.for_error(error)


def _cancelled() -> int:
    if output.duty.is_owed and output.duty.is_run:
        from workbench.cli.json_output import cancelled_object, print_json

        print_json(cancelled_object())
    return ExitCode.CANCELLED


def _require_output() -> None:
    """Raises what hinders standard output, which the failure of a command may come from."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputUnwritable(error) from error


def _say(message: str, detail: str | None) -> None:
    print(message, file=sys.stderr)
    if detail:
        print(detail, file=sys.stderr)


def _logged() -> str:
    """Writes the traceback of the present exception to the log; says where."""
    from workbench.paths import Paths

    try:
        folder = Paths.standard().logs
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "workbench.log").open("a", encoding="utf-8") as log:
            traceback.print_exc(file=log)
    except OSError as error:
        return f"The log could not be written ({error.strerror or error})."
    return f"The details are in {folder / 'workbench.log'}."


def _make_streams_safe() -> None:
    # A terminal or pipe that cannot show a character shows a mark in its place, instead of ending the program.
    # Without standard streams (a window started from an icon) Python sets None.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding=None if stream.isatty() else "utf-8", errors="replace")


def _flushed(code: int) -> int:
    try:
        _require_output()
    except BrokenPipeError:
        return _quiet_end(code)
    return code


def _quiet_end(code: int) -> int:
    # Python flushes standard output once more when it ends, and would complain about the closed pipe.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code
