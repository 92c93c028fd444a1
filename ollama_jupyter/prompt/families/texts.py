"""The built-in templates, in Go's language. A trailing answer is left open, so that the model continues it."""
# ruff: noqa: E501 - the lines of these texts are the lines of prompts

from __future__ import annotations

# As Ollama has it, word for word; alone among these it closes a trailing answer.
CHATML = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"

_LAST = "{{- $last := eq (len (slice $.Messages $i)) 1 -}}\n"

_QWEN_TOOLS = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{{- range .Tools }}
{{ json . }}
{{- end }}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>"""

_QWEN_CALLS = """{{- range $j, $call := .ToolCalls -}}
{{ if or $j $m.Content }}
{{ end }}<tool_call>
{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}
</tool_call>
{{- end }}"""

_QWEN_RESULTS = """{{- if eq .Role "tool" }}
{{- if ne $before "tool" }}<|im_start|>user{{ end }}
<tool_response>
{{ .Content }}
</tool_response>
{{- $next := "" }}{{ range $j, $n := slice $.Messages $i }}{{ if eq $j 1 }}{{ $next = $n.Role }}{{ end }}{{ end }}
{{- if ne $next "tool" }}<|im_end|>
{{ end }}
{{- end }}
{{- $before = .Role }}"""

QWEN25 = (
    """{{- if .Tools }}<|im_start|>system
{{ if .System }}{{ .System }}{{ else }}You are Qwen, created by Alibaba Cloud. You are a helpful assistant.{{ end }}

"""
    + _QWEN_TOOLS
    + """<|im_end|>
{{ else }}<|im_start|>system
{{ if .System }}{{ .System }}{{ else }}You are Qwen, created by Alibaba Cloud. You are a helpful assistant.{{ end }}<|im_end|>
{{ end }}
{{- $before := "" }}
{{- range $i, $m := .Messages }}
"""
    + _LAST
    + """{{- if eq .Role "user" }}<|im_start|>user
{{ .Content }}<|im_end|>
{{ else if eq .Role "assistant" }}<|im_start|>assistant
{{ .Content }}"""
    + _QWEN_CALLS
    + """
{{- if or .ToolCalls (not $last) }}<|im_end|>
{{ end }}
{{- end }}"""
    + _QWEN_RESULTS
    + """
{{- if and $last (or .ToolCalls (ne .Role "assistant")) }}<|im_start|>assistant
{{ end }}
{{- end }}"""
)

QWEN3 = (
    """{{- $lastUser := -1 }}
{{- range $i, $m := .Messages }}{{ if eq .Role "user" }}{{ $lastUser = $i }}{{ end }}{{ end }}
{{- if .Tools }}<|im_start|>system
{{ if .System }}{{ .System }}

{{ end }}"""
    + _QWEN_TOOLS
    + """<|im_end|>
{{ else if .System }}<|im_start|>system
{{ .System }}<|im_end|>
{{ end }}
{{- $before := "" }}
{{- range $i, $m := .Messages }}
"""
    + _LAST
    + """{{- if eq .Role "user" }}<|im_start|>user
{{ .Content }}<|im_end|>
{{ else if eq .Role "assistant" }}<|im_start|>assistant
{{ if and .Thinking (gt $i $lastUser) }}<think>
{{ .Thinking }}
</think>

{{ end }}{{ .Content }}"""
    + _QWEN_CALLS
    + """
{{- if or .ToolCalls (not $last) }}<|im_end|>
{{ end }}
{{- end }}"""
    + _QWEN_RESULTS
    + """
{{- if and $last (or .ToolCalls (ne .Role "assistant")) }}<|im_start|>assistant
{{ if and $.IsThinkSet (not $.Think) }}<think>

</think>

{{ end }}
{{- end }}
{{- end }}"""
)

LLAMA3 = """{{- range $i, $m := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 -}}
<|start_header_id|>{{ .Role }}<|end_header_id|>

{{ .Content }}
{{- if or (ne .Role "assistant") (not $last) }}<|eot_id|>{{ end }}
{{- if and $last (ne .Role "assistant") }}<|start_header_id|>assistant<|end_header_id|>

{{ end }}
{{- end }}"""

LLAMA31 = (
    """{{- if or .System .Tools }}<|start_header_id|>system<|end_header_id|>

{{ if .Tools }}Environment: ipython
{{ end }}Cutting Knowledge Date: December 2023
Today Date: {{ currentDate }}

{{ .System }}<|eot_id|>
{{- end }}
{{- $asked := false }}
{{- range $i, $m := .Messages }}
"""
    + _LAST
    + """{{- if eq .Role "user" }}<|start_header_id|>user<|end_header_id|>

