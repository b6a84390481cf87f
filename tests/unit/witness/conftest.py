# SPDX-License-Identifier: GPL-2.0-or-later
"""A real etcd cluster for all tests here, whole again and empty before each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.etcd import Etcd


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """Three members on the loopback."""
    with Etcd(tmp_path_factory.mktemp("etcd")) as running:
        yield running


@pytest.fixture
def etcd(cluster: Etcd) -> Iterator[Etcd]:
    """The cluster, with every member up and no keys in it."""
    yield cluster
    for member in cluster.members:
        if member.process is None:
            cluster.start(member)
        cluster.cont(member)
    cluster.wait_healthy()
    cluster.control("del", "--prefix", "/")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """For certificates."""
    return tmp_path
