"""What holding an answer to a schema costs: the same number of tokens, free and held, in turns. Prints a table.

    python benchmarks/structured.py [ROUNDS]

The schema lists records whose keys are long, as such schemas are: what the grammar leaves no choice about is not
sampled. A second schema forces little. Each answer ends at `TOKENS`.
"""

from __future__ import annotations

import statistics
import sys
from typing import Any

import httpx
from server import MODEL, running

TOKENS = 96
PROMPT = "Tell of many people: their names, ages and towns."
PERSON = {
    "type": "object",
    "properties": {
        "full_name": {"type": "string"},
        "age_in_years": {"type": "integer"},
        "home_town": {"type": "string"},
    },
    "required": ["full_name", "age_in_years", "home_town"],
}
FORMS: dict[str, Any] = {
    "free": "",
    "records": {"type": "array", "items": PERSON, "minItems": 40},
    "one long text": {"type": "object", "properties": {"t": {"type": "string", "minLength": 2000}}, "required": ["t"]},
}


def rate(client: httpx.Client, form: Any, seed: int) -> tuple[float, int]:
    """Tokens of the answer a second, and how many there were."""
    options = {"num_predict": TOKENS, "seed": seed, "temperature": 0.8}
    body = {"model": MODEL, "prompt": PROMPT, "stream": False, "options": options, "format": form}
    told = client.post("/api/generate", json=body).raise_for_status().json()
    return told["eval_count"] / told["eval_duration"] * 1e9, told["eval_count"]


def main(rounds: int) -> None:
    rates: dict[str, list[float]] = {name: [] for name in FORMS}
    with running() as url, httpx.Client(base_url=url, timeout=300) as client:
        for form in FORMS.values():  # the grammar is compiled, the prompt is read
            rate(client, form, 0)
        for seed in range(rounds):
            for name, form in FORMS.items():
                speed, count = rate(client, form, seed)
                if count == TOKENS:  # a free answer may end before
                    rates[name].append(speed)
    free = statistics.median(rates["free"])
    print("| answer | tokens a second, median | of free |\n|---|---|---|")
    for name, speeds in rates.items():
        print(f"| {name} | {statistics.median(speeds):.0f} | {statistics.median(speeds) / free:.2f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
