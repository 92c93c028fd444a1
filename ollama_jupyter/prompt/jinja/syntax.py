"""Parsing: jinja2's own parser, with the settings and extensions that Hugging Face gives chat templates."""

from __future__ import annotations

from functools import lru_cache

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.prompt.limits import check_source


class _Generation(Extension):
    """`{% generation %}` marks what a trainer learns from; it renders its body."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.With([], [], body, lineno=line)


_PARSER = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation])


@lru_cache(maxsize=128)
def parse(source: str) -> nodes.Template:
    """The syntax tree of a chat template. Nothing of it is compiled to Python.

    Raises:
        TemplateError: naming the line.
    """
    check_source(source)
    try:
        return _PARSER.parse(source)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"chat template, line {error.lineno}: {error.message}") from None
    except RecursionError:
        raise TemplateError("chat template is nested too deeply to parse") from None
    except (ValueError, OverflowError, MemoryError) as error:
        raise TemplateError(f"chat template does not parse: {error}") from None
