"""One run of a chat template over plain data, with what Hugging Face gives templates beside the conversation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.prompt.jinja.interpreter import Interpreter
from ollama_jupyter.prompt.jinja.syntax import parse
from ollama_jupyter.prompt.jinja.values import Function, Namespace, plain
from ollama_jupyter.prompt.limits import Budget

_MAX_FORMAT = 256


def render(source: str, names: Mapping[str, Any], budget: Budget | None = None) -> str:
    """Run a template with these names: plain data only, other values are copied or made into text.

    Raises:
        TemplateError: the template does not parse, raises, or runs over its limits.
    """
    run = Interpreter(budget or Budget())
    return run.run(parse(source), {**_functions(run), **{name: plain(value) for name, value in names.items()}})


def _functions(run: Interpreter) -> dict[str, Any]:
    def range_(*args: int) -> list[int]:
        numbers = range(*args)
        run.budget.items(len(numbers))
        return list(numbers)

    def strftime_now(form: str) -> str:
        if len(form) > _MAX_FORMAT:
            raise TemplateError(f"strftime_now takes at most {_MAX_FORMAT} characters")
        return datetime.now().strftime(form)

    def raise_exception(message: Any = "") -> None:
        raise TemplateError(str(message))

    functions: dict[str, Callable[..., Any]] = {
        "range": range_,
        "strftime_now": strftime_now,
        "raise_exception": raise_exception,
    }
    functions["namespace"] = lambda *args, **kwargs: Namespace({**(args[0] if args else {}), **kwargs})
    functions["dict"] = lambda *args, **kwargs: {**(args[0] if args else {}), **kwargs}
    return {name: Function(name, call) for name, call in functions.items()}
