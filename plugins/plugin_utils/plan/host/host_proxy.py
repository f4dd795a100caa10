# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host reaches without the site's proxy: itself, its peers, and hosts of the inventory that it downloads from."""

from __future__ import annotations

from typing import Iterator

from ..inputs.settings.proxies import Proxy, host_of, proxy_of
from ..placement.draft import HostDraft


def proxy_between(host: HostDraft, inventory: frozenset[str]) -> Proxy:
    """The proxy of a host.

    :param inventory: names and addresses of all hosts
    """
    settings = host.settings
    if not (settings.host_http_proxy or settings.host_https_proxy):
        return Proxy()
    return proxy_of(settings, _own(host), _peers(host), _places(host), inventory)


def _own(host: HostDraft) -> list[str]:
    found = host.facts.interfaces.values() if host.facts is not None else ()
    return [host.address, *sorted(address for addresses in found for address in addresses)]


def _peers(host: HostDraft) -> Iterator[str]:
    if host.settings.weights_mirror_address:
        yield host.settings.weights_mirror_address
    for draft in host.services:
        if draft.placement is not None:
            yield from (node.address for node in draft.placement.nodes)
        if draft.weights is not None:
            yield host_of(draft.weights.share.url)


def _places(host: HostDraft) -> Iterator[str]:
    settings = host.settings
    yield from (settings.host_index_url, *settings.host_extra_index_urls, *settings.host_find_links, settings.cuda_apt_repository, settings.vllm_python_mirror)
    for draft in host.services:
        yield from (draft.release.index_url, *draft.release.extra_index_urls, *draft.release.find_links, draft.release.source.address)
        if draft.weights is not None:
            yield from draft.weights.endpoints
