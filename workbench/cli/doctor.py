"""`workbench doctor`: what is here, what is wrong, and how to mend it."""

from __future__ import annotations

import typer

from workbench.cli import options
from workbench.cli.exit_codes import ExitCode


def doctor(json: options.Json = False) -> None:
    """Say what is wrong and how to mend it. Exit code 1 when something needs mending."""
    from workbench.cli.checkup import examine
    from workbench.cli.json_output import print_json

    report = examine()
    if json:
        print_json(report.as_object())
    else:
        from workbench.cli.terminal import print_findings

        print_findings(report.findings)
        wrong = sum(finding.state == "problem" for finding in report.findings)
        things = "thing needs" if wrong == 1 else "things need"
        typer.echo(f"\n{wrong} {things} mending." if wrong else "\nEverything works.")
    raise typer.Exit(ExitCode.FINISHED if report.is_fine else ExitCode.FAILED)
