"""Vectors by the SDKs, on both doors. What they are is seen to in `tests/embed`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ollama
import openai
import pytest
from doors import MODEL, Door
from embed.tiny_bert import WIDTH, write_tiny_bert

NAME = "vectors"


@pytest.fixture(scope="module")
def client(door: Door, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ollama.Client]:
    made = ollama.Client(door.url, headers=door.headers)
    gguf = write_tiny_bert(tmp_path_factory.mktemp("vectors") / "vectors.gguf")
    made.create(NAME, files={gguf.name: made.create_blob(gguf)})
    yield made
    made.delete(NAME)
    made._client.close()


def test_embed(client: ollama.Client) -> None:
    answer = client.embed(NAME, ["a b", "x"])
    assert [len(vector) for vector in answer.embeddings] == [WIDTH, WIDTH]
    assert answer.prompt_eval_count == 7
    assert len(client.embed(NAME, "a b", dimensions=4).embeddings[0]) == 4
    assert client.embeddings(NAME, "a b").embedding == pytest.approx(answer.embeddings[0], abs=1e-5)


async def test_embed_async(door: Door, client: ollama.Client) -> None:
    made = ollama.AsyncClient(door.url, headers=door.headers)
    assert (await made.embed(NAME, "x")).embeddings == client.embed(NAME, "x").embeddings
    await made._client.aclose()


def test_embed_with_a_model_that_writes(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="does not support embeddings") as raised:
        client.embed(MODEL, "x")
    assert raised.value.status_code == 501


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_openai_embeddings(door: Door, client: ollama.Client, encoding: str | None) -> None:
    """The package asks for base64 by itself."""
    wanted = {} if encoding is None else {"encoding_format": encoding}
    with openai.OpenAI(base_url=f"{door.url}/v1", api_key="ollama", default_headers=door.headers) as made:
        answer = made.embeddings.create(model=NAME, input=["a b", "x"], **wanted)  # type: ignore[call-overload]
        if encoding != "base64":
            for entry, vector in zip(answer.data, client.embed(NAME, ["a b", "x"]).embeddings, strict=True):
                assert entry.embedding == pytest.approx(list(vector), abs=1e-6)
        assert [entry.index for entry in answer.data] == [0, 1]
        assert answer.usage.prompt_tokens == 7
        with pytest.raises(openai.NotFoundError):
            made.embeddings.create(model="nope", input="x")
        with pytest.raises(openai.BadRequestError, match="invalid input"):
            made.embeddings.create(model=NAME, input=[])


def test_every_test_that_the_table_of_clients_names_is_there() -> None:
    root = Path(__file__).parents[2]
    text = (root / "docs" / "compatibility.md").read_text()
    rows = [line.split("|")[-2].strip() for line in text.splitlines() if line.startswith("| ")][1:]
    there = {path.name for path in (root / "tests").rglob("test_*.py")}
    assert rows
    assert {name.strip("`") for name in rows} <= there
