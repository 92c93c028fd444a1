"""Help texts, laid out as Ollama's."""

from __future__ import annotations

from ollama_jupyter.cli.commands import COMMANDS, PROGRAM, Command
from ollama_jupyter.cli.flags import Flag, usage_lines

ROOT_FLAGS = (Flag("version", "Print the versions of this program and the server", "v"),)


def root_help() -> str:
    """What `--help` shows, and what the program shows when called with nothing."""
    shown = [command for command in COMMANDS if not command.hidden]
    width = max(len(command.name) for command in shown)
    return "\n".join(
        [
            "Private local language models inside Jupyter, and in the terminal.",
            *("", "Usage:", f"  {PROGRAM} [flags]", f"  {PROGRAM} [command]"),
            *("", "Available Commands:"),
            *(f"  {command.name:<{width}}  {command.help}" for command in shown),
            f"  {'help':<{width}}  Help about any command",
            *("", "Flags:", *usage_lines([_help_flag(PROGRAM), *ROOT_FLAGS])),
            *("", f'Use "{PROGRAM} [command] --help" for more information about a command.'),
        ]
    )


def command_help(command: Command) -> str:
    """What `COMMAND --help` shows."""
    lines = [command.help, "", "Usage:", f"  {PROGRAM} {command.usage} [flags]"]
    if command.aliases:
        lines += ["", "Aliases:", f"  {', '.join((command.name, *command.aliases))}"]
    lines += ["", "Flags:", *usage_lines([*command.flags, _help_flag(command.name)])]
    return "\n".join(lines + _environment(command))


def _help_flag(name: str) -> Flag:
    return Flag("help", f"help for {name}", "h")


def _environment(command: Command) -> list[str]:
    if command.name == "serve":
        from ollama_jupyter.cli.serve import settings_table

        return ["", settings_table()]
    if not command.env:
        return []
    from ollama_jupyter.config import SETTINGS

    rows = [f"      {setting.env:<27}   {setting.help}" for setting in SETTINGS if setting.env in command.env]
    return ["", "Environment Variables:", *rows]
