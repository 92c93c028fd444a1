"""A parsed template, ready to run any number of times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.prompt.gotemplate.analysis import cut_after, identifiers
from ollama_jupyter.prompt.gotemplate.executor import Executor
from ollama_jupyter.prompt.gotemplate.funcs import NAMES
from ollama_jupyter.prompt.gotemplate.nodes import Action, Command, Field, Pipe, Statement
from ollama_jupyter.prompt.gotemplate.parser import parse_source
from ollama_jupyter.prompt.limits import Budget


@dataclass(frozen=True)
class Template:
    """`bodies` holds the template itself under "" and every one that it defines."""

    source: str
    bodies: Mapping[str, Sequence[Statement]]

    @cached_property
    def variables(self) -> frozenset[str]:
        """The names of all fields and variables mentioned anywhere, in lower case."""
        return frozenset(name.lower() for body in self.bodies.values() for name in identifiers(body))

    def execute(self, data: Any, budget: Budget | None = None) -> str:
        """The text that the template makes of `data`: plain values, see `values`.

        Raises:
            TemplateError: with Go's text where the template is at fault, or naming the limit that it ran over.
        """
        executor = Executor(self.source, self.bodies, budget or Budget())
        try:
            return executor.run("", data)
        except RecursionError:
            raise TemplateError("template is nested too deeply to run") from None

    def cut_after_response(self) -> Template:
        """The template without everything that follows its first `.Response`: the model continues from there."""
        return self._cut

    @cached_property
    def _cut(self) -> Template:
        return replace(self, bodies={**self.bodies, "": cut_after("Response", self.bodies[""])})


@lru_cache(maxsize=128)
def parse(source: str) -> Template:
    """Parse a template, and append `{{ .Response }}` if it mentions neither messages nor a response, as Ollama does.

    Raises:
        TemplateError: with Go's text, `template: :1: unclosed action`.
    """
    try:
        template = Template(source, parse_source(source, NAMES))
    except RecursionError:
        raise TemplateError("template is nested too deeply to parse") from None
    if template.variables & {"messages", "response"}:
        return template
    end = len(source)
    response = Action(end, Pipe(end, [Command(end, [Field(end, ["Response"])])]))
    return Template(source, {**template.bodies, "": [*template.bodies[""], response]})
