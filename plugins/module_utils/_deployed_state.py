# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is deployed on a host, as texts that a later reading is compared with. Changes nothing and contains no secrets.

C(state) has a dictionary of texts for each part. A part that could not be read is missing there, and C(unread) has the reason.
"""

from __future__ import annotations

import glob
import grp
import os
import platform
import pwd
import stat
import time
import typing as t

from . import _accounts, _gpu_driver, _host, _library, _local_weights, _nvidia, _reading, _releases, _weights_digest
from ._firewall import host as _firewall
from ._kernel import state as _kernel

# Seconds that each part may take.
SECONDS = 60
LOCK = "requirements.lock"
_MANIFEST = ".manifest.json"
# Folders of drop-ins (systemd.unit(5)): `systemctl edit`, `systemctl edit --runtime`, `systemctl set-property`.
DROP_IN_FOLDERS = ("/etc/systemd/system", "/run/systemd/system", "/etc/systemd/system.control", "/run/systemd/system.control")
PORT_RANGE = "/proc/sys/net/ipv4/ip_local_port_range"

Texts = dict[str, str]


class Unknown(Exception):
    """A part that could not be read; the message is the reason."""


def read(options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return C(state), C(releases), C(weights), C(listeners), C(firewall) and C(unread). C(options) are those of the module C(deployed_state)."""
    jobs: dict[str, t.Callable[[], t.Any]] = {
        "system": system,
        "gpus": gpus,
        "units": units,
        "unit_files": unit_files,
        "environment_files": lambda: environment_files(options["config_dir"]),
        "firewall": lambda: firewall(options["state_dir"]),
        "kernel": lambda: kernel(options["sysctl"]),
        "releases": lambda: releases(options["releases_dir"]),
        "weights": lambda: weights(options["weights_dir"], options["account"]),
        "local_weights": lambda: local_weights(options["state_dir"]),
        "programs": lambda: programs(options["install_dir"]),
        "listeners": listeners,
    }
    found, failed = _reading.ask(jobs, SECONDS)
    unread = {name: reason.partition("Unknown: ")[2] or reason for name, reason in failed.items()}
    state: dict[str, Texts] = {name: found[name] for name in ("system", "gpus", "units", "unit_files", "environment_files", "programs") if name in found}
    state.update(found.get("kernel", {}))
    state.update(found.get("firewall", {}).get("texts", {}))
    if "releases" in found:
        state["releases"] = {name: _release_text(release) for name, release in found["releases"].items()}
    held = {**found.get("weights", {}), **found.get("local_weights", {})}
    if not {"weights", "local_weights"} & failed.keys():
        state["weights"] = {path: f"{'unchanged' if one['unchanged'] else 'changed since their verification'}, sha256 {one['digest'] or 'unknown'}"
                            for path, one in held.items()}
    if "listeners" in found:
        # A socket with a random port has another one after each restart.
        state["ports"] = {f"{one['protocol']} {_at(one)}": one["owner"] for one in found["listeners"] if not one["random"]}
    return {
        "state": state, "releases": found.get("releases", {}), "weights": held, "listeners": found.get("listeners", []),
        "firewall": found.get("firewall", {}).get("rules"), "unread": unread,
    }


def system() -> Texts:
    """Operating system, kernel and NVIDIA driver."""
    release = _host.parse_os_release(_host.read_text("/etc/os-release"))
    return {
        "OS": f"{release['id']} {release['version_id']}".strip(), "kernel": platform.release(), "NVIDIA driver": _gpu_driver.loaded_module() or "none",
    }


def gpus() -> Texts:
    """Name and UUID of each GPU."""
    found, error = _nvidia.read_gpus()
    if error:
        raise Unknown(error)
    return {f"GPU {gpu['index']}": f"{gpu['name'] or 'unknown'}, {gpu['uuid'] or 'no UUID'}" for gpu in found}


def managed_units() -> list[str]:
    """Units of model services that this collection wrote."""
    paths = [path for kind in ("vllm", "ray") for path in sorted(glob.glob(os.path.join(_host.UNIT_DIRECTORY, kind + "-*.service")))]
    return [os.path.basename(path) for path in paths if _reading.read_text(path).startswith(_host.UNIT_MARK)]


