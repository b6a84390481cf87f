# SPDX-License-Identifier: GPL-2.0-or-later
"""Posts one notice. Run as a program of its own.

Name service, TLS and a deaf server may take their time here; a thread could not be killed.

What to post is in the environment, as for a command; docs/monitoring.md shows the JSON. Secrets are
read from their files here and now, so a token that was changed is used by the next notice. They are
in no argument, no environment, and in nothing that is printed. No redirect is followed.

Exit status: 0 taken (any 2xx), 65 refused for good (another 3xx or 4xx), 75 try again.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
import sys
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from fencing.config.secret_files import SecretFileError, read_password

TAKEN, REFUSED, AGAIN = 0, 65, 75
"""Source: sysexits.h."""
PATIENCE = frozenset({408, 425, 429})
"""Begin with 4, and yet ask for another try. Source: RFC 9110, 15.5; RFC 8470; RFC 6585."""
PREFIX = "HAAGENT_"


def main() -> int:
    """Post; what went wrong is one line on stderr."""
    parser = argparse.ArgumentParser()
    for name in ("--url", "--url-file", "--authorization-file", "--folder", "--ca-file"):
        parser.add_argument(name, default="")
    parser.add_argument("--timeout", type=float, default=30.0)
    options = parser.parse_args()
    try:
        url = options.url or _secret(options.url_file, options.folder)
        headers = {"Content-Type": "application/json", "User-Agent": "haagent"}
        if options.authorization_file:
            headers["Authorization"] = _secret(options.authorization_file, options.folder)
        status = _post(urlsplit(url), headers, options.ca_file or None, options.timeout)
    except SecretFileError as error:
        return _say(f"secret {error}", AGAIN)
    except ssl.SSLCertVerificationError as error:
        return _say(f"certificate not believed: {error.verify_message}", AGAIN)
    except (OSError, http.client.HTTPException) as error:
        # Only its kind: some of these texts have the URL in them.
        return _say(
            f"not posted: {getattr(error, 'strerror', None) or type(error).__name__}", AGAIN
        )
    if 200 <= status < 300:
        return TAKEN
    gone = 300 <= status < 500 and status not in PATIENCE
    return _say(f"status {status}", REFUSED if gone else AGAIN)


def _secret(location: str, folder: str) -> str:
    return read_password(location, Path(folder)).decode(errors="surrogateescape")


def _post(url: SplitResult, headers: dict[str, str], ca_file: str | None, timeout_s: float) -> int:
    """The status of the answer."""
    host, port = url.hostname or "", url.port
    connection: http.client.HTTPConnection
    if url.scheme == "https":
        # Checks chain and name; the default of both.
        context = ssl.create_default_context(cafile=ca_file)
        connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    try:
        connection.request("POST", target, json.dumps(_body()).encode(), headers)
        return connection.getresponse().status
    finally:
        connection.close()


def _body() -> dict[str, str | int]:
    """The variables by their names in lower case, without the prefix."""
    told = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in os.environ.items()
        if name.startswith(PREFIX)
    }
    return {**told, "dropped": int(told.get("dropped", "0"))}


def _say(text: str, status: int) -> int:
    sys.stderr.write(text + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
