"""How the widgets look: one style sheet in the colours of Jupyter's theme, light or dark."""

from __future__ import annotations

import ipywidgets

PANEL = "ollama-panel"

CSS = """
.ollama-panel {
  --ollama-label: auto; box-sizing: border-box; min-width: 0; max-width: 760px; padding: 14px 16px 10px; gap: 8px;
  overflow: visible;
  border: 1px solid var(--jp-border-color2, #c4c4c4); border-radius: 8px;
  background: var(--jp-layout-color1, #fff); color: var(--jp-ui-font-color1, #212121);
  font-family: var(--jp-ui-font-family, system-ui, sans-serif);
}
.widget-hbox > .ollama-panel { flex: 1 1 0; }
.widget-hbox > .ollama-panel + .ollama-panel { margin-left: 8px; }
.ollama-panel .widget-box { overflow: visible; }
.ollama-panel .ollama-row { align-items: center; gap: 8px; }
.ollama-panel .ollama-row > .widget-text, .ollama-panel .ollama-row > .widget-dropdown,
.ollama-panel .ollama-row > .widget-combobox, .ollama-panel .ollama-grow { flex: 1 1 0; width: auto; min-width: 0; }
.ollama-panel .jupyter-widgets { margin: 0; }
.ollama-panel .jupyter-button { flex: none; width: auto; min-width: 80px; padding: 0 12px; border-radius: 4px; }
.ollama-panel .jupyter-button.ollama-small { min-width: 32px; padding: 0 8px; }
.ollama-panel .jupyter-button:focus-visible, .ollama-panel input:focus-visible, .ollama-panel select:focus-visible,
.ollama-panel textarea:focus-visible {
  outline: 2px solid var(--jp-brand-color1, #1976d2); outline-offset: 1px;
}
.ollama-panel .widget-label { color: var(--jp-ui-font-color1, #212121); }
.ollama-panel.ollama-broad { --ollama-label: 132px; }
.ollama-panel .ollama-row > * > .widget-label, .ollama-panel .ollama-field > .widget-label {
  width: var(--ollama-label); margin-right: 8px; text-align: left; flex: none;
}
.ollama-panel .ollama-row > .ollama-short > .widget-label { width: auto; margin-left: 8px; }
.ollama-panel ::placeholder { color: var(--jp-ui-font-color2, #616161); opacity: 1; }
.ollama-panel .ollama-unlabelled > .widget-label {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap;
}
.ollama-panel .ollama-column { gap: 8px; }
.ollama-panel .widget-text, .ollama-panel .widget-textarea, .ollama-panel .widget-dropdown,
.ollama-panel .widget-combobox { width: auto; }
.ollama-panel .widget-dropdown > select { appearance: auto; background-image: none; padding: 0 4px; }
.ollama-panel .widget-html .widget-html-content { line-height: 1.45; font-size: var(--jp-ui-font-size1, 13px); }
.ollama-panel .widget-textarea textarea {
  resize: vertical; line-height: 1.45; padding: 6px 8px; font-family: inherit;
}
.ollama-panel .ollama-code textarea {
  font-family: var(--jp-code-font-family, monospace); font-size: var(--jp-code-font-size, 13px);
}
.ollama-panel .ollama-muted { color: var(--jp-ui-font-color2, #616161); }
.ollama-panel .ollama-number { font-variant-numeric: tabular-nums; white-space: nowrap; }
.ollama-panel .ollama-heading { font-weight: 600; }
.ollama-panel .ollama-error { display: flex; gap: 8px; color: var(--jp-ui-font-color1, #212121); }
.ollama-panel .ollama-error::before {
  content: "!"; flex: none; width: 16px; height: 16px; margin-top: 1px;
  border-radius: 50%; background: var(--jp-error-color1, #d32f2f); color: #fff;
  font-weight: 700; font-size: 11px; line-height: 16px; text-align: center;
}
.ollama-panel .ollama-status { overflow-wrap: anywhere; }
.ollama-panel .ollama-meter { align-items: stretch; gap: 4px; }
.ollama-panel .ollama-meter .widget-inline-hbox .progress, .ollama-panel .ollama-meter .widget-hprogress {
  width: auto; height: 8px;
}
.ollama-panel .ollama-meter .widget-hprogress .progress {
  position: static; height: 8px; margin: 0; border: 0; border-radius: 4px; overflow: hidden;
  background: var(--jp-layout-color3, #bdbdbd);
}
.ollama-panel .ollama-meter .progress-bar { background: var(--jp-brand-color1, #1976d2); transition: width 0.15s; }
.ollama-panel .ollama-rows { border-top: 1px solid var(--jp-border-color2, #e0e0e0); }
.ollama-panel .ollama-rows.ollama-list { max-height: 254px; overflow-y: auto; }
.ollama-panel .ollama-item {
  flex: none; align-items: center; gap: 12px; padding: 5px 0;
  border-bottom: 1px solid var(--jp-border-color2, #e0e0e0);
}
.ollama-panel .ollama-grow > .widget-html-content { min-width: 0; }
.ollama-panel .ollama-name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.ollama-panel .ollama-scroll.widget-box {
  flex-direction: column-reverse; max-height: 440px; overflow-y: auto; padding: 2px 0;
  border-top: 1px solid var(--jp-border-color2, #e0e0e0); border-bottom: 1px solid var(--jp-border-color2, #e0e0e0);
}
.ollama-panel .ollama-turns { flex: none; gap: 12px; padding: 12px 0; }
.ollama-panel .ollama-who { font-size: 12px; font-weight: 600; margin-bottom: 2px; }
.ollama-panel .ollama-said { font-size: 14px; overflow-wrap: anywhere; }
.ollama-panel .ollama-asked { white-space: pre-wrap; background: var(--jp-layout-color2, #eee);
  border-radius: 8px; padding: 8px 12px; }
.ollama-panel .ollama-prose.jp-RenderedHTMLCommon { padding: 0; font-size: 14px; line-height: 1.55; }
.ollama-panel .ollama-prose > :first-child { margin-top: 0; }
.ollama-panel .ollama-prose > :last-child { margin-bottom: 0; }
.ollama-panel .ollama-prose :is(h1, h2, h3, h4, h5, h6) { font-size: 15px; font-weight: 600; margin: 1em 0 0.4em; }
.ollama-panel .ollama-prose :is(table, blockquote) { margin: 0 0 0.8em; }
.ollama-panel .ollama-prose table { display: block; max-width: 100%; overflow-x: auto; overflow-wrap: normal; }
.ollama-panel :is(.ollama-asked, .ollama-prose :is(p, li, th, td, h1, h2, h3, h4, h5, h6)) {
  unicode-bidi: plaintext; text-align: start;
}
.ollama-panel .ollama-prose pre {
  margin: 0 0 0.8em; padding: 8px 10px; border-radius: 4px; overflow-x: auto; background: var(--jp-layout-color2, #eee);
  font-family: var(--jp-code-font-family, monospace); font-size: var(--jp-code-font-size, 13px);
}
.ollama-panel .ollama-prose pre code { background: none; padding: 0; }
.ollama-panel .ollama-foot { font-size: 12px; margin-top: 4px; color: var(--jp-ui-font-color2, #616161); }
.ollama-panel .ollama-empty { padding: 20px 8px; text-align: center; color: var(--jp-ui-font-color2, #616161); }
"""


def sheet() -> ipywidgets.HTML:
    """The style sheet as a child that takes no room. Each panel has its own: any of them may be closed first."""
    return ipywidgets.HTML(f"<style>{CSS}</style>", layout=ipywidgets.Layout(display="none"))


def styled(widget: ipywidgets.DOMWidget, *classes: str) -> ipywidgets.DOMWidget:
    for name in classes:
        widget.add_class(f"ollama-{name}")
    return widget
