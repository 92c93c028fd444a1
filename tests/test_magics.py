"""The magics in a real IPython shell and a real kernel, against a fake server (see fake_ollama.py).

What is tested here is display, conversation, errors and completion; the real engine is in test_end_to_end.py.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest
from fake_ollama import KEY, FakeOllama, chunk
from IPython.core.interactiveshell import InteractiveShell
from shells import Kernel, completed, failure, value, wait_for

# ---- %%ollama ---------------------------------------------------------------------------------------------------


def test_an_answer_streams_and_is_left_as_a_value(shell: InteractiveShell, fake: FakeOllama, capsys: Any) -> None:
    fake.says("Hel", "lo", " world")
    shell.run_cell("%%ollama -o answer\nSay hello", store_history=True).raise_error()
    shown = capsys.readouterr().out
    assert shown.count("Hello world") == 1, "shown once: the result must not be displayed a second time"
    assert "(20 tokens · 40.0 tokens/s · 2.0 s)" in shown
    answer = shell.user_ns["answer"]
    assert shell.user_ns["_"] is answer
    assert shell.user_ns["Out"][shell.execution_count - 1] is answer
    assert (str(answer), answer.text, answer.model) == ("Hello world", "Hello world", "smollm2:135m")
    stats = answer.stats
    assert (stats.tokens, stats.prompt_tokens, stats.tokens_per_second, stats.seconds) == (20, 7, 40.0, 2.0)
    assert (stats.load_seconds, stats.done_reason, stats.truncated) == (0.005, "stop", None)


def test_underscore_moves_on_to_the_next_value(shell: InteractiveShell, fake: FakeOllama) -> None:
    fake.says("one")
    value(shell, "%%ollama\nfirst")
    assert value(shell, "_.text + '!'") == "one!"
    assert value(shell, "_") == "one!"


def test_a_prompt_is_sent_as_it_stands(shell: InteractiveShell, fake: FakeOllama) -> None:
    fake.says("ok")
    shell.user_ns["x"] = "WRONG"
    prompt = 'Explain {x} and {"a": [1, {}]}, $x, f"{x!r}", \\frac{a}{b} and %d'
    value(shell, f"%%ollama -s 'Answer in {{x}}'\n{prompt}\n\n  indented\n")
    (body,) = fake.bodies("/api/chat")
    system, user = body["messages"]
    assert user["content"] == prompt + "\n\n  indented"
    assert system["content"] == "Answer in {x}"


def test_options_reach_the_wire(shell: InteractiveShell, fake: FakeOllama) -> None:
    fake.says("ok")
    value(shell, "%%ollama smollm2:135m -t 0 -n 12 --seed 7\nhi")
    value(shell, "%%ollama\nhi")
    first, second = fake.bodies("/api/chat")
    assert first["model"] == "smollm2:135m"
    assert first["options"] == {"temperature": 0, "num_predict": 12, "seed": 7}
    assert not second["options"]


def test_the_conversation_is_kept_until_reset(shell: InteractiveShell, fake: FakeOllama) -> None:
    fake.says("A1")
    for cell in ("%%ollama -s terse\nQ1", "%%ollama\nQ2", "%%ollama -s long\nQ3", "%ollama reset", "%%ollama\nQ4"):
        value(shell, cell)
    said = [[message["content"] for message in body["messages"]] for body in fake.bodies("/api/chat")]
    assert said == [
        ["terse", "Q1"],
        ["terse", "Q1", "A1", "Q2"],
        ["long", "Q1", "A1", "Q2", "A1", "Q3"],
        ["Q4"],
    ]


def test_truncation_is_told(shell: InteractiveShell, fake: FakeOllama, capsys: Any) -> None:
    fake.says("ok", truncated={"messages": 3, "tokens": 812, "num_ctx": 4096})
    value(shell, "%%ollama -o r\nhi")
    assert "3 earlier messages did not fit into 4096 tokens" in capsys.readouterr().out
    assert value(shell, "r.stats.truncated.tokens") == 812


def test_the_length_limit_is_told(shell: InteractiveShell, fake: FakeOllama, capsys: Any) -> None:
    fake.says("cut", done_reason="length")
    value(shell, "%%ollama -n 1\nhi")
    assert "length limit reached" in capsys.readouterr().out


def test_an_error_in_the_middle_is_one_line_and_no_part_of_the_conversation(
    shell: InteractiveShell, fake: FakeOllama, capsys: Any
) -> None:
    fake.script = [chunk("half an ans"), {"error": "llama.cpp gave up"}]
    shell.run_cell("%%ollama\nhi")
    shown = capsys.readouterr().out
    assert "half an ans" in shown
    assert "ollama: llama.cpp gave up" in shown
    fake.says("fine")
    value(shell, "%%ollama\nagain")
    assert len(fake.bodies("/api/chat")[-1]["messages"]) == 1


def test_a_stream_without_an_end_is_no_part_of_the_conversation(
    shell: InteractiveShell, fake: FakeOllama, capsys: Any
) -> None:
    fake.script = [chunk("half")]
    value(shell, "%%ollama -o half\nhi")
    assert "ended early" in capsys.readouterr().out
    assert value(shell, "half.text") == "half"
    fake.says("fine")
    value(shell, "%%ollama\nagain")
    assert len(fake.bodies("/api/chat")[-1]["messages"]) == 1


def test_a_connection_that_breaks_is_one_plain_line(
    shell: InteractiveShell, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def cut(handler: Any, _: object) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"model": "m", "message": {"role": "assistant", "content": "half"}}\n')

    monkeypatch.setattr("fake_ollama._Handler._stream", cut)
    shown = fake.host.rpartition("/k/")[0]
    said = failure(shell, "%%ollama\nhi", capsys)
    assert said == f"the connection to {shown}/••• broke before the answer was complete"


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%%ollama -o 2x\nhi", "'2x' is no variable name"),
        ("%%ollama -o class\nhi", "'class' is no variable name"),
        ("%%ollama --sed 3\nhi", "unrecognized arguments: --sed"),
        ("%%ollama -t warm\nhi", "invalid float value: 'warm'"),
        ('%%ollama -s "open\nhi', "no closing quotation"),
        ("%%ollama\n   \n", "asks nothing"),
        ("%%ollama nosuch\nhi", "no model 'nosuch': `%ollama pull nosuch` fetches it"),
        ("%%ollama smolm2:135m\nhi", "did you mean 'smollm2:135m'?"),
        ("%ollama lst", "no sub-command 'lst': did you mean 'list'?"),
        ("%ollama qqqqq", "`%ollama help` lists"),
        ("%ollama show", "the following arguments are required: model"),
        ("%ollama cp one", "the following arguments are required: destination"),
        ("%ollama list extra", "unrecognized arguments: extra"),
        ("%ollama use smolm2:135m", "did you mean 'smollm2:135m'?"),
        ("%ollama stop nosuch", "model 'nosuch' not found"),
    ],
)
def test_mistakes_get_one_line(shell: InteractiveShell, capsys: Any, cell: str, said: str) -> None:
    assert said in failure(shell, cell, capsys)


# ---- %ollama ----------------------------------------------------------------------------------------------------


def test_status_says_what_there_is_but_no_key(shell: InteractiveShell, fake: FakeOllama) -> None:
    fake.loaded = ["smollm2:135m"]
    fake.says("ok")
    value(shell, "%%ollama\nhi")
    bundle = value(shell, "%ollama")._repr_mimebundle_()
    shown = bundle["text/plain"]
    assert "127.0.0.1" in shown
    assert "version 0.33.0" in shown
    assert "smollm2:135m (98 MB, Forever)" in shown
    assert "1 exchange, 27 tokens of 4096" in shown
    assert KEY not in str(bundle)
    assert KEY[:8] not in str(bundle)


def test_tables(shell: InteractiveShell, fake: FakeOllama) -> None:
    fake.models = ["smollm2:135m", "qwen3:0.6b"]
    listed = value(shell, "%ollama list")
    assert [row["NAME"] for row in listed] == fake.models
    assert repr(listed).splitlines()[1].split()[:4] == ["smollm2:135m", "abababababab", "98", "MB"]
    assert repr(value(shell, "%ollama ps")) == "no model is loaded"
    shown = repr(value(shell, "%ollama show smollm2:135m"))
    assert "134.52M" in shown
    assert "8192" in shown


def test_a_table_escapes_what_the_server_says(shell: InteractiveShell, fake: FakeOllama) -> None:
    fake.models = ["<img src=x onerror=alert(1)>\x1b[31m"]
    bundle = value(shell, "%ollama list")._repr_mimebundle_()
    assert "<img" not in bundle["text/html"]
    assert "\x1b" not in bundle["text/plain"]


def test_commands_change_the_server(shell: InteractiveShell, fake: FakeOllama, capsys: Any) -> None:
    fake.models = ["a:latest", "b:latest"]
    for cell in ("%ollama cp a:latest c", "%ollama stop a:latest", "%ollama rm a:latest b:latest", "%ollama version"):
        value(shell, cell)
    assert fake.models == []
    assert [(m, p) for m, p, _ in fake.requests if p != "/api/version"] == [
        ("POST", "/api/copy"),
        ("POST", "/api/generate"),
        *[("POST", "/api/generate"), ("DELETE", "/api/delete")] * 2,
    ]
    assert fake.bodies("/api/generate")[0]["keep_alive"] == 0
    shown = capsys.readouterr().out
    assert "copied 'a:latest' to 'c'" in shown
    assert "deleted 'b:latest'" in shown
    assert "server 0.33.0" in shown


def test_which_model_answers(shell: InteractiveShell, fake: FakeOllama, capsys: Any) -> None:
    fake.says("ok")
    fake.models = ["only:latest"]
    value(shell, "%%ollama\nhi")
    fake.models = ["other:1b", "smollm2:135m"]
    value(shell, "%%ollama\nhi")
    value(shell, "%ollama use other:1b")
    value(shell, "%%ollama\nhi")
    value(shell, "%%ollama smollm2:135m\nhi")
    asked = [body["model"] for body in fake.bodies("/api/chat")]
    assert asked == ["only:latest", "smollm2:135m", "other:1b", "smollm2:135m"]


@pytest.mark.parametrize("spelling", ["a", "A:latest", "library/a", "registry.ollama.ai/library/a:latest"])
def test_use_knows_every_spelling(shell: InteractiveShell, fake: FakeOllama, spelling: str) -> None:
    fake.says("ok")
    fake.models = ["b:latest", "a:latest"]
    value(shell, f"%ollama use {spelling}")
    value(shell, "%%ollama\nhi")
    assert fake.bodies("/api/chat")[0]["model"] == "a:latest"


def test_no_default_among_many(shell: InteractiveShell, fake: FakeOllama, capsys: Any) -> None:
    fake.models = ["a:latest", "b:latest"]
    assert "chooses one of a:latest, b:latest" in failure(shell, "%%ollama\nhi", capsys)
    fake.models = []
    assert "no model yet" in failure(shell, "%%ollama\nhi", capsys)
    assert "none: " in repr(value(shell, "%ollama"))


def test_help(shell: InteractiveShell, capsys: Any) -> None:
    for cell in ("%ollama help", "%ollama show -h", "%%ollama -h\nx"):
        value(shell, cell)
    shown = capsys.readouterr().out
    assert "%ollama rm MODEL..." in shown
    assert "usage: %ollama show" in shown
    assert "--seed N" in shown
    assert max(map(len, shown.splitlines())) <= 100, "what is wider is wrapped on a notebook's page"


# ---- servers that are not there ---------------------------------------------------------------------------------


def test_no_server_is_one_line_that_says_how_to_start_one(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    gone = FakeOllama()
    gone.close()
    monkeypatch.setenv("OLLAMA_HOST", gone.host.split("/k/")[0])
    for cell in ("%ollama", "%%ollama m\nhi"):
        assert "ollama-jupyter serve" in failure(shell, cell, capsys)
    monkeypatch.setenv("OLLAMA_HOST", gone.host)
    told = failure(shell, "%ollama list", capsys)
    assert "restart the kernel" in told
    assert KEY not in told


def test_a_wrong_key_is_not_repeated(
    shell: InteractiveShell, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", fake.host.replace(KEY, "wrongwrongwrong"))
    told = failure(shell, "%ollama", capsys)
    assert "wrongwrong" not in told


def test_a_proxy_is_not_asked_for_loopback(
    shell: InteractiveShell, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert "0.33.0" in repr(value(shell, "%ollama"))


def test_something_else_at_the_address(
    shell: InteractiveShell, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(fake, "models", [{"not": "a name"}])
    assert "no Ollama server" in failure(shell, "%ollama list", capsys)


# ---- completion -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%ollama re", ["%ollama reset"]),
        ("%ollama show smol", ["%ollama show smollm2:135m"]),
        ("%ollama show smollm2:", ["%ollama show smollm2:135m"]),
        ("%ollama show qwen3:0.", ["%ollama show qwen3:0.6b"]),
        ("%ollama cp smollm2:135m q", ["%ollama cp smollm2:135m qwen3:0.6b"]),
        ("%%ollama qw", ["%%ollama qwen3:0.6b"]),
        ("%%ollama --se", ["%%ollama --seed"]),
        ("%%ollama qwen3:0.6b -o", ["%%ollama qwen3:0.6b -o"]),
        ("%ollama list smol", []),
        ("%%ollama -s smol", []),
    ],
)
def test_completion(shell: InteractiveShell, fake: FakeOllama, line: str, expected: list[str]) -> None:
    fake.models = ["smollm2:135m", "qwen3:0.6b"]
    assert completed(shell, line) == expected


def test_completion_asks_the_server_once_in_a_while(shell: InteractiveShell, fake: FakeOllama) -> None:
    for _ in range(3):
        assert completed(shell, "%ollama show smol") == ["%ollama show smollm2:135m"]
    assert len(fake.bodies("/api/tags")) == 1
    value(shell, "%ollama rm smollm2:135m")
    assert completed(shell, "%ollama show smol") == []


def test_names_are_fetched_again_after_five_seconds() -> None:
    from ollama_jupyter.notebook.completer import Completer

    now, answers = 0.0, iter([["a"], ["b"]])
    completer = Completer(lambda: next(answers), lambda: now)
    assert completer._models() == ["a"]
    now = 4.9
    assert completer._models() == ["a"]
    now = 5.1
    assert completer._models() == ["b"]


def test_completion_without_a_server_is_silent(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")
    assert completed(shell, "%ollama show smol") == []
    assert capsys.readouterr().err == ""


def test_other_lines_are_left_alone(shell: InteractiveShell) -> None:
    shell.user_ns["resettable"] = 1
    assert completed(shell, "resettab") == ["resettable"]


def test_unload_takes_everything_away(shell: InteractiveShell) -> None:
    shell.run_line_magic("unload_ext", "ollama_jupyter")
    assert shell.find_line_magic("ollama") is None
    assert shell.find_cell_magic("ollama") is None
    assert shell.Completer.custom_matchers == []
    shell.run_line_magic("load_ext", "ollama_jupyter")
    shell.run_line_magic("reload_ext", "ollama_jupyter")
    assert len(shell.Completer.custom_matchers) == 1


# ---- a real kernel ----------------------------------------------------------------------------------------------


@pytest.fixture
def kernel(kernel_and_fake: tuple[Kernel, FakeOllama]) -> Kernel:
    kernel_and_fake[0].run("%ollama reset")
    return kernel_and_fake[0]


@pytest.fixture
def kernel_fake(kernel_and_fake: tuple[Kernel, FakeOllama]) -> FakeOllama:
    fake = kernel_and_fake[1]
    fake.requests.clear()
    fake.closed.clear()
    return fake


def test_one_output_in_a_kernel(kernel: Kernel, kernel_fake: FakeOllama) -> None:
    kernel_fake.says("**Hi** <script>alert(1)</script>", " there")
    assert kernel.run("%%ollama -o answer\nhi")["status"] == "ok"
    (first,) = kernel.outputs("display_data")
    updates = kernel.outputs("update_display_data")
    assert updates
    assert {content["transient"]["display_id"] for content in updates} == {first["transient"]["display_id"]}
    assert not kernel.outputs("execute_result")
    assert not kernel.outputs("stream")
    last = updates[-1]["data"]
    assert set(last) == {"text/markdown", "text/plain"}
    assert "<script" not in last["text/markdown"]
    assert "**Hi** &lt;script>" in last["text/markdown"]
    assert "20 tokens · 40.0 tokens/s · 2.0 s" in last["text/markdown"]
    assert kernel.evaluate("_.text == answer.text, Out[max(Out)] is answer") == "True True"


def test_interrupt_stops_the_server_within_a_second(kernel: Kernel, kernel_fake: FakeOllama) -> None:
    kernel_fake.script = None
    asked = kernel.client.execute("%%ollama -o partial\ncount")
    seen = wait_for(kernel, asked, lambda m: "3 " in m["content"].get("data", {}).get("text/plain", ""))
    display = seen["content"]["transient"]["display_id"]
    started = time.monotonic()
    kernel.manager.interrupt_kernel()
    assert kernel_fake.closed.wait(5)
    assert kernel_fake.closed_at is not None
    assert kernel_fake.closed_at - started < 1
    error = wait_for(kernel, asked, lambda m: m["msg_type"] == "error", remember=True)
    assert error["content"]["ename"] == "Interrupted"
    assert len(error["content"]["traceback"]) == 1
    (last,) = [m["content"] for m in kernel.messages if m["msg_type"] == "update_display_data"][-1:]
    assert last["transient"]["display_id"] == display
    assert "interrupted" in last["data"]["text/plain"]
    assert "1 2 3 " in last["data"]["text/plain"]
    reply = kernel.client.get_shell_msg(timeout=10)
    assert reply["content"]["status"] == "error", "Run All must stop here"
    assert kernel.evaluate("partial is _, _.stats.done_reason, _.text[:6]") == "True interrupted 1 2 3"
    kernel_fake.says("fine")
    kernel.run("%%ollama\nnext")
    assert len(kernel_fake.bodies("/api/chat")[-1]["messages"]) == 1


def test_a_failing_cell_stops_run_all_with_one_line(kernel: Kernel, kernel_fake: FakeOllama) -> None:
    reply = kernel.run("%%ollama nosuch\nhi")
    assert reply["status"] == "error"
    (error,) = kernel.outputs("error")
    said = "the server has no model 'nosuch': `%ollama pull nosuch` fetches it, if a registry has it"
    assert error["traceback"] == [f"\x1b[31mollama: {said}\x1b[0m"]


def test_completion_through_the_kernel(kernel: Kernel, kernel_fake: FakeOllama) -> None:
    for line in ("%ollama show smollm2:", "%%ollama smollm2:1"):
        reply = kernel.client.complete(line, reply=True, timeout=30)["content"]
        assert [line[: reply["cursor_start"]] + match for match in reply["matches"]] == [
            line.split("smol")[0] + "smollm2:135m"
        ]


def test_tables_in_a_kernel(kernel: Kernel, kernel_fake: FakeOllama) -> None:
    kernel.run("%ollama")
    (shown,) = kernel.outputs("execute_result")
    assert "<table>" in shown["data"]["text/html"]
    assert KEY not in str(kernel.messages)


# ---- start-up ---------------------------------------------------------------------------------------------------


def test_loading_is_cheap() -> None:
    code = """
import sys, time
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
start = time.perf_counter()
shell.run_line_magic("load_ext", "ollama_jupyter")
print(time.perf_counter() - start, *(name in sys.modules for name in ("ollama", "httpx", "numpy", "llama_cpp")))
"""
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    seconds, *loaded = zip(*(run.stdout.split() for run in runs), strict=True)
    assert {word for words in loaded for word in words} == {"False"}
    assert min(map(float, seconds)) < 0.15


def test_import_is_cheap() -> None:
    command = [sys.executable, "-X", "importtime", "-c", "import ollama_jupyter"]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(3)]
    micros = [int(run.stderr.splitlines()[-1].split("|")[1]) for run in runs]
    assert min(micros) < 50_000


def test_an_interrupt_before_the_question_is_out_leaves_a_result(
    shell: InteractiveShell, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ollama_jupyter.notebook.display.screen_for", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shell.run_cell_magic("ollama", "-o answer", "count")
    assert shell.user_ns["answer"].stats.done_reason == "interrupted"
    assert not fake.bodies("/api/chat")
