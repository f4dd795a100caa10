#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: weights_probe
short_description: Check what a download of model weights has to fetch
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Queries the endpoints in turn for the commit and the files of a revision, and compares their size with the files that the host already has and with
    the free disk space.
  - Changes nothing, needs only Python on the host and takes seconds. So a run reports a wrong name or a full disk before it installs anything.
options:
  repo:
    description: Repository, as C(organization/name).
    type: str
    required: true
  revision:
    description: Commit, tag or branch.
    type: str
    required: true
  path:
    description: Final directory of the weights.
    type: path
    required: true
  endpoints:
    description: >-
      URLs of the Hugging Face Hub or mirrors of it, or C(modelscope+https://host) for a ModelScope server, in the order of their use. Commit and hashes
      come from the first of the former that has the revision, else from the first ModelScope server that has it.
    type: list
    elements: str
    required: true
  exclude:
    description: Patterns of files to skip.
    type: list
    elements: str
    default: []
  include:
    description: Patterns of the files to download. Empty for all files.
    type: list
    elements: str
    default: []
  token:
    description: Access token.
    type: str
    default: ""
  token_endpoints:
    description: The endpoints that receive the token.
    type: list
    elements: str
    default: []
  disk_reserve:
    description: Free disk space in bytes that must remain after the download.
    type: int
    default: 0
  ca_certificates:
    description: CA certificates to trust, as PEM text, in addition to the host's trust store, which may not be up to date yet.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - inferops.gpu.attributes.read
  - inferops.gpu.attributes.internal
  - inferops.gpu.options.proxy
"""

EXAMPLES = r"""
- name: Check what has to be downloaded
  inferops.gpu.weights_probe:
    repo: Qwen/Qwen3-0.6B
    revision: main
    path: /var/lib/inferops/models/Qwen--Qwen3-0.6B/main
    endpoints: ["https://huggingface.co"]
"""

RETURN = r"""
endpoint:
  description: The endpoint that named commit and hashes.
  returned: success
  type: str
commit:
  description: Commit that the revision resolves to.
  returned: success
  type: str
files:
  description: Files to download with C(path), C(size) in bytes and C(sha256) or C(git_sha1).
  returned: success
  type: list
  elements: dict
equal:
  description: >-
    Where another endpoint named commit and hashes, by ModelScope endpoint: its C(revision), and C(files), the paths of the files that it has with the same size
    and sha256. Of a small file only the size can be compared.
  returned: success
  type: dict
total_bytes:
  description: Total size of these files, in bytes.
  returned: success
  type: int
missing_bytes:
  description: Size of the files that the host does not have yet, in bytes.
  returned: success
  type: int
"""

import os
import typing as t
import urllib.parse

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _endpoint_kinds, _hub, _masking, _modelscope, _proxy


# Timeout for one answer in seconds: an endpoint that cannot be reached from here is skipped.
TIMEOUT_SECONDS = 15


class ProbeError(_hub.HubError):
    """No endpoint has the revision: the answer of each, and the page where a gated repository's license is accepted, or empty."""

    def __init__(self, said: str, page: str) -> None:
        super().__init__(said, gated=bool(page))
        self.page = page


def ask(parameters: dict[str, t.Any]) -> tuple[str, str, list[dict[str, t.Any]]]:
    """Return the endpoint that names them, the commit and the files. Raises ProbeError."""
    said, pages = [], []
    for endpoint in _endpoint_kinds.naming_order(parameters["endpoints"]):
        base = endpoint.rstrip("/")
        trusted = is_trusted(parameters, base)
        try:
            api = _modelscope.api_of(base, parameters["token"] if trusted else "", parameters["ca_certificates"], TIMEOUT_SECONDS)
            commit = api.read_commit(parameters["repo"], parameters["revision"])
            return base, commit, api.read_files(parameters["repo"], commit, parameters["exclude"], parameters["include"])
        except _hub.HubError as error:
            unsent = " (the token was not sent there: weights_token_endpoints)" if error.gated and parameters["token"] and not trusted else ""
            said.append(_masking.masked(f"{endpoint} answered {error}{unsent}", parameters["token"], endpoint))
            if error.gated:
                pages.append(page_of(base, parameters["repo"]))
    raise ProbeError("; ".join(said), pages[0] if pages else "")


def is_trusted(parameters: dict[str, t.Any], base: str) -> bool:
    """Whether an endpoint receives the token."""
    return base in [one.rstrip("/") for one in parameters["token_endpoints"]]


def page_of(endpoint: str, repo: str) -> str:
    """Return the page of a repository for users."""
    path = urllib.parse.quote(repo)
    return f"{_endpoint_kinds.base_of(endpoint)}/models/{path}" if _endpoint_kinds.is_modelscope(endpoint) else f"https://huggingface.co/{path}"


def ask_modelscope(parameters: dict[str, t.Any], named_by: str, files: list[dict[str, t.Any]]) -> tuple[dict[str, t.Any], list[str]]:
    """Return which of the files each ModelScope endpoint has, and why lists can't be read. The hashes are those of another kind of endpoint.

    ModelScope does not have the Hub's commit, so the list is that of its default branch. Where the branch moves later, the hashes still decide.
    """
    equal: dict[str, t.Any] = {}
    problems = []
    for endpoint in parameters["endpoints"] if not _endpoint_kinds.is_modelscope(named_by) else ():
        base = endpoint.rstrip("/")
        if not _endpoint_kinds.is_modelscope(base):
            continue
        try:
            token = parameters["token"] if is_trusted(parameters, base) else ""
            api = _modelscope.ModelScope(base, token, parameters["ca_certificates"], TIMEOUT_SECONDS)
            revision = _endpoint_kinds.DEFAULT_BRANCH
            equal[base] = {"revision": revision, "files": _modelscope.equal_files(files, api.read_valid(parameters["repo"], revision))}
        except _hub.HubError as error:
            problems.append(_masking.masked(f"{endpoint} is not used for {parameters['repo']}: it answered {error}", parameters["token"], endpoint))
    return equal, problems


def missing_bytes(files: list[dict[str, t.Any]], *directories: str) -> int:
    """Return the bytes of the files that are in none of the directories yet."""
    return sum(file["size"] - max(begun(os.path.join(base, file["path"]), file["size"]) for base in directories) for file in files)


def begun(path: str, size: int) -> int:
    """Return how many bytes of a file exist; 0 for a file that is too long, since it is fetched again."""
    found = size_of(path)
    return found if 0 <= found <= size else 0


def size_of(path: str) -> int:
    """Return a file's size in bytes; -1 when it does not exist."""
    try:
        return os.path.getsize(path)
    except OSError:
        return -1


def free_bytes(path: str) -> int:
    """Return the free space for users other than root at a path, which need not exist yet."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def by_proxy(proxy: dict[str, t.Any]) -> str:
    """Return which proxy the requests used, and how to bypass it, for messages."""
    if not proxy:
        return ""
    return f" through the proxy {proxy.get('https') or proxy.get('http')} (host_http_proxy; list servers inside the site in host_no_proxy)"


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "repo": {"type": "str", "required": True},
            "revision": {"type": "str", "required": True},
            "path": {"type": "path", "required": True},
            "endpoints": {"type": "list", "elements": "str", "required": True},
            "exclude": {"type": "list", "elements": "str", "default": []},
            "include": {"type": "list", "elements": "str", "default": []},
            "token": {"type": "str", "default": "", "no_log": True},
            "token_endpoints": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "disk_reserve": {"type": "int", "default": 0},
            "ca_certificates": {"type": "list", "elements": "str", "default": []},
            **_proxy.OPTIONS,
        },
        supports_check_mode=True,
    )
    wanted = module.params
    _proxy.apply(wanted["proxy"], wanted["proxy_password"])
    name = f"{wanted['repo']} at revision {wanted['revision']}"
    try:
        endpoint, commit, files = ask(wanted)
    except ProbeError as error:
        page = f"If it is gated, accept its license at {error.page}, and set weights_token to a token of the account that accepted it. " if error.page else ""
        module.fail_json(
            msg=f"{name} cannot be downloaded: {error}. {page}Check the service's model and revision, weights_endpoints, "
                f"and that the host can reach them{by_proxy(wanted['proxy'])}. Nothing was changed.",
        )
    total = sum(file["size"] for file in files)
    missing = missing_bytes(files, wanted["path"], wanted["path"] + ".partial")
    free = free_bytes(wanted["path"])
    if missing + wanted["disk_reserve"] > free:
        module.fail_json(
            msg=f"{name} does not fit on the disk: {missing} bytes are left to download to {wanted['path']}, "
                f"{wanted['disk_reserve']} must stay free (weights_disk_reserve), {free} are free. "
                "Free disk space, or set weights_dir to a larger disk. Nothing was changed.",
        )
    equal, problems = ask_modelscope(wanted, endpoint, files)
    for problem in problems:
        module.warn(problem)
    module.exit_json(changed=False, endpoint=endpoint, commit=commit, files=files, equal=equal, total_bytes=total, missing_bytes=missing)


if __name__ == "__main__":
    main()