def units() -> Texts:
    """Active state and boot state of each unit."""
    names = managed_units()
    if not names:
        return {}
    # systemd 252: `systemctl show` prints the properties of one unit after the other, with an empty line between.
    said = _host.run("systemctl", "show", "--property=Id,ActiveState,UnitFileState", *names)
    rows = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in said.strip().split("\n\n")]
    states = {row.get("Id", ""): f"{row.get('ActiveState', '')}, {row.get('UnitFileState', '')}" for row in rows}
    if not set(names) <= set(states):
        raise Unknown("systemctl show did not answer")
    return {name: states[name] for name in names}


def unit_files() -> Texts:
    """Digest, owner and mode of each unit file and of its drop-ins."""
    names = managed_units()
    paths = [os.path.join(_host.UNIT_DIRECTORY, name) for name in names]
    paths += [path for name in names for folder in DROP_IN_FOLDERS for path in sorted(glob.glob(os.path.join(folder, name + ".d", "*.conf")))]
    return {path: f"sha256 {_reading.digest(path) or 'unreadable'}, {_about(path)}" for path in paths}


def environment_files(folder: str) -> Texts:
    """Size, owner, mode and time of each environment file. Not its digest: a short secret could be guessed from it."""
    found = {}
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*.env"))):
        try:
            about = os.lstat(path)
        except OSError:
            continue
        written = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(about.st_mtime))
        found[path] = f"{about.st_size} bytes of {written}, {_about(path)}"
    return found


def _about(path: str) -> str:
    """Owner and mode: root:root 0644."""
    try:
        found = os.lstat(path)
    except OSError:
        return "missing"
    return f"{_name(pwd.getpwuid, found.st_uid)}:{_name(grp.getgrgid, found.st_gid)} {stat.S_IMODE(found.st_mode):04o}{' link' * stat.S_ISLNK(found.st_mode)}"


def _name(look: t.Callable[[int], t.Any], number: int) -> str:
    try:
        return str(look(number)[0])
    except KeyError:
        return str(number)


def firewall(state_dir: str) -> dict[str, t.Any]:
    """UFW's settings and rules: as C(texts), and as C(rules) in UFW's order, None if UFW does not close ports without a rule."""
    tables = _firewall.saved()
    found = _firewall.read_state(tables, state_dir)
    if found.installed and found.enabled and not tables[4]:
        raise Unknown("iptables-save did not answer")
    settings = {"UFW": "enabled" if found.enabled else "disabled" if found.installed else "not installed"}
    if found.installed:
        settings.update({
            "rules in the kernel": "as in UFW's files" if found.loaded else "not as in UFW's files", "at boot": "started" if found.boot else "not started",
            "logging": found.logging or "off",
            **{f"policy {chain}": policy for chain, policy in found.policies.items()},
        })
    rules = {
        f"{rule.action} {rule.protocol} {rule.port or 'all ports'} from {rule.source}{' ' + rule.elsewhere if rule.elsewhere else ''}":
            rule.comment or "no comment" for rule in found.rules
    }
    closes = found.enabled and found.policies.get("INPUT") in ("DROP", "REJECT")
    return {"texts": {"firewall": settings, "firewall_rules": rules}, "rules": [vars(rule) for rule in found.rules] if closes else None}


def kernel(sysctl: t.Any) -> dict[str, Texts]:
    """Values in force of the parameters, and the lines of the collection's files."""
    found = _kernel.read(sysctl if isinstance(sysctl, list) else [sysctl])
    return {
        "sysctl": {name: "missing" if one["value"] is None else str(one["value"]) for name, one in found["sysctl"].items() if one["exists"]},
        "kernel": {
            "transparent hugepages": found["transparent_hugepages"] or "unknown", "CPU governors": ", ".join(found["governors"]) or "none",
            "modules": ", ".join(found["modules"]) or "none",
        },
        "kernel_files": {path: "; ".join(lines) for path, lines in found["files"].items()},
    }