{{ if and $.Tools (not $asked) }}Given the following functions, please respond with a JSON for a function call with its proper arguments that best answers the given prompt.

Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.Do not use variables.

{{ range $.Tools }}{{ json . }}

{{ end }}{{ end }}{{ $asked = true }}{{ .Content }}<|eot_id|>
{{- else if eq .Role "assistant" }}<|start_header_id|>assistant<|end_header_id|>

{{ if .ToolCalls }}{{ range .ToolCalls }}{"name": "{{ .Function.Name }}", "parameters": {{ .Function.Arguments }}}{{ end }}{{ else }}{{ .Content }}{{ end }}
{{- if or .ToolCalls (not $last) }}<|eot_id|>{{ end }}
{{- else if eq .Role "tool" }}<|start_header_id|>ipython<|end_header_id|>

{{ json .Content }}<|eot_id|>
{{- end }}
{{- if and $last (or .ToolCalls (ne .Role "assistant")) }}<|start_header_id|>assistant<|end_header_id|>

{{ end }}
{{- end }}"""
)

LLAMA2 = """{{- $first := true }}
{{- range $i, $m := .Messages }}
{{- if eq .Role "user" }}{{ if not $first }}<s>{{ end }}[INST] {{ if and $first $.System }}<<SYS>>
{{ $.System }}
<</SYS>>

{{ end }}{{ .Content }} [/INST]{{ $first = false }}
{{- else if eq .Role "assistant" }} {{ .Content }}{{ if ne (len (slice $.Messages $i)) 1 }} </s>{{ end }}
{{- end }}
{{- end }}"""

MISTRAL = """{{- $first := true }}
{{- range $i, $m := .Messages }}
{{- if eq .Role "user" }}[INST] {{ if and $first $.System }}{{ $.System }}

{{ end }}{{ .Content }} [/INST]{{ $first = false }}
{{- else if eq .Role "assistant" }}{{ .Content }}{{ if ne (len (slice $.Messages $i)) 1 }}</s>{{ end }}
{{- end }}
{{- end }}"""

MISTRAL_NEMO = """{{- $lastUser := -1 }}
{{- range $i, $m := .Messages }}{{ if eq .Role "user" }}{{ $lastUser = $i }}{{ end }}{{ end }}
{{- range $i, $m := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if eq .Role "user" }}
{{- if and $.Tools (eq $i $lastUser) }}[AVAILABLE_TOOLS]{{ json $.Tools }}[/AVAILABLE_TOOLS]{{ end }}[INST]{{ if and $last $.System }}{{ $.System }}

{{ end }}{{ .Content }}[/INST]
{{- else if eq .Role "assistant" }}
{{- if .ToolCalls }}[TOOL_CALLS][
{{- range $j, $call := .ToolCalls }}{{ if $j }}, {{ end }}{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}
{{- if .ID }}, "id": "{{ .ID }}"{{ end }}}
{{- end }}]</s>
{{- else }}{{ .Content }}{{ if not $last }}</s>{{ end }}
{{- end }}
{{- else if eq .Role "tool" }}[TOOL_RESULTS]{"content": {{ json .Content }}{{ if .ToolCallID }}, "call_id": "{{ .ToolCallID }}"{{ end }}}[/TOOL_RESULTS]
{{- end }}
{{- end }}"""

MISTRAL_V7 = """{{- range $i, $m := .Messages }}
{{- if eq .Role "system" }}[SYSTEM_PROMPT] {{ .Content }}[/SYSTEM_PROMPT]
{{- else if eq .Role "user" }}[INST] {{ .Content }}[/INST]
{{- else if eq .Role "assistant" }} {{ .Content }}{{ if ne (len (slice $.Messages $i)) 1 }}</s>{{ end }}
{{- end }}
{{- end }}"""

GEMMA = """{{- $first := true }}
{{- range $i, $m := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if eq .Role "user" }}<start_of_turn>user
{{ if and $first $.System }}{{ $.System }}

{{ end }}{{ .Content }}<end_of_turn>
{{ $first = false }}
{{- else if eq .Role "assistant" }}<start_of_turn>model
{{ .Content }}{{ if not $last }}<end_of_turn>
{{ end }}
{{- end }}
{{- if and $last (ne .Role "assistant") }}<start_of_turn>model
{{ end }}
{{- end }}"""

PHI3 = """{{- range $i, $m := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 -}}
<|{{ .Role }}|>
{{ .Content }}{{ if or (ne .Role "assistant") (not $last) }}<|end|>
{{ end }}
{{- if and $last (ne .Role "assistant") }}<|assistant|>
{{ end }}
{{- end }}"""

PHI4 = """{{- range $i, $m := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 -}}
<|im_start|>{{ .Role }}<|im_sep|>{{ .Content }}
{{- if or (ne .Role "assistant") (not $last) }}<|im_end|>{{ end }}
{{- if and $last (ne .Role "assistant") }}<|im_start|>assistant<|im_sep|>{{ end }}
{{- end }}"""

ZEPHYR = """{{- range $i, $m := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 -}}
<|{{ .Role }}|>
{{ .Content }}{{ if or (ne .Role "assistant") (not $last) }}</s>
{{ end }}
{{- if and $last (ne .Role "assistant") }}<|assistant|>
{{ end }}
{{- end }}"""

VICUNA = """{{- if .System }}{{ .System }}

