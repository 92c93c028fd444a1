"""Sizes, times, columns and bars, by tables."""

from __future__ import annotations

import io
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ollama_jupyter.cli import bar as bars
from ollama_jupyter.cli.bar import Bar, Status
from ollama_jupyter.cli.models import processor
from ollama_jupyter.cli.progress import Bars
from ollama_jupyter.cli.show import blocks
from ollama_jupyter.client.text import columns, printable, sendable
from ollama_jupyter.client.units import ago, clock, from_now, parameters, size
from ollama_jupyter.messages import Progress

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "-"), (0, "0 B"), (999, "999 B"), (1000, "1 KB"), (1500, "1.5 KB"), (9_940, "9.9 KB"), (10_999, "10 KB"),
        (98_362_432, "98 MB"), (98_999_999, "98 MB"), (9_800_000, "9.8 MB"), (2_000_000_000, "2 GB"),
        (1_500_000_000, "1.5 GB"), (4_080_218_931, "4.1 GB"), (999_999_999_999, "999 GB"), (5 * 10**15, "5000 TB"),
    ],
)  # fmt: skip
def test_sizes(count: int | None, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (5_000, "5K"), (28_608, "29K"), (135_000_000, "135M"), (134_515_008, "134.52M"),
     (7_000_000_000, "7B"), (1_235_814_432, "1.2B")],
)  # fmt: skip
def test_numbers_of_parameters(count: int, text: str) -> None:
    assert parameters(count) == text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.9, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"),
        (119, "About a minute"), (2 * MINUTE, "2 minutes"), (59 * MINUTE + 59, "59 minutes"), (HOUR, "About an hour"),
        (89 * MINUTE, "About an hour"), (90 * MINUTE, "2 hours"), (24 * HOUR - 60, "24 hours"), (47 * HOUR, "47 hours"),
        (48 * HOUR, "2 days"), (13 * DAY, "13 days"), (14 * DAY, "2 weeks"), (59 * DAY, "8 weeks"),
        (60 * DAY, "2 months"), (729 * DAY, "24 months"), (730 * DAY, "2 years"), (10 * 365 * DAY, "10 years"),
    ],
)  # fmt: skip
def test_times(seconds: float, words: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW) == f"{words} ago"
    assert from_now(NOW + timedelta(seconds=seconds), NOW) == f"{words} from now"


def test_times_that_are_none() -> None:
    assert (ago(None, NOW), from_now(None, NOW)) == ("-", "-")
    assert from_now(NOW + timedelta(days=21 * 365), NOW) == "Forever"
    assert from_now(NOW - timedelta(seconds=1), NOW) == "Stopping..."


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0s"), (3.4, "3s"), (59.6, "59s"), (60.1, "1m0s"), (65, "1m5s"), (7800, "2h10m"), (360_000, "99h+")],
)
def test_times_that_are_left(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("total", "on_gpu", "words"),
    [
        (100, 0, "100% CPU"),
        (100, 100, "100% GPU"),
        (100, 59, "41%/59% CPU/GPU"),
        (100, 101, "Unknown"),
        (0, 1, "Unknown"),
    ],
)
def test_processors(total: int, on_gpu: int, words: str) -> None:
    assert processor(total, on_gpu) == words


def test_columns() -> None:
    assert columns([["NAME", "ID"], ["a", "bcd"], ["x"]]) == ["NAME    ID     ", "a       bcd    ", "x       "]
    assert columns([]) == []


def test_what_was_typed_can_be_sent() -> None:
    assert sendable("caf\udce9 \u00e9") == "caf\ufffd \u00e9"


def test_what_cannot_be_seen_is_shown() -> None:
    assert printable("a\x1b[2J\u202eb\nc\u00e9") == "a\\x1b[2J\\u202eb\\x0ac\u00e9"


# ---- blocks of show -----------------------------------------------------------------------------------------------

