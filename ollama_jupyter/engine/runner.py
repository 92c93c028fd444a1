"""The engine's thread: inbox, one step, outbox; and round again while there is work.

The thread loads the model, owns the context, and frees it. What crosses its border are the values of `events.py`
and, for tokenising, the vocabulary. The abort flag is set only for a request that is alone in the batch: the lock
makes "who is alone" and "who was canceled" one decision.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ollama_jupyter.engine.embed import Embedder
from ollama_jupyter.engine.events import Cancel, Command, Ended, EngineParams, Event, LoadFailed, Ready, Stop
from ollama_jupyter.engine.scheduler import Scheduler
from ollama_jupyter.engine.threads import ThreadCount
from ollama_jupyter.errors import OllamaJupyterError

if TYPE_CHECKING:
    from ollama_jupyter.engine.embedding import EmbeddingBackend
    from ollama_jupyter.engine.llama import LlamaBackend
    from ollama_jupyter.engine.model import AbortFlag
    from ollama_jupyter.engine.vocab import Vocab

    Loaded = LlamaBackend | EmbeddingBackend
    Work = Scheduler | Embedder

log = logging.getLogger("ollama_jupyter.engine")


class Runner:
    """`send` commands from any thread; `outbox` is called on the engine's thread, once per step, with its events.

    The first event is Ready or LoadFailed, the last is Ended: after `Stop`, or a failed load.
    """

    def __init__(self, params: EngineParams, outbox: Callable[[list[Event]], None]) -> None:
        self._params = params
        self._outbox = outbox
        self._inbox: list[Command] = []
        self._wake = threading.Condition()
        self._alone: int | None = None
        self._threads = ThreadCount(params.threads)
        self._abort: AbortFlag | None = None
        self._stopping: Stop | None = None
        self.vocab: Vocab | None = None
        self.progressed_at = time.monotonic()
        self._thread = threading.Thread(target=self._main, name="ollama-engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def send(self, command: Command) -> None:
        with self._wake:
            self._inbox.append(command)
            ends_alone = isinstance(command, Cancel) and command.id == self._alone
            if isinstance(command, Stop):
                self._stopping = command
            if self._abort is not None and (ends_alone or isinstance(command, Stop)):
                self._abort.set()
            self._wake.notify()

    # ---- on the engine's thread -------------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            self._run()
        finally:
            self._outbox([Ended()])

    def _run(self) -> None:
        try:
            backend, work = self._load()
        except OllamaJupyterError as error:
            self._outbox([LoadFailed(error.message)])
            return
        except Exception as error:
            log.exception("loading the model failed")
            self._outbox([LoadFailed(f"loading the model failed: {type(error).__name__}")])
            return
        try:
            self._serve(backend, work)
        finally:
            if self._stopping is None or self._stopping.free:
                backend.close()

    def _load(self) -> tuple[Loaded, Work]:
        from ollama_jupyter.engine.model import AbortFlag, supports_offload

        self._threads.watch()
        abort = AbortFlag()
        backend, work = self._open(abort)
        self.vocab = backend.vocab
        with self._wake:
            self._abort = abort
        on_gpu = backend.size if supports_offload() and self._params.num_gpu != 0 else 0
        self._outbox([Ready(backend.size, on_gpu)])
        return backend, work

    def _open(self, abort: AbortFlag) -> tuple[Loaded, Work]:
        """The context for what the model is wanted for, and what drives it."""
        if self._params.embeds:
            from ollama_jupyter.engine.embedding import EmbeddingBackend

            encoder = EmbeddingBackend(self._params, abort, self._progressed)
            return encoder, Embedder(encoder)
        from ollama_jupyter.engine.llama import LlamaBackend

        backend = LlamaBackend(self._params, abort, self._progressed)
        return backend, Scheduler(backend)

    def _progressed(self, _: float) -> bool:
        """llama.cpp's progress while loading: proof of life, and the place to end it."""
        self.progressed_at = time.monotonic()
        return self._stopping is None

    def _serve(self, backend: Loaded, work: Work) -> None:
        while self._stopping is None:
            commands = self._receive(work)
            try:
                self._step(work, backend, commands)
            except Exception as error:  # a bug of ours must end requests with a reason, never leave them hanging
                log.exception("the engine failed")
                self._outbox(work.fail_all(f"the engine failed: {type(error).__name__}"))
        work.take(self._inbox)
        self._outbox(work.fail_all(self._stopping.reason, canceled=True))

    def _receive(self, work: Work) -> list[Command]:
        """The commands that have come; waits for one if there is nothing to do."""
        with self._wake:
            while not self._inbox and not work.has_work:
                self._wake.wait()
            commands, self._inbox = self._inbox, []
        return commands

    def _step(self, work: Work, backend: Loaded, commands: list[Command]) -> None:
        work.take(commands)
        work.admit()
        with self._wake:
            if self._inbox:  # somebody was canceled, or came, meanwhile: look at that before a long decode
                return
            self._alone = work.only_request
            if self._abort is not None and self._stopping is None:
                self._abort.clear()
        if (count := self._threads.now()) is not None:
            backend.set_threads(count)
            log.debug("decoding with %d threads", count)
        started = time.perf_counter()
        events = work.step()
        if log.isEnabledFor(logging.DEBUG):
            log.debug("step of %.1f ms, %d events", 1e3 * (time.perf_counter() - started), len(events))
        if events:
            self._outbox(events)
