# SPDX-License-Identifier: GPL-2.0-or-later
"""What NetworkManager's configuration says of one interface. A real one is in tests/packaging."""

from __future__ import annotations

from pathlib import Path

import pytest

from haagent.doctor.network_manager import judged, settings

DROP_IN = Path(__file__).parents[3] / "systemd/examples/networkmanager-keep-vip.conf"
MANAGED = "[main]\nplugins=keyfile\n\n[device]\n# wifi.backend=iwd\nmanaged=1\n\n"
BOTH = "ignore-carrier=Yes\nkeep-configuration=false\n"


def section(match: str, text: str = BOTH) -> str:
    """A section of the configuration for the devices that it matches."""
    return f"[device-{len(match)}]\nmatch-device={match}\n{text}"


@pytest.mark.parametrize(
    ("printed", "verdict"),
    [
        pytest.param("", "warning", id="nothing"),
        pytest.param(MANAGED, "warning", id="as-debian-has-it"),
        pytest.param(MANAGED + DROP_IN.read_text(), "ok", id="our-drop-in"),
        pytest.param(section("interface-name:lan0", "ignore-carrier=yes\n"), "warning", id="half"),
        pytest.param(section("interface-name:lan1"), "warning", id="of-another"),
        pytest.param(section("lan1;lan0"), "ok", id="listed"),
        pytest.param(section("interface-name:=lan0"), "ok", id="literal"),
        pytest.param(section("interface-name:lan?"), "ok", id="pattern"),
        pytest.param(section("lan?"), "warning", id="no-pattern"),
        pytest.param(section("*"), "ok", id="all"),
        pytest.param(section("except:interface-name:lan1"), "ok", id="all-but-another"),
        pytest.param(section("*,except:interface-name:lan0"), "warning", id="all-but-it"),
        pytest.param(section("mac:02:00:00:00:00:01"), "warning", id="by-its-address"),
        pytest.param(
            section("*", "ignore-carrier=no\n") + section("lan0"), "warning", id="the-first-counts"
        ),
        pytest.param(section("*", "stop-match=yes\n") + section("lan0"), "warning", id="stopped"),
        pytest.param(section("lan0").replace("device", "connection"), "warning", id="elsewhere"),
    ],
)
def test_only_both_settings_for_this_interface_will_do(printed: str, verdict: str) -> None:
    """A managed interface is fine if its device sections forbid both, as the manual reads them."""
    assert judged("lan0", "connected", printed).verdict == verdict
    assert judged("lan0", "unavailable", printed).verdict == verdict


def test_an_interface_that_it_leaves_alone_needs_nothing() -> None:
    """Unmanaged is fine; one that it has taken over as it found it is not, whatever is set."""
    assert judged("lan0", "unmanaged", "").verdict == "ok"
    assert judged("lan0", "connected (externally)", section("lan0")).verdict == "warning"


def test_comments_say_nothing() -> None:
    """What is commented out does not count."""
    assert settings("lan0", "[device]\n# ignore-carrier=yes\nmanaged=1\n") == {"managed": "1"}
