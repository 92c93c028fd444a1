"""`%ollama`, `%%ollama` and `%%ollama_create`: what `%load_ext ollama_jupyter` brings."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.magic import no_var_expand

from ollama_jupyter.client.errors import Interrupted, OllamaError
from ollama_jupyter.notebook import arguments as grammar
from ollama_jupyter.notebook.bar import bar_for
from ollama_jupyter.notebook.completer import Completer
from ollama_jupyter.notebook.result import INTERRUPTED, Result
from ollama_jupyter.notebook.session import Session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ollama_jupyter.notebook.lines import Lines
    from ollama_jupyter.notebook.tables import Table

NAME = "ollama"
CREATE_NAME = "ollama_create"
_OPTIONS = {"temperature": "temperature", "tokens": "num_predict", "seed": "seed"}


class OllamaMagics:
    """The magics of one shell, with their session."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell: Any = shell
        self.session = Session(bar=lambda: bar_for(shell))
        self.completer = Completer(lambda: self.session.names(read_seconds=0.5))

    def line(self, line: str) -> Table | Lines | None:
        try:
            name, operands = grammar.parse_command(line)
        except grammar.HelpShown:
            return None
        from ollama_jupyter.notebook.commands import run

        try:
            return run(self.session, name, operands)
        finally:
            self.completer.forget()

    @no_var_expand
    def create_cell(self, line: str, cell: str) -> None:
        try:
            asked = grammar.parse_create(line)
        except grammar.HelpShown:
            return
        from ollama_jupyter.notebook.transfers import create_from

        create_from(self.session, asked.model, cell, Path.cwd(), asked.quantize)
        self.completer.forget()

    @no_var_expand
    def cell(self, line: str, cell: str) -> None:
        try:
            asked = grammar.parse_prompt(line)
        except grammar.HelpShown:
            return
        prompt = cell.strip("\n")
        if not prompt.strip():
            raise OllamaError("the cell asks nothing: write the prompt below the first line")
        result = self._ask(asked, prompt)
        self._leave(result, asked.output)
        if result.stats.done_reason == INTERRUPTED:
            raise Interrupted("interrupted; what came so far is in _")

    def _ask(self, asked: Namespace, prompt: str) -> Result:
        from ollama_jupyter.notebook.answer import Answer, ask
        from ollama_jupyter.notebook.display import screen_for

        model = asked.model or self.session.model()
        given = {theirs: getattr(asked, ours) for ours, theirs in _OPTIONS.items()}
        options = {name: value for name, value in given.items() if value is not None}
        conversation = self.session.conversation
        messages = conversation.with_prompt(prompt, asked.system)
        try:
            screen = screen_for(self.shell, f"{model} …")
            result = ask(self.session.server, model, messages, options, screen)
        except KeyboardInterrupt:  # before it was asked
            return Answer(model).result(INTERRUPTED)
        except OllamaError:
            self.session.known(model)  # if it is that which is wrong, this says what to do
            raise
        if result.stats.is_complete:
            conversation.keep(prompt, result.text, asked.system, result.stats)
        return result

    def _leave(self, result: Result, name: str | None) -> None:
        """Put the result where the value of a cell goes, and into `name`. Returning it would show it a second time."""
        self.shell.displayhook.update_user_ns(result)
        self.shell.displayhook.fill_exec_result(result)
        if name:
            self.shell.push({name: result})


OllamaMagics.line.__doc__ = f"""Control the local models.

{grammar.help_text()}
"""

OllamaMagics.cell.__doc__ = f"""Ask a model what the cell says; its answer streams below.

The result is in `_` afterwards, and in NAME. The text is sent as it stands: braces and dollar signs mean nothing here.
Cells continue one conversation until `%ollama reset`. Kernel > Interrupt stops the answer, here and on the server.

{grammar.prompt_parser().format_help()}
"""


OllamaMagics.create_cell.__doc__ = f"""Make a model by the Modelfile that the cell holds.

Paths in it are relative to the kernel's folder.

{grammar.create_parser().format_help()}
"""


def register(shell: InteractiveShell) -> None:
    """Add the magics and their completion to `shell`. A second time starts afresh."""
    unregister(shell)
    magics = OllamaMagics(shell)
    add: Any = shell.register_magic_function
    add(magics.line, magic_kind="line", magic_name=NAME)
    add(magics.cell, magic_kind="cell", magic_name=NAME)
    add(magics.create_cell, magic_kind="cell", magic_name=CREATE_NAME)
    shell.Completer.custom_matchers.append(magics.completer.matcher)


def unregister(shell: InteractiveShell) -> None:
    """Take away what `register` added."""
    for functions in shell.magics_manager.magics.values():
        for name in (NAME, CREATE_NAME):
            functions.pop(name, None)
    matchers = shell.Completer.custom_matchers
    matchers[:] = [matcher for matcher in matchers if not isinstance(getattr(matcher, "completer", None), Completer)]
