# SPDX-License-Identifier: GPL-2.0-or-later
"""The power of a server as its BMC tells us, read all the time: the lab's record of power."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

from fencing import Power
from hil.metal.device import DeviceError, PowerDevice
from hil.record import Record

READ_EVERY_S = 0.3
"""Between an answer and the next question; a fence waits off_settle, by default 2 s."""
BLIND_S_MAX = 30.0
"""A BMC may be restarted, or busy for so long; who sees nothing for longer has proved nothing."""


class Reading:
    """Keeps the record of one server's power.

    Its entries are those of the virtual bench as far as a BMC tells them: `read` (each answer),
    `power` (it has changed) and `order`: it went off and nobody of ours had it so; the order itself
    is not seen here.
    """

    def __init__(self, name: str, bmc: PowerDevice, record: Record) -> None:
        self.power = Power.UNKNOWN
        """As last read."""
        self.trouble = "not read yet"
        """Why the last reading failed; "" if it did not."""
        self._name, self._bmc, self._record = name, bmc, record
        self._ours = False
        """The next time that it goes off is our own doing."""
        self._dark: list[tuple[int, int | None]] = []
        """From when to when the BMC itself had no power, by our own hand."""
        self._read = threading.Condition()
        self._ending = threading.Event()
        # Its worker dies with the thread that started it, so that is this one.
        self._thread = threading.Thread(target=self._run, name=f"power of {name}", daemon=True)
        self._thread.start()

    def expect_off(self) -> None:
        """What comes next is no shot: we switch it off, or it leaves in order."""
        self._ours = True

    def cut(self) -> None:
        """Note that server and BMC have just lost their power by our own hand."""
        now_ns = time.monotonic_ns()
        self._dark.append((now_ns, None))
        with self._read:
            self._note(Power.OFF)

    def fed(self) -> None:
        """Note that the BMC has its power back: from now on it is to answer."""
        if self._dark and self._dark[-1][1] is None:
            self._dark[-1] = (self._dark[-1][0], time.monotonic_ns())

    def tell(self) -> None:
        """Have the record say what is true now, as at the beginning of a scenario."""
        self._ours = False
        self._record.add({"what": "power", "node": self._name, "state": str(self.power)})

    def wait(self, wanted: Power, limit_s: float) -> None:
        """Return when it is read so.

        Raises:
            DeviceError: It is not, within the limit.
        """
        with self._read:
            if not self._read.wait_for(lambda: self.power is wanted, limit_s):
                last = self.trouble or self.power
                raise DeviceError(f"{self._name} is not read as {wanted}: {last}")

    def wait_answer(self, limit_s: float) -> Power:
        """Return the next answer to a question that is put from now on.

        Raises:
            DeviceError: There is none.
        """
        since_ns = time.monotonic_ns()
        try:
            entry = self._record.wait(
                lambda e: (e["node"], e["what"]) == (self._name, "read"),
                limit_s,
                after_ns=since_ns,
            )
        except AssertionError as error:
            raise DeviceError(f"{self._name} is not read: {self.trouble}") from error
        return Power(entry["state"])

    def check_seen(self, since_ns: int, blind_s_max: float = BLIND_S_MAX) -> None:
        """Check that nothing of the power since a time can have been missed.

        Args:
            since_ns: The time.
            blind_s_max: For how long nobody may have read it, but for what `cut` took.

        Raises:
            AssertionError: It was not read for too long.
        """
        now_ns = time.monotonic_ns()
        dark = [(start_ns, now_ns if end_ns is None else end_ns) for start_ns, end_ns in self._dark]
        read = [e["at_ns"] for e in self._record.since(since_ns) if self._is_reading(e)]
        changes = [at_ns for span in dark for at_ns in span if at_ns > since_ns]
        for before_ns, after_ns in pairwise(sorted({since_ns, *read, *changes, now_ns})):
            if any(start_ns <= before_ns and after_ns <= end_ns for start_ns, end_ns in dark):
                continue
            gap_s = (after_ns - before_ns) / 1e9
            assert gap_s < blind_s_max, (
                f"nobody read the power of {self._name} for {gap_s:.0f} s: {self.trouble}"
            )

    def close(self) -> None:
        """Stop reading."""
        self._ending.set()
        self._thread.join()

    def _is_reading(self, entry: dict[str, object]) -> bool:
        return (entry["node"], entry["what"]) == (self._name, "read")

    def _run(self) -> None:
        while not self._ending.wait(READ_EVERY_S):
            try:
                power = self._bmc.status()
            except DeviceError as error:
                self.trouble = str(error)
                continue
            if power is Power.UNKNOWN:
                self.trouble = "it does not tell"
                continue
            with self._read:
                self.trouble = ""
                self._record.add({"what": "read", "node": self._name, "state": str(power)})
                self._note(power)
                self._read.notify_all()
        self._bmc.close()

    def _note(self, power: Power) -> None:
        if power is self.power:
            return
        was, self.power = self.power, power
        if power is Power.OFF and was is Power.ON:
            if not self._ours:
                shot = {"what": "order", "node": self._name, "order": "power_off"}
                self._record.add(shot)
            self._ours = False
        self._record.add({"what": "power", "node": self._name, "state": str(power)})
