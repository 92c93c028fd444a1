"""Real clients against the real server on all three doors, with the real SmolLM2: what users will do."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import ollama
import pytest
from doors import MODEL, Door, Kernel, jupyter, serve, serving
from models import write_tiny_gguf
from openai import OpenAI

FEW = {"num_predict": 8, "temperature": 0}


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Door | Kernel]]:
    base = tmp_path_factory.mktemp("doors")
    (base / "notebooks").mkdir()
    with (
        serve(base / "serve-models") as standalone,
        jupyter(base / "notebooks", base / "jupyter-models") as (outer, inner, kernel),
    ):
        yield {"serve": standalone, "jupyter": outer, "kernel": inner, "cell": kernel}


@pytest.fixture(params=["serve", "jupyter", "kernel"])
def door(request: pytest.FixtureRequest, doors: dict[str, Door]) -> Door:
    return doors[request.param]


@pytest.fixture
def client(door: Door) -> Iterator[ollama.Client]:
    made = ollama.Client(host=door.url, headers=door.headers)
    yield made
    made._client.close()


@pytest.fixture
def http(door: Door) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=door.url, headers=door.headers, timeout=120) as made:
        yield made


# ---- the official SDK ---------------------------------------------------------------------------------------------


def test_sdk_lists_and_shows(client: ollama.Client) -> None:
    listed = client.list().models
    assert MODEL in [model.model for model in listed]
    row = next(model for model in listed if model.model == MODEL)
    assert row.size
    assert row.size > 90_000_000
    assert row.digest
    assert len(row.digest) == 64
    assert row.details
    assert row.details.quantization_level == "Q4_1"
    shown = client.show(MODEL)
    assert shown.modelinfo
    assert shown.modelinfo["general.architecture"] == "llama"
    assert shown.capabilities == ["completion"]
    assert "FROM " in (shown.modelfile or "")


def test_sdk_generates(client: ollama.Client) -> None:
    answer = client.generate(MODEL, "Why is the sky blue?", options=FEW)
    assert answer.done
    assert answer.done_reason == "length"
    assert answer.response
    assert answer.eval_count == 8
    assert answer.context
    assert min(answer.total_duration, answer.prompt_eval_duration, answer.eval_duration, answer.prompt_eval_count) > 0
    parts = list(client.generate(MODEL, "Why is the sky blue?", options=FEW, stream=True))
    assert "".join(part.response for part in parts) == answer.response
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]


def test_sdk_chats(client: ollama.Client) -> None:
    messages = [{"role": "user", "content": "What is the capital of France? Answer with one word."}]
    answer = client.chat(MODEL, messages, options={"num_predict": 20, "temperature": 0})
    assert (answer.message.content or "").strip()
    assert answer.message.role == "assistant"
    parts = list(client.chat(MODEL, messages, options={"num_predict": 20, "temperature": 0}, stream=True))
    assert "".join(part.message.content or "" for part in parts).strip()
    assert parts[-1].done_reason in ("stop", "length")


async def test_sdk_async(door: Door) -> None:
    client = ollama.AsyncClient(host=door.url, headers=door.headers)
    answer = await client.generate(MODEL, "Once upon a time", options=FEW)
    assert answer.eval_count == 8
    texts = [
        p.message.content
        async for p in await client.chat(MODEL, [{"role": "user", "content": "Hi"}], stream=True, options=FEW)
    ]
    assert "".join(text or "" for text in texts)
    assert MODEL in [model.model for model in (await client.list()).models]
    assert (await client.show(MODEL)).details
    assert (await client.ps()).models
    await client.copy(MODEL, "async-copy")
    await client.create(model="async-made", from_=MODEL, system="Be brief.")
    assert [(await client.delete(name)).status for name in ("async-copy", "async-made")] == ["success"] * 2
    await client._client.aclose()


def test_sdk_manages_models(client: ollama.Client, tmp_path: Path) -> None:
    made = client.create(
        model="Pirate", from_=MODEL, system="You are a pirate.", parameters={"temperature": 0.5, "stop": ["Arr"]}
    )
    assert made.status == "success"
    statuses = [
        part.status for part in client.create(model="pirate", from_=MODEL, template="{{ .Prompt }}!", stream=True)
    ]
    assert statuses[-2:] == ["writing manifest", "success"]
    assert client.show("PIRATE").template == "{{ .Prompt }}!"
    assert client.copy("pirate", "parrot").status == "success"
    names = {model.model for model in client.list().models}
    assert {"Pirate:latest", "parrot:latest"} <= names
    gguf = write_tiny_gguf(tmp_path / "tiny.gguf")
    digest = client.create_blob(gguf)
    assert digest == "sha256:" + hashlib.sha256(gguf.read_bytes()).hexdigest()
    assert client.create(model="tiny", files={"tiny.gguf": digest}).status == "success"
    assert client.generate("tiny", "the", options=FEW).done
    for name in ("pirate", "parrot", "tiny"):
        assert client.delete(name).status == "success"
    with pytest.raises(ollama.ResponseError, match="not found") as missing:
        client.generate("parrot", "x")
    assert missing.value.status_code == 404


def test_load_ps_and_unload(client: ollama.Client) -> None:
    assert client.generate(MODEL).done_reason == "load"
    (row,) = [model for model in client.ps().models if model.model == MODEL]
    assert row.context_length == 4096
    assert row.size
    assert row.size > 90_000_000
    assert client.generate(MODEL, keep_alive=0).done_reason == "unload"
    assert MODEL not in [model.model for model in client.ps().models]


def test_a_context_is_continued(client: ollama.Client) -> None:
    first = client.generate(MODEL, "My name is Ada.", options=FEW)
    second = client.generate(MODEL, "What is my name?", context=first.context, options=FEW)
    assert list(second.context)[: len(first.context)] == list(first.context)
    assert second.prompt_eval_count > first.prompt_eval_count


# ---- the wire -----------------------------------------------------------------------------------------------------


def test_the_final_chunk_tells_what_was_cut(http: httpx.Client) -> None:
    messages = [{"role": "system", "content": "Answer in capitals."}]
    messages += [{"role": ["user", "assistant"][i % 2], "content": f"Sentence {i} of a long talk."} for i in range(41)]
    body = {"model": MODEL, "messages": messages, "stream": False, "options": {"num_ctx": 128, "num_predict": 2}}
    reply = http.post("/api/chat", json=body)
    assert reply.status_code == 200, reply.text
    told = reply.json()["truncated"]
    assert told["num_ctx"] == 128
    assert 0 < told["messages"] < 41
    assert told["tokens"] > 100
    refused = http.post("/api/chat", json=body | {"truncate": False})
    assert refused.status_code == 400
    assert "128" in refused.json()["error"]
    text = http.post(
        "/api/generate", json={"model": MODEL, "prompt": "word " * 500, "stream": False, "options": body["options"]}
    )
    assert text.json()["truncated"]["messages"] == 0
    assert text.json()["truncated"]["tokens"] > 300


def test_stop_strings_and_limits(http: httpx.Client) -> None:
    def ask(**options: object) -> dict[str, object]:
        body = {
            "model": MODEL,
            "prompt": "Count from one to ten.",
            "stream": False,
            "options": {"temperature": 0} | options,
        }
        return http.post("/api/generate", json=body).json()

    whole = ask(num_predict=30)
    word = str(whole["response"]).split()[2]
    stopped = ask(num_predict=30, stop=[word])
    assert stopped["done_reason"] == "stop"
    assert stopped["response"] == str(whole["response"])[: str(whole["response"]).index(word)]
    nothing = ask(num_predict=0)
    assert (nothing["response"], nothing["done_reason"], nothing.get("eval_count", 0)) == ("", "length", 0)
    assert ask(num_predict=5)["eval_count"] == 5


def test_the_same_seed_twice(http: httpx.Client) -> None:
    body = {"model": MODEL, "prompt": "Tell me a story.", "stream": False}
    body["options"] = {"seed": 11, "temperature": 1.2, "num_predict": 12}
    http.post("/api/generate", json=body)  # the cache is in the same state from here on
    assert len({http.post("/api/generate", json=body).json()["response"] for _ in range(2)}) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"stop": "word"}, "stop"),
        ({"num_ctx": -1}, "num_ctx"),
        ({"top_k": -5}, "top_k"),
        ({"seed": 2**64}, "seed"),
        ({"temperature": 1e308}, "temperature"),
        ({"num_keep": -1}, "num_keep"),
        ({"use_mmap": 1}, "use_mmap"),
    ],
)
def test_a_bad_option_is_named(doors: dict[str, Door], options: dict[str, object], told: str) -> None:
    reply = httpx.post(doors["serve"].url + "/api/generate", json={"model": MODEL, "prompt": "x", "options": options})
    assert reply.status_code == 400
    assert f'"{told}"' in reply.json()["error"]


@pytest.mark.parametrize("template", ["{{ .Prompt", "{{ range .Messages }}", "{{ nosuch .Prompt }}"])
def test_a_bad_template_is_a_400(doors: dict[str, Door], template: str) -> None:
    body = {"model": MODEL, "prompt": "x", "template": template}
    reply = httpx.post(doors["serve"].url + "/api/generate", json=body)
    assert reply.status_code == 400
    assert "template" in reply.json()["error"]


def test_every_option_acts_or_is_taken(doors: dict[str, Door]) -> None:
    options = {
        "num_ctx": 512, "num_batch": 128, "num_gpu": 0, "main_gpu": 0, "use_mmap": True, "num_thread": 1,
        "draft_num_predict": 0, "num_keep": 2, "seed": 3, "num_predict": 4, "top_k": 10, "top_p": 0.5, "min_p": 0.05,
        "typical_p": 0.9, "temperature": 0.7, "repeat_last_n": 32, "repeat_penalty": 1.2, "presence_penalty": 0.5,
        "frequency_penalty": 0.5, "stop": ["zzz"], "no_such_option": 1, "mirostat": None,
    }  # fmt: skip
    url = doors["serve"].url
    reply = httpx.post(
        f"{url}/api/generate", timeout=120, json={"model": MODEL, "prompt": "Hi", "stream": False, "options": options}
    )
    assert reply.status_code == 200, reply.text
    assert _context_length(url) == 512
    again = httpx.post(f"{url}/api/generate", timeout=120, json={"model": MODEL, "stream": False})
    assert again.json()["done_reason"] == "load"
    assert _context_length(url) == 4096


def _context_length(url: str) -> int:
    """The window that the real model is loaded with; the tests' tiny one may be there too."""
    rows = httpx.get(f"{url}/api/ps").json()["models"]
    return int(next(row["context_length"] for row in rows if row["name"] == MODEL))


