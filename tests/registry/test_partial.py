"""Partial blobs and their journals: what they claim is there, and nothing else, whatever happens to the files."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_jupyter.names import Digest
from ollama_jupyter.store import journal
from ollama_jupyter.store import partial as partial_blobs
from ollama_jupyter.store.journal import Claims
from ollama_jupyter.store.partial import Partial, adopt, claimed, is_verified, journal_path
from ollama_jupyter.store.ranges import Ranges

DATA = os.urandom(10_000)
DIGEST = Digest.of(DATA)

pairs = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)))


@given(pairs, st.integers(0, 60), st.integers(0, 60))
def test_ranges_are_a_set_of_positions(added: list[tuple[int, int]], start: int, end: int) -> None:
    ranges, positions = Ranges(), set[int]()
    for low, high in added:
        ranges.add(low, high)
        positions.update(range(low, high))
    assert ranges.total == len(positions)
    assert {i for low, high in ranges for i in range(low, high)} == positions
    assert all(a[1] < b[0] for a, b in zip(list(ranges), list(ranges)[1:], strict=False))
    assert {i for low, high in ranges.missing(start, end) for i in range(low, high)} == set(
        range(start, end)
    ) - positions
    assert all(low < high for low, high in ranges.missing(start, end))
    assert ranges.prefix == next(i for i in range(62) if i not in positions)


def no_wait() -> None:
    raise AssertionError("nobody holds it")


def hold(models: Path, size: int = len(DATA)) -> Partial:
    return Partial(models, DIGEST, size, no_wait)


def half_done(models: Path) -> None:
    with hold(models) as partial:
        partial.write(0, DATA[:3000])
        partial.write(5000, DATA[5000:6000])
        partial.checkpoint()


def test_what_was_synced_is_there_for_the_next(tmp_path: Path) -> None:
    half_done(tmp_path)
    with hold(tmp_path) as partial:
        assert partial.safe == 4000
        assert partial.missing(0, len(DATA)) == [(3000, 5000), (6000, 10_000)]
        assert partial.read(0, 3000) == DATA[:3000]
        partial.write(3000, DATA[3000:5000])
        assert partial.prefix == 6000
        assert partial.safe == 4000
    assert claimed(tmp_path, DIGEST) == 4000


def test_what_was_only_written_counts_until_the_machine_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "boot", lambda: "this-run")
    for place in (tmp_path / "same", tmp_path / "other"):
        with hold(place) as partial:
            partial.write(0, DATA[:3000])
            partial.checkpoint()
            partial.write(3000, DATA[3000:4000])
            partial.note()
    with hold(tmp_path / "same") as partial:
        assert partial.safe == 4000
    monkeypatch.setattr(journal, "boot", lambda: "next-run")
    with hold(tmp_path / "other") as partial:
        assert partial.safe == 3000
    with hold(tmp_path / "same") as partial:  # was synced when it was opened
        assert partial.safe == 4000


def test_what_is_claimed_for_good_was_synced_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "boot", lambda: "this-run")
    path, claims = DIGEST.partial_path(tmp_path), list[Claims]()

    def sync(number: int) -> None:
        """Remembers what the journal claims at the moment of each sync of the blob."""
        assert os.path.samestat(os.fstat(number), path.stat())
        claims.append(Claims.read(journal_path(path)))

    monkeypatch.setattr(partial_blobs, "sync", sync)
    with hold(tmp_path) as partial:
        partial.write(0, DATA[:3000])
        partial.note()
    with hold(tmp_path) as partial:
        partial.write(3000, DATA[3000:5000])
        partial.checkpoint()
        partial.checkpoint()
    assert [(claim.done.total, claim.synced) for claim in claims] == [(3000, False), (3000, True)]
    assert claimed(tmp_path, DIGEST) == 5000


def test_a_journal_stays_short_however_slowly_the_blob_comes(tmp_path: Path) -> None:
    size = 1 << 20
    with Partial(tmp_path, DIGEST, size, no_wait) as partial:
        for at in range(0, size, 1 << 10):
            partial.write(at, bytes(1 << 10))
            partial.note()
            assert claimed(tmp_path, DIGEST) >= at - size // 100
    assert len(journal_path(DIGEST.partial_path(tmp_path)).read_bytes().splitlines()) < 110


@pytest.mark.parametrize("cut", range(0, 61, 5))
def test_a_torn_journal_claims_no_more_than_was_written(tmp_path: Path, cut: int) -> None:
    half_done(tmp_path)
    path = journal_path(DIGEST.partial_path(tmp_path))
    whole = path.read_bytes()
    path.write_bytes(whole[:cut] + bytes(8))
    claims = Claims.read(path)
    assert {*claims.done} <= {(0, 3000), (5000, 6000)}
    with hold(tmp_path) as partial:
        assert partial.safe in (0, 4000)


@pytest.mark.parametrize("line", [b"done 0-10000 00000000", b"done 3000-5000", b"\xff\xfe 12345678", b"verified 00"])
def test_a_line_without_its_checksum_claims_nothing(tmp_path: Path, line: bytes) -> None:
    half_done(tmp_path)
    with journal_path(DIGEST.partial_path(tmp_path)).open("ab") as file:
        file.write(line + b"\n")
    with hold(tmp_path) as partial:
        assert partial.safe == 4000
        assert not partial.verified


def test_a_file_that_lost_its_end_is_begun_anew(tmp_path: Path) -> None:
    half_done(tmp_path)
    os.truncate(DIGEST.partial_path(tmp_path), 5500)
    with hold(tmp_path) as partial:
        assert partial.safe == 0


def test_a_lost_file_or_another_size_is_begun_anew(tmp_path: Path) -> None:
    half_done(tmp_path)
    with hold(tmp_path, size=9000) as partial:
        assert partial.safe == 0
    half_done(tmp_path)
    DIGEST.partial_path(tmp_path).unlink()
    with hold(tmp_path) as partial:
        assert partial.safe == 0


def test_only_the_verified_is_adopted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial_blobs, "ADOPT_SECONDS", 0.05)
    with hold(tmp_path) as partial:
        partial.write(0, DATA)
        partial.checkpoint()
    assert not adopt(tmp_path, DIGEST, len(DATA))
    with hold(tmp_path) as partial:
        partial.verify()
        assert not adopt(tmp_path, DIGEST, len(DATA))  # while somebody holds it
    assert is_verified(tmp_path, DIGEST, len(DATA))
    assert not adopt(tmp_path, DIGEST, len(DATA) + 1)
    assert adopt(tmp_path, DIGEST, len(DATA))
    assert DIGEST.blob_path(tmp_path).read_bytes() == DATA
    assert DIGEST.blob_path(tmp_path).stat().st_mode & 0o777 == 0o644
    assert [*(tmp_path / "partial").iterdir()] == []
    assert not adopt(tmp_path, DIGEST, len(DATA))


def test_verified_stays_verified(tmp_path: Path) -> None:
    with hold(tmp_path) as partial:
        partial.write(0, DATA)
        partial.verify()
    with hold(tmp_path) as partial:
        assert partial.verified


def test_beginning_anew_forgets_all(tmp_path: Path) -> None:
    half_done(tmp_path)
    with hold(tmp_path) as partial:
        partial.reset()
        assert (partial.safe, partial.prefix) == (0, 0)
        assert partial.read(0, 10) == bytes(10)
    assert claimed(tmp_path, DIGEST) == 0


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    """The second waits, and then finds what is at the path, not the file that it had opened."""
    waiting, second = threading.Event(), list[Partial]()

    def wait() -> None:
        waiting.set()

    with hold(tmp_path) as first:
        thread = threading.Thread(target=lambda: second.append(Partial(tmp_path, DIGEST, len(DATA), wait)))
        thread.start()
        assert waiting.wait(10)
        first.write(0, DATA)
        first.checkpoint()
        first.discard()
    thread.join(10)
    assert second[0].safe == 0
    second[0].write(0, DATA)
    second[0].close()
    assert DIGEST.partial_path(tmp_path).read_bytes() == DATA
