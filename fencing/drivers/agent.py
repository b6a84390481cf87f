# SPDX-License-Identifier: GPL-2.0-or-later
"""Any fence agent of ClusterLabs as a device: one run of its program for each operation.

An agent is told what to do on its stdin and answers with its exit status. Little of that is
believed here. Of `off` nothing: only a later `status` counts. Of `status` the exit status *and*
the word: 2 is also what an interpreter or a shell ends with that could not even read the agent,
so *off* is exit 2 with "OFF" in the last line of the output, and *on* is 0 with "ON". So an agent
that says nothing is noticed while the machine runs, not on the night it is needed. `reboot` is
never used.

Source: fence-agents 4.12.1, doc/FenceAgentAPI.md and lib/fencing.py.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from fencing import DeviceSettings, FenceError, Inspection, NotSentError, Power
from fencing.drivers import contained
from fencing.drivers.installed import find
from fencing.drivers.metadata import Metadata, key, missing, read, unwritable, written
from fencing.drivers.redaction import Redaction
from fencing.findings import Finding, Trouble

ANSWER_S = 7.0
"""An agent needs 0.2 to 3 s for a device that is well (measured with fence_ipmilan); a check
runs two of them within its 15 s (fencing.client)."""
POWER_TIMEOUT_SPARE_S = 2.0
"""An agent that waits for the effect by itself gives up so long before it would be killed."""

NOT_POWER = {
    "fence_ack_manual": "a person's word is given to haagent itself",
    "fence_compute": "it reads what a cloud believes, not the power",
    "fence_crosslink": "a ping without an answer is no proof",
    "fence_evacuate": "it reads what a cloud believes, not the power",
    "fence_heuristics_ping": "a ping is about the network of this machine",
    "fence_kdump": "a message of a crashed kernel is no reading of the power",
    "fence_legacy": "its status is that of the device, not of the machine",
    "fence_sbd": "a message left on a disk is no reading of the power",
    "fence_watchdog": "it reads nothing",
}
"""Agents whose status, where there is one, is not about the power of the machine.