def test_an_interrupted_client_frees_its_slot(doors: dict[str, Door], tmp_path: Path) -> None:
    """Eight clients that go away in the middle of endless answers; then a ninth is served."""
    url = doors["serve"].url
    body = {"model": MODEL, "prompt": "Never stop talking.", "options": {"num_predict": -1, "seed": 1}}
    for _ in range(8):
        with httpx.stream("POST", f"{url}/api/generate", json=body, timeout=60) as reply:
            next(reply.iter_lines())
    done = httpx.post(f"{url}/api/generate", json=body | {"stream": False, "options": FEW}, timeout=60)
    assert done.json()["eval_count"] == 8


def test_parallel_answers_do_not_mix(doors: dict[str, Door]) -> None:
    url = doors["serve"].url
    countries = {"France": "Paris", "Italy": "Rome", "Japan": "Tokyo", "Egypt": "Cairo", "Spain": "Madrid"}

    def ask(country: str) -> str:
        messages = [{"role": "user", "content": f"What is the capital of {country}? Answer with one word."}]
        body = {"model": MODEL, "messages": messages, "stream": False, "options": {"num_predict": 12, "temperature": 0}}
        return str(httpx.post(f"{url}/api/chat", json=body, timeout=120).json()["message"]["content"])

    with ThreadPoolExecutor(10) as pool:
        answers = dict(zip(list(countries) * 2, pool.map(ask, list(countries) * 2), strict=True))
    # Another machine's model may be wrong about a capital, but another question's answer would show here.
    mixed = [c for c in countries if any(countries[other] in answers[c] for other in countries if other != c)]
    assert len(mixed) <= 1, answers
    assert sum(countries[c] in answers[c] for c in countries) >= 2, answers


