# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the plan passes to the doctor's module, and which secrets a bundle is searched for."""

from __future__ import annotations

from typing import Any

from ansible_collections.inferops.gpu.plugins.filter.bundle import bundle_secrets
from ansible_collections.inferops.gpu.plugins.filter.diagnosis import diagnosis_mirrors, diagnosis_services

NODES = [{"host": "gpu1", "address": "10.0.0.1"}, {"host": "gpu2", "address": "10.0.0.2"}]


def service(**others: Any) -> dict[str, Any]:
    return {"name": "q", "state": "present", "url": "https://gpu1.example:8001", "tls": None, "node": None, **others}


def test_services() -> None:
    facts = {"interfaces": {"eth0": ["192.0.2.1"], "eth1": ["10.0.0.1"]}}
    services = [
        service(), service(name="gone", state="absent"), service(name="tls", tls={"name": ""}), service(name="named", tls={"name": "q.example"}),
        service(name="node", node={"nodes": NODES}),
    ]
    assert diagnosis_services({"host": "gpu1", "services": services}, facts) == [
        {"service": "q"}, {"service": "tls", "names": ["gpu1.example"]}, {"service": "named", "names": ["q.example"]},
        {"service": "node", "address": "10.0.0.1", "interface": "eth1", "peers": [{"host": "gpu2", "address": "10.0.0.2"}]},
    ]


def test_mirrors() -> None:
    weights = {"repo": "o/m", "revision": "abc", "local": False, "endpoints": ["https://a/", "https://b"], "token_endpoints": ["https://b"]}
    index = {"index_url": "https://i/simple/", "extra_index_urls": ["https://j"], "find_links": ["/srv/wheels", "https://k/wheels/"], "no_index": False}
    release = {"package": "vllm[audio]==0.32.0", "index": index}
    plan = {"weights": [weights, {**weights, "repo": "o/n"}, {**weights, "local": True, "endpoints": ["https://z"]}], "releases": [release]}
    found = {mirror["url"]: mirror for mirror in diagnosis_mirrors(plan)}
    assert list(found) == [
        "https://a/o/m/resolve/abc/tokenizer.json", "https://b/o/m/resolve/abc/tokenizer.json", "https://i/simple/vllm/", "https://j/vllm/",
        "https://k/wheels/",
    ]
    assert [mirror.get("authenticate", False) for mirror in found.values()] == [False, True, False, False, False]
    off = {"weights": [], "releases": [{**release, "index": {**index, "no_index": True}}]}
    assert [mirror["url"] for mirror in diagnosis_mirrors(off)] == ["https://k/wheels/"]


def test_secrets() -> None:
    services = [{"name": "q", "api_key": "k1", "secret_environment": {"A": "e1", "B": 12345}}, {"name": "r", "api_key": "k1"}, "not a service"]
    variables = {"weights_token": "t1", "empty": "", "host_index_credentials": {"index": {"user": "me", "password": "p1"}}, "list": ["l1"], "flag": True}
    assert bundle_secrets(services, variables) == ["k1", "e1", "12345", "t1", "p1", "l1"]


def test_modelscope_is_measured_by_its_own_urls() -> None:
    """At its default branch where the revision is the Hub's, else at the revision."""
    weights = {"local": False, "repo": "a/b", "revision": "r", "token_endpoints": []}
    base = "https://m/api/v1/models/a/b/repo?Revision="
    mixed = diagnosis_mirrors({"weights": [{**weights, "endpoints": ["https://h", "modelscope+https://m"]}]})
    assert [mirror["url"] for mirror in mixed] == ["https://h/a/b/resolve/r/tokenizer.json", f"{base}master&FilePath=tokenizer.json"]
    alone = diagnosis_mirrors({"weights": [{**weights, "endpoints": ["modelscope+https://m"]}]})
    assert [mirror["url"] for mirror in alone] == [f"{base}r&FilePath=tokenizer.json"]
