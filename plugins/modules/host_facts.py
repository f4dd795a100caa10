#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_facts
short_description: Read in one call what the plan needs to know of a GPU host
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Reads the system, disks, GPUs, listening sockets and what this collection has put on the host before.
  - One module call takes the place of fact gathering, package facts and a handful of M(ansible.builtin.stat) calls.
  - It changes nothing and works on a bare host.
options:
  install_dir:
    description: Where tools and releases are installed.
    type: path
    default: /opt/inferops
  releases_dir:
    description: Where vLLM releases stand.
    type: path
    default: /opt/inferops/releases
  weights_dir:
    description: Where model weights stand.
    type: path
    default: /var/lib/inferops/models
  state_dir:
    description: Where the collection keeps what it knows of a host.
    type: path
    default: /var/lib/inferops
  account:
    description: Name of the account that downloads.
    type: str
    default: inferops
  paths:
    description: Further places that the roles write to, to learn what links in them lead to.
    type: list
    elements: path
    default: [/var/cache/inferops, /var/cache/inferops/uv, /etc/inferops]
  python:
    description: The interpreter that releases are built on, or a version of one that uv brings.
    type: raw
    default: /usr/bin/python3
  find_links:
    description: Folders of the host that releases are installed from, as paths or C(file://) addresses.
    type: list
    elements: str
    default: []
  account_prefix:
    description: What the names of the services' own accounts begin with.
    type: str
    default: inferops-
  sysctl:
    description: Names of kernel parameters to report beside those that the collection sets by itself, and dictionaries by them.
    type: raw
    default: []
extends_documentation_fragment:
  - inferops.gpu.attributes.read
"""

EXAMPLES = r"""
- name: Read what the host has
  inferops.gpu.host_facts:
  register: found

- name: Say how many GPUs there are
  ansible.builtin.debug:
    msg: "{{ found.host.gpus | length }} GPUs"
"""

RETURN = r"""
host:
  description: What was found.
  returned: always
  type: dict
  contains:
    os:
      description: C(id), C(version_id) and C(like) of C(/etc/os-release).
      type: dict
    architecture:
      description: Machine name, for example V(x86_64).
      type: str
    kernel_release:
      description: Release of the running kernel.
      type: str
    hostname:
      description: Name that the host gives itself.
      type: str
    python:
      description: Version of the interpreter that ran the module.
      type: str
    cpus:
      description: Processors that may be used.
      type: int
    memory_bytes:
      description: Total memory, in bytes.
      type: int
    systemd:
      description: Whether systemd booted the host.
      type: bool
    packages:
      description: Names of installed Debian packages.
      type: list
    default_ipv4:
      description: Address of the interface that the default route leaves by, or an empty string.
      type: str
    default_ipv6:
      description: The same for IPv6.
      type: str
    interfaces:
      description: Addresses by interface, those of IPv4 first; of IPv6 those that others reach.
      type: dict
    pythons:
      description: Versions of the system's interpreters, and of the one that was asked for, by path; empty when that is not there.
      type: dict
    wheels:
      description: Names of the files in the folders of O(find_links) that are on the host, by folder.
      type: dict
    paths:
      description: Where paths of the options lead whose folders are links, by path.
      type: dict
    proxy:
      description: Whether this collection has told apt of a proxy.
      type: bool
    mounts:
      description: >-
        Mounted file systems with C(mount), C(device), C(options), C(size_bytes), C(free_bytes) (free to a user who is not root) and
        C(free_files), null where a file system has no bound of them.
      type: list
    gpus:
      description: >-
        GPUs as C(nvidia-smi) lists them; memory in bytes. C(error) is what it says of one that is lost or has to be reset, C(split) whether
        MIG makes C(slices) of it, with C(uuid), C(profile) and C(memory_bytes).
      type: list
    unanswered:
      description: What could not be read, and why, by the name of the fact or the place of the mount. What is named here is empty, and not known.
      type: dict
    nvswitches:
      description: How many NVSwitches the host has.
      type: int
    fabric_manager:
      description: Version of the installed Fabric Manager; empty when there is none.
      type: str
    driver_module:
      description: Version of NVIDIA's kernel module that is loaded; empty when none is.
      type: str
    driver_packages:
      description: C(version) of the installed Debian packages of NVIDIA's driver and toolkit, and whether they are C(held) at it, by name.
      type: dict
    cuda_releases:
      description: >-
        By release that has a CUDA toolkit, its C(cuda), the C(driver) and C(architectures) that it is verified for, and what has C(changed) since;
        an empty list means that the verification holds.
      type: dict
    directories:
      description: >-
        Owner, group and mode of the directories in the parameters, and of those directly in them, by path, as V(root:root 0755). Links and what a
        link leads to are left out.
      type: dict
    netrc:
      description: Whether C(netrc) is there in one of O(paths).
      type: bool
    library:
      description: Digest of the host library in C(<install_dir>/lib) that programs run from, by its files as they are; empty where there is none.
      type: str
    gpu_error:
      description: What C(nvidia-smi) said when it was there and failed; empty when all is well or there is none.
      type: str
    listeners:
      description: Listening TCP sockets with C(port), C(address), C(pid), and the C(program) and systemd C(unit) of the process.
      type: list
    udp_listeners:
      description: UDP sockets that are connected to nobody, in the same way.
      type: list
    services:
      description: >-
        Units of model services of this collection with their C(unit), C(service), C(active) state, whether they are C(enabled), their C(status),
        what they say of themselves, the C(port) of their API (0 without one), the C(gpus) that they compute on (null where nobody knows), and the
        C(digest) (sha256) of the unit file, empty where it is not root's with mode 0644.
      type: list
    releases:
      description: Names of complete releases.
      type: list
    unfinished_releases:
      description: Folders that a build or a removal has left among the releases, or is at work on.
      type: list
    release_builds:
      description: Names of the releases that there is a unit of a build for.
      type: list
    download_units:
      description: Units of downloads and verifications of weights that this collection wrote, and of each whether it starts at boot.
      type: dict
    weights:
      description: Paths of complete weights.
      type: list
    weights_patterns:
      description: Patterns of the files that were chosen, C(include) and C(exclude), by the path of the weights; not of those that do not say it.
      type: dict
    verified:
      description: Paths of weights that were brought by hand and are, by size and time of every file, as they were when they were verified.
      type: list
    mount_points:
      description: All places where something is mounted, whatever it is.
      type: list
    shared_weights:
      description: Folders with weights that are being served to peers, as their paths.
      type: list
    partial_weights:
      description: Bytes that unfinished downloads hold, by the path that the weights will have.
      type: dict
    account:
      description: C(user), C(group), C(home) and C(comment) of the account that downloads; empty where it does not exist.
      type: dict
    account_groups:
      description: Groups that this account is in beside its own.
      type: list
    accounts:
      description: >-
        C(uid), C(group), further C(groups), C(home) and C(comment) of the accounts that begin with O(account_prefix) or were made for services, by name.
      type: dict
    certificates:
      description: sha256 of each file in C(/usr/local/share/ca-certificates) that the host's trust store has, by name.
      type: dict
    checked:
      description: Digest of the arguments that passed the release's own parser, by service.
      type: dict
    kernel:
      description: >-
        Kernel settings: C(sysctl) by name with C(value), C(exists), why a missing one may be right all the same (C(absence)), names that are C(near)
        one that can only be a mistake, and values from files that win over the collection's (C(conflicts)); the lines of the collection's C(files),
        C(unmanaged_files) that have the name of one, C(missing_folders) of them; loaded C(modules) of those that it loads; C(transparent_hugepages),
        the CPUs' C(governors) and C(available_governors).
      type: dict
    conntrack:
      description: >-
        Tracked connections: C(count), C(max), C(buckets) and, since boot, C(drop), C(early_drop), C(insert_failed) and C(chain_too_long).
        Empty where the module is not loaded; the last four, which C(conntrack -S) reports, are null where it is not installed or does not count them.
      type: dict
    tools:
      description: Executables in C(<install_dir>/bin) by name, with the path that each leads to.
      type: dict
    firewall:
      description:
        - C(state) of UFW, C(ssh_ports) on which SSH comes in, the SSH C(connection) that asked, C(others) that manage the firewall as well,
          ports that containers have C(published), when a change was C(returned) because nobody confirmed it, and what iptables works with and the
          kernel has of it (C(backend)).
      type: dict
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _accounts, _cuda_toolkit, _directories, _gpu_driver, _host, _library, _local_weights, _nvidia, _prune, _reading, _releases
from ..module_utils._firewall import host as _firewall
from ..module_utils._kernel import conntrack, state

# How long each look into a folder may take. A weights' folder with thousands of files on a slow disk takes some.
SECONDS = 60
LISTS = ("releases", "unfinished_releases", "weights", "verified", "shared_weights", "account_groups")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "install_dir": {"type": "path", "default": "/opt/inferops"},
            "releases_dir": {"type": "path", "default": "/opt/inferops/releases"},
            "weights_dir": {"type": "path", "default": "/var/lib/inferops/models"},
            "state_dir": {"type": "path", "default": "/var/lib/inferops"},
            "account": {"type": "str", "default": "inferops"},
            "paths": {"type": "list", "elements": "path", "default": ["/var/cache/inferops", "/var/cache/inferops/uv", "/etc/inferops"]},
            "python": {"type": "raw", "default": "/usr/bin/python3"},
            "find_links": {"type": "list", "elements": "str", "default": []},
            "account_prefix": {"type": "str", "default": "inferops-"},
            "sysctl": {"type": "raw", "default": []},
        },
        supports_check_mode=True,
    )
    gpus, gpu_error = _nvidia.read_gpus()
    given = module.params
    sysctl = given["sysctl"]
    driver_packages = _gpu_driver.driver_packages()
    host = _host.read_system()
    mounts, silent = _host.ask_mounts()
    # What lies in folders that may be a network's, and who may be a directory service's.
    found, failed = _reading.ask(
        {
            "account": lambda: _host.read_account(given["account"]),
            "account_groups": lambda: _accounts.groups_of(given["account"]),
            "accounts": lambda: _accounts.read(given["account_prefix"]),
            "paths": lambda: _host.linked_paths([*given["paths"], *(given[name] for name in ("install_dir", "releases_dir", "weights_dir", "state_dir"))]),
            "pythons": lambda: _host.read_pythons(given["python"]),
            "wheels": lambda: _host.read_wheels(given["find_links"]),
            "releases": lambda: _releases.complete(given["releases_dir"]),
            "unfinished_releases": lambda: _releases.unfinished(given["releases_dir"]),
            "weights": lambda: _host.complete_weights(given["weights_dir"]),
            "weights_patterns": lambda: _host.weights_patterns(given["weights_dir"]),
            "verified": lambda: _local_weights.verified_paths(given["state_dir"]),
            "shared_weights": lambda: _host.shared_weights(given["weights_dir"]),
            "partial_weights": lambda: _host.partial_weights(given["weights_dir"]),
            "tools": lambda: _host.installed_tools(given["install_dir"]),
            "certificates": _host.added_certificates,
            "directories": lambda: _directories.read(
                [*given["paths"], *(given[name] for name in ("install_dir", "releases_dir", "weights_dir", "state_dir"))], [given["state_dir"]]
            ),
            "checked": lambda: _host.checked_services(given["state_dir"]),
            "cuda_releases": lambda: _cuda_toolkit.read_releases(given["releases_dir"], gpus),
            "library": lambda: _library.in_force(os.path.join(given["install_dir"], "lib")),
        },
        SECONDS,
    )
    host.update({**{name: [] if name in LISTS else "" if name == "library" else {} for name in failed}, **found})
    host.update(
        netrc=any(os.path.lexists(os.path.join(path, "netrc")) for path in given["paths"]),
        proxy=os.path.exists("/etc/apt/apt.conf.d/90inferops-proxy"),
        mounts=mounts,
        unanswered={**failed, **silent},
        listeners=_host.read_listeners(),
        udp_listeners=_host.read_listeners("udp"),
        services=_host.read_services(),
        release_builds=_releases.builds(_host.UNIT_DIRECTORY),
        download_units=_prune.download_units(),
        mount_points=_host.mount_points(),
        # What is neither is the plan's to refuse.
        kernel=state.read(sysctl if isinstance(sysctl, list) else [sysctl]),
        conntrack=conntrack.read(),
        gpus=gpus,
        gpu_error=gpu_error,
        nvswitches=_gpu_driver.count_nvswitches(),
        fabric_manager=_gpu_driver.fabric_manager(driver_packages),
        driver_module=_gpu_driver.loaded_module(),
        driver_packages=driver_packages,
    )
    host["firewall"] = _firewall.facts(given["state_dir"], host["listeners"], host["packages"])
    module.exit_json(changed=False, host=_reading.clean(host))


if __name__ == "__main__":
    main()
