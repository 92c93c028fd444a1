"""How soon a slot is free after its client was killed in the middle of a 4,000-token prefill.

Run `python benchmarks/cancel.py`. One slot only: the time is that from the kill to the end of another, tiny request.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from server import MODEL, running

CLIENT = """
import sys, urllib.request
body = open(sys.argv[2], 'rb').read()
urllib.request.urlopen(urllib.request.Request(sys.argv[1] + '/api/generate', body)).read()
"""


def long_prompt(salt: int) -> str:
    """About 4,000 tokens that share no beginning with another salt's."""
    return f"{salt} " + " ".join(f"word{salt}{i % 10}" for i in range(1340))


def measure(url: str) -> None:
    client = httpx.Client(base_url=url, timeout=120)
    options = {"num_ctx": 8192, "num_predict": 1}
    tiny = {"model": MODEL, "prompt": "hi", "raw": True, "stream": False, "options": options}
    client.post("/api/generate", json=tiny).raise_for_status()
    counted = client.post("/api/generate", json=tiny | {"prompt": long_prompt(0)}).json()
    whole = counted["prompt_eval_duration"] / 1e9
    print(f"{counted['prompt_eval_count']} tokens; undisturbed prefill {whole:.1f} s")
    for attempt in range(1, 4):
        with tempfile.TemporaryDirectory() as folder:
            body = Path(folder, "body.json")
            body.write_text(json.dumps(tiny | {"prompt": long_prompt(attempt)}))
            child = subprocess.Popen([sys.executable, "-c", CLIENT, url, str(body)])
            time.sleep(whole / 4)
            assert child.poll() is None, "the prefill was over before the kill"
            child.kill()
            started = time.perf_counter()
            client.post("/api/generate", json=tiny).raise_for_status()
            print(f"attempt {attempt}: free after {time.perf_counter() - started:.2f} s (wanted: below 1)")
            child.wait()


if __name__ == "__main__":
    with running(OLLAMA_NUM_PARALLEL="1") as url:
        measure(url)
