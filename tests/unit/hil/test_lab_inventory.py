# SPDX-License-Identifier: GPL-2.0-or-later
"""The inventory of a lab: the page's example is one, and what is wrong is said by its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from hil.metal.inventory import InventoryError, read_inventory

PAGE = Path(__file__).parents[3] / "docs/lab.md"
PASSWORDS = ("alpha-bmc", "beta-bmc", "mains")
SECRET = "hunter2"  # noqa: S105  # of a test


def example() -> str:
    """The inventory that the page shows."""
    return PAGE.read_text().split("```toml\n")[1].split("```")[0]


def written(folder: Path, text: str) -> Path:
    """An inventory in a folder that has every secret it names."""
    for name in PASSWORDS:
        place = folder / f"{name}.password"
        place.touch(0o600)
        place.write_text(f"{SECRET}\n")
    file = folder / "lab.toml"
    file.write_text(text)
    return file


def test_example_of_the_page_is_an_inventory(tmp_path: Path) -> None:
    """All that the page shows is read, and what it leaves out for beta is not there."""
    lab = read_inventory(written(tmp_path, example()))
    alpha, beta = lab.servers
    assert (lab.cluster, lab.address, lab.boot_limit_s) == ("web-lab", "192.0.2.10", 600)
    assert (alpha.name, alpha.bmc.driver, beta.bmc.driver) == ("alpha", "ipmi", "redfish")
    assert alpha.mains is not None
    assert alpha.mains.options["outlets"] == (1, 2)
    assert alpha.bmc.password.reveal() == SECRET.encode()
    assert alpha.ports["lan"].down[-1] == "interface 1/0/1 shutdown"
    assert "ring" not in alpha.ports
    assert (beta.mains, dict(beta.ports), beta.console) == (None, {}, ())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('cluster = "web-lab"', "", "cluster: -: is missing"),
        ('address = "192.0.2.10"', 'address = "2001:db8::1"', "address: "),
        ('interface = "eno2"', 'interface = "a/b"', "interface: "),
        ('boot_limit = "10m"', 'boot_limit = "1s"', "boot_limit: "),
        ('ssh = "root@203.0.113.21"', 'ssh = "-oProxyCommand=x"', "server.alpha.ssh: "),
        ('ssh = "root@203.0.113.22"', "", "server.beta.ssh: -: is missing"),
        ('driver = "ipmi"', 'driver = "ipmy"', "fence.alpha-bmc.driver: "),
        ('"alpha-bmc.password"', '"none.password"', "fence.alpha-bmc.password_file: "),
        ("outlets = [1, 2]", "outlets = []", "fence.alpha-mains.options.outlets: "),
        ("[server.ports.lan]", "[server.ports.wan]", "server.alpha.ports.wan: "),
        ('name = "beta"', 'name = "alpha"', "server: (not shown): both have one name"),
        ("cluster =", "cluster ", "not TOML"),
    ],
)
def test_what_is_wrong_is_said_by_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    """Each fault gives a line that begins with the file, names the key and shows no secret."""
    assert old in example()
    file = written(tmp_path, example().replace(old, new, 1))
    with pytest.raises(InventoryError) as refused:
        read_inventory(file)
    assert any(line.startswith(f"{file}: ") and said in line for line in refused.value.lines)
    assert SECRET not in str(refused.value)


def test_one_server_is_no_pair(tmp_path: Path) -> None:
    """An inventory that lost its second server is refused, not run with one."""
    alone = example().rpartition("[[server]]")[0]
    with pytest.raises(InventoryError, match=r"a pair has two \[\[server\]\]"):
        read_inventory(written(tmp_path, alone))


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    """Two faults in two tables give two lines."""
    text = example().replace('driver = "redfish"', 'driver = "x"').replace('group = "web"', "")
    with pytest.raises(InventoryError) as refused:
        read_inventory(written(tmp_path, text))
    assert len(refused.value.lines) == len(("fence.beta-bmc.driver", "group"))
