"""The library's pulls and pushes: what they ask the registry for, and the making of models from bases elsewhere."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from models import write_tiny_gguf
from plain_server import until

from ollama_jupyter import registry
from ollama_jupyter.config import Settings
from ollama_jupyter.errors import Canceled, InvalidName, ModelNotFound, RegistryError
from ollama_jupyter.library import Library, embedded
from ollama_jupyter.messages import CreateRequest, Progress, PullRequest, PushRequest
from ollama_jupyter.names import ModelName
from ollama_jupyter.registry import Access
from ollama_jupyter.store.manifests import CONFIG_TYPE, LAYER_TYPE, Layer, Manifest
from ollama_jupyter.store.models import Store

PULL = ["pulling manifest", "writing manifest", "success"]


class FakeRegistry:
    """Has every model but `absent`: the same tiny one. `calls` are the name, the access, and `prune` of each pull."""

    def __init__(self, weights: Path) -> None:
        self.weights = weights
        self.calls: list[tuple[ModelName, Access, bool | None]] = []
        self.gate: threading.Event | None = None
        self.keeps = True  # False: somebody deletes the model at once
        self.running = 0

    def pull(self, store: Store, name: ModelName, *, access: Access, report: Any, cancel: Any, prune: bool) -> None:
        self.calls.append((name, access, prune))
        report(Progress("pulling manifest"))
        if name.model == "absent":
            raise RegistryError("pull model manifest: file does not exist")
        if self.gate:
            self._wait(cancel)
        if self.keeps:
            store.manifests.put(name, self._manifest(store))
        report(Progress("writing manifest"))
        report(Progress("success"))

    def _wait(self, cancel: threading.Event) -> None:
        assert self.gate is not None
        self.running += 1
        while not self.gate.wait(0.001):
            if cancel.is_set():
                self.running -= 1
                raise Canceled

    def _manifest(self, store: Store) -> Manifest:
        def layer(kind: str, data: bytes) -> Layer:
            return Layer(kind, store.blobs.put_bytes(data), len(data))

        weights = layer(LAYER_TYPE + "model", self.weights.read_bytes())
        return Manifest.build(layer(CONFIG_TYPE, b'{"model_format":"gguf"}'), (weights,))

    def push(self, store: Store, name: ModelName, *, access: Access, report: Any, cancel: Any) -> None:
        self.calls.append((name, access, None))
        report(Progress("retrieving manifest"))
        report(Progress("success"))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeRegistry:
    fake = FakeRegistry(write_tiny_gguf(tmp_path / "tiny.gguf"))
    monkeypatch.setattr(registry, "pull", fake.pull)
    monkeypatch.setattr(registry, "push", fake.push)
    monkeypatch.setattr(embedded, "package_folders", tuple)
    return fake


@pytest.fixture
def library(tmp_path: Path) -> Library:
    settings = Settings(models=tmp_path / "models", registries=("h:1",), transfer_streams=3, noprune=True)
    return Library(Store(settings.models), settings)


async def statuses(lines: Any) -> list[str]:
    return [line.status async for line in lines]


async def test_a_pull_asks_by_the_settings(library: Library, fake: FakeRegistry) -> None:
    assert await statuses(library.pull(PullRequest("h:1/n/m", insecure=True), trusted=True)) == PULL
    [(name, access, prune)] = fake.calls
    assert name == ModelName("h:1", "n", "m", "latest")
    assert access == Access(True, True, ("h:1",), Path("~/.ollama/id_ed25519"), 3)
    assert prune is False


async def test_names_are_stored_in_the_case_that_they_have_here(library: Library, fake: FakeRegistry) -> None:
    await statuses(library.pull(PullRequest("N/Model"), trusted=False))
    await statuses(library.pull(PullRequest("n/model:new"), trusted=False))
    assert [name.display for name, _, _ in fake.calls] == ["N/Model:latest", "N/Model:new"]


async def test_bad_names_are_refused_at_once_by_a_pull(library: Library, fake: FakeRegistry) -> None:
    for name in ("", "-a", "../../etc/passwd"):
        with pytest.raises(InvalidName, match="invalid model name"):
            library.pull(PullRequest(name), trusted=True)


async def test_and_after_two_lines_by_a_push(library: Library, fake: FakeRegistry) -> None:
    lines = library.push(PushRequest("../../etc/passwd"), trusted=True)
    assert [(await anext(lines)).status for _ in range(2)] == ["retrieving manifest", "couldn't retrieve manifest"]
    with pytest.raises(InvalidName, match=r"^unqualified name: \.\./\.\./etc/passwd:latest$"):
        await anext(lines)
    assert not fake.calls


async def test_who_may_less_does_not_join_who_may_more(library: Library, fake: FakeRegistry) -> None:
    fake.gate = threading.Event()
    pulls = [
        asyncio.ensure_future(statuses(library.pull(PullRequest("m", insecure=insecure), trusted=trusted)))
        for insecure in (False, True)
        for trusted in (False, True, True)
    ]
    await until(lambda: fake.running == 4)
    fake.gate.set()
    assert await asyncio.gather(*pulls) == [PULL] * 6


async def test_spellings_of_a_name_share_a_pull(library: Library, fake: FakeRegistry) -> None:
    """Else each would find none stored, and both would be, side by side."""
    fake.gate = threading.Event()
    names = ("N/Model", "n/MODEL:Latest")
    pulls = [asyncio.ensure_future(statuses(library.pull(PullRequest(name), trusted=True))) for name in names]
    await until(lambda: fake.running)
    fake.gate.set()
    assert await asyncio.gather(*pulls) == [PULL] * 2
    assert [row.name for row in await library.tags()] == ["N/Model:latest"]


async def test_closing_ends_a_pull(library: Library, fake: FakeRegistry) -> None:
    fake.gate = threading.Event()
    pull = asyncio.ensure_future(statuses(library.pull(PullRequest("m"), trusted=True)))
    await until(lambda: fake.running)
    await library.close()
    assert not fake.running
    with pytest.raises(Canceled):
        await pull


# ---- bases that are not here ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [True, False])
async def test_create_pulls_its_base(library: Library, fake: FakeRegistry, trusted: bool) -> None:
    request = CreateRequest("child", from_="n/base:1", system="be brief")
    said = await statuses(library.create(request, trusted=trusted))
    assert said[:3] == PULL
    assert said[-2:] == ["writing manifest", "success"]
    assert {row.name for row in await library.tags()} == {"child:latest", "n/base:1"}
    [(name, access, _)] = fake.calls
    assert (name.display, access.trusted, access.insecure) == ("n/base:1", trusted, False)
    await statuses(library.create(request, trusted=trusted))
    assert len(fake.calls) == 1, "it is here now"


async def test_what_is_wrong_with_a_request_is_told_before_the_base_is_pulled(
    library: Library, fake: FakeRegistry
) -> None:
    with pytest.raises(InvalidName):
        await anext(library.create(CreateRequest("-a", from_="base")))
    assert not fake.calls


async def test_a_base_that_nobody_has(library: Library, fake: FakeRegistry) -> None:
    lines = library.create(CreateRequest("child", from_="absent"))
    assert (await anext(lines)).status == "pulling manifest"
    with pytest.raises(RegistryError, match="file does not exist"):
        await anext(lines)


async def test_a_base_that_is_deleted_as_soon_as_it_came(library: Library, fake: FakeRegistry) -> None:
    fake.keeps = False
    with pytest.raises(ModelNotFound, match="model 'base:latest' not found"):
        await statuses(library.create(CreateRequest("child", from_="base")))
    assert len(fake.calls) == 1


async def test_whoever_leaves_while_the_base_comes_ends_the_pull(library: Library, fake: FakeRegistry) -> None:
    fake.gate = threading.Event()
    making = asyncio.ensure_future(statuses(library.create(CreateRequest("child", from_="base"))))
    await until(lambda: fake.running)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    await until(lambda: not fake.running)
