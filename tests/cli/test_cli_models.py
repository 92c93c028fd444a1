"""create, list, show, cp, ps, stop and rm against a real server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Cli
from convert import folders, vocabularies
from models import write_tiny_gguf

MODELFILE = '''FROM ./tiny.gguf
TEMPLATE {{ .Prompt }}
SYSTEM You are a test.
PARAMETER temperature 0.5
PARAMETER stop "<|end|>"
PARAMETER mirostat 1
LICENSE """MIT

two
three"""
MESSAGE user Hi: there
MESSAGE assistant Hello.
'''


@pytest.fixture(scope="module")
def made(cli: Cli) -> Iterator[Cli]:
    """With the model `made`."""
    (cli.folder / "Modelfile").write_text(MODELFILE)
    done = cli.child("create", "made")
    assert (done.code, done.out) == (0, "")
    steps = [re.sub(r"sha256:[0-9a-f]{64}", "sha256:…", line) for line in done.err.splitlines()]
    assert steps[:4] == [
        "warning: parameter mirostat is deprecated",
        "gathering model components",
        "copying file sha256:…",
        "parsing GGUF",
    ]
    assert steps[-2:] == ["writing manifest", "success"]
    yield cli
    cli("rm", "made")


AGO = r"(Less than a second|\d+ seconds?|About a minute|\d+ minutes) ago"


def rows(table: str) -> list[list[str]]:
    return [re.split(r" {4,}", line.rstrip()) for line in table.splitlines()]


def test_the_list(made: Cli) -> None:
    made.ok("cp", "made", "Other:v1")
    head, *models = made.child("list").results.splitlines()
    assert {line.split()[0] for line in models} == {"made:latest", "Other:v1"}
    for line in models:
        assert re.fullmatch(rf"\S+ +[0-9a-f]{{12}}    12\d KB    {AGO} *", line)
        assert len(line) == len(head)
    assert re.fullmatch(r"NAME {11}ID {14}SIZE {6}MODIFIED +", head)
    assert [row[0] for row in rows(made.ok("ls", "oTHER"))] == ["NAME", "Other:v1"]
    assert made.ok("list", "none") == "NAME    ID    SIZE    MODIFIED    \n"
    assert made.ok("rm", "Other:v1") == "deleted 'Other:v1'\n"


def test_what_a_model_is(made: Cli) -> None:
    lines = [line.rstrip() for line in made.child("show", "made").results.splitlines()]
    assert "\n".join(lines) == (
        """  Model
    architecture        llama
    parameters          29K
    context length      512
    embedding length    32
    quantization        F32

  Capabilities
    completion

  Parameters
    stop           "<|end|>"
    temperature    0.5

  System
    You are a test.

  License
    MIT
    two
    ...
"""
    )


def test_all_that_is_known_of_it(made: Cli) -> None:
    shown = made.ok("show", "--verbose", "made")
    metadata, tensors = shown.partition("  Metadata\n")[2].split("  Tensors\n")
    found = dict(row[1:] for row in rows(metadata) if len(row) == 3)
    assert found["llama.attention.layer_norm_rms_epsilon"] == "1e-05"
    assert found["tokenizer.ggml.add_bos_token"] == "true"
    assert found["tokenizer.ggml.token_type"] == "[2 3 3 ...+310 more]"
    assert ["", "blk.0.attn_k.weight", "F32", "[32 16]"] in rows(tensors)


@pytest.mark.parametrize(
    ("flag", "shown"),
    [
        ("--system", "You are a test."),
        ("--template", "{{ .Prompt }}"),
        ("--license", "MIT\n\ntwo\nthree\n"),
        ("--parameters", f'{"stop":30} "<|end|>"\n{"temperature":30} 0.5\n'),
    ],
)
def test_one_part_of_it(flag: str, shown: str, made: Cli) -> None:
    assert made.ok("show", "made", flag) == shown


def test_a_modelfile_shown_makes_the_same_model(made: Cli, tmp_path: Path) -> None:
    (tmp_path / "again").write_text(made.ok("show", "--modelfile", "made"))
    made.ok("create", "again", "-f", "again", folder=tmp_path)
    texts = [made.ok("show", "--modelfile", name).replace("again", "made") for name in ("made", "again")]
    assert texts[0] == texts[1]
    made.ok("rm", "again")


def test_a_model_of_a_model(made: Cli, tmp_path: Path) -> None:
    (tmp_path / "Modelfile").write_text("FROM made\nSYSTEM Other.\n")
    made.ok("create", "child", folder=tmp_path)
    assert made.ok("show", "child", "--system") == "Other."
    made.ok("rm", "child")


def test_a_folder_of_a_model(made: Cli, tmp_path: Path) -> None:
    """No Modelfile means this folder; what lies beside a GGUF is not the server's."""
    write_tiny_gguf(tmp_path / "m.gguf", seed=1)
    (tmp_path / "config.json").write_text("{}")
    made.ok("create", "folder", folder=tmp_path)
    assert "llama" in made.ok("show", "folder")
    made.ok("rm", "folder")


