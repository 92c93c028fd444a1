"""Chat, Pull and ModelfileBuilder in a real JupyterLab and Notebook 7, with the real model and a registry of our own.

Lab is shown light here and Notebook dark. Screenshots go to each test's folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from models import write_tiny_gguf
from registry.misbehaving import Registry, serving

from .conftest import Lab, Tab, serve_lab

if TYPE_CHECKING:
    from playwright.sync_api import Locator

pytestmark = pytest.mark.needs("chromium")

MODEL = "smollm2:135m"
SECONDS = 1000  # Playwright counts in milliseconds
FRONT_ENDS = {"lab/tree": "JupyterLab Light", "notebooks": "JupyterLab Dark"}

# The lowest contrast ratio (WCAG 2, section 1.4.3) of any text in the panel with what lies behind it.
LOWEST_CONTRAST = """panel => {
  const channels = color => (color.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const linear = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const over = ([r, g, b, a = 1], below) => [r, g, b].map((c, i) => c * a + below[i] * (1 - a));
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = node => {
    if (!node) return [255, 255, 255];
    const color = channels(getComputedStyle(node).backgroundColor);
    return color.length === 4 && color[3] === 0 ? behind(node.parentElement) : over(color, behind(node.parentElement));
  };
  const texts = [...panel.querySelectorAll('*')].filter(node =>
    node.checkVisibility() && !node.disabled && [...node.childNodes].some(n => n.nodeType === 3 && n.data.trim()));
  return Math.min(...texts.map(node => {
    const back = behind(node);
    const pair = [luminance(over(channels(getComputedStyle(node).color), back)), luminance(back)];
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  }));
}"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Has one model of 8 MB, most of it padding, so that there is time to cancel its pull."""
    file = tmp_path_factory.mktemp("weights") / "tiny.gguf"
    write_tiny_gguf(file)
    with serving(Registry(file.read_bytes() + bytes(8 << 20))) as server:
        yield server


@pytest.fixture(scope="module")
def lab(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from serve_lab(tmp_path_factory.mktemp("lab"), OLLAMA_JUPYTER_REGISTRIES=registry.address)


@dataclass
class Shown:
    """A widget in the output of a notebook's only cell."""

    tab: Tab
    panel: Locator
    folder: Path

    def button(self, name: str) -> Locator:
        return self.panel.get_by_role("button", name=name, exact=True)

    def field(self, name: str) -> Locator:
        return self.panel.get_by_label(name, exact=True)

    def says(self, text: str, seconds: float = 30) -> None:
        self.panel.get_by_text(text).first.wait_for(timeout=seconds * SECONDS)

    def looks_well(self, name: str) -> None:
        """Take a screenshot; all text is readable, nothing sticks out, and nobody complained."""
        self.tab.page.screenshot(path=self.folder / f"{name}.png")
        assert self.panel.evaluate(LOWEST_CONTRAST) >= 4.5
        assert self.panel.evaluate("panel => panel.scrollWidth - panel.clientWidth") <= 0
        assert [error for error in self.tab.errors if "ollama" in error.lower()] == []


@pytest.fixture(params=FRONT_ENDS)
def show(
    request: pytest.FixtureRequest, lab: Lab, open_tab: Callable[..., Tab], tmp_path: Path
) -> Callable[[str], Shown]:
    """Runs a cell that ends in a widget, in one of the front ends."""

    def show_(code: str) -> Shown:
        file = f"{request.node.originalname}-{request.param.replace('/', '-')}.ipynb"
        kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
        cell = nbformat.v4.new_code_cell(f"from ollama_jupyter.widgets import *\n{code}", id="cell")
        nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel}), lab.folder / file)
        lab.use_theme(FRONT_ENDS[request.param])
        tab = open_tab(lab, request.param, file)
        run_cell(tab)
        panel = tab.page.locator(".ollama-panel").first
        panel.wait_for(timeout=60 * SECONDS)
        return Shown(tab, panel, tmp_path)

    return show_


def run_cell(tab: Tab) -> None:
    """Run the first cell, as soon as there is a kernel: before that, the keys are taken and nothing is run."""
    page = tab.page
    page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for(timeout=60 * SECONDS)
    for _ in range(60):
        page.locator(".jp-Cell .cm-content").first.click()
        page.keyboard.press("Control+Enter")
        page.wait_for_timeout(500)
        if page.locator(".jp-Cell .jp-InputPrompt").first.inner_text() != "[ ]:":
            return
    raise AssertionError("the cell was never run")


