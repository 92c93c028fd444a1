"""What verify, scan and doctor find: plain values, and their form as JSON.

Texts are written for a stranger: they name models, digests, keys and settings, never a path of the server's machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["info", "warning", "danger"]
Status = Literal["ok", "warn", "fail"]


# ---- verify -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be in a store.

    Args:
        kind: "corrupt", "missing", "wrong size", "manifest", "unreadable", "unreferenced" or "stranger".
        digest: of the blob, in full; "" where it is about no blob.
        models: the names that use it.
        remedy: what its owner can do.
        serious: whether a model suffers from it; the rest are notes.
        repaired: whether it is gone now.
    """

    kind: str
    digest: str = ""
    models: tuple[str, ...] = ()
    detail: str = ""
    remedy: str = ""
    serious: bool = True
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a verification looked at, and what it found. `size` in bytes."""

    models: int
    blobs: int
    size: int
    problems: tuple[Problem, ...] = ()

    @property
    def ok(self) -> bool:
        return not any(problem.serious and not problem.repaired for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        counts = {"ok": self.ok, "models": self.models, "blobs": self.blobs, "bytes": self.size}
        return {**counts, "problems": [_plain(problem) for problem in self.problems]}


# ---- scan ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a model that its user should know of: where it stands, what it is, and why it matters."""

    level: Level
    where: str
    what: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What a scan of a model found. `digest` is its manifest's."""

    model: str
    digest: str
    findings: tuple[Finding, ...] = ()

    @property
    def verdict(self) -> str:
        """The worst level in words; information alone is no reason to worry."""
        levels = {finding.level for finding in self.findings}
        return next((level for level in ("danger", "warning") if level in levels), "nothing suspicious")

    def to_json(self) -> dict[str, Any]:
        findings = [_plain(finding) for finding in self.findings]
        return {"model": self.model, "digest": self.digest, "verdict": self.verdict, "findings": findings}


# ---- doctor -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Check:
    """A check of the machine. `fix` is the command that mends what is wrong."""

    name: str
    status: Status
    detail: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """All checks, in the order of their making."""

    version: str
    checks: Sequence[Check]

    @property
    def ok(self) -> bool:
        return not any(check.status == "fail" for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        return {"version": self.version, "ok": self.ok, "checks": [_plain(check) for check in self.checks]}


def _plain(value: Problem | Finding | Check) -> dict[str, Any]:
    """The fields, tuples as lists."""
    return {key: list(item) if isinstance(item, tuple) else item for key, item in asdict(value).items()}
