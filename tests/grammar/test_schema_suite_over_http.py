"""The JSON-Schema-Test-Suite's schemas as `format`, answered by the real model."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import schema_suite
from doors import MODEL, serve

CLIENTS = 8


def outcome(schema: dict[str, Any], response: httpx.Response) -> str:
    """valid, refused by keyword and path, length, or what is wrong."""
    body = response.json()
    if response.status_code == 400:
        named = re.search(r'field "format": .*"?[$\w]+"? .*at \$', body["error"])
        return "refused" if named else f"unclear: {body['error']}"
    if response.status_code != 200:
        return f"{response.status_code}: {body}"
    try:
        valid = jsonschema.Draft202012Validator(schema).is_valid(json.loads(body["response"]))
    except ValueError:
        valid = False
    if not valid and body["done_reason"] == "length":
        return "length"
    return "valid" if valid else f"invalid: {body['response']}"


async def test_every_schema_gets_a_valid_answer_or_is_refused_by_name(tmp_path: Path) -> None:
    schemas = schema_suite.schemas()
    with serve(tmp_path / "models", OLLAMA_NUM_PARALLEL=str(CLIENTS)) as door:
        limits = httpx.Limits(max_connections=CLIENTS)
        async with httpx.AsyncClient(base_url=door.url, timeout=300, limits=limits) as client:
            body = {"model": MODEL, "prompt": "An example:", "stream": False, "options": {"num_predict": 64, "seed": 1}}
            posts = [client.post("/api/generate", json=body | {"format": schema}) for _, schema in schemas]
            responses = await asyncio.gather(*posts)
    pairs = zip(schemas, responses, strict=True)
    found = {name: outcome(schema, response) for (name, schema), response in pairs}
    assert {name: told for name, told in found.items() if told not in ("valid", "refused", "length")} == {}
    counts = Counter(found.values())
    print(counts)
    assert len(found) >= 300
    assert counts["length"] <= 0.05 * len(found), counts
    assert counts["valid"] >= 0.3 * len(found), counts
