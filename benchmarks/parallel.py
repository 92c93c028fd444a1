"""Eight streams at once against the same eight one after another, and how quick the event loop stays meanwhile.

Run `python benchmarks/parallel.py`. Five interleaved rounds in one run; the figure is the median of the rounds' ratios.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time

import httpx
import psutil
from server import MODEL, running

STREAMS, TOKENS, ROUNDS = 8, 64, 5


async def generate(client: httpx.AsyncClient, prompt: str) -> int:
    """Stream one answer of TOKENS tokens; the number of tokens that the server counted."""
    body = {"model": MODEL, "prompt": prompt, "options": {"num_predict": TOKENS, "seed": 1}}
    count = 0
    async with client.stream("POST", "/api/generate", json=body) as response:
        async for line in response.aiter_lines():
            count = json.loads(line).get("eval_count", count)
    return count


async def watch(client: httpx.AsyncClient, latencies: list[float]) -> None:
    """Ask for the version on a kept connection, over and over."""
    while True:
        started = time.perf_counter()
        (await client.get("/api/version")).raise_for_status()
        latencies.append(time.perf_counter() - started)
        await asyncio.sleep(0.01)


async def measure(url: str) -> None:
    ratios, latencies = [], []
    async with (
        httpx.AsyncClient(base_url=url, timeout=300) as client,
        httpx.AsyncClient(base_url=url, timeout=300) as watcher,
    ):
        for round_ in range(ROUNDS):
            prompts = [f"Round {round_}, story {i}: once upon a time" for i in range(STREAMS)]
            started = time.perf_counter()
            serial = sum([await generate(client, prompt) for prompt in prompts]) / (time.perf_counter() - started)
            task = asyncio.create_task(watch(watcher, latencies))
            prompts = [prompt.replace("story", "tale") for prompt in prompts]
            started = time.perf_counter()
            counts = await asyncio.gather(*(generate(client, prompt) for prompt in prompts))
            together = sum(counts) / (time.perf_counter() - started)
            task.cancel()
            ratios.append(together / serial)
            print(f"round {round_}: {serial:.0f} tokens/s one by one, {together:.0f} together, {ratios[-1]:.2f}x")
    p99 = sorted(latencies)[int(0.99 * len(latencies))]
    print(f"median ratio {statistics.median(ratios):.2f} (wanted: 1.3)")
    print(f"GET /api/version beside {STREAMS} streams: p99 {1e3 * p99:.1f} ms of {len(latencies)} (wanted: below 50)")


def foreign_load() -> float:
    """Cores that others use now; with more than a few tenths the figures say little."""
    return psutil.cpu_percent(1.0) / 100 * (psutil.cpu_count() or 1)


if __name__ == "__main__":
    print(f"{psutil.cpu_count()} cores, {foreign_load():.1f} of them busy with something else")
    with running(OLLAMA_NUM_PARALLEL=str(STREAMS)) as url:
        asyncio.run(measure(url))
