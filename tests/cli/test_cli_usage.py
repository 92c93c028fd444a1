"""How commands are called, and what is said to those who call them wrongly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from commands import PROGRAM, Cli
from doors import free_port, serve

from ollama_jupyter import __version__
from ollama_jupyter.cli import main
from ollama_jupyter.cli.commands import COMMANDS
from ollama_jupyter.cli.flags import Flag, HelpWanted, parse_flags
from ollama_jupyter.errors import BadRequest

NO_SERVER = "Error: could not connect to ollama server, run 'ollama-jupyter serve' to start it\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], 'unknown command "frobnicate" for "ollama-jupyter"'),
        (["lst"], 'unknown command "lst" for "ollama-jupyter"\n\nDid you mean this?\n\tlist\n'),
        (["--frobnicate"], "unknown flag: --frobnicate"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["create"], "accepts 1 arg(s), received 0"),
        (["show", "a", "b"], "accepts 1 arg(s), received 2"),
        (["cp", "a"], "accepts 2 arg(s), received 1"),
        (["serve", "a"], "accepts 0 arg(s), received 1"),
        (["rm"], "requires at least 1 arg(s), only received 0"),
        (["verify", "a", "b"], "accepts at most 1 arg(s), received 2"),
        (["pull", "a", "--bogus"], "unknown flag: --bogus"),
        (["pull", "a", "-z"], "unknown shorthand flag: 'z' in -z"),
        (["create", "a", "--file"], "flag needs an argument: --file"),
        (["create", "a", "-f"], "flag needs an argument: 'f' in -f"),
        (
            ["pull", "a", "--insecure=maybe"],
            'invalid argument "maybe" for "--insecure" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
        (
            ["show", "a", "-v=maybe"],
            'invalid argument "maybe" for "-v, --verbose" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
        (["bench", "-epochs", "x"],
         'invalid argument "x" for "--epochs" flag: strconv.ParseInt: parsing "x": invalid syntax'),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_misuse(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    shown = capsys.readouterr()
    assert shown.err == f"Error: {message}\n"
    assert shown.out == ""


FLAGS = (
    Flag("file", "", "f", str), Flag("yes", "", "y"), Flag("verbose", "", "v"), Flag("count", "", kind=int, default=3),
    Flag("rate", "", kind=float), Flag("think", "", kind=str, bare="true"),
)  # fmt: skip
INITIAL = {"file": "", "yes": False, "verbose": False, "think": "", "count": 3, "rate": 0.0}


@pytest.mark.parametrize(
    ("arguments", "operands", "changes"),
    [
        ("", [], {}),
        ("a --file x b", ["a", "b"], {"file": "x"}),
        ("--file=x=y", [], {"file": "x=y"}),
        ("-f x -y", [], {"file": "x", "yes": True}),
        ("-fx", [], {"file": "x"}),
        ("-f=x", [], {"file": "x"}),
        ("-yvf x a", ["a"], {"yes": True, "verbose": True, "file": "x"}),
        ("--yes=false a", ["a"], {}),
        ("--yes true", ["true"], {"yes": True}),
        ("--think a", ["a"], {"think": "true"}),
        ("--think=high a", ["a"], {"think": "high"}),
        ("--count 5 --rate 0.5", [], {"count": 5, "rate": 0.5}),
        ("a -- --yes -f", ["a", "--yes", "-f"], {}),
        ("- a", ["-", "a"], {}),
    ],
)
def test_flags(arguments: str, operands: list[str], changes: dict[str, object]) -> None:
    assert parse_flags(arguments.split(), FLAGS) == (operands, INITIAL | changes)


@pytest.mark.parametrize("arguments", ["-count 5 -f x", "--count=5 -file=x", "-count=5 --file x", "-f=x -count 5"])
def test_flags_of_one_dash(arguments: str) -> None:
    assert parse_flags(arguments.split(), FLAGS, single_dash=True) == ([], INITIAL | {"count": 5, "file": "x"})


@pytest.mark.parametrize("arguments", [["-h"], ["a", "--help"], ["-yh"]])
def test_help_is_wanted(arguments: list[str]) -> None:
    with pytest.raises(HelpWanted):
        parse_flags(arguments, FLAGS)


def test_a_flag_of_one_dash_that_is_none() -> None:
    with pytest.raises(BadRequest, match="unknown flag: --nope"):
        parse_flags(["-nope"], FLAGS, single_dash=True)


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"], ["help"]])
def test_the_help_lists_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    listed = shown.partition("Available Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in listed] == [c.name for c in COMMANDS if not c.hidden] + ["help"]


@pytest.mark.parametrize("arguments", [["create", "--help"], ["help", "create"], ["create", "-h"]])
def test_the_help_of_a_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out == (
        """Create a model from a Modelfile

