# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/fence-faults.md: what the operator reads of every row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

from fencing import FenceOutcome

from .attempt import PLENTY_S, Finding, Run
from .case import Case

QUOTE_CHARACTERS_MAX = 160
AT_ONCE_S = 1.0
BUSY_PART = 0.5
"""Of the time of an attempt, in which somebody had to wait for a processor; alone on the machine
the table makes up a quarter of that."""
GIVEN_UP = "it was given up"
"""How the fence says that a worker had no answer at the deadline."""


class Takes(Enum):
    """After how long the answer comes; the value is what the page says."""

    AT_ONCE = "at once (< 1 s)"
    IN_TIME = "within the deadline"
    AT_THE_END = "at its end"

    @classmethod
    def of(cls, run: Run) -> Takes:
        """How long a row took."""
        if run.seconds < AT_ONCE_S:
            return cls.AT_ONCE
        return cls.AT_THE_END if run.seconds > 0.85 * run.deadline_s else cls.IN_TIME

    def may_be(self, run: Run) -> bool:
        """Whether a busy machine may have made this row take as long as it took."""
        match self:
            case Takes.AT_ONCE:
                return run.seconds < 0.75 * run.deadline_s
            case Takes.IN_TIME:
                return True
            case Takes.AT_THE_END:
                return run.seconds > 0.5 * run.deadline_s


_HEAD = """\
# Every fault of every fence device, and what is said of it

Written by the tests, which break emulated hardware in each of these ways and fence it for real
(`python -m pytest tests/faults --update`): never edit it. They hold every row to this: nothing is
*confirmed off* while the machine runs, unless the row says that the device lies and what catches
that; the attempt ends within its deadline and 0.5 s; no process, open file, lock or serial line
is left, and no session, but where a worker had to be killed or the row says why. That a takeover is
refused where the probe or frames contradict a proof (S8) is shown by `tests/sim/test_liar.py`.

- **outcome**: `confirmed_off` is a proof, and the takeover follows. `failed`: certainly no order
  left. `unknown`: an order may have been carried out, nothing proves it. After those two the next
  level is tried, at the latest after `hedge_after`. Without a proof nothing is taken over, and
  the attempt is repeated every `fence_retry`.
- **after**: the deadline is {plenty} s where the proof must come, so that a busy machine changes
  nothing, else {deadlines} s.
- **machine**: what it really was at the moment of the answer.
- **said**: first the fence's own words, then each finding of `haagent status`, without those that
  the first row of the section has too. What blocks is **bold**: the device is not counted on.
  If the fault was there before the attempt, `status` has said so since; else it says so after.
  Addresses, numbers that vary and long words are shortened.
"""
_SECTIONS = {
    "ipmi": "Driver `ipmi`",
    "redfish": "Driver `redfish`",
    "pdu": "Driver `pdu`",
    "agent": "Driver `agent`: any agent",
    "agent fence_ipmilan": "Driver `agent`: Debian's `fence_ipmilan`",
    "agent fence_redfish": "Driver `agent`: Debian's `fence_redfish`",
}
_COLUMNS = ("fault", "outcome", "after", "machine", "said", "what the operator does")
_UNSTABLE = (
    (r"/[^ ]*/fault-[^ ]*/", ""),
    (r"127\.0\.0\.1", "ADDRESS"),
    (r"port( |=)\d+", r"port\1N"),
    (r"\d+\.\d+ (s|days)\b", r"N \1"),
    (r"\b\d+ s (behind|ahead)", r"N s \1"),
    (r"\b[0-9a-f]{64}\b", "FINGERPRINT"),
    (r"line \d+", "line N"),
    (r"0x[0-9a-f]{6,}", "0xN"),
    (r"to the (?:order|last query) it said: ", ""),
    (r"(?:login: )?Node Busy[^;]*", "Node Busy"),
)
"""What differs from run to run without meaning anything."""
_NOT_PROVED = "find out why; the next level or `haagent confirm-off` proves"