VISION = {"general.architecture": "clip", "general.parameter_count": 420_000_000, "clip.vision.embedding_length": 1152,
          "clip.vision.projection_dim": 2560}  # fmt: skip


def shown(answer: dict[str, Any], *, verbose: bool = False) -> list[str]:
    return [line.rstrip() for line in blocks(answer, verbose=verbose)]


def test_a_projector_and_a_remote_model() -> None:
    remote = {"remote_host": "https://o.example", "remote_model": "big"}
    answer = {**remote, "details": {"family": "f"}, "requires": "0.14.0", "projector_info": VISION}
    assert shown(answer) == [
        "  Model",
        "    Remote model    big",
        "    Remote URL      https://o.example",
        "    architecture    f",
        "    quantization",
        "    requires        0.14.0",
        "",
        "  Projector",
        "    architecture        clip",
        "    parameters          420M",
        "    embedding length    1152",
        "    dimensions          2560",
        "",
    ]


def test_metadata_in_the_words_of_go() -> None:
    info = {"a": 8192, "b": 1_000_000, "c": 1e-05, "d": [1, 2], "e": ["a longer word", "b"], "f": None, "g": False,
            "h": "words that need more than one line of thirty"}  # fmt: skip
    lines = shown({"model_info": info}, verbose=True)
    assert lines[lines.index("  Metadata") + 1 : -1] == [
        "    a    8192",
        "    b    1e+06",
        "    c    1e-05",
        "    d    [1 2]",
        "    e    [a longer word ...+1 more]",
        "    f    <nil>",
        "    g    false",
        "    h    words that need more than one",
        "         line of thirty",
    ]


# ---- bars ---------------------------------------------------------------------------------------------------------


def test_a_bar_with_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(bars.time, "monotonic", lambda: clock[0])
    bar = Bar("pulling b179c9523d0e:", 98_000_000, 0)
    assert bar.line(80) == "pulling b179c9523d0e:   0% ▕                  ▏    0 B/ 98 MB                  "
    for _ in range(4):
        clock[0] += 1.1
        bar.set(bar.value + 13_310_000)
    assert bar.line(80) == "pulling b179c9523d0e:  54% ▕█████████         ▏  53 MB/ 98 MB   12 MB/s      3s"
    bar.set(98_000_001)
    assert bar.line(80) == "pulling b179c9523d0e: 100% ▕██████████████████▏  98 MB                         "


def test_a_bar_on_a_narrow_terminal() -> None:
    bar = Bar("pulling b179c9523d0e:", 98_000_000, 49_000_000)
    assert bar.line(40) == "pulling b179c9523d0e:  50% 49 MB/ 98 MB"
    assert len(bar.line(20)) == 20
    assert len(Status("a status that is too long").line(10)) == 10


def test_what_was_there_before_is_no_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(bars.time, "monotonic", lambda: clock[0])
    bar = Bar("x", 100, 90)
    clock[0] = 2.0
    bar.set(92)
    assert bar.rate == 1.0


def test_a_log_is_not_flooded() -> None:
    log = io.StringIO()
    with Bars(log) as shown:
        for completed in range(0, 1001, 10):
            shown.show(Progress("pulling abc", "sha256:abc", 1000, completed))
            shown.show(Progress("quantizing", "sha256:def", 1000, completed))
        for percent in range(100):
            shown.restate("copying file x", f"copying file x {percent}%")
        shown.status("")
    assert log.getvalue().splitlines() == [
        "pulling abc: 1% 10 B/1 KB",
        "quantizing 1% 10 B/1 KB",
        "pulling abc: 100% 1 KB",
        "quantizing 100% 1 KB",
        "copying file x",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_display_that_is_cleared_leaves_nothing() -> None:
    screen = Terminal()
    with Bars(screen) as shown:
        shown.status("pulling manifest")
        while "pulling" not in screen.getvalue():
            pass
        shown.clear()
    assert screen.getvalue().endswith("\r\x1b[1A\x1b[2K")
