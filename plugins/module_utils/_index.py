# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Package index settings for pip's environment."""

from __future__ import annotations

import os

# The trust store that Debian's and Ubuntu's ca-certificates maintain; certificates added to the host are in it.
SYSTEM_TRUST_STORE = "/etc/ssl/certs/ca-certificates.crt"


def installer_environment(index_url: str, extra_index_urls: list[str], find_links: list[str], netrc: str = "") -> dict[str, str]:
    """Return the variables with which pip uses these indexes and the host's own trust store; empty settings set nothing.

    C(netrc) is a file with credentials of indexes, which need not exist.
    """
    environment = {}
    if index_url:
        environment["PIP_INDEX_URL"] = index_url
    if extra_index_urls:
        environment["PIP_EXTRA_INDEX_URL"] = " ".join(extra_index_urls)
    if find_links:
        environment["PIP_FIND_LINKS"] = " ".join(find_links)
    if netrc and os.path.exists(netrc):
        environment["NETRC"] = netrc
    if os.path.exists(SYSTEM_TRUST_STORE):
        environment["PIP_CERT"] = SYSTEM_TRUST_STORE
    return environment
