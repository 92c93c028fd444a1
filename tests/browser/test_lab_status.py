"""The palette command `Ollama: Show Server Status` in a real JupyterLab and Notebook 7, by keyboard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Lab, Tab

pytestmark = pytest.mark.needs("chromium")

COMMAND = "Ollama: Show Server Status"
MODEL = "smollm2:135m"

# The lowest contrast ratio (WCAG 2, section 1.4.3) of any text in the dialog with the dialog's background.
LOWEST_CONTRAST = """dialog => {
  const channels = color => color.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const linear = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const luminance = color => {
    const [r, g, b] = channels(color).map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = luminance(getComputedStyle(dialog).backgroundColor);
  const ratios = [...dialog.querySelectorAll('.jp-OllamaStatus *')].map(node => {
    const text = luminance(getComputedStyle(node).color);
    return (Math.max(text, background) + 0.05) / (Math.min(text, background) + 0.05);
  });
  return Math.min(...ratios);
}"""


def cells(tab: Tab, table: str) -> list[list[str]]:
    rows = tab.page.get_by_role("table", name=table).locator("tbody tr").all()
    return [row.locator("th, td").all_inner_texts() for row in rows]


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_shows_version_and_models(lab: Lab, open_tab: Callable[..., Tab], theme: str, tmp_path: Path) -> None:
    lab.api("ollama/api/generate", {"model": MODEL, "stream": False, "keep_alive": "30m"})
    lab.use_theme(theme)
    tab = open_tab(lab)
    tab.run_command(COMMAND)
    dialog = tab.page.locator(".jp-Dialog-content")
    dialog.get_by_role("table", name="Installed models").wait_for()

    version = lab.api("ollama/api/version")["version"]
    assert dialog.locator(".jp-OllamaStatus-summary").inner_text().split() == ["Running", "Ollama", "API", version]
    [[name, memory, context, unloads]] = cells(tab, "Loaded models")
    assert name == MODEL
    assert memory.endswith(" MB")
    assert context.endswith(" tokens")
    assert unloads in ("in 30 min", "in 29 min")
    installed = [model["name"] for model in lab.api("ollama/api/tags")["models"]]
    assert MODEL in installed
    assert [row[0] for row in cells(tab, "Installed models")] == installed

    assert dialog.evaluate(LOWEST_CONTRAST) >= 4.5
    tab.page.screenshot(path=tmp_path / "status.png")
    assert (tmp_path / "status.png").stat().st_size > 0
    tab.page.keyboard.press("Enter")
    dialog.wait_for(state="detached")
    assert [error for error in tab.errors if "ollama" in error.lower()] == []


def test_works_in_notebook_7(lab: Lab, open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(lab, "tree")
    tab.run_command(COMMAND)
    dialog = tab.page.locator(".jp-Dialog-content")
    dialog.locator("section", has_text="Installed models").wait_for()
    assert [error for error in tab.errors if "ollama" in error.lower()] == []


def test_says_how_to_enable_a_missing_server_extension(
    lab_without_server: Lab, open_tab: Callable[..., Tab], tmp_path: Path
) -> None:
    tab = open_tab(lab_without_server)
    tab.run_command(COMMAND)
    alert = tab.page.locator(".jp-Dialog-content").get_by_role("alert")
    alert.wait_for()
    text = alert.inner_text()
    tab.page.screenshot(path=tmp_path / "missing.png")
    assert "The server extension is not enabled: run jupyter server extension enable ollama_jupyter" in text
    tab.page.keyboard.press("Escape")
    alert.wait_for(state="detached")
