"""Which models are in memory: admission by memory, keep-alive, eviction, one bounded queue.

A request takes a lease on a loaded model and works inside it; a leased model is never unloaded. One load happens at a
time, first come first served. Models are told apart by weights and adapters, not by name, so models derived from the
same weights share one engine.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ollama_jupyter.config import Settings
from ollama_jupyter.durations import FOREVER
from ollama_jupyter.engine import memory
from ollama_jupyter.engine.events import EngineParams
from ollama_jupyter.engine.handle import EngineHandle
from ollama_jupyter.engine.probe import Prober
from ollama_jupyter.engine.threads import available_cores
from ollama_jupyter.errors import Canceled, InsufficientMemory, ServerBusy, Stopping
from ollama_jupyter.messages import Options, RunningModel
from ollama_jupyter.store.models import Model

if TYPE_CHECKING:
    from ollama_jupyter.engine.vocab import Vocab

log = logging.getLogger("ollama_jupyter.manager")

DEFAULT_CONTEXT = 4096
MIN_CONTEXT = 4
EMBED_BATCH = 2048
"""Tokens of a batch of texts to embed, and so of one text: Ollama's number."""

AUTO_LOADED_MODELS = 3


def window(model: Model, options: Options, settings: Settings) -> int:
    """The request's window in tokens: asked for, else the setting, else 4096; never beyond the trained length."""
    wanted = options.num_ctx or settings.context_length or DEFAULT_CONTEXT
    return max(min(wanted, model.trained_ctx or wanted), MIN_CONTEXT)


