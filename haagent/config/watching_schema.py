# SPDX-License-Identifier: GPL-2.0-or-later
"""Form of the tables that decide nothing: [hooks], [metrics], [[alert]]."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import PlainValidator

from fencing.config import duration, forms
from fencing.config.forms import Address
from haagent.config import values
from haagent.config.schema import Argv, Location, Name, Port, Table
from haagent.metrics import MetricsSettings

HOOK_TIMEOUT_NS = 30 * duration.UNITS_NS["s"]
"""As in haagent.hooks.Hook."""
ALERT_TIMEOUT_NS = 30 * duration.UNITS_NS["s"]
"""As in haagent.alerts.Receiver."""
TEXTFILE_EVERY_NS = round(MetricsSettings().textfile_every_s * duration.UNITS_NS["s"])


class HooksTable(Table):
    """Form of [hooks]."""

    on_active: Argv | None = None
    on_standby: Argv | None = None
    on_fence: Argv | None = None
    on_alarm: Argv | None = None
    timeout: Annotated[int, PlainValidator(forms.span("100ms", "1h"))] = HOOK_TIMEOUT_NS


class MetricsTable(Table):
    """Form of [metrics]."""

    port: Port | None = None
    address: Annotated[Address | None, PlainValidator(values.listen_address)] = None
    textfile: Annotated[str | None, PlainValidator(values.textfile)] = None
    textfile_every: Annotated[int, PlainValidator(forms.span("1s", "10m"))] = TEXTFILE_EVERY_NS


class AlertTable(Table):
    """Form of [[alert]]: one of command, url and url_file."""

    name: Name
    command: Argv | None = None
    url: Annotated[str | None, PlainValidator(values.webhook)] = None
    url_file: Location | None = None
    authorization_file: Location | None = None
    ca_file: Annotated[str | None, PlainValidator(forms.absolute_path)] = None
    severity: Literal["info", "warning", "critical"] = "warning"
    after: Annotated[int, PlainValidator(forms.span("0s", "1h"))] = 5 * duration.UNITS_NS["s"]
    timeout: Annotated[int, PlainValidator(forms.span("1s", "5m"))] = ALERT_TIMEOUT_NS