# ---- the owner's examples, in a cell ------------------------------------------------------------------------------

BASIC = """
import requests
import os

def chat_with_ollama(message, model="smollm2:135m"):
    url = f"{os.getenv('OLLAMA_HOST', 'http://localhost:11434')}/api/chat"

    payload = {
        "model": model,
        "messages": [
            {"role": "user", "content": message}
        ],
        "stream": False
    }

    response = requests.post(url, json=payload)
    return response.json()["message"]["content"]

# Example usage
response = chat_with_ollama("Explain quantum computing")
print(response)
"""

STREAMING = """
import requests
import json
import os

def stream_chat(message, model="smollm2:135m"):
    url = f"{os.getenv('OLLAMA_HOST', 'http://localhost:11434')}/api/chat"

    payload = {
        "model": model,
        "messages": [{"role": "user", "content": message}],
        "stream": True
    }

    with requests.post(url, json=payload, stream=True) as response:
        for line in response.iter_lines():
            if line:
                chunk = json.loads(line.decode('utf-8'))
                if not chunk.get('done'):
                    print(chunk['message']['content'], end='', flush=True)

stream_chat("Explain quantum computing")
"""

OPENAI = """
from openai import OpenAI
import os

# Point to local Ollama server
client = OpenAI(
    base_url=f"{os.getenv('OLLAMA_HOST', 'http://localhost:11434')}/v1",
    api_key="ollama"  # Required but ignored
)

response = client.chat.completions.create(
    model="smollm2:135m",
    messages=[
        {"role": "user", "content": "Write a Python function to calculate fibonacci"}
    ]
)

print(response.choices[0].message.content)
"""


