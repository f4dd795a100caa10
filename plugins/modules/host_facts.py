#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_facts
short_description: Gather the facts about a GPU host that the plan needs
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Reads the operating system, disks, GPUs, listening sockets and what this collection has already installed on the host.
  - One module call replaces fact gathering, package facts and several M(ansible.builtin.stat) calls.
  - Changes nothing and works on a freshly installed host.
options:
  install_dir:
    description: Installation directory of tools and programs.
    type: path
    default: /opt/inferops
  releases_dir:
    description: Directory of vLLM releases.
    type: path
    default: /opt/inferops/releases
  weights_dir:
    description: Directory of model weights.
    type: path
    default: /var/lib/inferops/models
  state_dir:
    description: Directory of the collection's state on the host.
    type: path
    default: /var/lib/inferops
  account:
    description: Name of the account that runs downloads.
    type: str
    default: inferops
  paths:
    description: Further paths that the roles write to. The module resolves symbolic links in them.
    type: list
    elements: path
    default: [/var/cache/inferops, /var/cache/inferops/uv, /etc/inferops]
  python:
    description: The Python interpreter of releases, as a path, or as a version that uv installs.
    type: raw
    default: /usr/bin/python3
  find_links:
    description: Directories on the host that releases are installed from, as paths or C(file://) URLs.
    type: list
    elements: str
    default: []
  account_prefix:
    description: Prefix of the names of the services' accounts.
    type: str
    default: inferops-
  sysctl:
    description: Kernel parameters to report in addition to those that the collection sets by default, as names or as dictionaries with the names as keys.
    type: raw
    default: []
extends_documentation_fragment:
  - inferops.gpu.attributes.read
"""

EXAMPLES = r"""
- name: Gather facts about the host
  inferops.gpu.host_facts:
  register: found

- name: Show the number of GPUs
  ansible.builtin.debug:
    msg: "{{ found.host.gpus | length }} GPUs"
"""

RETURN = r"""
host:
  description: The facts.
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
      description: Host name.
      type: str
    python:
      description: Version of the interpreter that ran the module.
      type: str
    cpus:
      description: Number of CPUs that the process may use.
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
      description: IPv4 address of the interface of the default route, or an empty string.
      type: str
    default_ipv6:
      description: IPv6 address of the interface of the default route, or an empty string.
      type: str
    interfaces:
      description: Addresses by interface, IPv4 first. IPv6 addresses only if other hosts can reach them.
      type: dict
    pythons:
      description: Versions of the system's Python interpreters and of O(python), by path. The version is empty if the interpreter does not exist.
      type: dict
    wheels:
      description: File names in the directories of O(find_links) that exist on the host, by directory.
      type: dict
    paths:
      description: Real paths of those paths in the options that contain symbolic links, by path.
      type: dict
    proxy:
      description: Whether this collection has configured a proxy for apt.
      type: bool
    mounts:
      description: >-
        Mounted file systems with C(mount), C(device), C(options), C(size_bytes), C(free_bytes) (free for users other than root) and
        C(free_files) (null if the file system does not limit the number of files).
      type: list
    gpus:
      description: >-
        GPUs in the order of C(nvidia-smi), with memory in bytes. C(error) is the error message for a GPU that is lost or has to be reset. C(split) is
        whether MIG divides the GPU into C(slices), each with C(uuid), C(profile) and C(memory_bytes).
      type: list
    amd:
      description: >-
        AMD's GPUs. C(gpus) has them in the order of C(source) (C(amd-smi), C(rocm-smi), or C(kfd), the kernel itself), each with C(index), C(uuid) (as in
        ROCR_VISIBLE_DEVICES), C(bus_id), C(name), C(gfx) (the LLVM target, such as gfx942), C(memory_bytes), C(driver_version) (empty for the kernel's
        own driver), C(node) (of KFD, by which HIP orders GPUs) and C(partition) (the mode of a divided GPU). C(error) is why they are unknown, with its
        C(fix), C(warnings) are sources that failed. C(rocm_version) is the version in C(/opt/rocm). C(device_groups) are the groups that may open the
        GPUs' device files, C(closed_devices) the files that only root may open.
      type: dict
    glibc:
      description: Version of glibc. Empty for another C library.
      type: str
    gpu_health:
      description: >-
        Findings about the health of the GPUs and their driver, each with C(name), the C(gpu) (index, null if it is about the whole host), its C(uuid), the
        C(level) (V(error) if the GPU must not be used, otherwise V(warning)), the C(cause), the C(action) (V(none), V(restart_service),
        V(update_driver), V(investigate), V(reset_gpu), V(reboot) or V(replace)), and the C(fix). Empty on a host without C(nvidia-smi).
      type: list
    unanswered:
      description: Facts that could not be read, with the reason, by the name of the fact or the mount point. The value of such a fact is empty.
      type: dict
    nvswitches:
      description: Number of NVSwitches in the host.
      type: int
    fabric_manager:
      description: Version of the installed Fabric Manager. Empty if it is not installed.
      type: str
    driver_module:
      description: Version of the loaded NVIDIA kernel module. Empty if none is loaded.
      type: str
    driver_packages:
      description: Installed Debian packages of NVIDIA's driver and toolkit by name, with C(version) and whether they are on hold (C(held)).
      type: dict
    cuda_releases:
      description: >-
        Releases with a CUDA toolkit by name, with the CUDA version (C(cuda)), the C(driver) and C(architectures) that the smoke test covered, and what
        has C(changed) since the test. If C(changed) is an empty list, the test result is still valid.
      type: dict
    directories:
      description: >-
        Owner, group and mode of the directories in the options and of their direct subdirectories, by path, as V(root:root 0755). Symbolic links and
        their targets are not included.
      type: dict
    netrc:
      description: Whether one of O(paths) contains a file C(netrc).
      type: bool
    library:
      description: Digest of the host library in force in C(<install_dir>/lib), computed from its files. Empty if there is none.
      type: str
    gpu_error:
      description: Error message of C(nvidia-smi). Empty if it succeeded or is not installed.
      type: str
    listeners:
      description: Listening TCP sockets with C(port), C(address), C(pid), and the C(program) and systemd C(unit) of the process.
      type: list
    udp_listeners:
      description: UDP sockets without a connected peer, with the same keys.
      type: list
    services:
      description: >-
        Units of model services of this collection, with C(unit), C(service), the C(active) state (C(ActiveState)), C(enabled) (C(UnitFileState)),
        C(status) (C(StatusText)), the C(port) of the API (0 without one), the C(gpus) that the service uses (null if unknown), whether the
        service is a C(multi_node) service, and the C(digest) (sha256) of the unit file (empty unless root owns the file and its mode is 0644).
      type: list
    green_units:
      description: Temporary units of blue/green updates. A run that has died may have left them.
      type: list
    releases:
      description: Names of complete releases.
      type: list
    unfinished_releases:
      description: Directories of builds and removals that were interrupted or are still running.
      type: list
    release_builds:
      description: Names of the releases that have a build unit.
      type: list
    download_units:
      description: Units of this collection that download or verify weights, and whether each of them starts at boot.
      type: dict
    weights:
      description: Paths of complete weights.
      type: list
    weights_patterns:
      description: >-
        Patterns (C(include) and C(exclude)) that selected the files, by the path of the weights. Weights whose manifest does not record them are not
        included.
      type: dict
    verified:
      description: Paths of pre-staged weights whose files all have the same size and time as when they were verified.
      type: list
    mount_points:
      description: All mount points, of any type of file system.
      type: list
    shared_weights:
      description: Paths of export directories, from which peers copy weights.
      type: list
    partial_weights:
      description: Size of unfinished downloads in bytes, by the final path of the weights.
      type: dict
    account:
      description: C(user), C(group), C(home) and C(comment) of the account that runs downloads. Empty if the account does not exist.
      type: dict
    account_groups:
      description: Supplementary groups of this account.
      type: list
    accounts:
      description: >-
        Accounts by name that start with O(account_prefix) or were created for services, with C(uid), C(group), supplementary C(groups), C(home) and
        C(comment).
      type: dict
    certificates:
      description: sha256 of each file in C(/usr/local/share/ca-certificates) that is in the host's trust store, by name.
      type: dict
    checked:
      description: Digest of the arguments that the release's own parser accepted, by service.
      type: dict
    kernel:
      description: >-
        Kernel settings. C(sysctl) has the parameters by name, each with C(value), C(exists), C(absence) (why a missing parameter may still be valid),
        C(near) (similar names, for a name that can only be a mistake) and C(conflicts) (values from files that override the collection's). C(files) has
        the lines of the collection's files, C(unmanaged_files) are other files with the same paths, and C(missing_folders) are directories that the
        collection's files need. C(modules) are the loaded ones of the modules that the collection loads. C(transparent_hugepages), C(governors) and
        C(available_governors) are the settings in force and the governors that all CPUs offer.
      type: dict
    conntrack:
      description: >-
        Tracked connections, with C(count), C(max), C(buckets) and the counters since boot C(drop), C(early_drop), C(insert_failed) and
        C(chain_too_long). Empty if the kernel module is not loaded. The counters come from C(conntrack -S), and are null if it is not installed or does
        not report them.
      type: dict
    tools:
      description: Executables in C(<install_dir>/bin) by name, with the path that each of them links to.
      type: dict
    firewall:
      description:
        - Firewall facts. C(state) is the state of UFW, C(ssh_ports) are the ports that SSH listens on, and C(connection) is the SSH connection of this
          task. C(others) are other active firewall managers. C(published) are ports that containers publish. C(returned) is the time of the last rollback
          of an unconfirmed change. C(backend) is the backend of iptables and what of it the kernel supports.
      type: dict
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _accounts, _cuda_toolkit, _directories, _gpu_driver, _green, _host, _library, _local_weights, _nvidia, _prune, _reading, _releases
from ..module_utils._firewall import host as _firewall
from ..module_utils._kernel import conntrack, state
from ..module_utils.amd_gpus import read as _amd
from ..module_utils.gpu_health import collect

# Seconds that each check of a folder may take. A weights directory with thousands of files on a slow disk takes a while.
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
    nvswitches = _gpu_driver.count_nvswitches()
    services = _host.read_services()
    host = _host.read_system()
    mounts, silent = _host.ask_mounts()
    # These may wait: folders may be on a network file system, and accounts may come from a directory service.
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
        services=services,
        green_units=_green.units(),
        release_builds=_releases.builds(_host.UNIT_DIRECTORY),
        download_units=_prune.download_units(),
        mount_points=_host.mount_points(),
        # The plan refuses values that are neither names nor dictionaries.
        kernel=state.read(sysctl if isinstance(sysctl, list) else [sysctl]),
        conntrack=conntrack.read(),
        gpus=gpus,
        gpu_error=gpu_error,
        amd=_amd.read(),
        gpu_health=collect.read_within(gpu_error, services, driver_packages, nvswitches) if gpus or gpu_error else [],
        nvswitches=nvswitches,
        fabric_manager=_gpu_driver.fabric_manager(driver_packages),
        driver_module=_gpu_driver.loaded_module(),
        driver_packages=driver_packages,
    )
    host["firewall"] = _firewall.facts(given["state_dir"], host["listeners"], host["packages"])
    module.exit_json(changed=False, host=_reading.clean(host))


if __name__ == "__main__":
    main()
