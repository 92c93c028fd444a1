"""Which models are in memory: on a fake engine handle, so that loads and unloads take no time. The real one is driven
in test_end_to_end.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from models import write_tiny_gguf

from ollama_jupyter import manager as manager_module
from ollama_jupyter.config import Settings
from ollama_jupyter.durations import FOREVER
from ollama_jupyter.engine import memory
from ollama_jupyter.engine.events import EngineParams
from ollama_jupyter.errors import Canceled, InsufficientMemory, ModelLoadError, ServerBusy, Stopping
from ollama_jupyter.gguf import read_header
from ollama_jupyter.manager import Manager, window
from ollama_jupyter.messages import Options
from ollama_jupyter.names import Digest, ModelName
from ollama_jupyter.store.models import Model


class FakeHandle:
    """Stands for EngineHandle: records loads and stops, and may be told to wait or to fail."""

    log: list[str] = []
    gate: asyncio.Event | None = None
    failure: Exception | None = None

    def __init__(self, params: EngineParams) -> None:
        self.params, self.size, self.size_vram = params, 1000, 0
        self.name = Path(params.path).name

    @classmethod
    async def load(cls, params: EngineParams, stall_timeout: float) -> FakeHandle:
        if cls.gate is not None:
            await cls.gate.wait()
        if cls.failure is not None:
            raise cls.failure
        handle = cls(params)
        cls.log.append(f"load {handle.name} {params.num_ctx}x{params.num_parallel}")
        return handle

    async def stop(self, why: str, *, free: bool = True) -> None:
        self.log.append(f"stop {self.name}{'' if free else ' (kept)'}")


class NoProbe:
    async def check(
        self, digest: str, path: Path, adapters: tuple[str, ...] = (), shards: tuple[str, ...] = ()
    ) -> None:
        FakeHandle.log.append(f"probe {path.name}")


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager_module, "EngineHandle", FakeHandle)
    monkeypatch.setattr(manager_module, "_offloads", lambda params: False)
    FakeHandle.log, FakeHandle.gate, FakeHandle.failure = [], None, None


@pytest.fixture
def model(tmp_path: Path) -> Any:
    header = read_header(write_tiny_gguf(tmp_path / "tiny.gguf"))

    def make(name: str) -> Model:
        digest = Digest.of(name.encode())
        return Model(ModelName.parse(name), digest.hex, tmp_path / name, digest, header, {})

    return make


def open_manager(**settings: Any) -> Manager:
    return Manager(Settings(**{"keep_alive": FOREVER, **settings}), NoProbe())  # type: ignore[arg-type]


async def use(manager: Manager, model: Model, keep_alive: float | None = None, **options: Any) -> int:
    async with manager.lease(model, Options(**options), keep_alive) as lease:
        return lease.num_ctx


def loaded(manager: Manager) -> list[str]:
    return sorted(row.name for row in manager.ps())


async def settled(manager: Manager) -> None:
    """Until the unloads that timers started are over."""
    for _ in range(20):
        await asyncio.sleep(0)


# ---- windows ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "setting", "trained", "got"),
    [
        (None, 0, 512, 512),
        (None, 0, 100_000, 4096),
        (None, 8192, 100_000, 8192),
        (None, 8192, 512, 512),
        (1, 0, 512, 4),
        (0, 0, 512, 512),
        (1_000_000, 0, 512, 512),
        (300, 0, 512, 300),
        (4096, 0, 0, 4096),
    ],
)
def test_the_window(model: Any, asked: int | None, setting: int, trained: int, got: int) -> None:
    made = model("a")
    key = "llama.context_length"
    made = replace(made, gguf=replace(made.gguf, metadata={**made.gguf.metadata, key: trained}))
    assert window(made, Options(num_ctx=asked), Settings(context_length=setting)) == got


# ---- loading and sharing ------------------------------------------------------------------------------------------


async def test_a_model_is_probed_and_loaded_once(model: Any) -> None:
    manager = open_manager()
    for _ in range(3):
        await use(manager, model("a"))
    assert FakeHandle.log == ["probe a", "load a 512x4"]


async def test_models_of_the_same_weights_share_one_engine(model: Any) -> None:
    manager = open_manager()
    await use(manager, model("a"))
    await use(manager, replace(model("a"), name=ModelName.parse("derived"), system="You are kind."))
    assert loaded(manager) == ["a:latest"]


async def test_a_smaller_window_runs_in_the_larger_and_a_larger_one_reloads(model: Any) -> None:
    manager = open_manager()
    windows = [await use(manager, model("a"), num_ctx=n) for n in (256, 64, 256, 512, 64)]
    assert windows == [256, 64, 256, 512, 64]
    assert FakeHandle.log == ["probe a", "load a 256x4", "stop a", "probe a", "load a 512x4"]


async def test_sampling_options_never_reload(model: Any) -> None:
    manager = open_manager()
    for options in ({"temperature": 0.1}, {"seed": 3, "top_k": 1}, {"num_predict": 5, "stop": ("x",)}):
        await use(manager, model("a"), **options)
    assert FakeHandle.log.count("load a 512x4") == 1


async def test_a_change_of_threads_waits_for_the_running_request(model: Any) -> None:
    manager = open_manager()
    async with manager.lease(model("a"), Options(), None):
        other = asyncio.ensure_future(use(manager, model("a"), num_thread=1))
        await settled(manager)
        assert not other.done()
        assert FakeHandle.log == ["probe a", "load a 512x4"]
    await other
    assert FakeHandle.log[2:] == ["stop a", "probe a", "load a 512x4"]


async def test_requests_that_come_during_a_load_share_it(model: Any) -> None:
    manager = open_manager()
    FakeHandle.gate = asyncio.Event()
    waiting = [asyncio.ensure_future(use(manager, model("a"))) for _ in range(3)]
    await settled(manager)
    FakeHandle.gate.set()
    await asyncio.gather(*waiting)
    assert FakeHandle.log.count("load a 512x4") == 1


async def test_a_failed_load_is_told_to_each_and_the_next_tries_again(model: Any) -> None:
    manager = open_manager()
    FakeHandle.failure = ModelLoadError("broken")
    for _ in range(2):
        with pytest.raises(ModelLoadError, match="broken"):
            await use(manager, model("a"))
    FakeHandle.failure = None
    assert await use(manager, model("a")) == 512


async def test_a_client_that_leaves_while_loading_leaves_no_trace(model: Any) -> None:
    manager = open_manager(max_queue=1)
    FakeHandle.gate = asyncio.Event()
    gone = asyncio.ensure_future(use(manager, model("a")))
    await settled(manager)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    FakeHandle.gate.set()
    assert await use(manager, model("a")) == 512


# ---- how long they stay -------------------------------------------------------------------------------------------


async def test_keep_alive_zero_unloads_after_the_request(model: Any) -> None:
    manager = open_manager()
    await use(manager, model("a"), keep_alive=0)
    await asyncio.sleep(0.01)
    await settled(manager)
    assert loaded(manager) == []
    assert FakeHandle.log[-1] == "stop a"


async def test_an_idle_model_is_unloaded_after_its_keep_alive(model: Any) -> None:
    manager = open_manager(keep_alive=0.02)
    await use(manager, model("a"))
    assert loaded(manager) == ["a:latest"]
    for _ in range(1000):
        if not loaded(manager):
            break
        await asyncio.sleep(0.005)
    assert FakeHandle.log[-1] == "stop a"


async def test_a_leased_model_does_not_expire(model: Any) -> None:
    manager = open_manager(keep_alive=0.001)
    async with manager.lease(model("a"), Options(), None):
        await asyncio.sleep(0.02)
        assert loaded(manager) == ["a:latest"]


async def test_the_last_keep_alive_sticks(model: Any) -> None:
    manager = open_manager(keep_alive=100)
    await use(manager, model("a"), keep_alive=FOREVER)
    await use(manager, model("a"))
    assert manager.ps()[0].expires_at == FOREVER


async def test_unload_of_an_idle_a_busy_and_an_absent_model(model: Any) -> None:
    manager = open_manager()
    await manager.unload(model("a"))
    await use(manager, model("a"))
    await manager.unload(model("a"))
    assert loaded(manager) == []
    async with manager.lease(model("a"), Options(), None):
        await manager.unload(model("a"))
        assert loaded(manager) == ["a:latest"]
    await asyncio.sleep(0.01)
    await settled(manager)
    assert loaded(manager) == []


async def test_a_model_is_kept_while_a_thread_reads_it(model: Any) -> None:
    manager = open_manager()
    reader: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    async with manager.lease(model("a"), Options(), None) as lease:
        lease.hold(reader)
    await manager.unload(model("a"))
    assert loaded(manager) == ["a:latest"]
    reader.set_result(None)
    await asyncio.sleep(0.01)
    await settled(manager)
    assert FakeHandle.log[-1] == "stop a"
    await use(manager, model("b"))
    async with manager.lease(model("b"), Options(), None) as lease:
        lease.hold(asyncio.get_running_loop().create_future())
    await manager.close()
    assert FakeHandle.log[-1] == "stop b (kept)"


# ---- making room --------------------------------------------------------------------------------------------------


async def test_the_number_of_models_is_limited_and_the_idlest_goes(model: Any) -> None:
    manager = open_manager(max_loaded_models=2)
    for name in ("a", "b"):
        await use(manager, model(name))
    await use(manager, model("a"))
    await use(manager, model("c"))
    assert loaded(manager) == ["a:latest", "c:latest"]


async def test_a_shorter_keep_alive_goes_first(model: Any) -> None:
    manager = open_manager(max_loaded_models=2)
    await use(manager, model("a"), keep_alive=FOREVER)
    await use(manager, model("b"), keep_alive=50)
    await use(manager, model("c"))
    assert loaded(manager) == ["a:latest", "c:latest"]


async def test_a_busy_model_ends_its_request_before_it_goes(model: Any) -> None:
    manager = open_manager(max_loaded_models=1)
    async with manager.lease(model("a"), Options(), None):
        other = asyncio.ensure_future(use(manager, model("b")))
        await settled(manager)
        assert loaded(manager) == ["a:latest"]
    await other
    assert loaded(manager) == ["b:latest"]


async def test_a_client_that_stops_waiting_for_room_lets_the_other_stay(model: Any) -> None:
    manager = open_manager(max_loaded_models=1)
    async with manager.lease(model("a"), Options(), None):
        other = asyncio.ensure_future(use(manager, model("b")))
        await settled(manager)
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)
        assert await use(manager, model("a")) == 512
    assert loaded(manager) == ["a:latest"]


async def test_what_does_not_fit_evicts_then_shrinks_then_is_refused_with_numbers(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = open_manager()
    await use(manager, model("a"))
    needed = memory.estimate(model("b").gguf, EngineParams("b", num_ctx=512, num_parallel=4))
    single = memory.estimate(model("b").gguf, EngineParams("b", num_ctx=512, num_parallel=1))
    free = [single]
    monkeypatch.setattr(manager_module.memory, "available_bytes", lambda: free[0])
    assert single < needed
    await use(manager, model("b"))
    assert loaded(manager) == ["b:latest"]
    assert FakeHandle.log[-1] == "load b 512x1"
    free[0] = single - 1
    with pytest.raises(InsufficientMemory, match=r"needs .* GB with num_ctx 512, .* GB are free"):
        await use(manager, model("c"))


async def test_the_queue_is_bounded(model: Any) -> None:
    manager = open_manager(num_parallel=1, max_queue=1)
    async with manager.lease(model("a"), Options(), None), manager.lease(model("a"), Options(), None):
        with pytest.raises(ServerBusy, match="maximum pending requests exceeded"):
            await use(manager, model("a"))
        assert await use(manager, model("b")) == 512  # it need not wait
    assert await use(manager, model("a")) == 512


async def test_a_closed_manager_takes_nobody(model: Any) -> None:
    manager = open_manager()
    await use(manager, model("a"))
    await manager.close("the server is shutting down")
    assert FakeHandle.log[-1] == "stop a"
    with pytest.raises(Canceled, match="shutting down"):
        await use(manager, model("a"))


@pytest.fixture(autouse=True)
async def _nothing_left() -> AsyncIterator[None]:
    """A test must not leave a task behind that would report its error into another."""
    yield
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not tasks


# ---- what a review found ------------------------------------------------------------------------------------------


async def test_an_expired_model_cannot_be_taken_any_more(model: Any) -> None:
    """The timer fires and, before its unload runs, a request comes: it must get an engine that is not ending."""
    manager = open_manager()
    await use(manager, model("a"))
    expired = next(iter(manager._loaded.values()))
    manager._expire(expired)
    async with manager.lease(model("a"), Options(), None) as lease:
        assert lease.handle is not expired.handle
        await settled(manager)
    assert FakeHandle.log == ["probe a", "load a 512x4", "stop a", "probe a", "load a 512x4"] or (
        FakeHandle.log == ["probe a", "load a 512x4", "probe a", "stop a", "load a 512x4"]
    )


async def test_a_lease_may_end_before_its_client_has_read_all(model: Any) -> None:
    manager = open_manager(max_loaded_models=1)
    async with manager.lease(model("a"), Options(), None) as lease:
        lease.release()
        lease.release()
        assert await asyncio.wait_for(use(manager, model("b")), 5) == 512
    assert loaded(manager) == ["b:latest"]
    assert all(kept.leases == 0 for kept in manager._loaded.values())


async def test_keep_alive_survives_an_eviction_that_was_called_off(model: Any) -> None:
    manager = open_manager(max_loaded_models=1, keep_alive=0.01)
    async with manager.lease(model("a"), Options(), None):
        other = asyncio.ensure_future(use(manager, model("b")))
        await settled(manager)
    other.cancel()  # the eviction was waiting for the request that has just ended
    await asyncio.gather(other, return_exceptions=True)
    for _ in range(1000):
        if not loaded(manager):
            break
        await asyncio.sleep(0.005)
    assert loaded(manager) == []


@pytest.mark.parametrize(("max_queue", "parallel", "served"), [(0, 1, 1), (0, 4, 4), (2, 2, 4), (1, 4, 5)])
async def test_requests_that_a_load_will_serve_do_not_queue(
    model: Any, max_queue: int, parallel: int, served: int
) -> None:
    manager = open_manager(max_queue=max_queue, num_parallel=parallel)
    FakeHandle.gate = asyncio.Event()
    ready = asyncio.Event()

    async def stay() -> None:
        async with manager.lease(model("a"), Options(), None):
            await ready.wait()

    waiting = [asyncio.ensure_future(stay()) for _ in range(7)]
    await settled(manager)
    FakeHandle.gate.set()
    await settled(manager)
    ready.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(r) for r in results] == [type(None)] * served + [ServerBusy] * (7 - served)


async def test_a_request_cannot_ask_for_more_threads_than_cores_or_too_small_a_batch(model: Any) -> None:
    params = open_manager(num_parallel=4)._params(model("a"), Options(num_thread=1024, num_batch=1))
    assert params.threads <= manager_module.available_cores()
    assert params.num_batch == 4


async def test_a_trial_load_under_way_does_not_outlive_the_server(model: Any, tmp_path: Path) -> None:
    class Endless(NoProbe):
        async def check(self, digest: str, path: Path, *others: tuple[str, ...]) -> None:
            await asyncio.Event().wait()

    manager = Manager(Settings(), Endless())  # type: ignore[arg-type]
    await manager.start()
    trial = asyncio.ensure_future(asyncio.to_thread(manager.try_file, tmp_path / "sha256-x"))
    for _ in range(1000):
        await asyncio.sleep(0.001)
        if manager._trials:
            break
    await manager.close()
    with pytest.raises(Stopping):
        await trial