Source: their code, fence-agents 4.12.1 and Pacemaker 2.1.5."""
FABRIC = (
    "it cuts a machine from storage or network and leaves it running; a disk's permission has a "
    'driver of its own, "permission"'
)
OURS = {
    "action": "is decided by haagent",
    "debug": "would leave secrets in a file",
    "debug_file": "would leave secrets in a file",
    "delay": "would delay every fence",
    "help": "would keep the agent from acting",
    "missing_as_off": "would take an outlet that is not there for a machine that is off",
    "option": "is decided by haagent",
    "passwd": "belongs into the file that password_file names",
    "password": "belongs into the file that password_file names",
    "verbose": "would leave secrets in the system's log",
    "verbose_level": "would leave secrets in the system's log",
    "version": "would keep the agent from acting",
}
"""Parameters that a configuration may not set, and why."""
_WHERE = ("ip", "ipaddr", "ipport", "plug", "port", "switch")
"""The parameters that tell two devices apart."""
_TROUBLES = (
    (r"you have to|valid choice|not a valid|unable to run", Trouble.SETTINGS),
    (r"privilege|not permitted|permission denied|forbidden|\b403\b", Trouble.PRIVILEGE),
    (r"certificate|ssl", Trouble.CERTIFICATE),
    (
        r"login denied|unauthori[sz]ed|invalid.*password|authentication|\b401\b",
        Trouble.LOGIN_REFUSED,
    ),
    (r"timed out|timeout|connect|unreachable|no route|resolve", Trouble.UNREACHABLE),
)
"""What a complaint tells of, the first that matches: for every failure there is one exit status."""
_STAMP = re.compile(r"^[0-9-]+ [0-9:,.]+ +(?:ERROR|WARNING|CRITICAL): +")
_NO_NEWS = re.compile(r"(?:Please use '-h' for usage)?")
_ON_OFF = re.compile(r"\b(?:on|off)\b")


@dataclass(frozen=True, slots=True)
class _Agent:
    """An agent that was judged fit, and all that it is given beside the action."""

    program: Path
    metadata: Metadata
    parameters: bytes


class AgentDevice:
    """What one fence agent switches.

    Options: `agent` (its name or path) and `answer` (limit of one run); all others are parameters
    of the agent. User, password and key go to the parameters that are meant for them.
    """

    def __init__(self, settings: DeviceSettings) -> None:
        options = dict(settings.options)
        self._name = str(options.pop("agent", ""))
        self._answer_s = float(str(options.pop("answer", ANSWER_S)))
        self._options = options
        self._settings = settings
        self._redaction = Redaction(settings.user, settings.password, settings.kg)
        self._known: _Agent | None = None
        self._evidence = ""

    def off(self) -> None:
        """Order off; an agent that reads off already sends nothing."""
        self._order("off")

    def on(self) -> None:
        """Order on; an agent that reads on already sends nothing."""
        self._order("on")

    def status(self) -> Power:
        """Ask the agent; only if its exit status and its word agree, it is an answer."""
        ended = self._run("status")
        said = (ended.output.strip().splitlines() or [""])[-1]
        self._evidence = self._redaction.line(said)
        words = set(_ON_OFF.findall(said.lower()))
        if (ended.code, words) == (0, {"on"}):
            return Power.ON
        if (ended.code, words) == (2, {"off"}):
            return Power.OFF
        if ended.code == 1 and ended.complaint.strip():
            raise self._failed("status", ended)
        text = f"{self._name} status ended with {ended.code}, saying {self._evidence!r}"
        raise FenceError(f"{text}: neither on nor off by its contract", Trouble.UNVERIFIABLE)

    def evidence(self) -> str:
        """The last line of the last status."""
        return self._evidence

    def identify(self) -> UUID | None:
        """No agent tells whose power it is."""
        return None

    def inspect(self) -> Inspection:
        """Run `monitor`, if the agent has it, by which a cluster judges an agent too."""
        agent = self._fit()
        unknown = f"{self._name} cannot say whose power it switches"
        findings = [Finding(Trouble.IDENTITY_UNKNOWN, unknown)]
        if "monitor" in agent.metadata.actions:
            ended = self._run("monitor")
            if ended.code not in (0, 2):  # 2: well, and its one outlet is off.
                failed = self._failed("monitor", ended)
                findings.append(Finding(failed.trouble, str(failed)))
        return Inspection(mark=self._mark(), findings=tuple(findings))

    def rest(self) -> None:
        """Nothing is kept between two operations."""

    def close(self) -> None:
        """Nothing is kept between two operations."""

    def _order(self, action: str) -> None:
        """Have one order carried out, whatever is read of it later."""
        if action not in self._fit().metadata.actions:
            raise NotSentError(f"{self._name} has no {action}", Trouble.UNVERIFIABLE)
        ended = self._run(action)
        if ended.code != 0:
            raise self._failed(action, ended)

    def _run(self, action: str) -> contained.Ended:
        agent = self._fit()
        text = f"action={action}\n".encode() + agent.parameters
        return contained.run(agent.program, text, self._answer_s)

    def _failed(self, action: str, ended: contained.Ended) -> FenceError:
        """The failure of a run as an error, in the agent's own words."""
        lines = ended.complaint.splitlines()
        # Python's own warnings about an agent stand beside what the agent itself reports.
        own = [line for line in lines if _STAMP.match(line)] or lines
        words = (_STAMP.sub("", line.strip()) for line in own)
        said = self._redaction.line("; ".join(w for w in words if not _NO_NEWS.fullmatch(w)))
        found = (name for pattern, name in _TROUBLES if re.search(pattern, said.lower()))
        text = f"{self._name} {action} ended with {ended.code}: {said or 'it says nothing of why'}"
        return FenceError(text, next(found, Trouble.REFUSED))

    def _fit(self) -> _Agent:
        """The agent, once it was found fit; looked at again as long as it is not.

        Raises:
            NotSentError: It cannot be used as it is, for the reasons given.
        """
        if self._known is None:
            program = find(self._name)
            metadata = self._ask_metadata(program)
            self._judge(program, metadata)
            parameters = self._parameters(metadata)
            self._known = _Agent(program, metadata, parameters)
        return self._known

    def _judge(self, program: Path, metadata: Metadata) -> None:
        """Refuse an agent whose status can be no proof of the power being off.

        Raises:
            NotSentError: It is one, for the reason given.
        """
        names = (program.name, program.resolve().name)
        reasons = [NOT_POWER[name] for name in names if name in NOT_POWER]
        if metadata.fabric:
            reasons.append(FABRIC)
        reasons += lacks(metadata, "off", "status")
        if reasons:
            raise NotSentError(f"{program.name}: {reasons[0]}", Trouble.UNVERIFIABLE)

    def _ask_metadata(self, program: Path) -> Metadata:
        try:
            ended = contained.run(program, b"action=metadata\n", self._answer_s)
            if ended.code != 0:
                raise self._failed("metadata", ended)
            return read(ended.output)
        except NotSentError:
            raise
        except FenceError as error:
            raise NotSentError(str(error), Trouble.UNVERIFIABLE) from None
        except ValueError as error:
            text = f"{self._name} gives no metadata: {self._redaction.line(str(error))}"
            raise NotSentError(text, Trouble.UNVERIFIABLE) from None

    def _parameters(self, metadata: Metadata) -> bytes:
        """Everything but the action, as lines for stdin.

        Raises:
            NotSentError: The agent does not take the options as they are; all problems are named.
        """
        problems = [f"{name} {OURS[key(name)]}" for name in self._options if key(name) in OURS]
        options = {name: value for name, value in self._options.items() if key(name) not in OURS}
        texts, wrong = written(metadata, options)
        given = {name: text.encode() for name, text in texts.items()}
        for names, secret in self._credentials():
            name = metadata.first(*names)
            if name is None:
                wrong.append(f"it has no {names[0]} to be given")
            elif name in given:
                wrong.append(f"{name} is given twice")
            else:
                given[name] = secret
                problem = unwritable(secret.decode(errors="surrogateescape"))
                wrong += [f"{name} {problem}"] if problem else []
        wrong += missing(metadata, given)
        if problems or wrong:
            text = f"options of {self._name}: {'; '.join(problems + wrong)}"
            raise NotSentError(text, Trouble.SETTINGS)
        given = self._tuned(metadata) | given
        return b"".join(name.encode() + b"=" + text + b"\n" for name, text in given.items())

    def _credentials(self) -> Iterator[tuple[tuple[str, ...], bytes]]:
        """The names that a credential goes by in metadata, the present one first."""
        settings = self._settings
        if settings.user:
            yield ("username", "login"), settings.user.encode()
        if settings.password.reveal():
            yield ("password", "passwd"), settings.password.reveal()
        if settings.kg is not None:
            yield ("hexadecimal_kg",), settings.kg.reveal().hex().encode()

    def _tuned(self, metadata: Metadata) -> dict[str, bytes]:
        """What makes an agent fast, where it has it: all waiting and reading again is ours."""
        power_timeout_s = max(self._answer_s - POWER_TIMEOUT_SPARE_S, 1.0)
        tuned = {
            "delay": b"0",  # fence_powerman's own default is 3 s.
            "power_wait": b"0",
            "power_timeout": str(int(power_timeout_s)).encode(),
            "ipmitool_timeout": b"1",  # Its 2 s make 28 s of a silent BMC (measured).
        }
        return {name: text for name, text in tuned.items() if name in metadata.parameters}

    def _mark(self) -> str:
        """The agent's name and where its device is; all of its options if it has no such place."""
        given = {key(name): str(value) for name, value in self._options.items()}
        where = {name: text for name, text in given.items() if name in _WHERE} or given
        return " ".join([self._name, *(f"{name}={where[name]}" for name in sorted(where))])


def lacks(metadata: Metadata, *actions: str) -> list[str]:
    """What is missing of these actions, in words."""
    return [f"it has no {name}" for name in actions if name not in metadata.actions]
