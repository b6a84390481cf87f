# SPDX-License-Identifier: GPL-2.0-or-later
"""Manual pages out of the command line's own words: one for `haagent`, one for each command."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from cli_tree import Command, Parameter

FILES = (
    ("/etc/haagent/haagent.toml", "The configuration, the same on both nodes."),
    ("/var/lib/haagent", "Term, standing orders and history of this node."),
    ("/run/haagent/control.sock", "Where the commands ask the agent."),
    ("/usr/share/doc/haagent", "The operator's pages; examples/ has configurations."),
)


def pages(program: Command) -> dict[str, str]:
    """Name of each page ("haagent-status.1") and its text."""
    found = {f"{program.name}.1": _overview(program)}
    for command in program.commands:
        found[f"{program.name}-{command.name}.1"] = _page(program, command)
    found["fence_haagent.8"] = _fence_agent()
    return found


def _overview(program: Command) -> str:
    parts = [_head(program.name, "1", program.summary)]
    parts.append(f".SH SYNOPSIS\n.B {program.name}\n.I COMMAND\n[\\fIARGUMENT\\fR ...]\n")
    parts.append(f".SH DESCRIPTION\n{_prose(program.help)}.SH COMMANDS\n")
    for one in program.commands:
        name = f"{program.name}\\-{_escaped(one.name)}"
        parts.append(f".TP\n.BR {name} (1)\n{_escaped(one.summary)}.\n")
    parts.append(".SH OPTIONS\n")
    parts += [f".TP\n{_option(one)}{_meaning(one)}" for one in program.parameters]
    parts.append(".SH FILES\n")
    parts += [f".TP\n.I {_escaped(path)}\n{_escaped(text)}\n" for path, text in FILES]
    parts.append(".SH SEE ALSO\n.BR fence_haagent (8),\n.BR systemctl (1)\n")
    return "".join(parts)


def _page(program: Command, command: Command) -> str:
    name = f"{program.name}-{command.name}"
    arguments = [one for one in command.parameters if not one.options]
    options = [one for one in command.parameters if one.options]
    words = [f".B {program.name} {_escaped(command.name)}\n"]
    words += ["[\\fIOPTION\\fR ...]\n"] if options else []
    words += [_synopsis(one) + "\n" for one in arguments]
    parts = [_head(name, "1", command.summary), ".SH SYNOPSIS\n", *words]
    parts.append(f".SH DESCRIPTION\n{_prose(command.help)}")
    if arguments:
        parts.append(".SH ARGUMENTS\n")
        parts += [f".TP\n.I {_escaped(one.name)}\n{_meaning(one)}" for one in arguments]
    if options:
        parts.append(".SH OPTIONS\n")
        parts += [f".TP\n{_option(one)}{_meaning(one)}" for one in options]
    parts.append(f".SH SEE ALSO\n.BR {program.name} (1)\n")
    return "".join(parts)


def _fence_agent() -> str:
    """Out of its own --help: it is no command of ours, but an agent as ClusterLabs write them."""
    command = [str(Path(sys.executable).with_name("fence_haagent")), "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    usage, _, rest = text.partition("\n\n")
    words, _, options = rest.partition("\noptions:\n")
    return "".join(
        (
            _head("fence_haagent", "8", "fence agent that uses the fence devices of haagent"),
            f".SH SYNOPSIS\n.nf\n{_escaped(usage.removeprefix('usage: '))}\n.fi\n",
            f".SH DESCRIPTION\n{_prose(words)}",
            f".SH OPTIONS\n.nf\n{_escaped(options.rstrip())}\n.fi\n",
            ".PP\nWithout arguments it reads them from standard input, one NAME=VALUE a line.\n",
            ".SH SEE ALSO\n.BR haagent (1),\n.BR haagent\\-fence (1)\n",
        )
    )


def _head(name: str, section: str, summary: str) -> str:
    title = _escaped(name)
    return (
        f'.TH {title.upper()} {section} "" haagent "System administration"\n'
        f".SH NAME\n{title} \\- {_escaped(summary)}\n"
    )


def _synopsis(one: Parameter) -> str:
    word = "|".join(map(_escaped, one.choices)) or f"\\fI{_escaped(one.name)}\\fR"
    return word if one.required else f"[{word}]"


def _option(one: Parameter) -> str:
    names = ", ".join(f"\\fB{_escaped(name)}\\fR" for name in one.options)
    return f"{names} \\fI{_escaped(one.name)}\\fR\n" if one.takes_value else f"{names}\n"


def _meaning(one: Parameter) -> str:
    words = [one.help] if one.help else []
    if one.choices:
        words.append(f"One of: {', '.join(one.choices)}.")
    if one.repeats:
        words.append("May be given more than once.")
    if one.default:
        words.append(f"Default: {one.default}.")
    if one.variable:
        words.append(f"Environment: {one.variable}.")
    return f"{_escaped(' '.join(words))}\n"


def _prose(text: str) -> str:
    paragraphs = re.split(r"\n{2,}", text.strip())
    return "".join(f".PP\n{_escaped(one)}\n" for one in paragraphs)


def _escaped(text: str) -> str:
    """Text that roff sets as it is. Source: groff_char(7), roff(7)."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)
