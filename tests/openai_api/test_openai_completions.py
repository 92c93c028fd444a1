"""OpenAI's older completions: bodies to requests, chunks to objects."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fakes import STATS

from ollama_jupyter.api import openai
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.messages import Chunk, TokenLogprob

END = Chunk(done=True, done_reason="stop", stats=STATS)
A, B = (TokenLogprob(text, -1.0, text.encode(), (TokenLogprob("x", -2.0, b"x"),)) for text in ("ab", "c"))


def parse(**fields: Any) -> Any:
    return openai.completion_request({"model": "m", "prompt": "p"} | fields)


def test_fields() -> None:
    call = parse(
        suffix="s", max_tokens=5, n=2, best_of=2, echo=True, logprobs=3, seed=1, stream_options={"include_usage": True}
    )
    request = call.request
    assert (request.model, request.prompt, request.suffix, request.n, request.stream) == ("m", "p", "s", 2, False)
    assert (request.options, request.logprobs, request.top_logprobs) == ({"seed": 1, "num_predict": 5}, True, 3)
    assert (call.echo, call.include_usage, request.raw) == (True, True, False)
    plain = parse(prompt=["one"]).request
    assert (plain.prompt, plain.logprobs, plain.options) == ("one", False, {})
    assert parse(logprobs=0).request.logprobs


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": ""}, "model is required"),
        ({"prompt": ["a", "b"]}, 'field "prompt" must be a string, or a list of one string'),
        ({"prompt": [1, 2]}, 'field "prompt" must be a string, or a list of one string'),
        ({"prompt": 1}, 'field "prompt" must be a string, got a number'),
        ({"logprobs": 21}, 'field "logprobs" must be between 0 and 20, got 21'),
        ({"best_of": 3}, 'field "best_of" must be as "n"'),
        ({"stop": [1.5]}, 'field "stop" must be an array of strings'),
    ],
)
def test_wrong_values(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=re.escape(message)):
        parse(**fields)


def test_the_whole_answer() -> None:
    chunk = Chunk("abc", thinking="hm", logprobs=(A, B), done=True, done_reason="stop", stats=STATS)
    answer = openai.TextCompletion(parse(echo=True)).whole([chunk])
    assert re.fullmatch(r"cmpl-\d{1,3}", answer["id"])
    assert (answer["object"], answer["usage"]["total_tokens"]) == ("text_completion", 12)
    [choice] = answer["choices"]
    assert (choice["text"], choice["index"], choice["finish_reason"]) == ("pabc", 0, "stop")
    assert choice["logprobs"] == {
        "tokens": ["ab", "c"],
        "token_logprobs": [-1.0, -1.0],
        "top_logprobs": [{"x": -2.0}, {"x": -2.0}],
        "text_offset": [1, 3],
    }


def test_a_stream() -> None:
    told = openai.TextCompletion(parse(echo=True, stream_options={"include_usage": True}))
    pieces = [
        piece
        for chunk in (Chunk(thinking="hm"), Chunk("ab", logprobs=(A,)), Chunk("c", logprobs=(B,)), END)
        for piece in told.pieces(chunk)
    ]
    choices = [piece["choices"][0] for piece in pieces]
    assert [(choice["text"], choice["finish_reason"]) for choice in choices] == [
        ("pab", None),
        ("c", None),
        ("", "stop"),
    ]
    assert [choice["logprobs"]["text_offset"] for choice in choices[:2]] == [[1], [3]]
    assert {piece["usage"]["total_tokens"] for piece in pieces} == {0}
    [last] = told.ending([END])
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 12)


def test_a_stream_without_usage() -> None:
    told = openai.TextCompletion(parse())
    assert "usage" not in next(told.pieces(Chunk("a")))
    assert list(told.ending([END])) == []
