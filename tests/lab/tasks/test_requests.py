# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The request of each task, as the health gate sends it, to services that were not told which one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder
from openai import OpenAI

# By Ansible's own loader: PyPI's `ansible` package owns the name `ansible_collections` on sys.path.
_AnsibleCollectionFinder(paths=[str(Path(__file__).resolve().parents[3] / "collections")])._install()

from ansible_collections.inferops.gpu.plugins.module_utils import _openai_api, _task_checks  # noqa: E402


@pytest.mark.parametrize(
    ("name", "task", "found"),
    [
        # An unknown task is detected. What ranks also scores, and is asked for that first.
        ("picture", "auto", "chat"),
        ("base", "auto", "completion"),
        ("embed", "auto", "embedding"),
        ("rerank", "auto", "score"),
        ("score", "auto", "score"),
        ("sound", "auto", "transcription"),
        # Tasks that no service here is for.
        ("rerank", "classify", "classify"),
        ("embed", "pooling", "pooling"),
    ],
)
def test_request(client_of: Callable[[str], OpenAI], name: str, task: str, found: str) -> None:
    client = client_of(name)
    api = _openai_api.Api(str(client.base_url).removesuffix("/v1/"), "", 60)
    answer = _task_checks.verify(api, task, _task_checks.Question(name))
    assert answer["task"] == found and answer["content"], answer
