# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights shared between hosts: one host downloads and links what it has verified into an export directory; the others copy from there meanwhile.

The export directory holds hard links under the paths of a Hub's addresses, and is served read-only while a run lasts. For a host that copies it is the
first of its endpoints, with one difference: a file that is missing now may be there soon.
"""

from __future__ import annotations

import json
import os
import threading
import time
import typing as t

from .._http_client import HttpClient, HttpError, parse_json
from .._hub_answers import BadAnswer, size
from .contents import File, is_full
from .endpoints import CONNECT_SECONDS, Endpoint, Endpoints
from .progress import size_text

# Seconds between two looks at what the peer has.
LOOK = 3.0
# Bytes of what a peer says of its progress.
PROGRESS_BYTES = 64 * 1024


class Export:
    """The export directory, from which other hosts copy verified files. Does nothing without a directory."""

    def __init__(self, folder: str, repo: str, commit: str) -> None:
        self.folder = folder
        self.base = os.path.join(folder, repo, "resolve", commit) if folder else ""

    def put(self, base: str, file: File) -> None:
        """Show a verified file of a directory. On a disk that is full it is not shown: those who copy get it elsewhere. Raises OSError."""
        if not self.base:
            return
        try:
            self._put(os.path.join(base, file["path"]), os.path.join(self.base, file["path"]))
        except OSError as error:
            if not is_full(error):
                raise
            print(f"{file['path']} can't be shown to peers: {error.strerror}", flush=True)

    def _put(self, source: str, shown: str) -> None:
        if os.path.exists(shown) and os.path.samefile(source, shown):
            return
        os.makedirs(os.path.dirname(shown), exist_ok=True)
        # Never a moment in which an older one is gone. No file of a repository has this name.
        new = os.path.join(self.folder, f".linking-{threading.get_ident()}")
        if os.path.lexists(new):
            os.unlink(new)
        os.link(source, new)
        os.replace(new, shown)


class Peer(Endpoint):
    """A host that downloads, or has downloaded, the same weights. Times are in seconds, of the monotonic clock."""

    def __init__(self, share: dict[str, t.Any], repo: str, commit: str) -> None:
        super().__init__(share["url"], "")
        self.name, self.progress_url, self.stall_timeout = share["source"], share["progress"], share["stall_timeout"]
        self.repo, self.commit = repo, commit
        # Since when it does not answer (None: it does), when it was last seen to get on, and what its progress was then.
        self.silent_since: float | None = None
        self.moved, self.last, self.is_done = time.monotonic(), "", False
        # When each file was first asked for and last looked for.
        self.asked: dict[str, float] = {}
        self.looked: dict[str, float] = {}
        self.gone = False
        # It is on the site's own network.
        self.direct = True
        self.said = f"waiting for {self.name}"

    def is_due(self, what: str, now: float) -> bool:
        """Whether it is time for another look at a file, or at its progress (empty)."""
        if now - self.looked.get(what, now - LOOK) < LOOK:
            return False
        self.looked[what] = now
        return True

    def shows(self, path: str, now: float) -> bool:
        """Whether it exports a file. A file that it does not export within the stall timeout is left to the other endpoints."""
        if not self.is_due(path, now):
            return False
        try:
            found = self._ask(self.address(self.repo, self.commit, path), "HEAD")
        except HttpError as error:
            self.said = f"no answer: {error}"
            return False
        if found.status == 200:
            self.moved = now
            return True
        if now - max(self.asked.setdefault(path, now), self.moved) > self.stall_timeout:
            self.lacks[path] = f"{found.status}, for {self.stall_timeout} s"
        return False

    def _ask(self, url: str, method: str = "GET") -> t.Any:
        """Its answer of whatever status: a peer redirects nobody, and says little. Raises HttpError."""
        return HttpClient(CONNECT_SECONDS, direct=True).get(url, limit=PROGRESS_BYTES, method=method, follow=False)

    def look(self, now: float) -> None:
        """Look at its progress. When it does not answer, or makes no progress, within the stall timeout, it is not used any more."""
        if self.gone or not self.is_due("", now):
            return
        found = self.progress()
        if found is None:
            self.silent_since = now if self.silent_since is None else self.silent_since
        else:
            self.silent_since = None
            have, total = (number(found.get(key)) for key in ("bytes", "total_bytes"))
            self.is_done = not found or (have is not None and have == total and not found.get("error"))
            self.said = f"{self.name} has {size_text(have)} of {size_text(total)}" if have is not None and total is not None else f"waiting for {self.name}"
            state = json.dumps([have, str(found.get("text"))[:200] if have is None else ""])
            if state != self.last:
                self.last, self.moved = state, now
        silent = self.silent_since is not None and now - self.silent_since > self.stall_timeout
        if silent or (found is not None and not self.is_done and now - self.moved > self.stall_timeout):
            self.gone = True
            what = "has not answered" if silent else "has got no further"
            print(f"{self.url}: {self.said}; {self.name} {what} for {self.stall_timeout} s, asking the other endpoints", flush=True)

    def progress(self) -> dict[str, t.Any] | None:
        """What its own download last said of itself, empty where it has none; None when it does not answer."""
        try:
            found = self._ask(self.progress_url)
            value = parse_json(found.body) if found.status == 200 else {}
        except HttpError as error:
            self.said = f"no answer: {error}"
            return None
        except ValueError:
            self.said = "no answer: what it says of itself is no JSON"
            return None
        return value if isinstance(value, dict) else {}


def number(value: t.Any) -> int | None:
    """Return a number of bytes that a peer states, None where it is none."""
    try:
        return size(value)
    except BadAnswer:
        return None


class PeerEndpoints(Endpoints):
    """The endpoints of a host that copies: its peer, and after that is gone those that the user wrote."""

    def __init__(self, peer: Peer, urls: list[str], token: str, token_endpoints: list[str], slow_seconds: float) -> None:
        super().__init__(urls, token, token_endpoints, slow_seconds)
        self.peer, self.others = peer, list(self.all)
        self.all.insert(0, peer)

    def probe(self, repo: str, commit: str, file: File) -> None:
        """Nobody is asked before he is needed."""
        others = " and ".join(one.url for one in self.others)
        print(f"{self.peer.url}: copying from {self.peer.name}{'; should it fail, from ' + others if others else ''}", flush=True)

    def candidates(self) -> list[Endpoint]:
        return self.others

    def pick(self, path: str, holder: str | None = None) -> tuple[Endpoint | None, float]:
        """The peer when it shows the file; nobody, for now, while it may yet; else as without it."""
        peer, now = self.peer, time.monotonic()
        peer.look(now)
        if peer.gone or not peer.has(path) or peer.slow_until > now:
            return super().pick(path, holder)
        if peer.backoff_until <= now and peer.shows(path, now):
            return peer, 0.0
        return None, LOOK / 2

    def is_alive(self) -> bool:
        """While there is a peer to wait for, who waits has not been left without data."""
        return not self.peer.gone

    def report(self, path: str = "") -> str:
        return super().report(path) if self.peer.gone or path else self.peer.said


def endpoints_of(spec: dict[str, t.Any], token: str, slow_seconds: float) -> Endpoints:
    """Where a download's files come from: the specification's endpoints, with a peer before them where it names one."""
    share = spec.get("share") or {}
    if share.get("role") != "follower":
        return Endpoints(spec["endpoints"], token, spec["token_endpoints"], slow_seconds)
    return PeerEndpoints(Peer(share, spec["repo"], spec["commit"]), spec["endpoints"], token, spec["token_endpoints"], slow_seconds)


def export_of(spec: dict[str, t.Any]) -> Export:
    """The export directory of a download."""
    return Export((spec.get("share") or {}).get("export_dir", ""), spec["repo"], spec["commit"])