@pytest.mark.parametrize("code", [BASIC, STREAMING, OPENAI], ids=["basic", "streaming", "openai"])
def test_the_owners_examples_run_in_a_cell(doors: dict[str, Kernel], code: str) -> None:
    assert len(doors["cell"].run(code).split()) > 3


def test_the_sdk_needs_no_configuration_in_a_cell(doors: dict[str, Kernel]) -> None:
    code = f"import ollama; print(ollama.generate({MODEL!r}, 'Hi').response)"
    assert doors["cell"].run(code).strip()


def test_the_magic_in_a_cell(doors: dict[str, Kernel]) -> None:
    kernel = doors["cell"]
    kernel.run("%load_ext ollama_jupyter")
    kernel.run("%%ollama -o answer -n 8 --seed 1 -t 0\nSay hello.")
    assert kernel.run("print(answer.stats.tokens, answer.model, bool(answer.text), answer is _)").split() == [
        "8", MODEL, "True", "True",
    ]  # fmt: skip


def test_interrupt_stops_the_generation_on_the_server(doors: dict[str, Any]) -> None:
    """As Kernel > Interrupt does: the cell ends, and with it the work, so the engine is free for the next request."""
    kernel, door = doors["cell"], doors["kernel"]
    kernel.run("%load_ext ollama_jupyter")
    httpx.post(f"{door.url}/api/generate", json={"model": MODEL}, timeout=60)
    endless = "%%ollama -n 1000000 -o endless\nCount from one to a million, in words, and never stop."
    cell_ended = kernel.interrupted(endless, after="text/markdown")
    started = time.monotonic()
    done = httpx.post(f"{door.url}/api/generate", json={"model": MODEL, "keep_alive": 0}, timeout=60)
    while any(row["name"] == MODEL for row in httpx.get(f"{door.url}/api/ps").json()["models"]):
        assert time.monotonic() - started < 30, "the model is still busy"  # busy models are not unloaded
    assert done.json()["done_reason"] == "unload"
    assert cell_ended + time.monotonic() - started < 10
    assert kernel.run("print(endless.stats.done_reason)").strip() == "interrupted"


