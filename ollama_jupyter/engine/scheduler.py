"""Continuous batching over a Backend: admit, plan a batch, decode it, sample. Pure Python, one step at a time.

The method is Orca's iteration-level scheduling (Yu et al., OSDI 2022) with chunked prefill: see `plan.py`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from ollama_jupyter.engine.backend import Backend, Outcome
from ollama_jupyter.engine.detokenize import TextStream
from ollama_jupyter.engine.events import Cancel, Command, Event, Failed, Finished, Submit, Text
from ollama_jupyter.engine.plan import Plan, Planner
from ollama_jupyter.engine.queue import Queue, Waiting
from ollama_jupyter.engine.sampling import history_length, sampler_steps
from ollama_jupyter.engine.sequence import Sequence
from ollama_jupyter.engine.slots import Slots
from ollama_jupyter.errors import BadRequest, EngineError, OllamaJupyterError
from ollama_jupyter.messages import TokenLogprob

log = logging.getLogger("ollama_jupyter.engine")

PREDICT_FACTOR = 10
"""A request without a limit ends after this many windows, as Ollama's does."""

CLOSING = 32
"""Tokens before its end from which on a constrained answer is led to a close."""


class Scheduler:
    """Requests in (`submit`, `cancel`), events out of `step`. Not thread-safe."""

    def __init__(self, backend: Backend, clock: Callable[[], float] = time.perf_counter) -> None:
        self._backend = backend
        self._clock = clock
        self._slots = Slots(backend)
        self._queue = Queue(backend.n_seq_max)
        self._active: list[Sequence] = []
        self._events: list[Event] = []
        self._planner = Planner(backend.n_batch)

    @property
    def has_work(self) -> bool:
        return bool(self._queue or self._active or self._events)

    @property
    def num_waiting(self) -> int:
        return len(self._queue)

    @property
    def only_request(self) -> int | None:
        """The id of the request that is alone in the batch, if one is: only then may its decode be aborted."""
        ids = {sequence.id for sequence in self._active}
        return ids.pop() if len(ids) == 1 else None

    def take(self, commands: Iterable[Command]) -> None:
        """What came in since the last step."""
        for command in commands:
            if isinstance(command, Submit):
                self.submit(command)
            elif isinstance(command, Cancel):
                self.cancel(command.id)

    def submit(self, request: Submit) -> None:
        self._queue.add(request)

    def cancel(self, request_id: int) -> None:
        """End a request in whatever state it is. Unknown ids are ignored: it may have finished meanwhile."""
        if request_id in self._queue:
            self._fail(request_id, "request canceled", canceled=True)

    def fail_all(self, message: str, *, canceled: bool = False) -> list[Event]:
        """End every request with `message`. Used when the engine stops or broke."""
        for request_id in self._queue.ids():
            self._fail(request_id, message, canceled=canceled)
        return self._drain()

    def admit(self) -> None:
        """Give free slots to waiting answers, first come first served."""
        while self._queue and self._slots.has_free:
            waiting = self._queue.pop()
            try:
                self._start(waiting)
            except Exception as error:
                self._fail(waiting.request.id, _reason(error), refused=isinstance(error, BadRequest))

    def step(self) -> list[Event]:
        """Advance every running sequence once; the events since the last step."""
        self.admit()
        for sequence in list(self._active):
            self._fit_window(sequence)
        plan = self._planner.plan(self._active)
        if plan:
            self._run(plan)
        return self._drain()

    # ---- admission --------------------------------------------------------------------------------------------

    def _start(self, waiting: Waiting) -> None:
        request, choice = waiting.request, waiting.choice
        if not 0 < len(request.tokens) <= request.num_ctx:
            raise EngineError(f"the prompt has {len(request.tokens)} tokens, the window holds {request.num_ctx}")
        options = request.options
        matcher = request.constraint.matcher() if request.constraint else None
        steps = sampler_steps(options, request.num_ctx, request.logit_bias, choice)
        history = history_length(steps)
        sampler = self._backend.sampler(steps, request.tokens[-history:] if history else ())
        slot = self._slots.claim(request.tokens)
        log.debug("request %d: slot %d, %d of %d cached", request.id, slot.id, len(slot.tokens), len(request.tokens))
        limit = PREDICT_FACTOR * request.num_ctx
        self._active.append(
            Sequence(
                request=request,
                choice=choice,
                slot=slot,
                sampler=sampler,
                matcher=matcher,
                stream=TextStream(options.stop),
                tokens=list(request.tokens),
                num_cached=len(slot.tokens),
                budget=limit if options.num_predict < 0 else min(options.num_predict, limit),
                started=self._clock(),
            )
        )

    # ---- the window -------------------------------------------------------------------------------------------

    def _fit_window(self, sequence: Sequence) -> None:
        """Make room for the next token of a sequence that fills its window: shift, or finish for length."""
        num_ctx, slot = sequence.request.num_ctx, sequence.slot
        keep = min(sequence.request.options.num_keep, num_ctx // 2)
        discard = max((num_ctx - keep) // 2, 1)
        while len(sequence.tokens) > num_ctx:
            held = len(slot.tokens)
            sequence.intact = keep
            del sequence.tokens[keep : keep + discard]
            if not self._slots.shift(slot, keep, discard):  # read the kept part again
                self._slots.cut(slot, min(keep, held))
                sequence.intact = None

    # ---- one batch --------------------------------------------------------------------------------------------

    def _run(self, plan: Plan) -> None:
        started = self._clock()
        try:
            outcome = self._backend.decode([span for _, span in plan])
        except EngineError as error:
            self._give_up(plan, error.message)
            return
        if outcome is Outcome.OK:
            self._planner.took(plan, self._clock() - started)
            self._take(plan)
        elif outcome is Outcome.NO_ROOM:
            # Drop the cache of the idle slot that was used longest ago, else end the youngest request.
            if not self._slots.drop_idle():
                self._give_up(plan[-1:], "the KV cache is full")
        elif not self._backend.can_copy:  # an aborted recurrent state is in an unknown condition
            for sequence, _ in plan:
                self._slots.cut(sequence.slot, 0)

    def _take(self, plan: Plan) -> None:
        """The batch is in the cache: sample where logits were wanted."""
        for sequence, span in plan:
            sequence.slot.tokens.extend(span.tokens)
        for index, (sequence, span) in enumerate(plan):
            if span.logits and sequence in self._active:  # it may have failed with another of its answers
                try:
                    self._sample(sequence, index)
                except Exception as error:  # of its grammar, most likely: the others go on
                    self._fail(sequence.id, _reason(error), refused=isinstance(error, BadRequest))

    def _give_up(self, plan: Plan, message: str) -> None:
        for sequence, _ in plan:
            self._slots.cut(sequence.slot, 0)
        for request_id in dict.fromkeys(sequence.id for sequence, _ in plan):
            self._fail(request_id, message)

    # ---- tokens -----------------------------------------------------------------------------------------------

    def _sample(self, sequence: Sequence, index: int) -> None:
        if sequence.num_sampled == 0:
            sequence.first_token_at = self._clock()
            sequence.prompt_seconds = sequence.first_token_at - sequence.started
            if sequence.choice == 0:
                self._queue.begun(sequence.request)
        if sequence.num_left <= 0:
            self._finish(sequence, "length")
            return
        matcher, num_top = sequence.matcher, sequence.request.logprobs
        mask = matcher.mask(closing=sequence.num_left <= CLOSING) if matcher else None
        measure = None if num_top is None else self._backend.measure(index)  # before the chain: it is the model's word
        token = self._backend.sample(sequence.sampler, index, mask)
        if self._backend.is_end(token):
            sequence.add(token)
            self._finish(sequence, "stop")
            return
        logprob = None
        if measure is not None and num_top is not None:
            top = tuple(self._told(other, value) for other, value in measure.top(num_top))
            logprob = self._told(token, measure.of(token), top)
        if matcher is not None:
            matcher.accept(token)
        if self._append(sequence, token, logprob):
            self._append_forced(sequence)

    def _append_forced(self, sequence: Sequence) -> None:
        """What a grammar leaves no choice about is not sampled, unless its log probabilities are wanted."""
        matcher = sequence.matcher
        if matcher is None:
            return
        for token in () if matcher.is_over or sequence.request.logprobs is not None else matcher.forced():
            self._backend.accept(sequence.sampler, token)
            if not self._append(sequence, token):
                return
        if matcher.is_over:
            self._finish(sequence, "stop")

    def _append(self, sequence: Sequence, token: int, logprob: TokenLogprob | None = None) -> bool:
        """Add a token to an answer. False if that ended it."""
        sequence.add(token)
        text = sequence.stream.decode(self._backend.piece(token, special=token in sequence.request.spelled))
        if logprob is not None:
            sequence.measured.append((sequence.stream.decoded, logprob))
        self._emit(sequence, text)
        sequence.tokens.append(token)
        if sequence.stream.stopped:
            self._finish(sequence, "stop")
        elif sequence.num_left <= 0:
            self._finish(sequence, "length")
        else:
            return True
        return False

    def _told(self, token: int, logprob: float, top: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
        data = self._backend.piece(token, special=True)
        return TokenLogprob(data.decode("utf-8", "replace"), logprob, data, top)

    # ---- ends -------------------------------------------------------------------------------------------------

    def _finish(self, sequence: Sequence, reason: str) -> None:
        self._emit(sequence, sequence.stream.flush(), final=True)
        self._release(sequence)
        self._queue.ended(sequence.request)
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
                choice=sequence.choice,
                stop_sequence=sequence.stream.stop_sequence,
            )
        )

    def _fail(self, request_id: int, message: str, *, canceled: bool = False, refused: bool = False) -> None:
        """End all answers of a request."""
        for sequence in [s for s in self._active if s.id == request_id]:
            self._release(sequence)
        self._queue.drop(request_id)
        self._events.append(Failed(request_id, message, canceled, refused))

    def _release(self, sequence: Sequence) -> None:
        """Free the slot; what its cache holds stays for the next prompt that begins alike.

        After a shift only the part before it: the rest has attended to tokens that are gone.
        """
        self._backend.free_sampler(sequence.sampler)
        if sequence.intact is not None:
            self._slots.cut(sequence.slot, min(sequence.intact, len(sequence.slot.tokens)))
        sequence.slot.busy = False
        self._active.remove(sequence)

    def _emit(self, sequence: Sequence, text: str, *, final: bool = False) -> None:
        logprobs = sequence.take_measured(final=final)
        if text or logprobs:
            self._events.append(Text(sequence.id, text, sequence.choice, logprobs))

    def _drain(self) -> list[Event]:
        events, self._events = self._events, []
        return events


def _reason(error: Exception) -> str:
    """What a client is told of an error; one that is no word of ours goes to the log."""
    if isinstance(error, OllamaJupyterError):
        return error.message
    log.error("the engine failed", exc_info=error)
    return f"the engine failed: {type(error).__name__}"
