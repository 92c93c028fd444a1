"""Continuous batching over a Backend: admit, plan a batch, decode it, sample. Pure Python, one step at a time.

The method is Orca's iteration-level scheduling (Yu et al., OSDI 2022) with chunked prefill (Agrawal et al., Sarathi,
2023): each step decodes one token of every running sequence, and the room that is left carries a chunk of the prompts
that are still being read. While others decode, the chunk is kept so small that a step stays near `STEP_SECONDS`.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable

from ollama_jupyter.engine.backend import Backend, Outcome, Span
from ollama_jupyter.engine.detokenize import TextStream
from ollama_jupyter.engine.events import Cancel, Command, Event, Failed, Finished, Submit, Text
from ollama_jupyter.engine.prefix import choose_slot
from ollama_jupyter.engine.sampling import sampler_steps
from ollama_jupyter.engine.sequence import Sequence, Slot
from ollama_jupyter.errors import EngineError

log = logging.getLogger("ollama_jupyter.engine")

STEP_SECONDS = 0.1
"""What a step should take while a prompt is read beside running sequences: their pause between two tokens."""

MIN_CHUNK = 16
PREDICT_FACTOR = 10
"""A request without a limit ends after this many windows, as Ollama's does."""


class Scheduler:
    """Requests in (`submit`, `cancel`), events out of `step`. Not thread-safe."""

    def __init__(self, backend: Backend, clock: Callable[[], float] = time.perf_counter) -> None:
        self._backend = backend
        self._clock = clock
        self._slots = [Slot(i) for i in range(backend.n_seq_max)]
        self._waiting: deque[Submit] = deque()
        self._active: dict[int, Sequence] = {}
        self._events: list[Event] = []
        self._uses = 0
        self._chunk = float(min(64, backend.n_batch))

    @property
    def has_work(self) -> bool:
        return bool(self._waiting or self._active or self._events)

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    @property
    def only_request(self) -> int | None:
        """The id of the request that is alone in the batch, if one is: only then may its decode be aborted."""
        return next(iter(self._active)) if len(self._active) == 1 else None

    def take(self, commands: Iterable[Command]) -> None:
        """What came in since the last step."""
        for command in commands:
            if isinstance(command, Submit):
                self.submit(command)
            elif isinstance(command, Cancel):
                self.cancel(command.id)

    def submit(self, request: Submit) -> None:
        self._waiting.append(request)

    def cancel(self, request_id: int) -> None:
        """End a request in whatever state it is. Unknown ids are ignored: it may have finished meanwhile."""
        if request_id in self._active:
            self._release(self._active[request_id])
        elif (request := next((r for r in self._waiting if r.id == request_id), None)) is not None:
            self._waiting.remove(request)
        else:
            return
        self._events.append(Failed(request_id, "request canceled", canceled=True))

    def fail_all(self, message: str, *, canceled: bool = False) -> list[Event]:
        """End every request with `message`. Used when the engine stops or broke."""
        for sequence in list(self._active.values()):
            self._release(sequence)
            self._events.append(Failed(sequence.id, message, canceled))
        self._events += [Failed(request.id, message, canceled) for request in self._waiting]
        self._waiting.clear()
        return self._drain()

    def admit(self) -> None:
        """Give free slots to waiting requests, first come first served."""
        while self._waiting and not all(slot.busy for slot in self._slots):
            self._start(self._waiting.popleft())

    def step(self) -> list[Event]:
        """Advance every running sequence once; the events since the last step."""
        self.admit()
        for sequence in list(self._active.values()):
            self._fit_window(sequence)
        plan = self._plan()
        if plan:
            self._run(plan)
        return self._drain()

    # ---- admission --------------------------------------------------------------------------------------------

    def _start(self, request: Submit) -> None:
        if not 0 < len(request.tokens) <= request.num_ctx:
            text = f"the prompt has {len(request.tokens)} tokens, the window holds {request.num_ctx}"
            self._events.append(Failed(request.id, text))
            return
        slot, num_cached = self._claim_slot(request.tokens)
        log.debug("request %d: slot %d, %d of %d tokens cached", request.id, slot.id, num_cached, len(request.tokens))
        options = request.options
        steps = sampler_steps(options, request.num_ctx)
        history = request.tokens[-int(steps[0].args[0]) :] if steps[0].name == "penalties" else ()
        sampler = self._backend.sampler(steps, history)
        limit = PREDICT_FACTOR * request.num_ctx
        self._active[request.id] = Sequence(
            request=request,
            slot=slot,
            sampler=sampler,
            stream=TextStream(options.stop),
            tokens=list(request.tokens),
            num_cached=num_cached,
            budget=limit if options.num_predict < 0 else min(options.num_predict, limit),
            started=self._clock(),
        )

    def _claim_slot(self, tokens: tuple[int, ...]) -> tuple[Slot, int]:
        """A free slot whose cache holds the longest possible beginning of `tokens`, and that length."""
        slot, donor, shared = choose_slot(self._slots, tokens, may_copy=self._backend.can_copy)
        # A sliding window's cells are given away once nothing ahead can see them: going back behind them is no use.
        if self._backend.first_position((donor or slot).id) > max(0, shared - self._backend.attention_window):
            donor, shared = None, 0
        if donor is None:
            self._cut(slot, shared)
        else:
            self._cut(slot, 0)
            self._backend.copy(donor.id, slot.id, shared)
            slot.tokens = list(tokens[:shared])
            slot.shares = donor.shares = True
        self._uses += 1
        slot.busy, slot.used = True, self._uses
        return slot, len(slot.tokens)

    def _cut(self, slot: Slot, length: int) -> None:
        """Keep the first `length` tokens of a slot; all go where the memory cannot drop a part (recurrent state)."""
        if length == len(slot.tokens):
            return
        if length and not self._backend.remove(slot.id, length):
            length = 0
        if not length:
            self._backend.remove(slot.id, 0)
            slot.shares = False
        del slot.tokens[length:]

    # ---- the window -------------------------------------------------------------------------------------------

    def _fit_window(self, sequence: Sequence) -> None:
        """Make room for the next token of a sequence that fills its window: shift, or finish for length."""
        if len(sequence.tokens) <= sequence.request.num_ctx:
            return
        if not sequence.request.shift:
            self._finish(sequence, "length")
            return
        num_ctx, slot = sequence.request.num_ctx, sequence.slot
        keep = min(sequence.request.options.num_keep, num_ctx // 2)
        discard = max((num_ctx - keep) // 2, 1)
        held = len(slot.tokens)
        sequence.intact = keep
        del sequence.tokens[keep : keep + discard]
        if self._backend.can_shift and self._backend.can_copy and not slot.shares and held > keep + discard:
            self._backend.remove(slot.id, keep, keep + discard)
            self._backend.move(slot.id, keep + discard, held, -discard)
            del slot.tokens[keep : keep + discard]
        else:  # cells that another sequence shares must not move: read the kept part again
            self._cut(slot, min(keep, held))
            sequence.intact = None

    # ---- one batch --------------------------------------------------------------------------------------------

    def _plan(self) -> list[tuple[Sequence, Span]]:
        """The next batch: one token of each decoding sequence, then chunks of the prompts, shared out evenly."""
        decoding = [s for s in self._active.values() if not s.is_prefilling][: self._backend.n_batch]
        prefilling = [s for s in self._active.values() if s.is_prefilling]
        plan = [(s, self._span(s, 1)) for s in decoding]
        room = self._backend.n_batch - len(decoding)
        if decoding:
            room = min(room, int(self._chunk))
        for position, sequence in enumerate(prefilling):
            take = min(sequence.num_pending, max(room // (len(prefilling) - position), 1), room)
            if take:
                plan.append((sequence, self._span(sequence, take)))
                room -= take
        return plan

    def _span(self, sequence: Sequence, count: int) -> Span:
        start = len(sequence.slot.tokens)
        end = start + count
        return Span(sequence.slot.id, start, sequence.tokens[start:end], logits=end == len(sequence.tokens))

    def _run(self, plan: list[tuple[Sequence, Span]]) -> None:
        started = self._clock()
        try:
            outcome = self._backend.decode([span for _, span in plan])
        except EngineError as error:
            self._give_up(plan, error.message)
            return
        if outcome is Outcome.OK:
            self._adapt_chunk(plan, self._clock() - started)
            self._take(plan)
        elif outcome is Outcome.NO_ROOM:
            self._make_room(plan)
        elif not self._backend.can_copy:  # an aborted recurrent state is in an unknown condition
            for sequence, _ in plan:
                self._cut(sequence.slot, 0)

    def _take(self, plan: list[tuple[Sequence, Span]]) -> None:
        """The batch is in the cache: sample where logits were wanted."""
        for sequence, span in plan:
            sequence.slot.tokens.extend(span.tokens)
        for index, (sequence, span) in enumerate(plan):
            if not span.logits:
                continue
            if sequence.num_sampled == 0:
                sequence.first_token_at = self._clock()
                sequence.prompt_seconds = sequence.first_token_at - sequence.started
            if sequence.num_sampled >= sequence.budget:
                self._finish(sequence, "length")
            else:
                self._accept(sequence, self._backend.sample(sequence.sampler, index))

    def _accept(self, sequence: Sequence, token: int) -> None:
        sequence.num_sampled += 1
        sequence.sampled.append(token)
        if self._backend.is_end(token):
            self._finish(sequence, "stop")
            return
        self._emit(sequence, sequence.stream.decode(self._backend.piece(token)))
        if sequence.stream.stopped:
            self._finish(sequence, "stop")
        elif sequence.num_sampled >= sequence.budget:
            self._finish(sequence, "length")
        else:
            sequence.tokens.append(token)

    def _adapt_chunk(self, plan: list[tuple[Sequence, Span]], seconds: float) -> None:
        """Let the prefill chunk follow the machine: towards steps of STEP_SECONDS, by half the way at most."""
        mixed = any(s.is_prefilling for s, _ in plan) and any(not s.is_prefilling for s, _ in plan)
        if mixed and seconds > 0:
            factor = min(max(STEP_SECONDS / seconds, 0.5), 2.0)
            self._chunk = min(max(self._chunk * factor, MIN_CHUNK), self._backend.n_batch)

    def _make_room(self, plan: list[tuple[Sequence, Span]]) -> None:
        """No free cells: drop the cache of the idle slot that was used longest ago, else end the youngest request."""
        idle = [slot for slot in self._slots if not slot.busy and slot.tokens]
        if idle:
            self._cut(min(idle, key=lambda slot: slot.used), 0)
        else:
            self._give_up(plan[-1:], "the KV cache is full")

    def _give_up(self, plan: list[tuple[Sequence, Span]], message: str) -> None:
        for sequence, _ in plan:
            self._cut(sequence.slot, 0)
            self._release(sequence)
            self._events.append(Failed(sequence.id, message))

    # ---- ends -------------------------------------------------------------------------------------------------

    def _finish(self, sequence: Sequence, reason: str) -> None:
        self._emit(sequence, sequence.stream.flush())
        self._release(sequence)
        log.debug("request %d: %s after %d tokens", sequence.id, reason, sequence.num_sampled)
        self._events.append(
            Finished(
                id=sequence.id,
                reason=reason,
                tokens=tuple(sequence.sampled),
                prompt_tokens=len(sequence.request.tokens),
                cached_tokens=sequence.num_cached,
                prompt_seconds=sequence.prompt_seconds,
                eval_seconds=self._clock() - sequence.first_token_at,
            )
        )

    def _release(self, sequence: Sequence) -> None:
        """Free the slot; what its cache holds stays for the next prompt that begins alike.

        After a shift only the part before it: the rest has attended to tokens that are gone.
        """
        self._backend.free_sampler(sequence.sampler)
        if sequence.intact is not None:
            self._cut(sequence.slot, min(sequence.intact, len(sequence.slot.tokens)))
        sequence.slot.busy = False
        del self._active[sequence.id]

    def _emit(self, sequence: Sequence, text: str) -> None:
        if text:
            self._events.append(Text(sequence.id, text))

    def _drain(self) -> list[Event]:
        events, self._events = self._events, []
        return events
