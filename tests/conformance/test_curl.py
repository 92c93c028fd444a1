"""Plain `curl` lines for what Ollama's API documentation shows, on both doors: with curl's own content type, too."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from doors import Door
from models import write_tiny_gguf

pytestmark = [pytest.mark.needs("curl"), pytest.mark.needs("bash")]

# The doors differ in a header alone.
_CURL = 'curl() { command curl -sS -H "$HEADER" "$@"; }\n'

Shell = Callable[[str], str]


@pytest.fixture(scope="module")
def sh(door: Door) -> Shell:
    """Runs lines of a shell in which `$HOST` is the server; what they print."""
    headers = dict(door.headers) or {"X-None": "-"}
    env = os.environ | {"HOST": door.url, "HEADER": "\n".join(f"{name}: {value}" for name, value in headers.items())}

    def run(lines: str) -> str:
        done = subprocess.run(["bash", "-euc", _CURL + lines], env=env, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# ---- generate ------------------------------------------------------------------------------------------------------


def test_generate_streams_by_itself(sh: Shell) -> None:
    lines = lines_of(
        sh("""curl $HOST/api/generate -d '{
            "model": "smollm2:135m", "prompt": "A haiku:", "options": {"num_predict": 6}
        }'""")
    )
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert {"total_duration", "load_duration", "prompt_eval_count", "eval_count", "context"} <= set(lines[-1])


def test_generate_in_one_piece(sh: Shell) -> None:
    answer = json.loads(
        sh("""curl $HOST/api/generate -d '{
            "model": "smollm2:135m", "prompt": "A haiku:", "stream": false, "options": {"num_predict": 6, "seed": 1}
        }'""")
    )
    assert (answer["done"], answer["eval_count"]) == (True, 6)
    assert answer["response"]


def test_generate_with_a_suffix(sh: Shell) -> None:
    answer = json.loads(
        sh("""curl $HOST/api/generate -d '{
            "model": "fill", "prompt": "def mean(values):", "suffix": "    return total / n", "stream": false,
            "options": {"temperature": 0, "num_predict": 5}
        }'""")
    )
    assert answer["eval_count"] == 5


def test_generate_json_that_follows_a_schema(sh: Shell) -> None:
    answer = json.loads(
        sh("""curl -X POST $HOST/api/generate -H "Content-Type: application/json" -d '{
            "model": "smollm2:135m", "prompt": "Ada is 36 and free. Answer in JSON.", "stream": false,
            "format": {
                "type": "object",
                "properties": {"age": {"type": "integer"}, "free": {"type": "boolean"}},
                "required": ["age", "free"]
            }
        }'""")
    )
    told = json.loads(answer["response"])
    assert (type(told["age"]), type(told["free"])) == (int, bool)


def test_generate_any_json(sh: Shell) -> None:
    answer = json.loads(
        sh("""curl $HOST/api/generate -d '{
            "model": "smollm2:135m", "prompt": "The sky at noon, in JSON.", "format": "json", "stream": false,
            "options": {"num_predict": 200, "temperature": 0}
        }'""")
    )
    assert answer["response"].lstrip().startswith("{")
    if answer["done_reason"] == "stop":
        assert isinstance(json.loads(answer["response"]), dict)


def test_generate_with_an_image(sh: Shell) -> None:
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(9)).decode()
    told = sh(
        f"""curl -w '%{{http_code}}' $HOST/api/generate -d '{{
            "model": "smollm2:135m", "prompt": "What is it?", "images": ["{png}"]
        }}'"""
    )
    assert told.endswith("400")
    assert json.loads(told[:-3])["error"].startswith('"smollm2:135m" does not support images')


def test_generate_raw_and_reproducible(sh: Shell) -> None:
    line = """curl $HOST/api/generate -d '{
        "model": "smollm2:135m", "prompt": "[INST] Why? [/INST]", "raw": true, "stream": false,
        "options": {"seed": 42, "num_predict": 8}
    }'"""
    sh(line)  # from here on the cache is in the same state
    first, second = json.loads(sh(line)), json.loads(sh(line))
    assert first["response"] == second["response"]
    assert "context" not in first


