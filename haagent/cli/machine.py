# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks this machine what it says to a configuration, for the commands that print it."""

from __future__ import annotations

import asyncio
import logging

import structlog

from fencing.config.problems import Problem
from haagent.config import Configuration
from haagent.resources.inspection import inspect


def what_it_says(configuration: Configuration) -> list[Problem]:
    """Its units, OCF agents and programs; what refuses comes last. Nothing is changed."""
    before = structlog.get_config()
    # What the agents say is in the findings.
    quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=quiet)
    try:
        found = asyncio.run(inspect(configuration))
    finally:
        structlog.configure(**before)
    return sorted(found, key=lambda problem: problem.refuses)
