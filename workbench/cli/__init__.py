"""The terminal: one module per command; prints, computes nothing."""


def main() -> int:
    """The program `workbench`; returns its exit code."""
    import signal

    try:
        from workbench.cli.app import run_program

        code = run_program()
        # All is said: Ctrl-C while the interpreter takes itself apart would make another ending of it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return code
    except KeyboardInterrupt:  # Ctrl-C while the modules are read
        return 130
