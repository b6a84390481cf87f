# SPDX-License-Identifier: GPL-2.0-or-later
"""Foreign text made fit for a log: without our secrets, on one line, and short."""

from __future__ import annotations

import html
import json
import shlex
import urllib.parse
from base64 import b64encode
from collections.abc import Iterator

from fencing import Secret
from fencing.config.problems import printable

CHARACTERS_MAX = 200
"""What one still reads at a glance."""
_HIDDEN = "***"


class Redaction:
    """Hides the secrets of one device, in every form that programs write them in."""

    def __init__(self, user: str, *secrets: Secret | None) -> None:
        forms = {
            form
            for secret in secrets
            if secret is not None and secret.reveal()
            for form in _forms(user, secret.reveal())
        }
        # A form that contains another one must go first, or the rest of it would stay.
        self._forms = sorted(forms, key=len, reverse=True)

    def line(self, text: str) -> str:
        """`text` as one line of at most CHARACTERS_MAX characters."""
        for form in self._forms:
            text = text.replace(form, _HIDDEN)
        text = printable(" ".join(text.split()))
        return text if len(text) <= CHARACTERS_MAX else text[: CHARACTERS_MAX - 3] + "..."


def _forms(user: str, secret: bytes) -> Iterator[str]:
    text = secret.decode(errors="replace")
    yield from (text, repr(text)[1:-1], json.dumps(text)[1:-1], html.escape(text))
    yield from (shlex.quote(text), shlex.quote(text)[1:-1] if "'" in text else text)
    yield from (urllib.parse.quote(text, safe=""), urllib.parse.quote_plus(text))
    yield from (secret.hex(), secret.hex().upper())
    yield from (b64encode(secret).decode(), b64encode(user.encode() + b":" + secret).decode())