def test_openai_streams_and_lists(door: Door) -> None:
    headers = dict(door.headers)
    with OpenAI(base_url=door.url + "/v1", api_key="ollama", default_headers=headers) as client:
        messages = [{"role": "user", "content": "Say hello."}]
        stream = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=8, stream=True)
        chunks = list(stream)
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert chunks[-1].choices[0].finish_reason in ("length", "stop")
        assert MODEL in [model.id for model in client.models.list()]
        assert client.models.retrieve(MODEL).id == MODEL


# ---- hostile models -----------------------------------------------------------------------------------------------


class Uploads:
    """Uploads files and makes models of them, and knows what a refusal must leave behind: nothing."""

    def __init__(self, client: httpx.Client, models: Path) -> None:
        self.client, self.models = client, models

    def create(self, data: bytes, name: str = "mutant") -> httpx.Response:
        digest = hashlib.sha256(data).hexdigest()
        assert self.client.post(f"/api/blobs/sha256:{digest}", content=data).status_code in (200, 201)
        body = {"model": name, "files": {"model.gguf": f"sha256:{digest}"}, "stream": False}
        reply = self.client.post("/api/create", json=body)
        kept = (self.models / "blobs" / f"sha256-{digest}").exists()
        if reply.status_code == 200:
            assert kept
            assert self.client.request("DELETE", "/api/delete", json={"model": name}).status_code == 200
        else:
            assert reply.status_code == 400, reply.text
            assert reply.json()["error"]
            assert not kept
        return reply

    def assert_nothing_left(self) -> None:
        left = [
            path
            for path in self.models.rglob("*")
            if path.is_file() and path.parent.name != "probes" and path.name != "lock"
        ]
        assert left == []
        assert self.client.get("/api/version").status_code == 200


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[Uploads]:
    with serve(tmp_path / "models") as door, httpx.Client(base_url=door.url, timeout=120) as client:
        made = Uploads(client, tmp_path / "models")
        yield made
        made.assert_nothing_left()


def header_length(data: bytes) -> int:
    """Where the header of a tiny model ends: its last tensor's name is found last."""
    return data.rindex(b"blk.") + 64


def test_a_thousand_mutated_headers(uploads: Uploads, tmp_path: Path) -> None:
    """Bytes flipped, cut out, doubled and overwritten in the header of a good model."""
    good = write_tiny_gguf(tmp_path / "good.gguf").read_bytes()
    end = header_length(good)
    rng = random.Random(20)
    statuses = []
    for _ in range(1000):
        data = bytearray(good)
        for _ in range(rng.choice([4, 16, 64])):
            at = rng.randrange(end)
            match rng.randrange(4):
                case 0:
                    data[at] ^= 1 << rng.randrange(8)
                case 1:
                    data[at : at + 8] = rng.choice([b"\xff" * 8, bytes(8), b"\x7f" + b"\xff" * 7])
                case 2:
                    del data[at : at + rng.randrange(1, 9)]
                case 3:
                    data[at:at] = data[at : at + rng.randrange(1, 9)]
        statuses.append(uploads.create(bytes(data)).status_code)
    assert statuses.count(400) > 900


