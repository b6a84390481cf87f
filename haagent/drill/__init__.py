# SPDX-License-Identifier: GPL-2.0-or-later
"""Drills: a failover that is never practised does not work.

On the agents' side (`desk`, `faults`, `stopper`) a fault is a lease that its own node ends; the
drill itself (`run`) is a program beside the agent, which may die at any moment. Nothing here takes
part in a takeover.
"""
