"""Requests that schemathesis makes from the description, right and wrong ones: no answer is a fault without a reason.

No registry may be spoken to, so that nothing leaves the machine.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from doors import MODEL, Door, serve
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from ollama_jupyter.server.openapi import description

FORBIDDEN = ("authorization", "host", "connection", "transfer-encoding", "content-length", "x-api-key")
LIMITS = {"max_tokens": 4, "max_completion_tokens": 4, "max_output_tokens": 4}
"""Answers are kept short: what counts here is how a request is taken."""


NOWHERE = "http://127.0.0.1:9"
"""A proxy that is not there: what would leave the machine ends here."""
TRANSFERS = ("/api/pull", "/api/push", "/api/create")
"""Routes that may ask a registry, and are patient with one that does not answer."""


def _body(case: Any, tame: bool) -> Any:
    """The body as JSON; `tame` has it for a model that is there, and for a short answer."""
    body = case.body if isinstance(case.body, (dict, list, str, int, float, bool)) else None
    if not isinstance(body, dict) or "model" not in body or case.formatted_path in TRANSFERS:
        return body
    if not tame and body["model"] != MODEL:
        return body
    tamed = {**body, "model": MODEL} | LIMITS
    tamed.pop("keep_alive", None)
    options = body.get("options")
    return tamed | {"options": {**(options if isinstance(options, dict) else {}), "num_predict": 4, "num_ctx": 512}}


def _send(client: httpx.Client, case: Any, tame: bool) -> httpx.Response:
    headers = {k: v for k, v in (case.headers or {}).items() if k.lower() not in FORBIDDEN}
    path = case.formatted_path
    kwargs: dict[str, Any] = {"json": _body(case, tame)} if case.method != "GET" else {}
    with client.stream(case.method, path, headers=_plain(headers), **kwargs) as answer:
        started = time.monotonic()
        for _ in answer.iter_raw():
            if time.monotonic() - started > 5:  # a long answer: going away is a test as well
                break
    return answer


def _plain(headers: dict[str, Any]) -> dict[str, str]:
    return {k: str(v) for k, v in headers.items() if str(v).isascii() and str(v).isprintable()}


def _fault(client: httpx.Client, case: Any, tame: bool) -> str:
    """What is wrong with the answer, or nothing."""
    try:
        answer = _send(client, case, tame)
    except httpx.TimeoutException:
        return "" if case.formatted_path in TRANSFERS else "no answer came"
    if answer.status_code < 500:
        return ""
    text = client.request(case.method, case.formatted_path, json=_body(case, tame)).text
    unexplained = "internal server error" in text or not text.strip()
    return f"{answer.status_code} without a reason: {text}" if unexplained else ""


def test_no_request_is_a_fault_without_a_reason(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    schema = schemathesis.openapi.from_file(description().decode())
    operations = [found.ok() for found in schema.get_all_operations()]
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    tried: Counter[str] = Counter()
    with serve(tmp_path / "models", OLLAMA_JUPYTER_REGISTRIES="", HTTPS_PROXY=NOWHERE) as door:
        end = time.monotonic() + 60 * pytestconfig.getoption("--fuzz-minutes")
        turn = 0
        while time.monotonic() < end:
            for operation in operations:
                for mode in modes:
                    _try(door, operation, mode, turn, tried)
            turn += 1
        assert httpx.get(door.url, timeout=20).text == "Ollama is running"
    assert len(tried) == len(operations), "an operation was never tried"


def _try(door: Door, operation: Any, mode: GenerationMode, turn: int, tried: Counter[str]) -> None:
    @seed(turn)
    @settings(
        max_examples=3, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(generation_mode=mode), tame=st.booleans())
    def examine(case: Any, tame: bool) -> None:
        tried[operation.label] += 1
        timeout = 2 if operation.path in TRANSFERS else 30
        with httpx.Client(base_url=door.url, timeout=timeout) as client:
            fault = _fault(client, case, tame)
        assert not fault, f"{case.method} {case.formatted_path} {case.body!r}: {fault}"

    with contextlib.suppress(Unsatisfiable):  # an operation without parameters cannot be asked wrongly
        examine()