ABSURD: list[dict[str, object]] = [
    *({"llama.rope.dimension_count": n} for n in (0, 1, 2, 7, 64, 2**31 - 1)),
    *({"llama.context_length": n} for n in (1, 2, 3, 2**31 - 1, 2**32 - 1)),
    *({"llama.feed_forward_length": n} for n in (0, 1, 63, 2**31)),
    *({"llama.attention.layer_norm_rms_epsilon": x} for x in (0.0, -1.0, float("nan"), float("inf"))),
    *({"llama.attention.head_count_kv": n} for n in (1, 3, 4, 8)),
    *({"llama.attention.head_count": n} for n in (1, 2, 3, 32)),
    *({"llama.attention.key_length": n} for n in (0, 1, 8, 1024)),
    *({"llama.vocab_size": n} for n in (0, 1, 2**31)),
    *({"llama.rope.freq_base": x} for x in (0.0, -1.0, float("nan"))),
    *({"llama.rope.scaling.type": t} for t in ("yarn", "longrope", "nonsense")),
    *({"llama.expert_count": n} for n in (1, 8, 2**31)),
    *({"tokenizer.ggml.model": t} for t in ("gpt2", "bert", "t5", "rwkv", "none", "nonsense")),
    *({"tokenizer.ggml.bos_token_id": n} for n in (0, 2, 319)),
    *({"general.architecture": t} for t in ("gemma3", "mamba", "qwen2", "bert", "nonsense")),
    {"tokenizer.chat_template": "{{ 'a' * 10**9 }}"},
    {"tokenizer.chat_template": "{% for i in range(10**9) %}x{% endfor %}"},
    {"tokenizer.chat_template": "{{ [].__class__.__mro__ }}"},
]


def test_absurd_models_through_a_load(uploads: Uploads, tmp_path: Path) -> None:
    """Valid files that make no sense: each is refused with a reason, or answers."""
    assert len(ABSURD) >= 50
    for number, metadata in enumerate(ABSURD):
        path = write_tiny_gguf(tmp_path / f"{number}.gguf", metadata=metadata)
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        uploads.client.post(f"/api/blobs/sha256:{digest}", content=data)
        body = {"model": "absurd", "files": {"model.gguf": f"sha256:{digest}"}, "stream": False}
        made = uploads.client.post("/api/create", json=body)
        if made.status_code == 200:
            chat = {
                "model": "absurd",
                "messages": [{"role": "user", "content": "the"}],
                "options": FEW,
                "stream": False,
            }
            reply = uploads.client.post("/api/chat", json=chat)
            assert reply.status_code in (200, 400), (metadata, reply.text)
            assert reply.status_code == 200 or reply.json()["error"]
            uploads.client.request("DELETE", "/api/delete", json={"model": "absurd"})
        else:
            assert made.status_code == 400, (metadata, made.text)
            assert made.json()["error"]
    answer = uploads.client.post(
        "/api/generate", json={"model": MODEL, "prompt": "Hi", "options": FEW, "stream": False}
    )
    assert answer.json()["eval_count"] == 8
    uploads.client.post("/api/generate", json={"model": MODEL, "keep_alive": 0})
    uploads.client.request("DELETE", "/api/delete", json={"model": MODEL})


def test_what_a_killed_server_was_writing_is_swept_at_the_next_start(tmp_path: Path) -> None:
    """kill -9 in the middle of an upload: the half is gone after a restart, and the blob can be sent again."""
    models = tmp_path / "models"
    data = b"x" * 5_000_000
    digest = hashlib.sha256(data).hexdigest()

    def slowly() -> Iterator[bytes]:
        yield data[:1_000_000]
        while not list((models / "partial").glob("tmp-*")):
            time.sleep(0.01)
        child.kill()
        child.wait()
        yield data[1_000_000:]

    with serving(models) as (door, child), pytest.raises(httpx.TransportError):
        httpx.post(f"{door.url}/api/blobs/sha256:{digest}", content=slowly(), timeout=30)
    (half,) = (models / "partial").glob("tmp-*")
    os.utime(half, (0, 0))  # as if it had been left an hour ago
    with serve(models) as door:
        assert list((models / "partial").glob("tmp-*")) == []
        assert httpx.post(f"{door.url}/api/blobs/sha256:{digest}", content=data).status_code == 201
    assert [path.name for path in (models / "blobs").iterdir()] == [f"sha256-{digest}"]
