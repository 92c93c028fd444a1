"""Settings: the environment's rules (contract 7.1, 7.2)."""

from __future__ import annotations

import logging
from dataclasses import fields
from pathlib import Path

import pytest

from ollama_jupyter.config import SETTINGS, Settings, parse_bool, parse_host
from ollama_jupyter.durations import FOREVER


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        (":1234", "http://127.0.0.1:1234"),
        ("1.2.3.4:1234", "http://1.2.3.4:1234"),
        ("example.com", "http://example.com:11434"),
        ("example.com:1234", "http://example.com:1234"),
        (":0", "http://127.0.0.1:0"),
        (":66000", "http://127.0.0.1:11434"),
        (":-1", "http://127.0.0.1:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("[::]", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("[::1]:1337", "http://[::1]:1337"),
        (" 1.2.3.4 ", "http://1.2.3.4:11434"),
        ('"1.2.3.4"', "http://1.2.3.4:11434"),
        ("'1.2.3.4'", "http://1.2.3.4:11434"),
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("http://1.2.3.4:4321", "http://1.2.3.4:4321"),
        ("https://1.2.3.4", "https://1.2.3.4:443"),
        ("https://1.2.3.4:4321", "https://1.2.3.4:4321"),
        ("https://example.com/ollama", "https://example.com:443/ollama"),
        ("ollama.com", "https://ollama.com:443"),
        ("0.0.0.0:1234", "http://127.0.0.1:1234"),
        ("[::]:1234", "http://[::1]:1234"),
        ("https://0.0.0.0:4321", "https://127.0.0.1:4321"),
        ("http://x:66000", "http://x:80"),
        ("[::1", "http://[::1]:11434"),
        ("http://me:secret@1.2.3.4:5", "http://me:secret@1.2.3.4:5"),
        ("me:secret@[::1]:5", "http://me:secret@[::1]:5"),
    ],
)
def test_ollama_host(value: str, url: str) -> None:
    assert parse_host(value).url == url


@pytest.mark.parametrize(
    ("value", "host", "loopback"),
    [(":1234", "", False), ("0.0.0.0", "0.0.0.0", False), ("[::1]:80", "::1", True), ("localhost", "localhost", True),
     ("127.0.0.2", "127.0.0.2", True), ("", "127.0.0.1", True), ("example.com", "example.com", False)],
)  # fmt: skip
def test_address_to_bind(value: str, host: str, loopback: bool) -> None:
    parsed = parse_host(value)
    assert (parsed.host, parsed.is_loopback) == (host, loopback)


@pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False"])
def test_false(text: str) -> None:
    assert parse_bool(text) is False


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True", "yes", "no", "off"])
def test_any_other_text_is_true(text: str) -> None:
    assert parse_bool(text) is True


def test_defaults() -> None:
    settings = Settings.from_env({})
    assert (settings.num_parallel, settings.max_loaded_models, settings.keep_alive) == (4, 3, 300.0)
    assert settings.models_dir == Path("~/.ollama/models").expanduser()


@pytest.mark.parametrize(
    ("env", "field", "value"),
    [
        ({"OLLAMA_MODELS": "/srv/models"}, "models", Path("/srv/models")),
        ({"OLLAMA_NUM_PARALLEL": " '8' "}, "num_parallel", 8),
        ({"OLLAMA_NUM_PARALLEL": "0"}, "num_parallel", 1),
        ({"OLLAMA_KEEP_ALIVE": "90"}, "keep_alive", 90.0),
        ({"OLLAMA_KEEP_ALIVE": "-1"}, "keep_alive", FOREVER),
        ({"OLLAMA_KEEP_ALIVE": "1h"}, "keep_alive", 3600.0),
        ({"OLLAMA_NOPRUNE": "1"}, "noprune", True),
        ({"OLLAMA_DEBUG": "2"}, "debug", 2),
        ({"OLLAMA_DEBUG": "true"}, "debug", 1),
        ({"OLLAMA_GO_TEMPLATE": "0"}, "go_template", False),
        ({"OLLAMA_GO_TEMPLATE": ""}, "go_template", None),
        ({"OLLAMA_ORIGINS": "http://a, https://b ,"}, "origins", ("http://a", "https://b")),
        ({"OLLAMA_KV_CACHE_TYPE": "Q8_0"}, "kv_cache_type", "q8_0"),
    ],
)
def test_environment(env: dict[str, str], field: str, value: object) -> None:
    assert getattr(Settings.from_env(env), field) == value


@pytest.mark.parametrize("text", ["many", "-1", "1.5"])
def test_bad_text_is_the_default_with_a_warning(text: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "ollama_jupyter"):
        assert Settings.from_env({"OLLAMA_MAX_QUEUE": text}).max_queue == 512
    assert "OLLAMA_MAX_QUEUE" in caplog.text
    assert text not in caplog.text  # a value may be a secret


def test_what_nothing_acts_on_yet_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "ollama_jupyter"):
        Settings.from_env({"OLLAMA_SCHED_SPREAD": "1"})
    assert "OLLAMA_SCHED_SPREAD: not yet" in caplog.text


def test_every_setting_of_the_table_has_its_field_and_help() -> None:
    names = {field.name for field in fields(Settings)}
    assert all(setting.field in names for setting in SETTINGS if setting.field)
    assert all(setting.help for setting in SETTINGS)
    assert all(setting.field or setting.later for setting in SETTINGS)


def test_overrides_win() -> None:
    assert Settings.from_env({"OLLAMA_NUM_PARALLEL": "8"}, num_parallel=2).num_parallel == 2


@pytest.mark.parametrize(
    ("env", "field", "value"),
    [
        ({"OLLAMA_LOAD_TIMEOUT": "0"}, "load_timeout", float("inf")),
        ({"OLLAMA_NUM_PARALLEL": "300"}, "num_parallel", 256),
        ({"OLLAMA_NUM_PARALLEL": "0"}, "num_parallel", 1),
        ({"OLLAMA_KV_CACHE_TYPE": "bogus"}, "kv_cache_type", ""),
        ({"OLLAMA_KEEP_ALIVE": "9" * 400}, "keep_alive", 300.0),
        ({"OLLAMA_KV_CACHE_TYPE": "Q8_0"}, "kv_cache_type", "q8_0"),
        ({"OLLAMA_KV_CACHE_TYPE": "q8_0", "OLLAMA_FLASH_ATTENTION": "0"}, "kv_cache_type", "f16"),
    ],
)
def test_settings_that_would_fail_every_request_are_mended_at_the_start(
    env: dict[str, str], field: str, value: object
) -> None:
    assert getattr(Settings.from_env(env), field) == value
