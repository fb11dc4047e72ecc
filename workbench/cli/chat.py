"""`workbench chat`: several turns with one model."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import typer

from workbench.cli import options
from workbench.cli.exit_codes import ExitCode
from workbench.errors import UserError

if TYPE_CHECKING:
    from workbench.core import Knobs, Workbench
    from workbench.runs.record import RunRecord
    from workbench.runs.spec import Message

HELP = """\
/exit          end (Ctrl-D too)
/reset         forget the conversation
/mode NAME     another mode: fast, thoughtful ...
/system TEXT   another system prompt; nothing takes it away
/stats         the figures of the last answer
Ctrl-C stops an answer; what came of it stays in the conversation."""


def chat(
    model: options.Model = None,
    quant: options.Quant = None,
    context: options.Context = None,
    mode: options.Mode = None,
    surface: options.Surface = None,
    system: options.System = None,
    seed: options.Seed = None,
    temperature: options.Temperature = None,
    max_tokens: options.MaxTokens = None,
    threads: options.Threads = None,
    gpu_layers: options.GpuLayers = None,
    split_mode: options.SplitMode = None,
    main_gpu: options.MainGpu = None,
    tensor_split: options.TensorSplit = None,
    kv_type: options.KvType = None,
    overflow: options.OverflowOption = None,
    lora: options.Lora = None,
) -> None:
    """Talk in several turns. /help lists the commands, Ctrl-C stops an answer, Ctrl-D ends."""
    from workbench.cli import session

    choice = options.Choice(
        model, quant, context, mode, surface, system, seed, temperature, max_tokens, threads, gpu_layers, kv_type,
        overflow, tuple(lora or ()), split_mode, main_gpu, tensor_split,
    )  # fmt: skip
    with session.opened(checks_memory=True) as workbench:
        conversation = Conversation(workbench, choice.knobs("hello"))
        conversation.begin()
        try:
            while (line := _read_line()) is not None and conversation.take(line):
                pass
        except BrokenPipeError:
            raise typer.Exit(ExitCode.CANCELLED) from None


@dataclass
class Conversation:
    """The turns so far and what the next one is asked with."""

    workbench: Workbench
    knobs: Knobs
    turns: list[Message] = field(default_factory=list)
    last: RunRecord | None = None

    def begin(self) -> None:
        """Checks the choice and loads the model while the person types. Raises what `build_spec` raises."""
        spec = self.workbench.build_spec(self.knobs)
        self.workbench.warm(spec)
        mode = f", {spec.mode.name}" if spec.mode else ""
        _note(f"{spec.model.name} {spec.model.quantization or ''}{mode}. /help lists the commands.")

    def take(self, line: str) -> bool:
        """One line of input; False ends the conversation. A user's mistake costs a sentence."""
        try:
            if line.startswith("/"):
                return self._command(line)
            if line.strip():
                self._ask(line)
        except UserError as error:
            _note(error.message)
        return True

    def _command(self, line: str) -> bool:
        name, _, rest = line.partition(" ")
        match name:
            case "/exit" | "/quit":
                return False
            case "/reset":
                self.turns.clear()
                _note("The conversation is empty.")
            case "/mode":
                self._set_mode(rest.strip())
            case "/system":
                self.knobs = replace(self.knobs, system=rest.strip() or None)
                _note("The system prompt is set." if rest.strip() else "There is no system prompt.")
            case "/stats":
                self._print_stats()
            case "/help":
                _note(HELP)
            case _:
                _note(f"There is no command {name}. /help lists the commands.")
        return True

    def _set_mode(self, name: str) -> None:
        modes = [mode.name for mode in self.workbench.profiles.modes()]
        if not name:
            _note(f"Modes: {', '.join(modes)}.")
            return
        self.workbench.profiles.mode(name)
        self.knobs = replace(self.knobs, mode=name)
        _note(f"The mode is {name}.")

    def _print_stats(self) -> None:
        from workbench.cli.closing import print_closing

        if self.last is None:
            _note("There is no answer so far.")
        else:
            print_closing(self.workbench, self.last, sys.stderr)

    def _ask(self, prompt: str) -> None:
        from workbench.cli import session
        from workbench.cli.closing import print_turn
        from workbench.cli.terminal import RunView
        from workbench.runs.spec import Message

        spec = self.workbench.build_spec(replace(self.knobs, prompt=prompt, history=tuple(self.turns)))
        record = session.follow(self.workbench, spec, RunView(self.workbench))
        self.last = record
        if record.text:
            self.turns += [Message("user", prompt), Message("assistant", record.text)]
        print_turn(record, sys.stderr)


def _read_line() -> str | None:
    """What was typed, without its line end; None at the end of the input."""
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        return line.rstrip("\n") if line else None
    with suppress(ImportError):  # Windows has none, and edits lines by itself
        import readline  # noqa: F401
    while True:
        try:
            return input("> ")
        except KeyboardInterrupt:
            _note("\nCtrl-D or /exit ends.")
        except EOFError:
            print()
            return None


def _note(text: str) -> None:
    typer.echo(text, err=True)
