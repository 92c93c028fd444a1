"""Reports as lines of text."""

from __future__ import annotations

from ollama_jupyter.client.reports import render_doctor, render_scan, render_verify
from ollama_jupyter.client.text import printable


def test_a_good_store() -> None:
    report = {"ok": True, "models": 1, "blobs": 3, "bytes": 1_234_567, "problems": []}
    assert render_verify(report) == ["checked 1 model, 3 blobs, 1.2 MB: everything is as it should be"]


def test_a_bad_store() -> None:
    problems = [
        {"kind": "corrupt", "digest": "sha256:ab", "models": ["a:1", "b:1"], "detail": "its content is another",
         "serious": True, "repaired": False, "remedy": "pull it again"},
        {"kind": "missing", "digest": "sha256:cd", "models": ["a:1"], "detail": "", "serious": True, "repaired": True,
         "remedy": "not shown"},
        {"kind": "unreferenced", "digest": "sha256:ef", "serious": False},
    ]  # fmt: skip
    assert render_verify({"ok": False, "models": 2, "blobs": 3, "bytes": 12, "problems": problems}) == [
        "PROBLEM   corrupt  sha256:ab",
        "          used by a:1, b:1",
        "          its content is another",
        "          pull it again",
        "repaired  missing  sha256:cd",
        "          used by a:1",
        "note      unreferenced  sha256:ef",
        "checked 2 models, 3 blobs, 12 B: 1 problem, 1 repaired, 1 note",
    ]


def test_findings_come_worst_first() -> None:
    findings = [
        {"level": "info", "where": "header", "what": "a link", "why": ""},
        {"level": "danger", "where": "template", "what": "reaches for __class__", "why": "that is how code is run"},
    ]
    assert render_scan({"model": "m:latest", "verdict": "danger", "findings": findings}) == [
        "danger   template: reaches for __class__",
        "         that is how code is run",
        "info     header: a link",
        "m:latest: danger (1 danger, 1 info)",
    ]
    assert render_scan({"model": "m:latest", "verdict": "nothing found", "findings": []}) == ["m:latest: nothing found"]


def test_each_failure_comes_with_its_command() -> None:
    checks = [
        {"name": "cpu", "status": "ok", "detail": "AVX2", "fix": ""},
        {"name": "store", "status": "fail", "detail": "not writable", "fix": "chmod u+w"},
    ]
    assert render_doctor({"version": "1", "checks": checks}) == [
        "ok    cpu    AVX2",
        "FAIL  store  not writable",
        "             → chmod u+w",
        "ollama-jupyter 1: 1 failure",
    ]
    assert render_doctor({"version": "1", "checks": checks[:1]})[-1] == "ollama-jupyter 1: all is well"


def test_nothing_in_a_report_steers_the_terminal() -> None:
    hostile = "a\x1b[2J\u202eb\n\u200b\U000e0041é"
    assert printable(hostile) == "a\\x1b[2J\\u202eb\\x0a\\u200b\\U000e0041é"
    finding = {"level": "danger", "where": hostile, "what": hostile, "why": hostile}
    problem = {"kind": hostile, "digest": hostile, "models": [hostile], "detail": hostile, "remedy": hostile}
    check = {"name": hostile, "status": hostile, "detail": hostile, "fix": hostile}
    lines = render_scan({"model": hostile, "verdict": hostile, "findings": [finding]})
    lines += render_verify({"problems": [problem]}) + render_doctor({"version": hostile, "checks": [check]})
    assert not [line for line in lines if any(ord(c) < 32 or c in "\u202e\u200b\U000e0041" for c in line)]
