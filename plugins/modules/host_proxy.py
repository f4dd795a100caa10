#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_proxy
short_description: Configure the site's proxy on a host
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Writes an environment file for the collection's units, and the proxy settings of apt.
  - The user and the password are only in files that only root can read. They are never in apt's settings, in a unit or on a command line.
  - Without a proxy, the module removes the files.
options:
  proxy:
    description: The proxy as C(http), C(https), C(no_proxy) and C(username), in the form of the plan. Empty for no proxy.
    type: dict
    default: {}
  password:
    description: Password of the proxy's user.
    type: str
    default: ""
  environment_file:
    description: Environment file to write, for C(EnvironmentFile=) in units.
    type: path
    default: /etc/inferops/proxy.env
  name:
    description: Name that the names of apt's files contain.
    type: str
    default: inferops
extends_documentation_fragment:
  - inferops.gpu.attributes
  - inferops.gpu.attributes.internal
attributes:
  diff_mode:
    description: Shows the names of the files, but not their contents.
    support: partial
"""

EXAMPLES = r"""
- name: Configure the site's proxy
  inferops.gpu.host_proxy:
    proxy: {http: "http://proxy.example:3128", https: "http://proxy.example:3128", no_proxy: [localhost, 127.0.0.1], username: ""}
"""

RETURN = r"""
changed_paths:
  description: Files that were written or removed.
  returned: always
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _proxy, _writing

APT = "/etc/apt"


def wanted_files(module: AnsibleModule, apt: str = APT) -> dict[str, tuple[str, int]]:
    """Return text and mode of each file by path; an empty text for a file that must not exist."""
    proxy, password, name = module.params["proxy"], module.params["password"], module.params["name"]
    has_proxy = bool(proxy and (proxy.get("http") or proxy.get("https")))
    return {
        module.params["environment_file"]: (_proxy.environment_file(proxy, password) if has_proxy else "", 0o600),
        os.path.join(apt, "auth.conf.d", f"90{name}-proxy.conf"): (_proxy.apt_credentials(proxy, password) if has_proxy else "", 0o600),
        os.path.join(apt, "apt.conf.d", f"90{name}-proxy"): (_proxy.apt_settings(proxy) if has_proxy else "", 0o644),
    }


def as_wanted(path: str, text: str, mode: int) -> bool:
    """Whether a file has the wanted text, owner and mode."""
    try:
        found = os.lstat(path)
        with open(path, encoding="utf-8") as file:
            return bool(text) and file.read() == text and found.st_mode & 0o7777 == mode and found.st_uid == os.geteuid() and not os.path.islink(path)
    except FileNotFoundError:
        return not text


def write(path: str, text: str, mode: int) -> None:
    """Write a file atomically; nobody else can read it before it has its mode."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    _writing.replace(path, text, mode, durable=True)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "proxy": {"type": "dict", "default": {}},
            "password": {"type": "str", "default": "", "no_log": True},
            "environment_file": {"type": "path", "default": "/etc/inferops/proxy.env"},
            "name": {"type": "str", "default": "inferops"},
        },
        supports_check_mode=True,
    )
    if not module.params["password"].isprintable() or " " in module.params["password"]:
        module.fail_json(
            msg="host_proxy_password has white space or a line break, for example the line break that `echo` appends for ansible-vault. Nothing was changed.",
        )
    changed = []
    # apt's settings last: they mark the other files as complete.
    for path, (text, mode) in wanted_files(module).items():
        try:
            if as_wanted(path, text, mode):
                continue
            changed.append(path)
            if module.check_mode:
                continue
            if text:
                write(path, text, mode)
            else:
                os.unlink(path)
        except OSError as error:
            module.fail_json(msg=f"Cannot write {path}: {error.strerror or type(error).__name__}")
    module.exit_json(changed=bool(changed), changed_paths=changed, diff={"before": "", "after": "".join(path + "\n" for path in changed)})


if __name__ == "__main__":
    main()
