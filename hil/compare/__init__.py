# SPDX-License-Identifier: GPL-2.0-or-later
"""haagent and its peers on the same bench: same servers, same deaths, same client, same observer.

`contender.py` says what each has to bring; `ours.py`, `pacemaker.py` and `keepalived.py` bring it;
`measure.py` lets one server die and asks those outside what they saw; `table.py` tells it.
"""
