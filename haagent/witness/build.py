# SPDX-License-Identifier: GPL-2.0-or-later
"""From the settings of a pair's witnesses to the witnesses."""

from __future__ import annotations

import ssl
from typing import assert_never

from haagent.config import Configuration
from haagent.config.settings import Keys
from haagent.core.wire import cluster_id
from haagent.errors import EdgeError
from haagent.probes.stream import check_server_name, tls_context
from haagent.reach import Reference
from haagent.witness import Seat, Witness
from haagent.witness.etcd import EtcdWitness
from haagent.witness.gateway import Endpoint, Gateway
from haagent.witness.observing import ObserverWitness
from haagent.witness.panel import Panel
from haagent.witness.reference import ReferenceWitness
from haagent.witness.settings import (
    EtcdSettings,
    ObserverSettings,
    ReferenceSettings,
    WitnessPlan,
)
from haagent.witness.telegram import Seal, creed

QUESTION_PART = 0.6
"""Of the time for a claim, which takes three questions of a cluster in good order: what one of them
may take, so that a member that hangs is told from a claim that takes long."""


def make_panel(configuration: Configuration) -> Panel:
    """The witnesses of that configuration; reads certificates, so before the loop runs.

    Raises:
        EdgeError: A certificate or key cannot be used.
    """
    seats = [
        Seat(plan.name, plan.kind, _witness(plan, configuration), plan.timeout_s, plan.ignored)
        for plan in configuration.witnesses
    ]
    return Panel(seats, second=configuration.pair.me == 1)


def _witness(plan: WitnessPlan, configuration: Configuration) -> Witness:
    groups = [group.name for group in configuration.pair.groups]
    match plan.target:
        case EtcdSettings():
            return EtcdWitness(
                make_gateway(plan.target, QUESTION_PART * plan.timeout_s),
                f"{plan.target.prefix}/{configuration.cluster}",
                groups,
                configuration.node_names[configuration.pair.me],
                plan.target.lease_s,
            )
        case ObserverSettings():
            seal, me = make_seal(configuration.cluster, configuration.keys), configuration.pair.me
            where, lease_ns = (plan.target.address, plan.target.port), plan.target.lease_ns
            ours = creed(configuration.node_names, groups, lease_ns)
            return ObserverWitness(*where, me, seal, plan.timeout_s, lease_ns, ours)
        case ReferenceSettings():
            return ReferenceWitness(Reference(plan.target.address), plan.timeout_s)
        case _:
            assert_never(plan.target)


def make_seal(cluster: str, keys: Keys) -> Seal:
    """How telegrams to and from observers are signed: as the heartbeats are."""
    return Seal(cluster_id(cluster), keys.send, keys.secrets)


def make_gateway(settings: EtcdSettings, timeout_s: float) -> Gateway:
    """The way to a cluster.

    Raises:
        EdgeError: A certificate or key cannot be used; the text names the file.
    """
    tls = _tls(settings) if settings.tls else None
    endpoints = [
        Endpoint(address, port, tls, settings.server_name) for address, port in settings.endpoints
    ]
    return Gateway(endpoints, timeout_s)


def _tls(settings: EtcdSettings) -> ssl.SSLContext:
    context = tls_context(settings.ca_file)
    if settings.server_name:
        check_server_name(settings.server_name)
    if settings.cert_file is not None:
        # No prompt for a passphrase: an agent has nobody to ask.
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file, password=lambda: "")
        except ssl.SSLError as error:
            text = f"{settings.cert_file}: no certificate with its key ({error.reason})"
            raise EdgeError(text) from error
        except OSError as error:
            name = error.filename or f"{settings.cert_file} or {settings.key_file}"
            raise EdgeError(f"{name}: {error.strerror}") from error
    return context