def test_load_and_unload(sh: Shell) -> None:
    loaded = json.loads(sh("""curl $HOST/api/generate -d '{"model": "smollm2:135m"}'"""))
    assert (loaded["response"], loaded["done_reason"]) == ("", "load")
    assert json.loads(sh("curl $HOST/api/ps"))["models"]
    gone = json.loads(sh("""curl $HOST/api/chat -d '{"model": "smollm2:135m", "messages": [], "keep_alive": 0}'"""))
    assert (gone["message"], gone["done_reason"]) == ({"role": "assistant", "content": ""}, "unload")


# ---- chat ----------------------------------------------------------------------------------------------------------


def test_chat_streams_by_itself(sh: Shell) -> None:
    lines = lines_of(
        sh("""curl $HOST/api/chat -d '{
            "model": "smollm2:135m", "messages": [{"role": "user", "content": "Hi"}], "options": {"num_predict": 6}
        }'""")
    )
    assert all(line["message"]["role"] == "assistant" for line in lines)
    assert (lines[-1]["done"], lines[-1]["message"]["content"]) == (True, "")


def test_chat_with_a_history(sh: Shell) -> None:
    answer = json.loads(
        sh("""curl $HOST/api/chat -d '{
            "model": "smollm2:135m", "stream": false, "options": {"num_predict": 12, "temperature": 0},
            "messages": [
                {"role": "user", "content": "My cat is called Otto."},
                {"role": "assistant", "content": "A fine name."},
                {"role": "user", "content": "What is my cat called?"}
            ]
        }'""")
    )
    assert answer["message"]["content"]


def test_chat_that_follows_a_schema(sh: Shell) -> None:
    answer = json.loads(
        sh("""curl $HOST/api/chat -d '{
            "model": "smollm2:135m", "stream": false, "options": {"temperature": 0},
            "messages": [{"role": "user", "content": "Is it dark at night?"}],
            "format": {"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"]}
        }'""")
    )
    assert isinstance(json.loads(answer["message"]["content"])["yes"], bool)


TOOL = """{"type": "function", "function": {
    "name": "add", "description": "Add two numbers.", "parameters": {
        "type": "object", "required": ["a", "b"],
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}
    }
}}"""
HISTORY = """
    {"role": "user", "content": "What is 3 plus 4?"},
    {"role": "assistant", "tool_calls": [{"function": {"name": "add", "arguments": {"a": 3, "b": 4}}}]},
    {"role": "tool", "tool_name": "add", "content": "7"},
    {"role": "assistant", "content": "It is 7."},
    {"role": "user", "content": "What is 10 plus 22?"},
    {"role": "assistant", "tool_calls": [{"function": {"name": "add", "arguments": {"a": 10, "b": 22}}}]},
    {"role": "tool", "tool_name": "add", "content": "32"},
    {"role": "assistant", "content": "It is 32."},
    {"role": "user", "content": "What is 2 plus 6?"}
"""


@pytest.mark.parametrize("stream", ["true", "false"])
def test_chat_with_tools_and_what_they_found(sh: Shell, stream: str) -> None:
    lines = lines_of(
        sh(f"""curl $HOST/api/chat -d '{{
            "model": "able", "messages": [{HISTORY}], "tools": [{TOOL}], "stream": {stream}, "think": false,
            "options": {{"temperature": 0, "num_predict": 80}}
        }}'""")
    )
    calls = [call for line in lines for call in line["message"].get("tool_calls", ())]
    assert [call["function"]["name"] for call in calls] == ["add"]
    assert set(calls[0]["function"]["arguments"]) == {"a", "b"}
    assert (calls[0]["id"][:5], len(calls[0]["id"])) == ("call_", 13)
    assert lines[-1]["done_reason"] == "stop"


def test_chat_that_thinks(sh: Shell) -> None:
    answer = json.loads(
        sh("""curl $HOST/api/chat -d '{
            "model": "able", "messages": [{"role": "user", "content": "Why?"}], "think": true, "stream": false,
            "options": {"num_predict": 20}
        }'""")
    )
    assert list(answer["message"])[:3] == ["role", "content", "thinking"]


# ---- models --------------------------------------------------------------------------------------------------------