Usage:
  ollama-jupyter create MODEL [flags]

Flags:
      --draft-quantize string   Quantize the draft model to this type
  -f, --file string             Modelfile to read (default ./Modelfile, else the files of this folder)
  -h, --help                    help for create
  -q, --quantize string         Quantize the weights to this type (e.g. q4_K_M)

Environment Variables:
      OLLAMA_HOST                   address that serve listens on, and that clients connect to
"""
    )


def test_every_command_has_a_help_and_a_function(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib import import_module

    for command in COMMANDS:
        module, _, function = command.target.partition(":")
        assert callable(getattr(import_module(f"ollama_jupyter.cli.{module}"), function))
        assert main([command.name, "--help"]) == 0
        assert f"ollama-jupyter {command.usage} [flags]" in capsys.readouterr().out


@pytest.fixture
def nowhere(tmp_path: Path) -> Cli:
    return Cli(f"http://127.0.0.1:{free_port()}", tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [["list"], ["ps"], ["show", "m"], ["pull", "m"], ["push", "m"], ["create", "m"], ["cp", "a", "b"], ["rm", "m"],
     ["stop", "m"], ["bench", "-model", "m"]],
    ids=" ".join,
)  # fmt: skip
def test_no_server(arguments: list[str], nowhere: Cli) -> None:
    done = nowhere(*arguments)
    assert (done.code, done.out, done.err) == (1, "", NO_SERVER)


def test_the_version_without_a_server(nowhere: Cli) -> None:
    for flag in ("-v", "version"):
        out = nowhere.child(flag).results
        assert out == f"ollama-jupyter version is {__version__}\n" + (
            "Warning: could not connect to a running Ollama instance\n"
        )


def test_the_version_of_the_server(faked: Cli) -> None:
    assert faked.ok("--version") == f"ollama-jupyter version is {__version__}\nollama version is 0.33.0\n"


@pytest.mark.parametrize("host", ["127.0.0.1:99999", "256.1.1.1:1"])
def test_what_is_no_address(host: str, tmp_path: Path) -> None:
    done = Cli(host, tmp_path).child("list")
    assert (done.code, done.err) == (1, "Error: OLLAMA_HOST is no address of a server\n")


def test_what_listens_is_no_server(nowhere: Cli) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        thread = Thread(target=other.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        host = f"http://127.0.0.1:{other.server_port}"
        done = Cli(host, nowhere.folder).child("list")
        other.shutdown()
        thread.join()
    assert (done.code, done.err) == (1, f"Error: HTTP 501 from {host}: is that an Ollama server?\n")


def test_a_server_with_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(tmp_path / "models", OLLAMA_JUPYTER_API_KEY="secret") as door:
        cli = Cli(door.url, tmp_path)
        message = f"Error: HTTP 401 from {door.url}: is OLLAMA_API_KEY set to its key?\n"
        assert (cli("list").code, cli("list").err) == (1, message)
        monkeypatch.setenv("OLLAMA_API_KEY", "secret")
        assert cli.ok("ps").startswith("NAME")


def test_a_reader_that_has_enough_is_no_error(faked: Cli) -> None:
    with subprocess.Popen(
        [*PROGRAM, "list"], env=faked.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        child.stdout.close()
        child.stdout = None
        assert child.communicate(timeout=60)[1] == ""


@pytest.mark.parametrize("arguments", [["--help"], ["list", "--nope"], ["signout"]], ids=" ".join)
def test_what_needs_no_server_starts_quickly(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom ollama_jupyter.cli import main\nmain(sys.argv[1:])\n"
        "sys.exit(str({'httpx', 'ollama', 'tornado', 'numpy', 'llama_cpp'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "set()"
