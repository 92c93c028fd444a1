"""A JupyterLab of its own, with an empty home, and a browser page on it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

ROOT = Path(__file__).parents[2]
TOKEN = "browser-test"
# Not "/": what works only at the root breaks on every hub.
BASE_URL = "/user/ada/"
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# By the first part of its address, what a page shows when it has started.
READY = {"lab": ".jp-Launcher", "tree": ".jp-DirListing", "lab/tree": ".jp-Notebook", "notebooks": ".jp-Notebook"}
THEME_SETTINGS = "lab/api/settings/@jupyterlab/apputils-extension:themes"
NEWS_SETTINGS = ".jupyter/lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"


@dataclass
class Lab:
    """A running JupyterLab, and the folder that it serves."""

    url: str
    folder: Path

    def api(self, path: str, body: object = None, method: str | None = None) -> Any:
        """The JSON that the server answers to a request with the token; POST where there is a body."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
        with urlopen(Request(self.url + path, data=data, headers=headers, method=method), timeout=120) as response:
            text = response.read()
        return json.loads(text) if text else None

    def wait(self) -> None:
        """Until it answers: it says where it runs before it does."""
        deadline = time.monotonic() + 60
        while not self._answers():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            self.api("api/status")
        except URLError:
            return False
        return True

    def use_theme(self, theme: str) -> None:
        self.api(THEME_SETTINGS, {"raw": json.dumps({"theme": theme})}, method="PUT")


@dataclass
class Tab:
    """A browser page on a Lab, and what it complained about."""

    page: Page
    errors: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")

    def run_command(self, label: str) -> None:
        """Run a command by keyboard, through the command palette."""
        self._open_palette()
        self.page.keyboard.type(label)
        self.page.locator(".lm-CommandPalette-item.lm-mod-active", has_text=label).first.wait_for()
        self.page.keyboard.press("Enter")

    def _open_palette(self) -> None:
        """Press its keys until it opens: a page shows its parts before it has read its keyboard shortcuts."""
        from playwright.sync_api import TimeoutError as PatienceEnded

        palette = self.page.locator("#modal-command-palette input")
        for _ in range(20):
            self.page.keyboard.press("Control+Shift+C")
            with suppress(PatienceEnded):
                return palette.wait_for(timeout=1000)
        return palette.wait_for(timeout=1000)


@pytest.fixture(autouse=True)
def jp_asyncio_loop() -> None:
    """Here is no server in this process: nothing for pytest-jupyter to run on a loop of its own, or to clean up."""


@pytest.fixture(autouse=True)
def jp_server_cleanup() -> None:
    """See `jp_asyncio_loop`."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab with the front end and the server extension, as a wheel installs them."""
    yield from serve_lab(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module")
def lab_without_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab with the front end, whose server extension was disabled."""
    yield from serve_lab(tmp_path_factory.mktemp("bare"), enabled=False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for one module only: while it is there, Playwright's event loop runs in this thread."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[Callable[..., Tab]]:
    """Opens a Lab, or another front end of its server, in a fresh browser profile and waits until it has started."""
    contexts = []

    def open_(lab: Lab, app: str = "lab", file: str = "") -> Tab:
        context = browser.new_context(viewport={"width": 1200, "height": 800}, locale="en-US")
        contexts.append(context)
        tab = Tab(context.new_page())
        tab.watch()
        # Lab keeps its open tabs on the server: `reset` opens none but this.
        tab.page.goto(f"{lab.url}{f'{app}/{file}' if file else app}?token={TOKEN}&reset")
        tab.page.locator(READY[app]).wait_for(timeout=60_000)
        return tab

    yield open_
    for context in contexts:
        context.close()


def serve_lab(folder: Path, *, enabled: bool = True, **settings: str) -> Iterator[Lab]:
    """A JupyterLab whose files are in `folder`, with environment variables of its own."""
    _install(folder, enabled=enabled)
    port = _free_port()
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"),
        *("--ServerApp.port_retries=0", f"--ServerApp.base_url={BASE_URL}", f"--IdentityProvider.token={TOKEN}"),
        *(f"--ServerApp.root_dir={folder / 'work'}", "--LabApp.news_url=", "--LabApp.collaborative=False"),
    ]
    process = subprocess.Popen(
        command, env=_environment(folder) | settings, stderr=subprocess.PIPE, text=True, cwd=folder
    )
    assert process.stderr is not None
    try:
        log = _read_until(process.stderr, "is running at")
        assert "is running at" in log, log
        drain = threading.Thread(target=_save, args=(log, process.stderr, folder / "server.log"))
        drain.start()
        lab = Lab(f"http://127.0.0.1:{port}{BASE_URL}", folder / "work")
        lab.wait()
        yield lab
        process.terminate()
        drain.join()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def _install(folder: Path, *, enabled: bool) -> None:
    """What the wheel's shared data puts into a prefix, here into `folder`."""
    target = folder / "share" / "labextensions" / "ollama-jupyter"
    shutil.copytree(ROOT / "ollama_jupyter" / "labextension", target)
    shutil.copy(ROOT / "labextension" / "install.json", target)
    config = folder / "etc" / "jupyter_server_config.d"
    config.mkdir(parents=True)
    extensions = {"ollama_jupyter": enabled}
    (config / "ollama_jupyter.json").write_text(json.dumps({"ServerApp": {"jpserver_extensions": extensions}}))
    for name in ("home", "work"):
        (folder / name).mkdir()
    news = folder / "home" / NEWS_SETTINGS
    news.parent.mkdir(parents=True)
    news.write_text('{"fetchNews": "false"}')  # the question whether to would cover what a test clicks


def _environment(folder: Path) -> dict[str, str]:
    ours = ("JUPYTER", "JPY_", "OLLAMA_", "XDG_", "IPYTHON")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **inherited,
        "HOME": str(folder / "home"),
        "JUPYTER_CONFIG_PATH": str(folder / "etc"),
        "JUPYTER_PATH": str(folder / "share"),
        "OLLAMA_MODELS": str(folder / "models"),
        "PYTHONPATH": os.pathsep.join(paths),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _save(start: str, rest: Any, path: Path) -> None:
    """Keep a server's log, and its pipe empty, until the server ends."""
    path.write_text(start + rest.read())


def _read_until(lines: Any, text: str) -> str:
    """The lines up to the first that holds `text`, or all of them if the stream ends before."""
    seen: list[str] = []
    for line in lines:
        seen.append(line)
        if text in line:
            break
    return "".join(seen)
