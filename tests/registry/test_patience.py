"""When a registry in passing trouble is asked again, how long it is left alone before, and when no more."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from registry.misbehaving import Behaviour, Registry, Request
from registry.pulling import WEIGHTS, assert_whole, fetch

from ollama_jupyter.errors import Canceled, RegistryError, Trouble
from ollama_jupyter.registry import response, wire
from ollama_jupyter.registry.patience import Patience
from ollama_jupyter.store.models import Store


class Clock(threading.Event):
    """An event whose waits end at once and are remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0)
        return self.is_set()


def failing(*errors: Exception) -> Callable[[], str]:
    left = list(errors)

    def work() -> str:
        if left:
            raise left.pop(0)
        return "well"

    return work


def test_it_waits_ever_longer() -> None:
    clock = Clock()
    with pytest.raises(RegistryError, match=r"^max retries exceeded: no$"):
        Patience(clock).insist(failing(*[Trouble("no")] * 6))
    assert len(clock.waits) == 5
    for waited, meant in zip(clock.waits, [1, 2, 4, 8, 16], strict=True):
        assert meant * 0.75 <= waited <= meant * 1.25


@pytest.mark.parametrize(("asked", "least", "most"), [(20, 20, 20), (0.5, 0.75, 1.25), (1e9, 60, 60)])
def test_it_waits_as_long_as_it_is_asked_to_within_reason(asked: float, least: float, most: float) -> None:
    clock = Clock()
    assert Patience(clock).insist(failing(Trouble("busy", asked))) == "well"
    [waited] = clock.waits
    assert least <= waited <= most


def test_it_ends_when_cancelled_and_by_other_errors() -> None:
    clock = Clock()
    with pytest.raises(RegistryError, match=r"^gone$"):
        Patience(clock).insist(failing(RegistryError("gone")))
    clock.set()
    with pytest.raises(Canceled):
        Patience(clock).insist(failing(Trouble("no")))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the other side asked for in each of the waits, which are cut short."""
    found: list[float] = []
    wait = Patience._wait

    def remember(self: Patience, asked: float) -> None:
        found.append(asked)
        wait(self, 0)

    monkeypatch.setattr(Patience, "_wait", remember)
    return found


def cut_off(request: Request) -> None:
    request.close_connection = True


def busy(status: int, header: str) -> Behaviour:
    return lambda request: request.answer(status, b"busy", Retry_After=header)


@pytest.mark.parametrize(
    ("behaviour", "asked"),
    [
        (cut_off, 0),
        (lambda request: request.head(200, 100), 0),
        (busy(429, "7"), 7),
        (busy(503, " 3 "), 3),
    ],
)
def test_a_manifest_is_asked_for_again(
    store: Store, registry: Registry, waits: list[float], behaviour: Behaviour, asked: float
) -> None:
    good, bad = registry.on_manifest, [behaviour, behaviour]

    def behave(request: Request) -> None:
        request.close_connection = True
        (bad.pop() if bad else good)(request)

    registry.on_manifest = behave
    fetch(store, registry)
    assert_whole(store, registry)
    assert waits == [asked, asked]


def test_but_not_for_ever(store: Store, registry: Registry, waits: list[float]) -> None:
    registry.on_manifest = cut_off
    with pytest.raises(RegistryError, match=r"^pull model manifest: max retries exceeded: 127\.0\.0\.1:\d+: "):
        fetch(store, registry)
    assert len(waits) == 2


@pytest.mark.parametrize("header", ["soon", "-1", "1.5", "", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_failure_that_is_not_said_to_pass_is_told_at_once(
    store: Store, registry: Registry, waits: list[float], header: str
) -> None:
    registry.on_manifest = busy(503, header)
    with pytest.raises(RegistryError, match=r"^pull model manifest: 503: busy$"):
        fetch(store, registry)
    assert waits == []


def test_blobs_are_waited_for_as_asked(store: Store, registry: Registry, waits: list[float]) -> None:
    left = [busy(429, "9")]
    registry.on_blob = lambda request: (left.pop() if left else Request.blob)(request)
    fetch(store, registry)
    assert_whole(store, registry)
    assert waits == [9]


def trickle(request: Request) -> None:
    """A byte now and then, until the other side has had enough."""
    start, end = request.range or (0, len(request.data))
    request.head(206, end - start, Content_Range=f"bytes {start}-{end - 1}/{len(request.data)}")
    request.connection.settimeout(0.02)
    for at in range(start, end):
        request.wfile.write(request.data[at : at + 1])
        try:
            if not request.connection.recv(1):
                break
        except TimeoutError:
            continue
    request.close_connection = True


def test_a_trickle_is_a_stall(store: Store, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response, "TRICKLE_SECONDS", 0.3)
    bad = [trickle]

    def behave(request: Request) -> None:
        is_first = len(request.data) == len(WEIGHTS) and bool(bad)
        (bad.pop() if is_first else Request.blob)(request)

    registry.on_blob = behave
    fetch(store, registry)
    assert_whole(store, registry)
    assert bad == []


def keep_waiting(request: Request) -> None:
    while True:
        request.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def write_headers_for_ever(request: Request) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nA: ")
    request.connection.settimeout(0.05)
    while True:
        request.wfile.write(b"a")
        try:
            if not request.connection.recv(1):
                break
        except TimeoutError:
            continue
    request.close_connection = True


@pytest.mark.parametrize("behaviour", [keep_waiting, write_headers_for_ever])
def test_an_answer_that_never_begins(
    store: Store, registry: Registry, monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour
) -> None:
    monkeypatch.setattr(wire, "ANSWER_SECONDS", 0.3)
    registry.on_manifest = behaviour
    with pytest.raises(RegistryError, match=r"^pull model manifest: max retries exceeded: "):
        fetch(store, registry)


def test_a_manifest_that_trickles(store: Store, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response, "TRICKLE_SECONDS", 0.1)

    def behave(request: Request) -> None:
        request.head(200, 1000)
        request.connection.settimeout(0.02)
        try:
            while True:
                request.wfile.write(b" ")
                try:
                    request.connection.recv(1)
                except TimeoutError:
                    continue
        finally:
            request.close_connection = True

    registry.on_manifest = behave
    with pytest.raises(RegistryError, match=r"next to nothing came for too long$"):
        fetch(store, registry)
