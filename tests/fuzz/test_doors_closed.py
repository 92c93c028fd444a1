"""Every route and every verb is refused without credentials, on Jupyter's door and on `serve` with a key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from doors import Door, jupyter, serve

from ollama_jupyter.server.routes import METHODS, ROUTES

KEY = "a-key-of-the-test"
PATHS = [re.sub(r"\(.*?\)", "x", pattern.replace("\\", "")).replace(".*", "nothing") for pattern, _ in ROUTES]


@pytest.fixture(scope="module", params=["serve", "jupyter", "kernel"])
def closed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A door without what opens it."""
    base = tmp_path_factory.mktemp("closed")
    if request.param == "serve":
        with serve(base / "models", OLLAMA_JUPYTER_API_KEY=KEY) as door:
            yield door
        return
    (base / "notebooks").mkdir()
    with jupyter(base / "notebooks", base / "models") as (outer, inner, _):
        yield (
            Door("jupyter", outer.url) if request.param == "jupyter" else Door("kernel", inner.url.partition("/k/")[0])
        )


@pytest.mark.parametrize("method", METHODS)
def test_nothing_opens_without_credentials(closed: Door, method: str) -> None:
    with httpx.Client(base_url=closed.url, timeout=20) as client:
        answers = {path: client.request(method, path, follow_redirects=False) for path in PATHS}
    for path, answer in answers.items():
        refused = answer.status_code in (401, 403, 404, 405) or "login" in answer.headers.get("location", "")
        assert refused, f"{method} {path}: {answer.status_code} {answer.text}"
        assert "Ollama is running" not in answer.text
        assert "models" not in answer.text


@pytest.mark.parametrize(
    "headers", [{"Authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}], ids=["bearer", "x-api-key"]
)
def test_the_key_opens(tmp_path: Path, headers: dict[str, str]) -> None:
    with serve(tmp_path / "models", OLLAMA_JUPYTER_API_KEY=KEY) as door:
        assert httpx.get(door.url + "/api/tags", timeout=20).status_code == 401
        assert httpx.get(door.url + "/api/tags", headers=headers, timeout=20).status_code == 200