def page(cases: Mapping[str, Case], runs: Iterable[Run], before: str) -> str:
    """The whole page.

    Args:
        cases: By name.
        runs: What was seen, in the order of the page.
        before: The page as it is: its times stand as long as they may be true.
    """
    by_section: dict[str, list[Run]] = {}
    for run in runs:
        by_section.setdefault(cases[run.name].section, []).append(run)
    short = {run.deadline_s for of in by_section.values() for run in of} - {PLENTY_S}
    deadlines = sorted(short)
    others = f"{deadlines[0]:g} to {deadlines[-1]:g}"
    text = [_HEAD.format(plenty=f"{PLENTY_S:g}", deadlines=others)]
    for section, of in by_section.items():
        usual = frozenset(_stable(finding.text) for finding in of[0].findings)
        rows = [_columns(_COLUMNS), _columns(["---"] * len(_COLUMNS))]
        for number, run in enumerate(of):
            hidden = usual if number else frozenset()
            row, stood = _row(cases[run.name], run, hidden, _time(run, before)), ""
            if _late_by_others(run):
                stood = _row_before(run, before)
            rows.append(_with_its_words(row, stood) if stood else row)
        text.append(f"\n## {_SECTIONS[section]}\n\n" + "\n".join(rows) + "\n")
    return "".join(text)


def _row(case: Case, run: Run, usual: frozenset[str], takes: Takes) -> str:
    findings = {_stable(one.text): one for one in run.findings}
    news = [(text, one) for text, one in findings.items() if text not in usual]
    words = [_detail(case, run)] if run.detail else []
    words += [_told(one, text) for text, one in news]
    words += [f"*{case.note}*"] if case.note else []
    words += [f"**Lie.** {case.lie}"] if case.lie else []
    return _columns(
        (
            case.fault,
            f"`{run.outcome}`",
            takes.value,
            _machine(run),
            "<br>".join(words) or "nothing",
            _remedy(case, run, [one for _, one in news]),
        )
    )


def _detail(case: Case, run: Run) -> str:
    """The fence's own words; of two workers, one of which was given up, only that."""
    device, outcome, words = run.detail.split(": ", 2)
    words = _stable(words)
    if GIVEN_UP in words.split("; "):
        words = f"no answer from the worker in N s; {GIVEN_UP}"
    return f"{device}: {outcome}: {'(what it said last)' if case.varies else words}"


def _told(finding: Finding, text: str) -> str:
    code = f"`{finding.code}`"
    return f"**{code}**: {text}" if finding.blocks else f"{code}: {text}"


def _remedy(case: Case, run: Run, findings: Sequence[Finding]) -> str:
    remedies = list(dict.fromkeys(finding.remedy for finding in findings))
    if case.then:
        remedies.append(case.then)
    if not remedies and run.outcome is not FenceOutcome.CONFIRMED_OFF:
        remedies.append(_NOT_PROVED)
    return "<br>".join(remedies) or "nothing"


def _machine(run: Run) -> str:
    if run.ran:
        return "on" if run.ran_later else "on, off later"
    return "off, on later" if run.ran_later else "off"


def _time(run: Run, before: str) -> Takes:
    row = _row_before(run, before)
    for takes in Takes:
        if f" | {takes.value} | " in row and takes.may_be(run):
            return takes
    return Takes.of(run)


def _row_before(run: Run, before: str) -> str:
    """How the page has it; "" if it has not."""
    section, _, fault = run.name.partition(": ")
    rows = before.partition(f"## {_SECTIONS[section]}\n")[2].partition("\n## ")[0].splitlines()
    return next((row for row in rows if row.startswith(f"| {_cell(fault)} | ")), "")


def _with_its_words(row: str, before: str) -> str:
    """A row with the outcome and the fence's own words that it had before."""
    cells, stood = row.split(" | "), before.split(" | ")
    cells[1] = stood[1]
    cells[4] = "<br>".join([*stood[4].split("<br>")[:1], *cells[4].split("<br>")[1:]])
    return " | ".join(cells)


def _late_by_others(run: Run) -> bool:
    """Whether a worker had no answer in time because others had the processor.

    It is held to all that every row is held to; only what it would have said is not known.
    """
    return run.pressed_s > BUSY_PART * run.seconds and GIVEN_UP in run.detail


def _stable(text: str) -> str:
    """The words without what differs from run to run; two workers' words in one order."""
    for pattern, instead in _UNSTABLE:
        text = re.sub(pattern, instead, text)
    return "; ".join(sorted({_shortened(part) for part in text.split("; ")}))


def _shortened(text: str) -> str:
    return text if len(text) <= QUOTE_CHARACTERS_MAX else text[:QUOTE_CHARACTERS_MAX] + "..."


def _columns(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
