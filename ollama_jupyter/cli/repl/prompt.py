"""The prompt: reads one message or command, of one line or several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output.base import Output
from prompt_toolkit.output.defaults import create_output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.shortcuts import CompleteStyle

from ollama_jupyter.cli.repl.completion import Commands
from ollama_jupyter.cli.repl.editor import edit
from ollama_jupyter.cli.repl.history import FileHistory
from ollama_jupyter.cli.repl.quotes import is_open
from ollama_jupyter.client.errors import OllamaError
from ollama_jupyter.client.text import sendable

PROMPT = ">>> "
CONTINUATION = "... "
PLACEHOLDER = "Send a message (/? for help)"
_GREY = "fg:#8a8a8a"


@dataclass(frozen=True)
class _ToEditor:
    """Ctrl-G was pressed over this text."""

    text: str


class Prompt:
    """Reads from the terminal. `models` gives the names that Tab completes."""

    def __init__(self, history: FileHistory, models: Callable[[], list[str]]) -> None:
        self._session: PromptSession[str | _ToEditor] = PromptSession(
            PROMPT,
            prompt_continuation=_continuation,
            placeholder=_placeholder,
            history=history,
            completer=Commands(models),
            complete_while_typing=False,
            complete_style=CompleteStyle.READLINE_LIKE,
            reserve_space_for_menu=0,
            key_bindings=_bindings(),
            enable_suspend=True,
            output=_output(),
        )

    def read(self) -> str:
        """What was typed, pasted, or written in the editor.

        Raises:
            EOFError: on Ctrl-D.
            KeyboardInterrupt: on Ctrl-C.
        """
        text = ""
        while True:
            self._session.app.erase_when_done = False
            answer = self._session.prompt(default=text)
            if isinstance(answer, str):
                return sendable(answer)
            text = _edited(answer.text)


def _edited(text: str) -> str:
    """The text from the editor; as it was, with a word on why, if that failed."""
    try:
        return edit(text)
    except OllamaError as error:
        print(f"error: {error.message}")
        return text


def _continuation(_width: int, _line: int, wrapped: int) -> str:
    return "" if wrapped else CONTINUATION


def _placeholder() -> StyleAndTextTuples:
    # Not in what stays on the screen when the prompt is left empty.
    return [] if get_app().is_done else [(_GREY, PLACEHOLDER)]


def _output() -> Output:
    """Without asking the terminal where its cursor is: some do not answer, and some answer the next program."""
    output = create_output()
    if isinstance(output, Vt100_Output):
        output.enable_cpr = False
    return output


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter", filter=Condition(lambda: is_open(get_app().current_buffer.text)))
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @bindings.add("c-g")
    def _(event: KeyPressEvent) -> None:
        event.app.erase_when_done = True  # the editor's text takes the place of this one
        event.app.exit(result=_ToEditor(event.current_buffer.text))

    return bindings
