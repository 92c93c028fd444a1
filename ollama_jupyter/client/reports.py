"""The reports of verify, scan and doctor, as the server's JSON, told in lines of text for a terminal or a notebook.

    verify  {"ok", "models", "blobs", "bytes", "problems": [{"kind", "digest", "models", "detail", "repaired",
             "serious", "remedy"}]}
    scan    {"model", "digest", "verdict", "findings": [{"level", "where", "what", "why"}]}
    doctor  {"version", "ok", "checks": [{"name", "status", "detail", "fix"}]}

Texts in them may come from strangers' models, so whatever could steer a terminal is shown as an escape.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ollama_jupyter.client.text import printable
from ollama_jupyter.client.units import size

Report = Mapping[str, Any]

_MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}
_LEVELS = ("danger", "warning", "info")


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


# ---- verify -------------------------------------------------------------------------------------------------------


def render_verify(report: Report) -> list[str]:
    """What a verification found: one entry a problem, then the sum."""
    problems = list(report.get("problems") or ())
    lines = [line for problem in problems for line in _problem(problem)]
    what = f"{counted(report.get('models', 0), 'model')}, {counted(report.get('blobs', 0), 'blob')}"
    total = size(report.get("bytes", 0))
    lines.append(printable(f"checked {what}, {total}: {_sum(problems, bool(report.get('ok')))}"))
    return lines


def _problem(problem: Report) -> Iterator[str]:
    state = "repaired" if problem.get("repaired") else "PROBLEM" if problem.get("serious") else "note"
    yield printable(f"{state:<8}  {problem.get('kind', '')}  {problem.get('digest', '')}".rstrip())
    if problem.get("models"):
        yield f"{'':10}used by {', '.join(map(printable, problem['models']))}"
    for key in ("detail", "remedy"):
        if problem.get(key) and not (key == "remedy" and problem.get("repaired")):
            yield f"{'':10}{printable(problem[key])}"


def _sum(problems: list[Report], ok: bool) -> str:
    repaired = sum(bool(problem.get("repaired")) for problem in problems)
    serious = sum(bool(problem.get("serious")) and not problem.get("repaired") for problem in problems)
    notes = len(problems) - repaired - serious
    parts = [counted(serious, "problem")] if serious else ["everything is as it should be"] if ok else []
    parts += [f"{repaired} repaired"] if repaired else []
    parts += [counted(notes, "note")] if notes else []
    return ", ".join(parts)


# ---- scan ---------------------------------------------------------------------------------------------------------


def render_scan(report: Report) -> list[str]:
    """What a scan found, the worst first, then the verdict."""
    findings = sorted(report.get("findings") or (), key=_rank)
    lines = [line for finding in findings for line in _finding(finding)]
    counts = _counts(str(finding.get("level")) for finding in findings)
    verdict = printable(report.get("verdict", ""))
    lines.append(f"{printable(report.get('model', ''))}: {verdict}{f' ({counts})' if counts else ''}")
    return lines


def _rank(finding: Report) -> int:
    level = finding.get("level")
    return _LEVELS.index(level) if level in _LEVELS else len(_LEVELS)


def _finding(finding: Report) -> Iterator[str]:
    yield printable(f"{finding.get('level', ''):<7}  {finding.get('where', '')}: {finding.get('what', '')}")
    if finding.get("why"):
        yield f"{'':9}{printable(finding['why'])}"


def _counts(levels: Iterable[str]) -> str:
    found = list(levels)
    return ", ".join(f"{found.count(level)} {level}" for level in _LEVELS if level in found)


# ---- doctor -------------------------------------------------------------------------------------------------------


def render_doctor(report: Report) -> list[str]:
    """One line a check; below those that failed, the command that mends them."""
    checks = list(report.get("checks") or ())
    width = max((len(str(check.get("name", ""))) for check in checks), default=0)
    lines = [line for check in checks for line in _check(check, width)]
    bad = [sum(check.get("status") == status for check in checks) for status in ("fail", "warn")]
    parts = [counted(count, noun) for count, noun in zip(bad, ("failure", "warning"), strict=True) if count]
    lines.append(f"ollama-jupyter {printable(report.get('version', ''))}: {', '.join(parts) or 'all is well'}")
    return lines


def _check(check: Report, width: int) -> Iterator[str]:
    mark = _MARKS.get(str(check.get("status")), "?   ")
    yield printable(f"{mark}  {check.get('name', ''):<{width}}  {check.get('detail', '')}".rstrip())
    if check.get("fix"):
        yield f"{'':{width + 8}}→ {printable(check['fix'])}"
