# SPDX-License-Identifier: GPL-2.0-or-later
"""The program that tells a receiver: the operator's command, or ours that posts."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from haagent.alerts import Receiver
from haagent.resources.process import Program

CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""Where systemd has put what LoadCredential= names: systemd.exec(5)."""


def program(receiver: Receiver, environment: Mapping[str, str]) -> Program:
    """What is to be run. Secrets are in neither its arguments nor its environment."""
    target = receiver.target
    if isinstance(target, tuple):
        return Program(target, "alert", environment)
    words = {
        "--url": target.url,
        "--url-file": target.url_file,
        "--authorization-file": target.authorization_file,
        "--folder": str(target.folder),
        "--ca-file": "" if target.ca_file is None else str(target.ca_file),
        "--timeout": f"{receiver.timeout_s:g}",
    }
    given = (word for name, value in words.items() if value for word in (name, value))
    argv = (sys.executable, "-I", "-m", "haagent.alerts.webhook", *given)
    if (credentials := os.environ.get(CREDENTIALS)) is not None:
        environment = {**environment, CREDENTIALS: credentials}
    return Program(argv, "webhook", environment)
