# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

"""Names a full disk on which the module cannot start. Documented in plugins/modules/service_status.py."""

from ..plugin_utils.read_host import ReadHost


class ActionModule(ReadHost):
    """M(inferops.gpu.service_status), with a clear error on a host whose disk is full."""
