# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sharing of weights between hosts: the host that downloads them, and the hosts that copy from it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Sequence

from ..artifacts.weights import Weights
from ..inputs.addresses import bracketed, reached_at
from ..inputs.run import Run
from ..inputs.settings import networks
from ..inputs.settings.sharing import FOLLOWER, MIRROR, PEER, SOURCE, Share
from ..placement.draft import HostDraft, ServiceDraft

# Repository, revision and patterns, by which two hosts need the same files.
_Wanted = tuple[str, str, frozenset[str], frozenset[str]]


def share_out(hosts: Sequence[HostDraft], run: Run) -> list[HostDraft]:
    """The hosts with their roles in sharing weights.

    Of the peers in this run the source is a host that has the verified weights, else the first of the inventory. The choice is stable, so that the
    next run resumes an interrupted download. Hosts that have the weights copy nothing.
    """
    wanting: dict[_Wanted, list[HostDraft]] = {}
    for host in hosts:
        if host.settings.weights_share == PEER and (run.hosts is None or host.name in run.hosts):
            for key in _keys(host):
                wanting.setdefault(key, []).append(host)
    shares: dict[tuple[str, _Wanted], Share] = {}
    for key, sharers in wanting.items():
        shares.update({(name, key): share for name, share in _shares(key, sharers).items()})
    clients = _Clients(hosts)
    return [replace(_with_shares(host, shares), weights_clients=clients.of(host)) for host in hosts]


class _Clients:
    """The sources that may fetch weights from a host, independent of which host already has them.

    A host with shared weights allows all peers: during a run it serves only its followers, and separate lists for each host and model would be a
    million rules for a thousand hosts. A mirror allows all hosts that use it.
    """

    def __init__(self, hosts: Sequence[HostDraft]) -> None:
        wanting: Counter[_Wanted] = Counter()
        peers: list[str] = []
        mirrored: dict[str, list[str]] = {}
        for host in hosts:
            if host.settings.weights_share == PEER:
                keys = _keys(host)
                wanting.update(keys)
                peers += [address_of(host, key) for key in keys]
            if host.settings.weights_share == MIRROR:
                mirrored.setdefault(host.settings.weights_mirror_host, []).append(reached_at(host.address, host.facts)[0])
        self._shared = {key for key, count in wanting.items() if count > 1}
        self._peers = networks.smallest(peers)
        self._mirrored = {name: networks.smallest(addresses) for name, addresses in mirrored.items()}

    def of(self, host: HostDraft) -> tuple[tuple[int, str], ...]:
        """Ports, each with an allowed network, without the host itself."""
        settings = host.settings
        found = []
        keys = _keys(host) if settings.weights_share == PEER else []
        if not self._shared.isdisjoint(keys):
            found += [(settings.weights_share_port, network) for network in networks.without(self._peers, *(address_of(host, key) for key in keys))]
        own = reached_at(host.address, host.facts)[0]
        found += [(settings.weights_mirror_port, network) for network in networks.without(self._mirrored.get(host.name, ()), own)]
        return tuple(dict.fromkeys(found))


def _keys(host: HostDraft) -> list[_Wanted]:
    """The weights that a host needs and that are not pre-staged."""
    return list(dict.fromkeys(_wanted(weights) for draft in host.services for weights in draft.all_weights if not weights.is_local))


def _shares(key: _Wanted, sharers: list[HostDraft]) -> dict[str, Share]:
    have = [host for host in sharers if _has(host, key)]
    source = (have or sharers)[0]
    followers = [host for host in sharers if host is not source and host not in have]
    if not followers:
        return {}
    url = f"http://{bracketed(address_of(source, key))}:{source.settings.weights_share_port}"
    shares = {host.name: Share(FOLLOWER, source.name, url) for host in followers}
    shares[source.name] = Share(SOURCE, source.name, url, tuple(address_of(host, key) for host in followers))
    return shares


def address_of(host: HostDraft, key: _Wanted) -> str:
    """A host's address for peers: that of C(weights_share_interface), else that of a multi-node service with these weights, else from the inventory
    and the host's routes."""
    if host.settings.weights_share_interface:
        return reached_at(host.address, host.facts, host.settings.weights_share_interface)[0]
    for draft in host.services:
        if draft.placement is not None and any(_wanted(weights) == key for weights in draft.all_weights):
            return draft.placement.node.address
    return reached_at(host.address, host.facts)[0]


def _wanted(weights: Weights) -> _Wanted:
    return weights.repo, weights.revision, frozenset(weights.exclude), frozenset(weights.include)


def _has(host: HostDraft, key: _Wanted) -> bool:
    there = host.facts.weights if host.facts is not None else frozenset()
    return any(_wanted(weights) == key and weights.path in there for draft in host.services for weights in draft.all_weights)


def _with_shares(host: HostDraft, shares: dict[tuple[str, _Wanted], Share]) -> HostDraft:
    return replace(host, services=tuple(_with_share(host.name, draft, shares) for draft in host.services))


def _with_share(name: str, draft: ServiceDraft, shares: dict[tuple[str, _Wanted], Share]) -> ServiceDraft:
    def shared(weights: Weights) -> Weights:
        share = shares.get((name, _wanted(weights)))
        return weights if share is None else replace(weights, share=share)

    own = None if draft.weights is None else shared(draft.weights)
    extras = tuple(replace(extra, weights=own if own is not None and extra.weights is draft.weights else shared(extra.weights)) for extra in draft.extras)
    return replace(draft, weights=own, extras=extras)
