# SPDX-License-Identifier: GPL-2.0-or-later
"""Completion for bash, zsh and fish: plain words, so that Tab never waits for Python."""

from __future__ import annotations

from cli_tree import Command, Parameter

BASH = """# bash completion of {name}; made from the command line itself
_{name}() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} words=
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{commands} --help"
    else
        case "${{COMP_WORDS[1]}} $previous" in
{files}            compopt -o filenames 2>/dev/null
            COMPREPLY=($(compgen -f -- "$word"))
            return ;;
        esac
        case "${{COMP_WORDS[1]}}" in
{cases}        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -F _{name} {name}
"""
ZSH = """#compdef {name}
# zsh completion of {name}; made from the command line itself
_{name}() {{
    local -a commands
    commands=(
{commands}    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    local command=$words[2]
    shift words
    (( CURRENT-- ))
    case $command in
{cases}    esac
}}
_{name} "$@"
"""


def scripts(program: Command) -> dict[str, str]:
    """Where each script goes in the system, and its text."""
    name = program.name
    return {
        f"usr/share/bash-completion/completions/{name}": _bash(program),
        f"usr/share/zsh/vendor-completions/_{name}": _zsh(program),
        f"usr/share/fish/vendor_completions.d/{name}.fish": _fish(program),
    }


def _bash(program: Command) -> str:
    paths = [
        f"'{command.name} {option}'"
        for command in program.commands
        for one in command.parameters
        for option in one.options
        if one.is_path
    ]
    files = f"        {'|'.join(paths)})\n"
    cases = ""
    for command in program.commands:
        words = [option for one in command.parameters for option in one.options]
        words += [choice for one in command.parameters for choice in one.choices]
        cases += f'        {command.name}) words="{" ".join((*words, "--help"))}" ;;\n'
    own = (option for one in program.parameters for option in one.options)
    names = " ".join((*(command.name for command in program.commands), *own))
    return BASH.format(name=program.name, commands=names, files=files, cases=cases)


def _zsh(program: Command) -> str:
    commands = "".join(
        f"        {_quoted(f'{one.name}:{one.summary}')}\n" for one in program.commands
    )
    cases = ""
    for command in program.commands:
        parts = " \\\n            ".join(_zsh_part(one) for one in command.parameters)
        cases += (
            f"        {command.name}) _arguments --  '--help[show help]'\n".replace("--  ", "")
            if not parts
            else (
                f"        {command.name})\n            _arguments '--help[show help]' \\\n"
                f"            {parts} ;;\n"
            )
        )
    return ZSH.format(name=program.name, commands=commands, cases=cases)


def _zsh_part(one: Parameter) -> str:
    """Source: zshcompsys(1), _arguments."""
    values = "_files" if one.is_path else f"({' '.join(one.choices)})" if one.choices else ""
    text = one.help.replace("[", "(").replace("]", ")").replace(":", "\\:")
    if not one.options:
        return _quoted(f":{one.name}:{values}")
    star = "*" if one.repeats else ""
    value = f":{one.name}:{values}" if one.takes_value else ""
    return _quoted(f"{star}{one.options[0]}[{text}]{value}")


def _fish(program: Command) -> str:
    name = program.name
    lines = [f"# fish completion of {name}; made from the command line itself"]
    lines.append(f"complete -c {name} -f")
    for one in program.parameters:
        parts = _fish_parts(one)
        lines += [f"complete -c {name} -n __fish_use_subcommand {part}" for part in parts]
    for command in program.commands:
        words = f"-a {command.name} -d {_quoted(command.summary)}"
        lines.append(f"complete -c {name} -n __fish_use_subcommand {words}")
        when = _quoted(f"__fish_seen_subcommand_from {command.name}")
        for one in command.parameters:
            lines += [f"complete -c {name} -n {when} {part}" for part in _fish_parts(one)]
    return "\n".join(lines) + "\n"


def _fish_parts(one: Parameter) -> list[str]:
    """Source: fish, complete(1)."""
    if not one.options:
        return [f"-a {_quoted(' '.join(one.choices))}"] if one.choices else []
    value = ""
    if one.takes_value:
        value = " -r -F" if one.is_path else " -x"
    long = [option for option in one.options if option.startswith("--")]
    name = f"-l {long[0][2:]}" if long else f"-s {one.options[0][1:]}"
    return [f"{name}{value} -d {_quoted(one.help)}"]


def _quoted(text: str) -> str:
    """One word of a shell; the three quote alike, but for fish's backslash, which we escape so."""
    return "'" + text.replace("'", "'\\''") + "'"