def test_a_model_from_another_one(sh: Shell) -> None:
    lines = lines_of(
        sh("""curl $HOST/api/create -d '{"model": "mario-curl", "from": "smollm2:135m", "system": "You are Mario."}'""")
    )
    assert lines[-1] == {"status": "success"}
    shown = json.loads(sh("""curl $HOST/api/show -d '{"model": "mario-curl"}'"""))
    assert (shown["system"], shown["capabilities"]) == ("You are Mario.", ["completion"])
    assert sh("""curl $HOST/api/copy -d '{"source": "mario-curl", "destination": "luigi-curl"}'""") == ""
    names = [model["name"] for model in json.loads(sh("curl $HOST/api/tags"))["models"]]
    assert {"mario-curl:latest", "luigi-curl:latest"} <= set(names)
    for name in ("mario", "luigi"):
        assert sh(f"""curl -X DELETE $HOST/api/delete -d '{{"model": "{name}-curl"}}'""") == ""


def test_a_model_from_a_file(sh: Shell, tmp_path: Path) -> None:
    file = write_tiny_gguf(tmp_path / "tiny.gguf")
    digest = "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()
    code = "-o /dev/null -w '%{http_code}'"
    assert sh(f"curl {code} -I $HOST/api/blobs/{digest}") == "404"
    assert sh(f"curl {code} -T {file} -X POST $HOST/api/blobs/{digest}") == "201"
    assert sh(f"curl {code} -I $HOST/api/blobs/{digest}") == "200"
    made = sh(f"""curl $HOST/api/create -d '{{"model": "file-curl", "files": {{"tiny.gguf": "{digest}"}}}}'""")
    assert lines_of(made)[-1] == {"status": "success"}
    quantized = sh(
        """curl $HOST/api/create -d '{
            "model": "small-curl", "from": "file-curl", "quantize": "q8_0", "stream": false
        }'"""
    )
    assert json.loads(quantized) == {"status": "success"}
    for name in ("file", "small"):
        sh(f"""curl -X DELETE $HOST/api/delete -d '{{"model": "{name}-curl"}}'""")


def test_transfers_that_fail(sh: Shell) -> None:
    pulled = lines_of(sh("""curl $HOST/api/pull -d '{"model": "127.0.0.1:9/nobody/nothing", "insecure": true}'"""))
    assert "error" in pulled[-1]
    pushed = lines_of(sh("""curl $HOST/api/push -d '{"model": "nobody/nothing-curl"}'"""))
    assert "not found" in pushed[-1]["error"]


def test_signs_of_life(sh: Shell) -> None:
    assert sh("curl $HOST/") == "Ollama is running"
    assert json.loads(sh("curl $HOST/api/version"))["version"].count(".") == 2
    assert "HTTP/1.1 200" in sh("curl -I $HOST/api/tags")


# ---- what is wrong, and what is ignored ----------------------------------------------------------------------------


def test_errors(sh: Shell) -> None:
    code = "-w '\\n%{http_code}'"
    missing = sh(f"""curl {code} $HOST/api/generate -d '{{"model": "nosuch", "prompt": "x"}}'""").splitlines()
    assert missing == ['{"error":"model \'nosuch\' not found"}', "404"]
    broken = sh(f"""curl {code} $HOST/api/chat -d '{{'""").splitlines()
    assert broken == ['{"error":"unexpected EOF"}', "400"]


def test_fields_that_nobody_knows_are_told(sh: Shell) -> None:
    told = sh("""curl -i $HOST/api/generate -d '{"model": "smollm2:135m", "width": 3, "options": {"mirostat": 1}}'""")
    assert "x-ignored-fields: width, options.mirostat" in told.lower()
    assert "x-ignored-fields" not in sh("""curl -i $HOST/api/generate -d '{"model": "smollm2:135m"}'""").lower()


def test_a_prompt_that_was_cut_is_told(sh: Shell) -> None:
    body = json.dumps({"model": "smollm2:135m", "prompt": "word " * 300, "options": {"num_ctx": 64, "num_predict": 2}})
    for stream in ("true", "false"):
        head, _, text = sh(f"""curl -i $HOST/api/generate -d '{body[:-1]}, "stream": {stream}}}'""").partition("\n\n")
        cut = lines_of(text)[-1]["truncated"]
        assert f"x-truncated-tokens: {cut['tokens']}" in head.lower()
        assert cut["tokens"] > 200
