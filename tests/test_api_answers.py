"""Neutral values to Ollama's answers: key order, and what is left out."""

from __future__ import annotations

from datetime import datetime

import pytest
from fakes import DETAILS, STATS, description

from ollama_jupyter.api import ollama_answers, wire
from ollama_jupyter.durations import FOREVER
from ollama_jupyter.messages import (
    Chunk,
    ModelSummary,
    Progress,
    RunningModel,
    Stats,
    TokenLogprob,
    ToolCall,
    Truncated,
)

# ---- answers -------------------------------------------------------------------------------------------------------

METRICS = {
    "total_duration": 1_500_000_000,
    "load_duration": 250_000_000,
    "prompt_eval_count": 10,
    "prompt_eval_duration": 500_000_000,
    "eval_count": 2,
    "eval_duration": 125_000_000,
}
FINAL = Chunk(done=True, done_reason="length", stats=STATS, context=(7, 8), truncated=Truncated(2, 30, 64))


def test_generate_chunks() -> None:
    first = ollama_answers.generate_chunk("M", Chunk("Hi"))
    assert list(first) == ["model", "created_at", "response", "done"]
    assert (first["model"], first["response"], first["done"]) == ("M", "Hi", False)
    last = ollama_answers.generate_chunk("M", FINAL)
    order = ["model", "created_at", "response", "done", "done_reason", "context", *METRICS, "truncated"]
    assert list(last) == order
    assert {name: last[name] for name in METRICS} == METRICS
    assert last["truncated"] == {"messages": 2, "tokens": 30, "num_ctx": 64}


def test_chat_chunks() -> None:
    first = ollama_answers.chat_chunk("M", Chunk("Hi"))
    assert list(first) == ["model", "created_at", "message", "done"]
    assert first["message"] == {"role": "assistant", "content": "Hi"}
    last = ollama_answers.chat_chunk("M", FINAL)
    assert list(last) == ["model", "created_at", "message", "done", "done_reason", *METRICS, "truncated"]


def test_zero_metrics_are_left_out() -> None:
    answer = ollama_answers.chat_chunk("M", Chunk(done=True, done_reason="stop", stats=Stats(total_duration=1e-9)))
    assert list(answer)[5:] == ["total_duration"]
    assert answer["total_duration"] == 1


def test_rendered_prompts() -> None:
    chunk = Chunk(rendered="<s>hi")
    generated = ollama_answers.generate_chunk("M", chunk)
    assert (generated["done"], generated["_debug_info"]) == (False, {"rendered_template": "<s>hi"})
    assert ollama_answers.chat_chunk("M", chunk)["message"] == {"role": "", "content": ""}

    assert "image_count" not in generated["_debug_info"]
    two = ollama_answers.chat_chunk("M", Chunk(rendered="p", image_count=2))
    assert two["_debug_info"] == {"rendered_template": "p", "image_count": 2}


FULL = Chunk(
    "a",
    thinking="b",
    tool_calls=(ToolCall("f", {"z": 1, "a": [None]}, "call_1", 0), ToolCall("g", {}, "", 1)),
    tool_parse_error="no",
    logprobs=(
        TokenLogprob("t", float("-inf"), b"t", (TokenLogprob("u", -0.5, b"\xc3"),)),
        TokenLogprob("v", -1.0, b"v"),
    ),
    done=True,
    done_reason="stop",
    stats=STATS,
    context=(1,),
    truncated=Truncated(1, 2, 3),
)
CALLS = [
    {"id": "call_1", "function": {"index": 0, "name": "f", "arguments": {"z": 1, "a": [None]}}},
    {"function": {"index": 1, "name": "g", "arguments": {}}},
]
LOGPROBS = [
    {
        "token": "t",
        "logprob": -9999.0,
        "bytes": [116],
        "top_logprobs": [{"token": "u", "logprob": -0.5, "bytes": [195]}],
    },
    {"token": "v", "logprob": -1.0, "bytes": [118]},
]


def test_everything_at_once_in_the_order_of_the_contract() -> None:
    chat = ollama_answers.chat_chunk("M", FULL)
    head = ["model", "created_at", "message", "done", "done_reason", "logprobs", *METRICS]
    assert list(chat) == [*head, "tool_parse_error", "truncated"]
    assert list(chat["message"]) == ["role", "content", "thinking", "tool_calls"]
    assert (chat["message"]["thinking"], chat["message"]["tool_calls"]) == ("b", CALLS)
    assert chat["logprobs"] == LOGPROBS
    answer = ollama_answers.generate_chunk("M", FULL)
    head = ["model", "created_at", "response", "thinking", "done", "done_reason", "context", *METRICS]
    assert list(answer) == [*head, "tool_calls", "logprobs", "tool_parse_error", "truncated"]
    assert wire.encode(answer)


def test_only_the_last_line_tells_what_was_cut() -> None:
    """The first chunk has it too, for the header."""
    assert "truncated" not in ollama_answers.chat_chunk("M", Chunk("a", truncated=Truncated(1, 2, 3)))


def test_tags() -> None:
    [row] = ollama_answers.tags([ModelSummary("m:latest", 1e9, 5, "ab", DETAILS, ("completion",))])["models"]
    assert list(row) == ["name", "model", "modified_at", "size", "digest", "details", "capabilities"]
    assert list(row["details"]) == [
        "parent_model",
        "format",
        "family",
        "families",
        "parameter_size",
        "quantization_level",
        "context_length",
        "embedding_length",
    ]


def test_ps() -> None:
    [row] = ollama_answers.ps([RunningModel("m:latest", 5, "ab", DETAILS, FOREVER, 0, 2048)])["models"]
    order = ["name", "model", "size", "digest", "details", "expires_at", "size_vram", "context_length"]
    assert list(row) == order
    assert "context_length" not in row["details"]
    assert 290 < int(row["expires_at"][:4]) - datetime.now().year < 295


def test_show() -> None:
    answer = ollama_answers.show(description())
    order = [
        "modelfile",
        "template",
        "details",
        "messages",
        "model_info",
        "tensors",
        "capabilities",
        "modified_at",
    ]
    assert list(answer) == order
    assert list(answer["model_info"]) == sorted(answer["model_info"])
    assert answer["model_info"]["tokenizer.ggml.tokens"] is None
    assert answer["tensors"] == [{"name": "output.weight", "type": "Q8_0", "shape": [576, 49152]}]


@pytest.mark.parametrize(
    ("step", "line"),
    [
        (Progress("success"), b'{"status":"success"}'),
        (
            Progress("pulling x", "sha256:1", 10, 5),
            b'{"status":"pulling x","digest":"sha256:1","total":10,"completed":5}',
        ),
        (Progress("pulling x", "sha256:1", 10), b'{"status":"pulling x","digest":"sha256:1","total":10}'),
    ],
)
def test_progress(step: Progress, line: bytes) -> None:
    assert wire.encode(ollama_answers.progress(step)) == line
