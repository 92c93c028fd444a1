"""Writes `golden/prompts.json` anew: run it when llama.cpp's collection of templates changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dialogues import DIALOGUES, plain, tools_of
from golden_families import PUBLISHED, Published
from published import reference, template

GOLDEN = Path(__file__).parents[1] / "golden" / "prompts.json"
ORIGIN = "llama.cpp, in the source distribution of llama-cpp-python 0.3.36"


def rows(one: Published) -> dict[str, str]:
    """What jinja2 makes of each dialogue; a refusal as `refused: ` and its text."""
    return {name: row(one, name) for name in DIALOGUES if name not in one.without}


def row(one: Published, dialogue: str) -> str:
    names: dict[str, Any] = {"messages": plain(DIALOGUES[dialogue]), "bos_token": one.bos, "eos_token": one.eos}
    try:
        return reference(template(one.source), {**names, "tools": tools_of(dialogue) or None})
    except Exception as error:
        return f"refused: {error}"


def main() -> None:
    golden = {
        name: {"source": f"{one.source} of {ORIGIN}", "prompts": rows(one)} for name, one in sorted(PUBLISHED.items())
    }
    GOLDEN.write_text(json.dumps(golden, ensure_ascii=False, indent=1, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    main()