@dataclass(slots=True, eq=False)
class Loaded:
    """A model in memory. `retiring` ones take no new leases. Times are `time.time()`."""

    model: Model
    handle: EngineHandle
    keep_alive: float
    leases: int = 0
    retiring: bool = False
    idle_since: float = field(default_factory=time.time)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    timer: asyncio.TimerHandle | None = None
    # threads that read the vocabulary, and cannot be stopped
    readers: set[asyncio.Future[Any]] = field(default_factory=set)

    @property
    def expires_at(self) -> float:
        return (self.idle_since if not self.leases else time.time()) + self.keep_alive

    @property
    def num_queued(self) -> int:
        return max(0, self.leases - self.handle.params.num_parallel)

    def serves(self, params: EngineParams) -> bool:
        """Whether requests for `params` can run here: a larger window serves a smaller one, the rest must match."""
        own = self.handle.params
        return (
            not self.retiring
            and own.num_ctx >= params.num_ctx
            and (own.num_batch == params.num_batch or (own.embeds and own.num_batch >= params.num_batch))
            and own.threads == params.threads
            and own.use_mmap == params.use_mmap
            and own.main_gpu == params.main_gpu
            and params.num_gpu in (-1, own.num_gpu)
        )


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to use a loaded model. `num_ctx` is this request's window, `load_duration` in seconds.

    `hold` keeps the model until a future is done, which may be after the lease: a thread reads its vocabulary.
    `release` ends the lease early, when the engine's work is done and only the client is still reading.
    """

    handle: EngineHandle
    num_ctx: int
    load_duration: float
    hold: Callable[[asyncio.Future[Any]], None]
    release: Callable[[], None]

    @property
    def vocab(self) -> Vocab:
        return self.handle.vocab


Key = tuple[str, tuple[str, ...], bool]


def _texts(paths: tuple[Path, ...]) -> tuple[str, ...]:
    return tuple(map(str, paths))


def _key(model: Model, embeds: bool) -> Key:
    """The same weights generate and embed in contexts of their own."""
    return str(model.weights_digest), _texts((*model.shards, *model.adapters)), embeds


class Manager:
    """Leases on loaded models. All methods run on one event loop."""

    def __init__(self, settings: Settings, prober: Prober) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._settings = settings
        self._prober = prober
        self._loaded: dict[Key, Loaded] = {}
        self._lock = asyncio.Lock()
        self._loading: Counter[Key] = Counter()  # requests that wait for a load
        self._loading_now: Key | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._trials: set[concurrent.futures.Future[None]] = set()
        self._closed = ""

    @classmethod
    def open(cls, settings: Settings) -> Manager:
        """A manager whose load verdicts are kept in the models folder."""
        return cls(settings, Prober(settings.models_dir / "probes", settings.load_timeout))

    async def start(self) -> None:
        """Called once on the loop, before `try_file` may be."""
        self._loop = asyncio.get_running_loop()

    # ---- what the world sees ----------------------------------------------------------------------------------

    @asynccontextmanager
    async def lease(
        self, model: Model, options: Options, keep_alive: float | None, *, embeds: bool = False
    ) -> AsyncIterator[Lease]:
        """Have `model` in memory while the block runs; load it, and make room for it, if need be.

        `embeds` asks for the context that makes vectors, not for the one that generates.

        Raises:
            ServerBusy: the queue is full.
            InsufficientMemory: it does not fit, with the numbers.
            ModelLoadError: llama.cpp refuses it.
            Canceled: the server is ending.
        """
        started = time.perf_counter()
        loaded = await self._acquire(model, self._params(model, options, embeds))
        release = _once(lambda: self._release(loaded, keep_alive))
        try:
            yield Lease(
                handle=loaded.handle,
                num_ctx=window(model, options, self._settings),
                load_duration=time.perf_counter() - started,
                hold=lambda future: self._hold(loaded, future),
                release=release,
            )
        finally:
            release()

    def ps(self) -> list[RunningModel]:
        """The loaded models, the one that stays longest first."""
        rows = sorted(self._loaded.values(), key=lambda loaded: -loaded.expires_at)
        return [
            RunningModel(
                name=loaded.model.name.display,
                size=loaded.handle.size + memory.cache_bytes(loaded.model.gguf, loaded.handle.params),
                digest=loaded.model.digest,
                details=loaded.model.details,
                expires_at=loaded.expires_at,
                size_vram=loaded.handle.size_vram,
                context_length=loaded.handle.params.num_ctx,
            )
            for loaded in rows
        ]

    def try_file(self, path: Path, shards: tuple[Path, ...] = (), adapters: tuple[Path, ...] = ()) -> None:
        """Load a stored blob in a child process, to see whether it can be. For other threads than the loop's.

        Of a split model, `path` is the first of the `shards`.

        Raises:
            ModelLoadError: it cannot, with the reason.
        """
        assert self._loop is not None, "start was not called"
        check = self._prober.check(path.name.removeprefix("sha256-"), path, _texts(adapters), _texts(shards))
        trial = asyncio.run_coroutine_threadsafe(check, self._loop)
        self._trials.add(trial)
        trial.add_done_callback(self._trials.discard)
        try:
            trial.result()
        except concurrent.futures.CancelledError:
            raise Stopping from None

    async def unload(self, model: Model) -> None:
        """Unload now if idle, else as soon as its requests end. Nothing happens if it is not loaded."""
        for embeds in (False, True):
            if loaded := self._loaded.get(_key(model, embeds)):
                loaded.keep_alive = 0
                if not loaded.leases:
                    await self._unload(loaded, "asked for")

    async def close(self, reason: str = "the server is shutting down") -> None:
        """Tell every running request, unload everything."""
        self._closed = reason
        for trial in list(self._trials):
            trial.cancel()
        await asyncio.gather(*(self._unload(loaded, reason) for loaded in list(self._loaded.values())))
        for task in list(self._tasks):
            await task

    # ---- leases -----------------------------------------------------------------------------------------------

    async def _acquire(self, model: Model, params: EngineParams) -> Loaded:
        if self._closed:
            raise Canceled(self._closed)
        loaded, key = self._find(model, params), _key(model, params.embeds)
        if self._must_wait(loaded, key) and self._num_queued >= self._settings.max_queue:
            raise ServerBusy
        if loaded is not None:
            return self._take(loaded)
        self._loading[key] += 1
        try:
            async with self._lock:
                self._loading_now = key
                loaded = self._find(model, params) or await self._load(model, params)
                return self._take(loaded)
        finally:
            self._loading[key] -= 1

    def _must_wait(self, loaded: Loaded | None, key: Key) -> bool:
        """Whether a request would wait for others: for a sequence, or behind the load of another model."""
        if loaded is not None:
            return loaded.leases >= loaded.handle.params.num_parallel
        if not self._lock.locked():
            return False
        return key != self._loading_now or self._loading[key] >= self._settings.num_parallel

    @property
    def _num_queued(self) -> int:
        """Requests that wait: for a sequence, or for a load that has not begun. A load's own requests do not."""
        behind = sum(
            max(0, count - self._settings.num_parallel) if key == self._loading_now else count
            for key, count in self._loading.items()
        )
        return behind + sum(loaded.num_queued for loaded in self._loaded.values())

    def _find(self, model: Model, params: EngineParams) -> Loaded | None:
        loaded = self._loaded.get(_key(model, params.embeds))
        return loaded if loaded is not None and loaded.serves(params) else None

    def _take(self, loaded: Loaded) -> Loaded:
        loaded.leases += 1
        loaded.idle.clear()
        if loaded.timer is not None:
            loaded.timer.cancel()
        return loaded

    def _hold(self, loaded: Loaded, reader: asyncio.Future[Any]) -> None:
        def release(_: object) -> None:
            loaded.readers.discard(reader)
            self._release(loaded, None)

        loaded.readers.add(reader)
        self._take(loaded)
        reader.add_done_callback(release)

    def _release(self, loaded: Loaded, keep_alive: float | None) -> None:
        loaded.leases -= 1
        # An unload that was asked for meanwhile stands, unless this request wants the model kept.
        if keep_alive is not None:
            loaded.keep_alive = keep_alive
        if loaded.leases:
            return
        loaded.idle_since = time.time()
        loaded.idle.set()
        if not loaded.retiring:
            self._start_timer(loaded)

    def _start_timer(self, loaded: Loaded) -> None:
        if loaded.keep_alive != FOREVER:
            loop = asyncio.get_running_loop()
            loaded.timer = loop.call_later(loaded.keep_alive, self._expire, loaded)

    def _expire(self, loaded: Loaded) -> None:
        if loaded.leases or not self._forget(loaded):
            return
        task = asyncio.get_running_loop().create_task(self._stop(loaded, "idle"))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ---- loading and making room ------------------------------------------------------------------------------

    def _params(self, model: Model, options: Options, embeds: bool = False) -> EngineParams:
        settings = self._settings
        num_ctx = window(model, options, settings)
        return EngineParams(
            path=str(model.weights),
            num_ctx=num_ctx,
            num_parallel=1 if embeds else settings.num_parallel,
            num_batch=min(EMBED_BATCH, num_ctx) if embeds else max(options.num_batch, settings.num_parallel),
            num_gpu=0 if settings.llm_library.startswith("cpu") else options.num_gpu,
            main_gpu=options.main_gpu,
            use_mmap=options.use_mmap,
            threads=min(options.num_thread, available_cores()),
            flash_attention=settings.flash_attention,
            kv_cache_type=settings.kv_cache_type,
            adapters=_texts(model.adapters),
            shards=_texts(model.shards),
            embeds=embeds,
        )

    async def _load(self, model: Model, params: EngineParams) -> Loaded:
        """Load under the lock. The first load of unknown weights happens in a child process first."""
        key = _key(model, params.embeds)
        if key in self._loaded:
            await self._retire(self._loaded[key], "another context or other parameters are asked for")
        while len(self._loaded) >= (self._settings.max_loaded_models or AUTO_LOADED_MODELS):
            await self._retire(self._victim(), "the number of loaded models is at its limit")
        params = await self._fit_memory(model, params)
        await self._prober.check(model.weights_digest.hex, model.weights, params.adapters, params.shards)
        started = time.perf_counter()
        handle = await EngineHandle.load(params, self._settings.load_timeout)
        log.info("loaded %s in %.1f s", model.name.display, time.perf_counter() - started)
        loaded = Loaded(model, handle, self._settings.keep_alive)
        self._loaded[key] = loaded
        return loaded

    async def _fit_memory(self, model: Model, params: EngineParams) -> EngineParams:
        """Evict idle models until `params` fit; at last try with a single sequence."""
        if await asyncio.to_thread(_offloads, params):
            return params  # llama.cpp itself tells whether a GPU has room
        while (needed := memory.estimate(model.gguf, params)) > (available := memory.available_bytes()):
            if self._loaded:
                await self._retire(self._victim(), f"{model.name.display} needs its memory")
            elif params.num_parallel > 1:
                params = _single(params)
                log.info("%s fits with one sequence only", model.name.display)
            else:
                raise InsufficientMemory(
                    f"model '{model.name.display}' needs {needed / 1e9:.1f} GB with num_ctx {params.num_ctx}, "
                    f"{available / 1e9:.1f} GB are free; try a smaller num_ctx or a smaller model"
                )
        return params

    def _victim(self) -> Loaded:
        """The model to evict: idle before busy, then the shortest keep-alive, then the longest idle."""
        return min(self._loaded.values(), key=lambda m: (m.leases > 0, m.keep_alive, m.idle_since))

    async def _retire(self, loaded: Loaded, why: str) -> None:
        """Let a model finish its requests, take no new ones, and unload it."""
        loaded.retiring = True
        try:
            if loaded.leases:
                await loaded.idle.wait()
        except asyncio.CancelledError:
            loaded.retiring = False
            if not loaded.leases:
                self._start_timer(loaded)
            raise
        await self._unload(loaded, why)

    async def _unload(self, loaded: Loaded, why: str) -> None:
        if self._forget(loaded):
            await self._stop(loaded, why)

    def _forget(self, loaded: Loaded) -> bool:
        """Take a model off the list, so that nobody finds it any more. False if somebody else has done so."""
        key = _key(loaded.model, loaded.handle.params.embeds)
        if self._loaded.get(key) is not loaded:
            return False
        del self._loaded[key]
        return True

    async def _stop(self, loaded: Loaded, why: str) -> None:
        log.info("unloading %s: %s", loaded.model.name.display, why)
        await loaded.handle.stop(why, free=not loaded.readers)


def _once(work: Callable[[], None]) -> Callable[[], None]:
    """`work`, which further calls do not repeat."""
    left = [work]
    return lambda: left.pop()() if left else None


def _single(params: EngineParams) -> EngineParams:
    return replace(params, num_parallel=1)


def _offloads(params: EngineParams) -> bool:
    """Whether layers go to a GPU. Imports llama.cpp, so call it off the loop."""
    from ollama_jupyter.engine.model import supports_offload

    return params.num_gpu != 0 and supports_offload()