def test_chat(show: Callable[[str], Shown]) -> None:
    chat = show("chat = Chat(options={'temperature': 0, 'num_predict': 400})\nchat")
    assert chat.field("Model").input_value() == MODEL
    chat.looks_well("empty")
    chat.field("Question").fill("Tell a long story about <b>a fox</b>.")
    chat.tab.page.keyboard.press("Enter")
    answer = chat.panel.locator(".ollama-prose")
    answer.wait_for(timeout=60 * SECONDS)
    early = answer.inner_text()
    chat.panel.page.wait_for_function(
        "length => document.querySelector('.ollama-prose').innerText.length > length", arg=len(early)
    )
    chat.looks_well("streaming")
    chat.button("Stop").click()
    chat.says("interrupted")
    chat.button("Send").wait_for()
    assert chat.panel.locator(".ollama-asked").inner_text() == "Tell a long story about <b>a fox</b>."
    chat.field("Question").fill("Say hi.")
    chat.button("Send").click()
    answer.nth(1).wait_for(timeout=60 * SECONDS)
    chat.button("Send").wait_for(timeout=60 * SECONDS)
    chat.button("System").click()
    chat.panel.get_by_role("textbox", name="System prompt").fill("You are brief.")
    chat.looks_well("stopped")
    chat.button("Clear").click()
    chat.says("Ask something below")


def test_pull(show: Callable[[str], Shown], registry: Registry, lab: Lab) -> None:
    from playwright.sync_api import expect

    name = f"{registry.address}/some/model:latest"
    registry.rate = 2_000_000
    long = f"somebody/{'long-' * 15}name:{'long-' * 15}tag"
    lab.api("ollama/api/copy", {"source": MODEL, "destination": long})
    pull = show("Pull(insecure=True)")
    pull.says(MODEL)
    pull.looks_well("list")
    lab.api("ollama/api/delete", {"model": long}, method="DELETE")
    pull.field("Name").fill(name)
    pull.tab.page.keyboard.press("Enter")
    pull.says("MB/s")
    pull.looks_well("pulling")
    pull.button("Cancel").click()
    pull.says("Cancelled at")
    sent = registry.sent
    registry.rate = 0
    pull.button("Pull").click()
    pull.says(f"Pulled {name}")
    assert registry.sent - sent < 8 << 20, "the second pull went on where the first was cancelled"
    row = pull.panel.locator(".ollama-item", has_text=name)
    row.get_by_role("button", name="Delete").press("Enter")
    expect(row.get_by_role("button", name="Keep")).to_be_focused()
    pull.looks_well("confirm")
    pull.tab.page.keyboard.press("Shift+Tab")
    pull.tab.page.keyboard.press("Enter")
    pull.says(f"Deleted {name}.")
    expect(pull.field("Name")).to_be_focused()
    assert name not in [model["name"] for model in lab.api("ollama/api/tags")["models"]]
    pull.field("Name").fill(f"{registry.address}/some/<b>")
    pull.button("Pull").click()
    pull.panel.get_by_role("alert").wait_for()
    pull.looks_well("error")


def test_modelfile_builder(show: Callable[[str], Shown], lab: Lab) -> None:
    from playwright.sync_api import expect

    name = "mario"
    builder = show("builder = ModelfileBuilder()\nbuilder")
    text = builder.field("Text of the Modelfile")
    assert text.input_value() == f"FROM {MODEL}\n"
    builder.field("System").fill("You are Mario.")
    builder.button("Add").press("Enter")
    builder.field("temperature").fill("0.2")
    builder.tab.page.keyboard.press("Tab")
    builder.tab.page.wait_for_function(
        "value => [...document.querySelectorAll('.ollama-code textarea')].some(area => area.value === value)",
        arg=f"FROM {MODEL}\nSYSTEM You are Mario.\nPARAMETER temperature 0.2\n",
    )
    builder.looks_well("filled")
    builder.button("Add").press("Enter")
    builder.button("Remove").nth(1).wait_for()
    expect(builder.button("Add")).to_be_focused()
    builder.button("Remove").nth(1).press("Enter")
    expect(builder.field("Parameter")).to_be_focused()
    text.fill(f"FROM {MODEL}\nSYSTEM You are Luigi.\nPARAMETER temperature hot\n")
    builder.says("Line 3: invalid float value [hot]")
    assert builder.button("Create").is_disabled()
    builder.looks_well("error")
    text.fill(f"FROM {MODEL}\nSYSTEM You are Luigi.\nPARAMETER temperature 0.5\n")
    builder.tab.page.wait_for_function("() => !document.querySelector('.ollama-panel [role=alert]')")
    builder.tab.page.wait_for_function(
        "value => [...document.querySelectorAll('textarea')].some(area => area.value === value)", arg="You are Luigi."
    )
    builder.field("Name").fill(name)
    builder.button("Create").click()
    builder.says(f"Created {name}.")
    builder.looks_well("created")
    assert lab.api("ollama/api/show", {"model": name})["system"] == "You are Luigi."
    lab.api("ollama/api/delete", {"model": name}, method="DELETE")


@pytest.mark.parametrize("show", ["notebooks"], indirect=True)
def test_side_by_side(show: Callable[[str], Shown]) -> None:
    words = "Chat(messages=[{'role': 'user', 'content': 'a long question ' * 30}])"
    first = show(f"import ipywidgets\nipywidgets.HBox([{words}, Chat()])")
    first.looks_well("side-by-side")
    box = first.panel.locator("xpath=..")
    assert box.evaluate("box => box.scrollWidth - box.clientWidth") <= 0
    widths = box.evaluate("box => [...box.children].map(panel => Math.round(panel.getBoundingClientRect().width))")
    assert widths[0] == widths[1]
