"""What a pull survives: being killed at any moment, a full disk, and others at work in the same store."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from registry.misbehaving import Registry, digest_of, serving
from registry.pulling import assert_whole

from ollama_jupyter.names import Digest
from ollama_jupyter.store.models import Store
from ollama_jupyter.store.partial import claimed

SIZE, KILLS = 200_000_000, 50
CHILD = str(Path(__file__).with_name("child_pull.py"))


def start(models: Path, name: str, *rounds: str) -> subprocess.Popen[str]:
    """A pull in a process of its own, which is about to begin."""
    pipe = subprocess.PIPE
    child = subprocess.Popen([sys.executable, CHILD, str(models), name, *rounds], stdout=pipe, stderr=pipe, text=True)
    assert child.stdout
    assert child.stdout.readline() == "ready\n"
    return child


def wait_until(condition: Callable[[], bool], child: subprocess.Popen[str]) -> bool:
    """True once the condition holds, False if the child ended before."""
    deadline = time.monotonic() + 60
    while not condition():
        if child.poll() is not None:
            return False
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return True


def test_killed_fifty_times_it_fetches_little_twice(tmp_path: Path) -> None:
    """SIGKILL after a random number of bytes, mostly few; each time at most 5 % of the blob is fetched again."""
    weights = random.Random(3).randbytes(SIZE)
    moments = random.Random(4)
    store, kills, wasted = Store(tmp_path), 0, [0]
    with serving(Registry(weights)) as registry:
        registry.rate = 25_000_000
        while kills < KILLS:
            enough = registry.sent + int(moments.random() ** 3 * SIZE * 0.065)
            child = start(tmp_path, registry.name.qualified)
            with child:
                if not wait_until(lambda enough=enough: registry.sent >= enough, child):
                    break
                child.send_signal(signal.SIGKILL)
            kills += 1
            wasted.append(registry.again)
            assert store.blobs.list() == []
            assert store.manifests.names() == []
        registry.rate = 0
        with start(tmp_path, registry.name.qualified) as child:
            assert child.wait(60) == 0
        wasted.append(registry.again)
        assert_whole(store, registry)
    assert kills == KILLS
    assert max(after - before for before, after in pairwise(wasted)) <= SIZE // 20


def test_a_full_disk_is_told_and_the_pull_goes_on_from_there(tmp_path: Path) -> None:
    """On a small file system of its own: other files fill it while the blob comes; then they go away."""
    weights = random.Random(5).randbytes(6_000_000)
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], check=True)
    try:
        with serving(Registry(weights)) as registry:
            _fill_midway(disk, registry, Digest.parse(digest_of(weights)))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _fill_midway(disk: Path, registry: Registry, weights: Digest) -> None:
    registry.rate = 2_000_000
    models, other = disk / "models", disk / "other"
    with start(models, registry.name.qualified) as child:
        assert wait_until(lambda: claimed(models, weights) > 1_000_000, child)
        free = os.statvfs(disk)
        with other.open("wb") as file:
            file.write(bytes(free.f_bavail * free.f_bsize - 1_000_000))
        _, error = child.communicate(timeout=60)
    assert child.returncode == 1
    assert error.startswith("the disk is full; ")
    assert error.endswith("MB of 6 MB are kept, and pulling again goes on from there\n")
    store = Store(models)
    assert (store.blobs.list(), store.manifests.names()) == ([], [])
    with start(models, registry.name.qualified) as child:  # it is still full: nothing is begun
        _, error = child.communicate(timeout=60)
    assert error.startswith("not enough disk space: ")
    other.unlink()
    registry.rate, registry.again = 0, 0
    with start(models, registry.name.qualified) as child:
        assert child.wait(60) == 0, child.stderr
    assert registry.again < 2_000_000
    assert_whole(store, registry)


def test_two_processes_that_pull_and_delete_in_one_store(tmp_path: Path) -> None:
    """Their models share most layers, so each pull finds blobs that the other is fetching, or about to delete."""
    shared = random.Random(6).randbytes(3_000_000)
    one, two = Registry(shared, b"one"), Registry(shared, b"two")
    with serving(one), serving(two):
        children = [start(tmp_path, registry.name.qualified, "25") for registry in (one, two)]
        for child in children:
            with child:
                _, error = child.communicate(timeout=120)
            assert (child.returncode, error) == (0, "")
        assert Store(tmp_path).blobs.list() == []
        children = [start(tmp_path, registry.name.qualified) for registry in (one, two)]
        for child in children:
            with child:
                assert child.wait(60) == 0
        for registry in (one, two):
            assert_whole(Store(tmp_path), registry)
    for path in (tmp_path / "blobs").iterdir():
        assert path.name == f"sha256-{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_whoever_comes_second_waits_and_fetches_nothing(tmp_path: Path) -> None:
    weights = random.Random(7).randbytes(3_000_000)
    with serving(Registry(weights)) as registry:
        registry.rate = 3_000_000
        children = [start(tmp_path, registry.name.qualified) for _ in range(3)]
        for child in children:
            with child:
                assert child.wait(60) == 0
        assert registry.again < 1000  # the config, perhaps
        assert_whole(Store(tmp_path), registry)
