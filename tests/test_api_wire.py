"""JSON as Go reads and writes it, times, and what of a body is text."""

from __future__ import annotations

import contextlib
import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_jupyter.api import ollama, wire
from ollama_jupyter.api.fields import decode_object, image_size
from ollama_jupyter.durations import FOREVER
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.server.body import JsonBody, TextMeter

# ---- reading JSON --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"null", {}),
        (b" {} ", {}),
        (b'{"a":1}{"b":2}', {"a": 1}),
        (b'\n{"a":null} garbage', {"a": None}),
        (b'{"a":"\xff"}', {"a": "\ufffd"}),
    ],
)
def test_the_first_value_counts(body: bytes, value: Any) -> None:
    assert decode_object(body) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(BadRequest):
        assert isinstance(decode_object(body), dict)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_constants_of_javascript_are_no_json(text: str) -> None:
    with pytest.raises(BadRequest):
        decode_object(f'{{"a":{text}}}'.encode())


def test_lone_surrogates_become_replacement_characters() -> None:
    request = ollama.generate_request(decode_object(b'{"model":"m","prompt":"a\\ud800b"}'))
    assert request.prompt == "a\ufffdb"


# ---- encoding ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": "<&>"}, '{"a":"\\u003c\\u0026\\u003e"}'),
        ({"a": "\u2028\u2029"}, '{"a":"\\u2028\\u2029"}'),
        ({"a": 'é \U0001f600 \n"'}, '{"a":"é \U0001f600 \\n\\""}'),
        ([1, None, True, 0.5], "[1,null,true,0.5]"),
    ],
)
def test_encoding_is_gos(value: Any, text: str) -> None:
    assert wire.encode(value).decode() == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    )
)
def test_encoding_loses_nothing(value: Any) -> None:
    encoded = wire.encode(value)
    assert json.loads(encoded) == value
    assert b"\n" not in encoded


def test_a_lone_surrogate_does_not_break_the_stream() -> None:
    assert json.loads(wire.encode({"a": "\ud800"})) == {"a": "?"}


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (10000.0, 10000),
        (1e-05, 1e-05),
        (float("inf"), None),
        (float("nan"), None),
        (1e22, 1e22),
        ({"b": 1.0, "a": [2.0]}, {"a": [2], "b": 1}),
    ],
)
def test_metadata(value: Any, plain: Any) -> None:
    result = wire.metadata(value)
    assert (result, type(result)) == (plain, type(plain))


def test_created_at_is_utc_with_trimmed_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    for nanos, text in [
        (1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456789Z"),
        (1_700_000_000_120_000_000, "2023-11-14T22:13:20.12Z"),
        (1_700_000_000_000_000_000, "2023-11-14T22:13:20Z"),
    ]:
        monkeypatch.setattr(time, "time_ns", lambda nanos=nanos: nanos)
        assert wire.utc_now() == text


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("UTC", "2023-11-14T22:13:20.25Z"),
        ("Asia/Kolkata", "2023-11-15T03:43:20.25+05:30"),
        ("America/St_Johns", "2023-11-14T18:43:20.25-03:30"),
    ],
)
def test_local_times_carry_the_offset(zone: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert wire.local_time(1_700_000_000.25) == text
        assert re.fullmatch(r"23\d\d-.*(Z|[+-]\d\d:\d\d)", wire.local_time(FOREVER))
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("moment", [1e12, 1e300])
def test_no_time_is_too_far_ahead(moment: float) -> None:
    assert wire.local_time(moment).startswith(wire.local_time(FOREVER)[:4])


# ---- what is text and what is an image -----------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from([b"word ", b'"', b"A" * 300, b"B" * 200, b"9,", b"C" * 1000, b"\\/"]), max_size=30),
    st.data(),
)
def test_the_meter_does_not_depend_on_the_pieces(parts: list[bytes], data: st.DataObject) -> None:
    whole, pieces = b"".join(parts) + b'"', TextMeter()
    at_once = TextMeter()
    at_once.feed(whole)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        pieces.feed(whole[begin:end])
    runs = sum(len(run) for run in re.findall(rb"[A-Za-z0-9+/=\\]{256,}", whole))
    assert pieces.text == at_once.text == len(whole) - runs


@pytest.mark.parametrize(
    ("body", "size"),
    [
        ({"images": ["aaaa", "bb"]}, 6),
        ({"Messages": [{"IMAGES": ["aaaa"]}, {"content": "long text"}]}, 4),
        ({"messages": [{"content": [{"type": "image_url", "image_url": {"url": "aaaa"}}, {"text": "x"}]}]}, 4),
        ({"messages": [{"content": [{"image_url": "aaaa"}]}]}, 4),
        ({"prompt": "aaaa", "url": "aaaa", "messages": "aaaa", "content": "aaaa"}, 0),
        ({"input": [{"content": [{"type": "input_image", "image_url": "aaaa"}]}, {"output": [{"image_url": "b"}]}]}, 5),
        ({"input": ["aaaa"]}, 0),
        ({"images": "aaaa"}, 4),
        ({"images": [1, {"x": "y"}]}, 0),
    ],
)
def test_image_size(body: Any, size: int) -> None:
    assert image_size(body) == size


def test_sound_passes_the_text_limit() -> None:
    body = JsonBody()
    body.feed(b'{"model":"m","input_audio":["' + b"A" * (6 << 20) + b'"]}')
    assert len(body.decode()["input_audio"][0]) == 6 << 20


@pytest.mark.parametrize("key", [b'"images":["', b'"IMAGES" : [ "'])
def test_images_pass_the_text_limit(key: bytes) -> None:
    body = JsonBody()
    body.feed(b'{"model":"m",' + key + b"A" * (6 << 20) + b'"]}')
    assert body.decode()["model"] == "m"


def test_a_text_about_images_is_no_image() -> None:
    body = JsonBody()
    body.feed(b'{"model":"m","prompt":"\\"images\\":[\\"","input_audio":"' + b"A" * (6 << 20) + b'"}')
    assert body.decode()["prompt"] == '"images":["'
