# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two kinds of endpoints: the Hugging Face Hub and its mirrors (C(https://host)), and ModelScope (C(modelscope+https://host)).

They have different commits and URLs. The program that downloads, modules and the plan use this module. Standard library only, Python 3.9.
"""

from __future__ import annotations

import typing as t
import urllib.parse

PREFIX = "modelscope+"
# The default branch of ModelScope's repositories (modelscope_hub 0.5.1 of PyPI, api.py: "Defaults to master").
DEFAULT_BRANCH = "master"


def is_modelscope(endpoint: str) -> bool:
    """Whether an endpoint is a ModelScope server."""
    return endpoint.startswith(PREFIX)


def base_of(endpoint: str) -> str:
    """Return the URL of an endpoint's server, without a slash at its end."""
    return endpoint.removeprefix(PREFIX).rstrip("/")


def naming_order(endpoints: t.Iterable[str]) -> list[str]:
    """Return endpoints in the order in which they are asked for commit and hashes: the Hub and its mirrors first, whose hashes are the publisher's.

    A ModelScope server names them where no endpoint of the other kind has the revision.
    """
    return sorted(endpoints, key=is_modelscope)


def file_address(endpoint: str, repo: str, revision: str, path: str) -> str:
    """Return the URL of a file. That of ModelScope is as in modelscope_hub 0.5.1 (_legacy_api.py, get_download_url)."""
    if is_modelscope(endpoint):
        return f"{base_of(endpoint)}/api/v1/models/{repo}/repo?{urllib.parse.urlencode({'Revision': revision, 'FilePath': path})}"
    return f"{base_of(endpoint)}/{repo}/resolve/{revision}/{urllib.parse.quote(path)}"


def session_cookie(token: str) -> str:
    """Return the value of the Cookie header with which ModelScope's client sends a token, beside the Authorization header.

    Servers accept one or the other (modelscope_hub 0.5.1, _legacy_api.py, _ensure_session_auth).
    """
    return f"m_session_id={token}"
