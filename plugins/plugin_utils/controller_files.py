# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the files on the controller that variables name (certificates, keys, templates, plugins), all by the same search path."""

from __future__ import annotations

import hashlib
import os

from pathlib import Path
from typing import Any, Mapping

# The name of the inventory in an AWX job, where inventory_dir is a directory of AWX itself.
_AWX_INVENTORY = "awx_inventory_name"
_PLAYBOOKS = "playbooks"

# Variables that name files on the controller, one or a list of them.
VARIABLES = ("host_ca_certificates", "cuda_apt_key", "monitoring_grafana_key", "verify_ca_file")
# The largest file for a service in bytes. Weights are downloaded instead.
LARGEST = 16 * 1024 * 1024
_PRIVATE = b"PRIVATE KEY-----"


class NotFound(ValueError):
    """The file is in none of the directories of the search path, or cannot be read. The text names the directories."""


def folders(variables: Mapping[str, Any]) -> tuple[str, ...]:
    """The search path for relative paths, in this order.

    :param variables: a host's variables, with Ansible's own inventory_dir and playbook_dir
    """
    inventory, playbook, name = (_text(variables, key) for key in ("inventory_dir", "playbook_dir", _AWX_INVENTORY))
    # For playbooks/ of a checkout its parent is searched as well, so that site.yml and playbooks/plan.yml find the same files.
    bases = [playbook, *([os.path.dirname(playbook)] if os.path.basename(playbook) == _PLAYBOOKS else [])] if playbook else []
    # In AWX an inventory has the name of its directory in the project.
    named = [os.path.join(base, "inventories", name) for base in bases if name and os.sep not in name and name not in (".", "..")]
    return tuple(dict.fromkeys([*([inventory] if inventory else []), *named, *bases]))


def find(path: str, looked: tuple[str, ...]) -> str:
    """The file's absolute path.

    :param path: absolute, with ~ for a home directory, or relative to the search path
    :param looked: the search path, from C(folders)
    :raises NotFound: when there is no such file, or this user may not read it
    """
    expanded = os.path.expanduser(path)
    for candidate in [expanded] if os.path.isabs(expanded) else [os.path.join(folder, expanded) for folder in looked]:
        if Path(candidate).is_file():
            if not os.access(candidate, os.R_OK):
                raise NotFound(f"{candidate} cannot be read by the user that runs Ansible")
            return os.path.normpath(candidate)
    if os.path.isabs(expanded):
        raise NotFound("there is no such file on the controller")
    raise NotFound(f"there is no such file on the controller; looked in {', '.join(looked) or 'no folder, since neither inventory nor playbook has one'}")


def of_services(services: Any, looked: tuple[str, ...]) -> tuple[Any, list[tuple[str, str, str, str]]]:
    """Services with each path in C(files) replaced by C(source) and C(sha256) of the file.

    :param services: as the user wrote them; other code reports what is not a list or not a service
    :return: the services, and for each file that is missing or invalid the service, the key, the path and the reason. Such files are left out
    """
    if not isinstance(services, list):
        return services, []
    missing: list[tuple[str, str, str, str]] = []
    found = []
    for service in services:
        if isinstance(service, Mapping) and isinstance(service.get("files"), Mapping) and service.get("state") != "absent":
            files = {}
            for name, path in service["files"].items():
                try:
                    files[name] = _described(path, looked)
                except (NotFound, OSError) as error:
                    missing.append((str(service.get("name") or ""), f"files.{name}", str(path), str(error)))
            service = {**service, "files": files}
        found.append(service)
    return found, missing


def _described(path: Any, looked: tuple[str, ...]) -> dict[str, str]:
    if not isinstance(path, str) or not path:
        raise NotFound("this is not a path on the controller")
    source = find(path, looked)
    size = os.path.getsize(source)
    if size > LARGEST:
        raise NotFound(f"it has {size} bytes, and templates and plugins have {LARGEST} at most")
    content = Path(source).read_bytes()
    if _PRIVATE in content:
        raise NotFound("it contains a private key, and every process of the host may read the files of a service; copy it to the host by other means")
    return {"source": source, "sha256": hashlib.sha256(content).hexdigest()}


def _text(variables: Mapping[str, Any], name: str) -> str:
    value = variables.get(name)
    return str(value) if isinstance(value, str) else ""
