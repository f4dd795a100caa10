# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a managed unit runs, read from its file: role of the supervisor, release, weights, address of the engine, files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import typing as t
import urllib.parse

from .. import _adapters

_ENVIRONMENT = re.compile(r"^EnvironmentFile=(\S+)$", re.MULTILINE)
_COPIED_CERTIFICATE = re.compile(r"^LoadCredential=ssl_certfile:(\S+)$", re.MULTILINE)
_START = re.compile(r"^ExecStart=(.+)$", re.MULTILINE)
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s"]\S*)')
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


@dataclasses.dataclass(frozen=True)
class About:
    """A unit's command. What the unit does not name is empty.

    C(role) is that of the supervisor: C(single), C(leader) or C(worker). C(node) is the unit's name among those of its service, C(leader) that of the
    leader's node, and C(workers) are the names of a leader's workers. C(engine) is the URL of the engine's API on this host, C(host) and C(port) are
    where it listens, and C(weights) is the path. C(certificate) is the file of the API's certificate, and C(served_certificate) the copy that the
    service reads. C(adapters_file) is the file with its LoRA adapters, and C(adapters) are the names of those in its arguments.
    C(digest) is that of the whole command (C(digest())).
    """

    service: str = ""
    role: str = ""
    node: str = ""
    leader: str = ""
    workers: tuple[str, ...] = ()
    engine: str = ""
    model: str = ""
    task: str = ""
    host: str = ""
    port: int = 0
    release: str = ""
    weights: str = ""
    environment_file: str = ""
    failures: str = ""
    certificate: str = ""
    served_certificate: str = ""
    adapters_file: str = ""
    adapters: tuple[str, ...] = ()
    digest: str = ""
    readable: bool = True


def about(unit: str, text: str) -> About:
    """Return what a unit runs. A unit whose command is not one of this collection's has C(readable) false."""
    words = command(text)
    split = words.index("--") if "--" in words else -1
    if split < 0:
        return About(readable=False)
    given: dict[str, list[str]] = {}
    for word in words[:split]:
        name, equals, value = word.partition("=")
        if equals and name.startswith("--"):
            given.setdefault(name[2:], []).append(value)

    def one(name: str) -> str:
        return given.get(name, [""])[-1]

    own = words[words.index("supervisor") + 1:split] if "supervisor" in words[:split] else []
    program = words[split + 1:]
    flags = dict(word.partition("=")[::2] for word in program if word.startswith("--") and "=" in word)
    copied = _COPIED_CERTIFICATE.search(text)
    served = flags.get("--ssl-certfile", "")
    environment = _ENVIRONMENT.search(text)
    return About(
        service=one("service"), role=own[0] if own else "", node=one("name"), leader=one("leader-name") or (one("name") if own[:1] == ["leader"] else ""),
        workers=tuple(given.get("worker", ())), engine=one("engine"), model=one("model"), task=one("task"),
        host=flags.get("--host", ""), port=_port(one("engine")),
        release=_release(program), weights=program[2] if program[1:2] == ["serve"] and len(program) > 2 else "",
        environment_file=environment[1] if environment else "", failures=one("failures"),
        adapters_file=_adapters.file_of(text), adapters=modules(program),
        certificate=copied[1] if copied else served, served_certificate=served,
        # The names of secret variables follow from secrets, which the plan does not have.
        digest=digest([word for position, word in enumerate(words) if position > split or not word.startswith("--withhold=")]), readable=bool(own),
    )


def command(text: str) -> list[str]:
    """Return the words of a unit's ExecStart, as the collection quotes them (filter/systemd.py); empty when there is none."""
    found = _START.search(text.replace("\\\n", " "))
    return [_word(quoted, plain) for quoted, plain in _WORD.findall(found[1])] if found else []


def _word(quoted: str, plain: str) -> str:
    """Return a word without its quotes and escapes (systemd.syntax(7)), and the two characters that are doubled (systemd.service(5))."""
    text = plain or re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), quoted)
    return text.replace("%%", "%").replace("$$", "$")


def modules(program: t.Sequence[str]) -> tuple[str, ...]:
    """Return the names of the LoRA modules of a command: name=path, or JSON."""
    found = []
    for word in program[program.index("--lora-modules") + 1:] if "--lora-modules" in program else ():
        if word.startswith("--"):
            break
        try:
            found.append(str(json.loads(word)["name"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            found.append(word.partition("=")[0])
    return tuple(found)


def digest(words: t.Sequence[str]) -> str:
    """Return the sha256 of a command, by which the controller compares it with the plan's: the command itself stays on the host."""
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()


def _port(url: str) -> int:
    """Return the port of the engine's URL. C(--port) is also an option of the supervisor and of Ray."""
    try:
        return urllib.parse.urlsplit(url).port or 0
    except ValueError:
        return 0


def _release(program: t.Sequence[str]) -> str:
    """Return the name of the release whose program a command calls."""
    folder, _bin, _name = program[0].rpartition("/bin/") if program else ("", "", "")
    return os.path.basename(folder)


def revision_of(weights: str, weights_dir: str) -> str:
    """Return the revision of weights that this collection has downloaded; empty for a directory of somebody else."""
    inside = os.path.relpath(weights, weights_dir).split("/") if weights.startswith("/") else []
    # After the revision may follow the path of a file in it.
    return inside[1] if len(inside) >= 2 and inside[0] != ".." else ""