def test_safetensors_of_a_folder_quantized(made: Cli, tmp_path: Path) -> None:
    config = folders.decoder_config("LlamaForCausalLM", "llama")
    vocabularies.byte_level(tmp_path)
    folders.save(tmp_path, config, folders.random_weights(folders.decoder_shapes(config)))
    done = made.child("create", "converted", "--quantize", "q8_0", folder=tmp_path)
    assert done.code == 0, done.err
    said = [re.sub(r"sha256:[0-9a-f]{64}", "sha256:…", line) for line in done.err.splitlines()]
    assert said[:2] == ["gathering model components", "copying file sha256:…"]
    assert any(line.startswith("converting model 100% ") for line in said)
    assert any(line.startswith("quantizing F16 model to Q8_0 100% ") for line in said)
    assert ["", "quantization", "Q8_0"] in rows(made.ok("show", "converted"))
    made.ok("rm", "converted")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "nope"], "model 'nope:latest' not found"),
        (["show", "made", "--system", "--license"],
         "only one of '--license', '--modelfile', '--parameters', '--system', or '--template' can be specified"),
        (["stop", "nope"], 'couldn\'t find model "nope" to stop'),
        (["cp", "nope", "other"], 'model "nope" not found'),
        (["rm", "nope"], "model 'nope' not found"),
        (["create", "a/b/c/d/e"], "invalid model name: a/b/c/d/e"),
        (["create", "x", "-f", "missing"], "specified Modelfile wasn't found"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_cannot_be_done(arguments: list[str], message: str, made: Cli) -> None:
    done = made(*arguments)
    assert (done.code, done.out, done.err) == (1, "", f"Error: {message}\n")


def test_rm_ends_at_the_first_that_is_missing(made: Cli) -> None:
    made.ok("cp", "made", "one")
    done = made.child("rm", "one", "nope", "made")
    assert (done.code, done.out) == (1, "deleted 'one'\n")
    assert made.ok("list", "made").count("\n") == 2


def test_what_runs_can_be_stopped(made: Cli) -> None:
    assert made.ok("ps") == "NAME    ID    SIZE    PROCESSOR    CONTEXT    UNTIL    \n"
    made.ok("bench", "-model", "made", "-epochs", "0", "-max-tokens", "1", "-k", "300", "-warmup", "1")
    assert made.ok("ps").count("\n") == 1, "bench unloads what it measured"
    load(made, "made")
    head, model = rows(made.ok("ps", "made"))
    assert head == ["NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"]
    assert (model[0], model[3], model[4]) == ("made:latest", "100% CPU", "512")
    assert re.fullmatch(r"(4|5) minutes from now", model[5])
    assert made.ok("ps", "MADE").count("\n") == 1, "the prefix of ps is taken as it is"
    assert made.ok("stop", "made") == ""
    assert made.ok("ps").count("\n") == 1


def test_rm_unloads(made: Cli) -> None:
    made.ok("cp", "made", "loaded")
    load(made, "loaded")
    assert made.ok("rm", "loaded") == "deleted 'loaded'\n"
    assert made.ok("ps").count("\n") == 1


def load(cli: Cli, model: str) -> None:
    import ollama

    with ollama.Client(cli.host) as client:
        client.generate(model)


def test_bench(made: Cli, tmp_path: Path) -> None:
    out = made.ok("bench", "-model", "made", "-epochs", "2", "-max-tokens", "3", "-p", "the of and", "-v")
    lines = out.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["goos", "goarch"]
    memory = r"Size: \d+ \| VRAM: 0 \| NumCtx: 512"
    assert re.fullmatch(rf"# Model: made \| Params: 29K \| Quant: F32 \| Family: llama \| {memory}", lines[2])
    name = "BenchmarkModel/name=made/step="
    patterns = [rf"{name}{step} 1 \d+\.\d\d ns/token \d+\.\d\d token/sec" for step in ("prefill", "generate")]
    patterns += [rf"{name}{step} 1 \d+ ns/op" for step in ("ttft", "load", "total")]
    assert len(lines) == 3 + 10
    for line, pattern in zip(lines[3:], patterns * 2, strict=True):
        assert re.fullmatch(pattern, line)

    flags = ["-max-tokens", "2", "-format", "csv", "-output", "o.csv", "-prompt-tokens", "20"]
    assert made.ok("bench", "-m", "made", "--epochs=1", *flags, folder=tmp_path) == ""
    head, _, *csv = (tmp_path / "o.csv").read_text().splitlines()
    assert head == "NAME,STEP,COUNT,NS_PER_COUNT,TOKEN_PER_SEC"
    assert [line.split(",")[1] for line in csv] == ["prefill", "generate", "ttft", "load", "total"]
    assert csv[1].split(",")[2] == "2"
    assert csv[2].startswith("made,ttft,1,")


def test_bench_of_what_is_not_there(made: Cli) -> None:
    done = made("bench", "-model", "nope", "-epochs", "1")
    assert (done.code, done.err) == (1, "ERROR: Couldn't generate with model 'nope': model 'nope' not found\n")
    assert made("bench").err == "Error: no model specified to benchmark: -model NAME\n"
    assert made("bench", "-model", "m", "-format", "xml").err == "Error: unknown format 'xml'\n"
