"""What the tests of all clients share: names of models, and a dialogue that makes a small model call a tool."""

from __future__ import annotations

ABLE = "able"
"""SmolLM2 with a template that has tools and thinking; where it shall think, the template opens the block."""
FILL = "fill"
"""SmolLM2 with a template that has a place for a suffix."""

ABLE_TEMPLATE = """\
{{- if .System }}<|im_start|>system
{{ .System }}<|im_end|>
{{ end }}{{ if .Tools }}<|im_start|>system
Tools: {{ range .Tools }}{{ .Function }}{{ end }}<|im_end|>
{{ end }}{{ range .Messages }}{{ if ne .Role "system" }}<|im_start|>{{ .Role }}
{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}
{{- range .ToolCalls }}<tool_call>{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}</tool_call>
{{- end }}<|im_end|>
{{ end }}{{ end }}<|im_start|>assistant
{{ if and .IsThinkSet .Think }}<think>{{ end }}"""
FILL_TEMPLATE = "{{ if .Suffix }}{{ .Prompt }} ... {{ .Suffix }}{{ else }}{{ .Prompt }}{{ end }}"

ENGINE_ERROR = "llama_decode failed: the device is gone"


FIXED = {"const": "One, two, three, four, five, six, seven."}
"""A format that allows one answer: two free ones may part at near ties, see `docs/differences.md`."""
