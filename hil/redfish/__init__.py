# SPDX-License-Identifier: GPL-2.0-or-later
"""An emulated Redfish BMC with vendors' faces, from DMTF's schemas and public reports, with faults.

Written from the documents (DSP0266, DSP0268) and from what people showed of real BMCs, not from
the driver that is tested with it.
"""
