# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights shared between hosts: one host downloads and links verified files into an export directory; the others copy from there meanwhile.

The export directory has hard links under the paths of a Hub's URLs, and is served read-only during a run. For a host that copies it is the
first of its endpoints, with one difference: a file that is missing now may appear soon.
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
from .endpoints import CONNECT_SECONDS, Endpoint, Endpoints, limit
from .progress import size_text

# Seconds between two checks of the peer's files.
LOOK = 3.0
# Longest progress report of a peer in bytes.
PROGRESS_BYTES = 64 * 1024


class Export:
    """The export directory, from which other hosts copy verified files. Does nothing when no directory is set."""

    def __init__(self, folder: str, repo: str, commit: str) -> None:
        self.folder = folder
        self.base = os.path.join(folder, repo, "resolve", commit) if folder else ""

    def put(self, base: str, file: File) -> None:
        """Export a verified file of a directory. On a full disk the file is not exported, and the other hosts fetch it elsewhere. Raises OSError."""
        if not self.base:
            return
        try:
            self._put(os.path.join(base, file["path"]), os.path.join(self.base, file["path"]))
        except OSError as error:
            if not is_full(error):
                raise
            print(f"cannot export {file['path']} to peers: {error.strerror}", flush=True)

    def _put(self, source: str, shown: str) -> None:
        if os.path.exists(shown) and os.path.samefile(source, shown):
            return
        os.makedirs(os.path.dirname(shown), exist_ok=True)
        # Replace atomically: the file is never missing. No file of a repository has this name.
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
        # Since when it does not answer (None: it answers), when it last made progress, and its last progress report.
        self.silent_since: float | None = None
        self.moved, self.last, self.is_done = time.monotonic(), "", False
        # When each file was first requested and last checked.
        self.asked: dict[str, float] = {}
        self.looked: dict[str, float] = {}
        self.gone = False
        # The peer is on the site's own network: no proxy.
        self.direct = True
        self.said = f"waiting for {self.name}"

    def is_due(self, what: str, now: float) -> bool:
        """Whether it is time for another check of a file, or of the progress (empty)."""
        if now - self.looked.get(what, now - LOOK) < LOOK:
            return False
        self.looked[what] = now
        return True

    def shows(self, path: str, now: float) -> bool:
        """Whether the peer exports a file. A file that it does not export within the stall timeout comes from the other endpoints."""
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
        """Return its answer with any status; a peer's answers are short and never redirect. Raises HttpError."""
        return HttpClient(CONNECT_SECONDS, direct=True).get(url, limit=PROGRESS_BYTES, method=method, follow=False)

    def look(self, now: float) -> None:
        """Check its progress. A peer that does not answer, or makes no progress, within the stall timeout is no longer used."""
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
            what = "has not answered" if silent else "has made no progress"
            print(f"{self.url}: {self.said}; {self.name} {what} for {self.stall_timeout} s, using the other endpoints", flush=True)

    def progress(self) -> dict[str, t.Any] | None:
        """The last progress report of its own download, empty when it has none; None when it does not answer."""
        try:
            found = self._ask(self.progress_url)
            value = parse_json(found.body) if found.status == 200 else {}
        except HttpError as error:
            self.said = f"no answer: {error}"
            return None
        except ValueError:
            self.said = "no valid answer: its progress report is not JSON"
            return None
        return value if isinstance(value, dict) else {}


def number(value: t.Any) -> int | None:
    """Return a number of bytes that a peer states; None when it is not a size."""
    try:
        return size(value)
    except BadAnswer:
        return None


class PeerEndpoints(Endpoints):
    """The endpoints of a host that copies: its peer, and the user's endpoints when the peer is no longer used."""

    def __init__(self, peer: Peer, urls: list[str], token: str, token_endpoints: list[str], slow_seconds: float) -> None:
        super().__init__(urls, token, token_endpoints, slow_seconds)
        self.peer, self.others = peer, list(self.all)
        self.all.insert(0, peer)

    def probe(self, repo: str, commit: str, file: File) -> None:
        """Probe no endpoint: the others are used only when the peer fails."""
        others = " and ".join(one.url for one in self.others)
        print(f"{self.peer.url}: copying from {self.peer.name}{'; if it fails, from ' + others if others else ''}", flush=True)

    def candidates(self) -> list[Endpoint]:
        return self.others

    def pick(self, path: str, holder: str | None = None) -> tuple[Endpoint | None, float]:
        """The peer when it exports the file; none for now while it may do so later; otherwise the other endpoints."""
        peer, now = self.peer, time.monotonic()
        peer.look(now)
        if peer.gone or not peer.has(path) or peer.slow_until > now:
            return super().pick(path, holder)
        if peer.backoff_until <= now and peer.shows(path, now):
            return peer, 0.0
        return None, LOOK / 2

    def is_alive(self) -> bool:
        """Waiting is no stall while the peer is in use."""
        return not self.peer.gone

    def report(self, path: str = "") -> str:
        return super().report(path) if self.peer.gone or path else self.peer.said


def endpoints_of(spec: dict[str, t.Any], token: str, slow_seconds: float) -> Endpoints:
    """The endpoints of a download: those of the specification, with the peer before them when it names one."""
    share = spec.get("share") or {}
    if share.get("role") != "follower":
        found = Endpoints(spec["endpoints"], token, spec["token_endpoints"], slow_seconds)
    else:
        found = PeerEndpoints(Peer(share, spec["repo"], spec["commit"]), spec["endpoints"], token, spec["token_endpoints"], slow_seconds)
    # A peer has the commit, whichever endpoint named it.
    limit((one for one in found.all if not isinstance(one, Peer)), spec.get("endpoint", ""), spec.get("equal", {}))
    return found


def export_of(spec: dict[str, t.Any]) -> Export:
    """The export directory of a download."""
    return Export((spec.get("share") or {}).get("export_dir", ""), spec["repo"], spec["commit"])