{{ end }}
{{- range $i, $m := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if eq .Role "user" }}USER: {{ .Content }}
{{ else if eq .Role "assistant" }}ASSISTANT: {{ .Content }}{{ if not $last }}</s>
{{ end }}
{{- end }}
{{- if and $last (ne .Role "assistant") }}ASSISTANT:{{ end }}
{{- end }}"""

ALPACA = """{{- if .System }}{{ .System }}

{{ end }}
{{- range $i, $m := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if eq .Role "user" }}### Instruction:
{{ .Content }}

{{ else if eq .Role "assistant" }}### Response:
{{ .Content }}{{ if not $last }}</s>

{{ end }}
{{- end }}
{{- if and $last (ne .Role "assistant") }}### Response:
{{ end }}
{{- end }}"""

OPENCHAT = """{{- range $i, $m := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 -}}
GPT4 Correct {{ if eq .Role "user" }}User{{ else if eq .Role "assistant" }}Assistant{{ else }}System{{ end }}: {{ .Content }}
{{- if or (ne .Role "assistant") (not $last) }}<|end_of_turn|>{{ end }}
{{- if and $last (ne .Role "assistant") }}GPT4 Correct Assistant:{{ end }}
{{- end }}"""

COMMAND_R = """{{- range $i, $m := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}<|START_OF_TURN_TOKEN|>
{{- if eq .Role "system" }}<|SYSTEM_TOKEN|>{{ else if eq .Role "user" }}<|USER_TOKEN|>{{ else }}<|CHATBOT_TOKEN|>{{ end }}{{ .Content }}
{{- if or (ne .Role "assistant") (not $last) }}<|END_OF_TURN_TOKEN|>{{ end }}
{{- if and $last (ne .Role "assistant") }}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{{ end }}
{{- end }}"""

GRANITE = """{{- range $i, $m := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 -}}
<|start_of_role|>{{ .Role }}<|end_of_role|>{{ .Content }}
{{- if or (ne .Role "assistant") (not $last) }}<|end_of_text|>
{{ end }}
{{- if and $last (ne .Role "assistant") }}<|start_of_role|>assistant<|end_of_role|>{{ end }}
{{- end }}"""

FALCON = """{{- if .System }}System: {{ .System }}
{{ end }}
{{- range $i, $m := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if eq .Role "user" }}User: {{ .Content }}
{{ else if eq .Role "assistant" }}Falcon: {{ .Content }}{{ if not $last }}
{{ end }}
{{- end }}
{{- if and $last (ne .Role "assistant") }}Falcon:{{ end }}
{{- end }}"""

FALCON3 = """{{- range $i, $m := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 -}}
<|{{ .Role }}|>
{{ .Content }}{{ if and (eq .Role "assistant") (not $last) }}<|endoftext|>{{ end }}
{{- if or (ne .Role "assistant") (not $last) }}
{{ end }}
{{- if and $last (ne .Role "assistant") }}<|assistant|>
{{ end }}
{{- end }}"""

DEEPSEEK = """{{- range $i, $m := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if eq .Role "system" }}{{ .Content }}

{{ else if eq .Role "user" }}User: {{ .Content }}

{{ else if eq .Role "assistant" }}Assistant: {{ .Content }}{{ if not $last }}<｜end▁of▁sentence｜>{{ end }}
{{- end }}
{{- if and $last (ne .Role "assistant") }}Assistant:{{ end }}
{{- end }}"""

DEEPSEEK_CODER = """{{- if .System }}{{ .System }}{{ else }}You are an AI programming assistant, utilizing the Deepseek Coder model, developed by Deepseek Company, and you only answer questions related to computer science. For politically sensitive questions, security and privacy issues, and other non-computer science questions, you will refuse to answer
{{ end }}
{{- range $i, $m := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if eq .Role "user" }}### Instruction:
{{ .Content }}
{{ else if eq .Role "assistant" }}### Response:
{{ .Content }}{{ if not $last }}
<|EOT|>
{{ end }}
{{- end }}
{{- if and $last (ne .Role "assistant") }}### Response:
{{ end }}
{{- end }}"""

DEEPSEEK_R1 = """{{- .System }}
{{- range $i, $m := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if eq .Role "user" }}<｜User｜>{{ .Content }}
{{- else if eq .Role "assistant" }}<｜Assistant｜>
{{- if and $last .Thinking }}<think>
{{ .Thinking }}
</think>

{{ end }}{{ .Content }}{{ if not $last }}<｜end▁of▁sentence｜>{{ end }}
{{- end }}
{{- if and $last (ne .Role "assistant") }}<｜Assistant｜><think>
{{ if not $.Think }}</think>{{ end }}
{{- end }}
{{- end }}"""

SOLAR = """{{- range $i, $m := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if eq .Role "system" }}### System:
{{ else if eq .Role "user" }}### User:
{{ else }}### Assistant:
{{ end }}{{ .Content }}{{ if or (ne .Role "assistant") (not $last) }}

{{ end }}
{{- if and $last (ne .Role "assistant") }}### Assistant:
{{ end }}
{{- end }}"""

GLM4 = """[gMASK]<sop>
{{- range $i, $m := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 -}}
<|{{ .Role }}|>
{{ .Content }}
{{- if and $last (ne .Role "assistant") }}<|assistant|>
{{ end }}
{{- end }}"""

GPT_OSS = """<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.
Knowledge cutoff: 2024-06
Current date: {{ currentDate }}

Reasoning: {{ if eq .ThinkLevel "" }}{{ if and .IsThinkSet (not .Think) }}low{{ else }}medium{{ end }}{{ else if eq .ThinkLevel "max" }}high{{ else }}{{ .ThinkLevel }}{{ end }}

# Valid channels: analysis, commentary, final. Channel must be included for every message.
{{- if .Tools }}
Calls to these tools must go to the commentary channel: 'functions'.
{{- end }}<|end|>
{{- if or .System .Tools }}<|start|>developer<|message|>
{{- if .System }}# Instructions

{{ .System }}

{{ end }}
{{- if .Tools }}# Tools

## functions

namespace functions {

{{ range .Tools }}
{{- if .Function.Description }}// {{ .Function.Description }}
{{ end }}type {{ .Function.Name }} = {{ if .Function.Parameters.Properties }}(_: {
{{- $required := .Function.Parameters.Required }}
{{- range $name, $property := .Function.Parameters.Properties }}
{{ if $property.Description }}// {{ $property.Description }}
{{ end }}{{ $name }}{{ $must := false }}{{ range $required }}{{ if eq . $name }}{{ $must = true }}{{ end }}{{ end }}{{ if not $must }}?{{ end }}: {{ if $property.Enum }}{{ range $i, $value := $property.Enum }}{{ if $i }} | {{ end }}{{ json $value }}{{ end }}{{ else }}{{ toTypeScriptType $property }}{{ end }},
{{- end }}
}) => any;{{ else }}() => any;{{ end }}

{{ end }}} // namespace functions
{{- end }}<|end|>
{{- end }}
{{- $lastUser := -1 }}
{{- range $i, $m := .Messages }}{{ if eq .Role "user" }}{{ $lastUser = $i }}{{ end }}{{ end }}
{{- $called := "" }}
{{- range $i, $m := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if eq .Role "user" }}<|start|>user<|message|>{{ .Content }}<|end|>
{{- else if eq .Role "assistant" }}
{{- if .ToolCalls }}
{{- if and .Thinking (gt $i $lastUser) }}<|start|>assistant<|channel|>analysis<|message|>{{ .Thinking }}<|end|>{{ end }}
{{- if .Content }}<|start|>assistant<|channel|>commentary<|message|>{{ .Content }}<|end|>{{ end }}
{{- range .ToolCalls }}{{ $called = .Function.Name }}<|start|>assistant to=functions.{{ .Function.Name }}<|channel|>commentary json<|message|>{{ .Function.Arguments }}<|call|>{{ end }}
{{- else if $last }}
{{- if .Thinking }}<|start|>assistant<|channel|>analysis<|message|>{{ .Thinking }}{{ if .Content }}<|end|>{{ end }}{{ end }}
{{- if .Content }}<|start|>assistant<|channel|>final<|message|>{{ .Content }}{{ end }}
{{- else }}<|start|>assistant<|channel|>final<|message|>{{ .Content }}<|end|>
{{- end }}
{{- else if eq .Role "tool" }}<|start|>functions.{{ if .ToolName }}{{ .ToolName }}{{ else }}{{ $called }}{{ end }} to=assistant<|channel|>commentary<|message|>{{ json .Content }}<|end|>
{{- end }}
{{- if and $last (or .ToolCalls (ne .Role "assistant")) }}<|start|>assistant{{ end }}
{{- end }}"""