def releases(folder: str) -> dict[str, dict[str, t.Any]]:
    """By name the versions that the build found (C(version), C(torch), C(cuda), C(python)), its time, and the sha256 of the lock file."""
    found = {}
    for name in _releases.complete(folder):
        record = _reading.read_json(os.path.join(folder, name, _releases.RECORD))
        verified = record.get("verification")
        versions = verified if isinstance(verified, dict) else {}
        found[name] = {
            "engine": _text(record.get("engine")), **{key: _text(versions.get(key)) for key in ("version", "torch", "cuda", "python")},
            "lock": _reading.digest(os.path.join(folder, name, LOCK)), "built": record["built"] if isinstance(record.get("built"), int) else None,
        }
    return found


def _text(value: t.Any) -> str:
    return value if isinstance(value, str) else ""


def _release_text(release: t.Mapping[str, t.Any]) -> str:
    versions = [f"{label} {release[key]}" for label, key in (("torch", "torch"), ("CUDA", "cuda"), ("Python", "python")) if release[key]]
    return ", ".join([f"{release['engine'] or 'engine'} {release['version'] or 'unknown'}", *versions, f"lock sha256 {release['lock'] or 'missing'}"])


def weights(folder: str, account: str) -> dict[str, dict[str, t.Any]]:
    """By path the digest of the manifest, and whether the files have its sizes and times. Reads as the account that may write there."""
    try:
        return t.cast("dict[str, dict[str, t.Any]]", _accounts.as_account(account, _weights_in, folder))
    except KeyError:
        # Without the account there are no weights of its own.
        return {}


def _weights_in(folder: str) -> dict[str, dict[str, t.Any]]:
    manifests = sorted(glob.glob(os.path.join(glob.escape(folder), "*", "*" + _MANIFEST)))
    rows = [{"path": path[:-len(_MANIFEST)], "manifest": path} for path in manifests]
    found = _weights_digest.digests(rows)
    return {row["path"]: {"digest": found.get(row["path"], ""), "unchanged": _host.is_as_verified(row["path"], row["manifest"])} for row in rows}


def local_weights(state_dir: str) -> dict[str, dict[str, t.Any]]:
    """The same for pre-staged weights, from the records of their verification."""
    found = {}
    for name in sorted(glob.glob(os.path.join(glob.escape(state_dir), "verified", "*.json"))):
        record = _local_weights.read_record(name)
        if record is not None:
            digest = _weights_digest.digests([{"path": record["path"], "record": name}]).get(record["path"], "")
            found[record["path"]] = {"digest": digest, "unchanged": _local_weights.is_unchanged(record)}
    return found


def programs(install_dir: str) -> Texts:
    """The host library in force, and the tools."""
    return {"host library": _library.in_force(os.path.join(install_dir, "lib")) or "none", **_host.installed_tools(install_dir)}


def listeners() -> list[dict[str, t.Any]]:
    """Listening TCP and UDP sockets with C(protocol), C(port), C(address), C(owner) (a unit, or else a program), and whether the port is C(random)."""
    first, last = _random_ports()
    found = {}
    for protocol in ("tcp", "udp"):
        for row in _host.read_listeners(protocol):
            one = {
                "protocol": protocol, "port": row["port"], "address": row["address"], "owner": row["unit"] or row["program"] or "unknown",
                "random": first <= row["port"] <= last,
            }
            found[protocol, row["port"], row["address"]] = one
    return [found[key] for key in sorted(found)]


def _random_ports() -> tuple[int, int]:
    """The ports that the kernel gives to sockets without one."""
    # Not _reading.read_text: for a file of /proc/sys the kernel allocates the whole buffer, and refuses a large one.
    try:
        with open(PORT_RANGE, encoding="ascii") as file:
            first, last = file.read(64).split()
            return int(first), int(last)
    except (OSError, ValueError):
        # The kernel's default (Linux, ip-sysctl.rst).
        return 32768, 60999


def _at(one: t.Mapping[str, t.Any]) -> str:
    address = f"[{one['address']}]" if ":" in one["address"] else one["address"]
    return f"{address}:{one['port']}"
