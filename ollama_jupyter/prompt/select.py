"""Which template renders a model's conversations, and what the model can do.

Ollama's order (contract 5.1), first match wins:

1. the model names a builtin renderer: that one, where it is ours (docs/templates.md has the list); else its GGUF's
   Jinja template, else its Go template (library models with a renderer carry the stub `{{ .Prompt }}` as TEMPLATE,
   which is no chat format);
2. only a builtin parser is named, or it is gpt-oss with a harmony template: its Go template;
3. it has a TEMPLATE and Go templates are on: its Go template, unless the GGUF's Jinja template offers more;
4. otherwise the GGUF's Jinja template, or chatml where there is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.messages import Message
from ollama_jupyter.prompt.conversation import assemble, for_generate, linked
from ollama_jupyter.prompt.gomodes import DEFAULT_TEMPLATE, Think, render_generate, render_messages, render_suffix
from ollama_jupyter.prompt.identifiers import renamed
from ollama_jupyter.prompt.images import place_images
from ollama_jupyter.prompt.infill import Infill
from ollama_jupyter.prompt.output import PLAIN, Output, output_for, parser_capabilities, shows_thinking
from ollama_jupyter.prompt.renderers import Render, renderer_named

__all__ = ["Rendered", "Renderer", "assemble", "capabilities", "choose", "for_generate", "render_generate"]

_TOOL_ROLE = re.compile(r"""["']tool["']|tool_response|tool_result""")
_THINK_SPLIT = re.compile(r"""split\(\s*["']</think>["']\s*\)""")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt. `has_bos`: it already begins with the BOS token's text, so the tokenizer must add no second one.

    `images`: those of the kept messages, in the order of the `[img-N]` tags in the text.
    """

    text: str
    has_bos: bool
    images: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Renderer:
    """Renders conversations by one template. `source` None is Jinja without a template: chatml for chats.

    `render` is the builtin renderer that is used in place of a template, `infill` the tokens for filling in the middle.
    With `identifiers` the model is shown, and calls, tools by names that are identifiers: see `prompt.identifiers`.
    """

    kind: Literal["go", "jinja", "builtin"]
    source: str | None
    bos: str = ""
    eos: str = ""
    output: Output = PLAIN
    render: Render | None = None
    infill: Infill | None = None
    identifiers: bool = False

    @property
    def native(self) -> bool:
        """Whether the GGUF's own Jinja template renders."""
        return self.kind == "jinja"

    def chat(self, messages: Sequence[Message], *, think: Think = None, tools: Sequence[Any] = ()) -> Rendered:
        """The prompt of a conversation; a trailing assistant turn is left open, to be continued.

        Raises:
            TemplateError: the template does not parse, refuses the conversation, or runs over its limits.
        """
        placed, images = place_images(messages)
        try:
            return self._rendered(self._chat(placed, think, tools), images)
        except RecursionError:
            raise TemplateError("the tools or tool calls are nested too deeply") from None

    def _chat(self, messages: Sequence[Message], think: Think, tools: Sequence[Any]) -> str:
        if self.identifiers:
            messages, tools = renamed(messages, tools)
        if self.render is not None:
            return self.render(linked(messages), tools, think)
        if self.kind == "go":
            return render_messages(self.source or DEFAULT_TEMPLATE, messages, think=think, tools=tools)
        from ollama_jupyter.prompt.jinja import render_chat

        return render_chat(self.source, messages, bos=self.bos, eos=self.eos, think=think, tools=tools)

    def generate(self, messages: Sequence[Message], *, think: Think = None) -> Rendered:
        """The prompt of `/api/generate`: as `chat`, but a model without any template continues the plain text."""
        if self.kind == "jinja" and self.source is None:
            placed, images = place_images(messages)
            return self._rendered(render_messages(DEFAULT_TEMPLATE, placed, think=think), images)
        return self.chat(messages, think=think)

    def template(
        self,
        template_text: str,
        *,
        system: str,
        prompt: str,
        suffix: str = "",
        think: Think = None,
        images: tuple[bytes, ...] = (),
    ) -> Rendered:
        """The prompt of `/api/generate` with a `template` of the request's own, which is always Go's language."""
        (turn,), images = place_images([Message("user", prompt, images=images)])
        text = render_generate(template_text, system=system, prompt=turn.content, suffix=suffix, think=think)
        return self._rendered(text, images)

    def suffix(self, prompt: str, suffix: str, *, think: Think = None) -> Rendered:
        """Fill in the middle by the model's Go template, else by the tokens that its vocabulary has for that.

        Raises:
            TemplateError: it has neither; models that have one are able to `insert`.
        """
        if self.kind == "go" and self.source is not None and "insert" in _go_capabilities(self.source):
            return self._rendered(render_suffix(self.source, prompt, suffix, think=think))
        if self.infill is not None:
            return self._rendered(self.infill.prompt(prompt, suffix))
        raise TemplateError("the model's template has no place for a suffix")

    def _rendered(self, text: str, images: tuple[bytes, ...] = ()) -> Rendered:
        return Rendered(text, bool(self.bos) and text.startswith(self.bos), images)


def choose(
    *,
    template: str | None,
    chat_template: str | None,
    family: str = "",
    bos: str = "",
    eos: str = "",
    prefer_go: bool | None = None,
    renderer: str = "",
    parser: str = "",
    infill: tuple[str, str, str] | None = None,
    name: str = "",
    parameters: int = 0,
) -> Renderer:
    """The renderer of a model.

    Args:
        template: the Modelfile's TEMPLATE layer, Go's language.
        chat_template: `tokenizer.chat_template` of the GGUF, Jinja.
        bos, eos: the texts of these tokens, from the GGUF's header; empty where the model has none.
        prefer_go: OLLAMA_GO_TEMPLATE: True always Go where there is one, False never, None as the module says.
        renderer, parser: the builtin ones that the model's config names.
        infill: the texts of the tokens for filling in the middle, of the GGUF's vocabulary: prefix, suffix, middle.
        name, parameters: the model's name and its number of weights, which tell the sizes of Gemma 4 apart.
    """
    tokens = Infill(*infill) if infill else None
    render = renderer_named(renderer, model=name, parameters=parameters)
    if render is not None:
        output = output_for(parser=parser, kind="go", source=template, family=family)
        return Renderer("builtin", template, bos, eos, output, render, tokens)
    go = template is not None and _go_wins(template, chat_template, family, prefer_go, renderer, parser)
    source = template if go else chat_template or None
    if is_harmony(template if go else chat_template, family):
        parser = parser or "harmony"
    output = output_for(parser=parser, kind="go" if go else "jinja", source=source, family=family)
    return Renderer("go" if go else "jinja", source, bos, eos, output, None, tokens, parser == "harmony")


def is_harmony(source: str | None, family: str) -> bool:
    """Whether the template writes OpenAI's harmony format, which its own parser reads."""
    return family in ("gptoss", "gpt-oss") and all(mark in (source or "") for mark in ("<|start|>", "<|end|>"))


def _go_wins(
    template: str, chat_template: str | None, family: str, prefer_go: bool | None, renderer: str, parser: str
) -> bool:
    if renderer:
        return not chat_template
    if parser or is_harmony(template, family):
        return True
    if prefer_go is not None:
        return prefer_go
    return not (chat_template and _jinja_preferred(template, chat_template))


def _jinja_preferred(template: str, chat_template: str) -> bool:
    go = {c for c in _go_capabilities(template) if c != "insert"}
    jinja = set(jinja_capabilities(chat_template))
    go_returns, jinja_returns = bool(_TOOL_ROLE.search(template)), bool(_TOOL_ROLE.search(chat_template))
    if jinja > go:
        return jinja_returns or not go_returns
    return jinja == go and "tools" in jinja and jinja_returns and not go_returns


def jinja_capabilities(chat_template: str) -> Iterable[str]:
    """What a GGUF's own template knows beside plain talk: "tools", "thinking"."""
    if "tools" in chat_template or "tool_call" in chat_template:
        yield "tools"
    splits = _THINK_SPLIT.search(chat_template) and "reasoning_content" not in chat_template
    if shows_thinking(chat_template) or splits:
        yield "thinking"


def _go_capabilities(template: str) -> Iterable[str]:
    from ollama_jupyter.prompt.gotemplate import parse, thinking_tags

    try:
        parsed = parse(template)
    except TemplateError:
        return
    if "tools" in parsed.variables:
        yield "tools"
    if "suffix" in parsed.variables:
        yield "insert"
    if thinking_tags(parsed):
        yield "thinking"


def capabilities(
    *,
    template: str | None,
    chat_template: str | None,
    native: bool,
    family: str = "",
    configured: Iterable[str] = (),
    pooling: bool = False,
    vision: bool = False,
    audio: bool = False,
    projector: bool = False,
    projector_audio: bool = False,
    parser: str = "",
    infill: bool = False,
) -> tuple[str, ...]:
    """What the model can do, in the order of `/api/show`.

    Args:
        native: the GGUF's Jinja template renders (`choose(...).native`); `/api/tags` passes False with no
            chat_template, as Ollama's list does not look at Jinja.
        configured: `capabilities` of the model's config.
        pooling: the GGUF has `<arch>.pooling_type`, so it embeds and does not complete.
        vision, audio: the GGUF has a block count of that tower; `projector`: a projector layer is there, with an audio
            encoder where `projector_audio`.
        parser: the builtin one that the model's config names.
        infill: the GGUF's vocabulary has tokens for filling in the middle.
    """
    found = list(configured)
    if native and chat_template:
        found += jinja_capabilities(chat_template)
    found.append("embedding" if pooling else "completion")
    found += ["vision"] * (vision or projector) + ["audio"] * (audio or (projector and projector_audio))
    if template is not None and not native:
        found += _go_capabilities(template)
    found += parser_capabilities(parser)
    if infill and not pooling:
        found.append("insert")
    if family in ("gptoss", "gpt-oss"):
        found.append("thinking")
    return tuple(dict.fromkeys(found))
