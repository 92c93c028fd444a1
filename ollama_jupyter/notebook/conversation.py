"""What was said so far. Only whole, finished exchanges belong to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from ollama_jupyter.notebook.result import Stats

Turn = dict[str, str]


@dataclass
class Conversation:
    """One per kernel, kept until `%ollama reset`. `last` are the measurements of the latest exchange."""

    turns: list[Turn] = field(default_factory=list)
    system: str = ""
    last: Stats | None = None

    def with_prompt(self, prompt: str, system: str | None) -> list[Turn]:
        """The messages to send for the next exchange; nothing is kept yet. `system` None leaves it as it is."""
        chosen = self.system if system is None else system
        head = [{"role": "system", "content": chosen}] if chosen else []
        return [*head, *self.turns, {"role": "user", "content": prompt}]

    def keep(self, prompt: str, answer: str, system: str | None, stats: Stats) -> None:
        if system is not None:
            self.system = system
        self.turns += [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        self.last = stats

    def clear(self) -> None:
        self.turns.clear()
        self.system = ""
        self.last = None

    def __str__(self) -> str:
        if not self.turns:
            return "empty"
        exchanges = len(self.turns) // 2
        used = self.last.prompt_tokens + self.last.tokens if self.last else 0
        return f"{exchanges} exchange{'s' * (exchanges != 1)}, {used} tokens"
