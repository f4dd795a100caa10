# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases in the plan: where they come from, what their names stand for, and what is refused of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.errors import InvalidValue
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs import settings
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.settings import sources
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from plan_builders import keys_of, service

Plans = Callable[..., Plan]
COMMIT = "a" * 40
SHA256 = "b" * 64
GIT = "git+https://git.example/vllm.git"

READ: list[tuple[str, sources.Source, bool]] = [
    ("", sources.Source(), False),
    ("nightly", sources.Source("nightly"), True),
    (f"{GIT}@{COMMIT}", sources.Source("git", "https://git.example/vllm.git", COMMIT), False),
    (f"{GIT}@main", sources.Source("git", "https://git.example/vllm.git", "main"), True),
    (f"{GIT}@releases/v0.32", sources.Source("git", "https://git.example/vllm.git", "releases/v0.32"), True),
    (f"git+ssh://git@git.example:2222/vllm@{COMMIT}", sources.Source("git", "ssh://git@git.example:2222/vllm", COMMIT), False),
    (f"git+file:///srv/vllm.git@{COMMIT}", sources.Source("git", "file:///srv/vllm.git", COMMIT), False),
    ("/srv/vllm-0.32.0.tar.gz", sources.Source("file", "/srv/vllm-0.32.0.tar.gz"), True),
    ("https://a.example/vllm-0.32.0.zip", sources.Source("file", "https://a.example/vllm-0.32.0.zip"), True),
    (f"https://a.example/v.whl?x=1#sha256={SHA256}", sources.Source("file", "https://a.example/v.whl?x=1", sha256=SHA256), False),
    (f"/srv/v.whl#sha256={SHA256}", sources.Source("file", "/srv/v.whl", sha256=SHA256), False),
]


@pytest.mark.parametrize(("text", "expected", "moves"), READ, ids=[case[0] or "empty" for case in READ])
def test_sources_that_are_read(text: str, expected: sources.Source, moves: bool) -> None:
    found = sources.read(text)
    assert found == expected and found.moves is moves


REFUSED: list[tuple[Any, str]] = [
    (5, "text belongs"),
    ("main", "not a known kind of source"),
    ("vllm-0.32.0.tar.gz", "not a known kind of source"),
    ("ftp://a.example/vllm.tar.gz", "not a known kind of source"),
    ("https://a.example/a b.whl", "white space"),
    (f"git+https:///vllm@{COMMIT}", "has no host"),
    (f"git+https://:443/vllm@{COMMIT}", "has no host"),
    (f"git+git.example/vllm@{COMMIT}", "https, http, ssh or file"),
    (f"git+ftp://git.example/vllm@{COMMIT}", "https, http, ssh or file"),
    ("git+https://git.example/vllm.git", "the commit is missing"),
    ("git+https://git.example/vllm.git@", "the commit is missing"),
    ("git+ssh://user@git.example/vllm.git", "the commit is missing"),
    ("git+https://user@git.example/vllm.git", "user or a password"),
    (f"git+https://git.example/@{COMMIT}", "no repository"),
    (f"git+https://git.example/vllm@{COMMIT}#egg=x", "no repository"),
    ("git+https://git.example/vllm@--upload-pack=x", "not a commit"),
    ("git+https://git.example/vllm@a..b", "not a commit"),
    (f"git+https://me:hush@git.example/vllm@{COMMIT}", "password"),
    ("https://me:hush@a.example/vllm.whl", "password"),
    ("https://a.example:99999999/vllm.whl", "not an address"),
    ("https:///vllm.whl", "has no host"),
    ("https://a.example/vllm", "neither an sdist nor a wheel"),
    ("/srv/vllm.tar.bz2", "neither an sdist nor a wheel"),
    ("/srv/vllm.git", "neither an sdist nor a wheel"),
    ("/srv/../vllm.whl", "'..'"),
    ("/srv/vllm.whl#md5=1", "sha256"),
    ("/srv/vllm.whl#sha256=xyz", "sha256"),
]


@pytest.mark.parametrize(("text", "words"), REFUSED, ids=[str(case[0]) for case in REFUSED])
def test_sources_that_are_refused(text: Any, words: str) -> None:
    with pytest.raises(InvalidValue, match=words.replace("..", r"\.\.")) as caught:
        sources.read(text)
    assert caught.value.fix and "hush" not in caught.value.why


@pytest.mark.parametrize(
    "text",
    [
        "ray==2.60.0", "flashinfer-cubin == 0.6.4", "ray[default,serve]==2.60.0", "a===1.0-odd", "a==1.0+cu130", "a==1!2.0; python_version < '3.13'",
        "a @ https://a.example/a-1.0-py3-none-any.whl", "a @ https://a.example/a.tar.gz#sha256=00", "a @ file:///srv/a.whl",
    ],
)
def test_requirements_that_are_pinned(text: str) -> None:
    assert settings.requirements([f" {text} "]) == (text,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ray", "not pinned"), ("ray>=2.60", "not pinned"), ("ray~=2.60.0", "not pinned"), ("ray==2.*", "not pinned"), ("ray==2.60.0,<3", "not pinned"),
        ("ray[default]", "not pinned"), ("a @ git+https://git.example/a", "not pinned"), ("a @ https://a.example/", "not pinned"),
        ("ray = 2.60.0", "not pinned"),
        ("", "not a requirement"), ("--index-url https://a.example", "not a requirement"), ("-r other.txt", "not a requirement"),
        ("vllm==0.31.0", "vllm_version"), ("VLLM", "vllm_version"), ("vllm[audio]==0.32.0", "vllm_version"),
    ],
)
def test_requirements_that_are_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        settings.requirements([text])
    assert words in f"{caught.value.why} {caught.value.fix}"


ERRORS: list[tuple[str, dict[str, Any], dict[str, Any], tuple[str, str], str]] = [
    ("no host in a git address", {}, {"vllm_source": f"git+https:///v@{COMMIT}"}, ("", "vllm_source"), "has no host"),
    ("the same of a service", {"vllm_source": f"git+https:///v@{COMMIT}"}, {}, ("qwen", "vllm_source"), "has no host"),
    ("an sdist that is no archive", {"vllm_source": "/srv/vllm-0.32.0"}, {}, ("qwen", "vllm_source"), "neither an sdist nor a wheel"),
    ("fewer than no releases", {}, {"vllm_keep_releases": -1}, ("", "vllm_keep_releases"), "0 to 1000"),
    ("releases in words", {}, {"vllm_keep_releases": "all"}, ("", "vllm_keep_releases"), "whole number"),
    ("an extra that floats", {}, {"vllm_requirements": ["ray"]}, ("", "vllm_requirements"), "ray==<version>"),
    ("an extra of a service that floats", {"vllm_requirements": ["ray>=2"]}, {}, ("qwen", "vllm_requirements"), "ray==<version>"),
    ("a nightly of nowhere", {"vllm_source": "nightly"}, {}, ("qwen", "vllm_source"), "vllm_extra_index_urls"),
    ("a wheelhouse without a name", {}, {"vllm_no_index": True}, ("", "vllm_no_index"), "vllm_find_links"),
    ("a file of another version", {"vllm_source": "/srv/vllm-0.31.0.tar.gz"}, {}, ("qwen", "vllm_source"), "vllm_version: 0.31.0"),
    ("a wheel of another version", {}, {"vllm_source": "https://a.example/vllm-0.33.1%2Bcu130-cp38-abi3-x.whl"}, ("", "vllm_source"), "0.33.1+cu130"),
    ("a variable of uv's", {}, {"vllm_build_environment": {"UV_INDEX": "x"}}, ("", "vllm_build_environment"), "the build sets UV_INDEX"),
    ("a secret for the build", {}, {"vllm_build_environment": {"GIT_TOKEN": "x"}}, ("", "vllm_build_environment"), "secret"),
    ("a variable that is none", {}, {"vllm_build_environment": {"A-B": "x"}}, ("", "vllm_build_environment"), "letters"),
]


@pytest.mark.parametrize(("keys", "more", "where", "words"), [case[1:] for case in ERRORS], ids=[case[0] for case in ERRORS])
def test_errors(plan: Plans, keys: dict[str, Any], more: dict[str, Any], where: tuple[str, str], words: str) -> None:
    made = plan(service(**keys), **more)
    assert keys_of(made.errors) == [where]
    assert words in f"{made.errors[0].why} {made.errors[0].fix}"


PASSES: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("a commit", {"vllm_source": f"{GIT}@{COMMIT}"}, {}, ""),
    ("a branch", {"vllm_source": f"{GIT}@main"}, {}, "main is not pinned and can become a different vLLM"),
    ("a nightly", {"vllm_source": "nightly"}, {"vllm_extra_index_urls": ["https://nightly.example/"]}, "nightly is not pinned and can become a different vLLM"),
    ("a file of the line", {"vllm_source": f"/srv/vllm-0.32.1.tar.gz#sha256={SHA256}"}, {}, ""),
    ("a file that tells no version", {"vllm_source": f"/srv/v0.31.0.zip#sha256={SHA256}"}, {}, ""),
    ("a wheelhouse", {}, {"vllm_no_index": True, "vllm_find_links": ["/srv/wheels"]}, ""),
]


@pytest.mark.parametrize(("keys", "more", "words"), [case[1:] for case in PASSES], ids=[case[0] for case in PASSES])
def test_passes(plan: Plans, keys: dict[str, Any], more: dict[str, Any], words: str) -> None:
    made = plan(service(api_key="x", **keys), **more)
    assert made.errors == [] and [words in warning for warning in made.warnings] == ([True] if words else [])


def test_a_branch_is_refused_where_hosts_serve_together(plan: Plans) -> None:
    made = plan(service(gpus=..., distributed={"nodes": 2, "backend": "mp"}, vllm_source=f"{GIT}@main"), plan_gpus=8)
    assert ("qwen", "vllm_source") in keys_of(made.errors)


def test_a_name_stands_for_the_source_and_what_it_is_built_with(plan: Plans) -> None:
    """And not for where packages come from, nor how many releases are kept."""

    def name(**variables: Any) -> str:
        return str(plan(service(), **variables).hosts["gpu1"]["services"][0]["release"])

    here = {"vllm_find_links": ["/srv/wheels"], "vllm_no_index": True, "vllm_keep_releases": 0, "vllm_build_environment": {"MAX_JOBS": 8}}
    assert name() == name(**here)
    git = f"{GIT}@{COMMIT}"
    names = [name(), name(vllm_source=git), name(vllm_source=f"{GIT}@{'c' * 40}"), name(vllm_source=git, vllm_build_environment={"MAX_JOBS": 8})]
    assert len(set(names)) == 4


def test_two_services_on_releases_of_their_own(plan: Plans) -> None:
    """Who names a version alone means the one that the indexes have, whatever the host's source is; requirements are the service's, if it has some."""
    made = plan(
        service(gpus=[0], name="a"),
        service(gpus=[1], name="b", port=8002, vllm_version="0.31.0"),
        service(gpus=[2], name="c", port=8003, vllm_requirements=["ray==2.61.0"]),
        vllm_source=f"{GIT}@{COMMIT}", vllm_requirements=["ray==2.60.0"],
    )
    found = [(release["version"], release["source"]["kind"], release["requirements"][0]) for release in made.hosts["gpu1"]["releases"]]
    assert found == [("0.32.0", "git", "ray==2.60.0"), ("0.31.0", "index", "ray==2.60.0"), ("0.32.0", "git", "ray==2.61.0")]


def test_a_release_from_git_needs_git(plan: Plans) -> None:
    assert plan(service()).hosts["gpu1"]["packages"] == ["conntrack", "ufw"]
    assert plan(service(vllm_source=f"{GIT}@{COMMIT}")).hosts["gpu1"]["packages"] == ["conntrack", "git", "ufw"]


AUDIO = [
    "soundfile==0.14.0", "av==18.1.0; python_version >= '3.11'", "av==17.1.0; python_version < '3.11'",
    "scipy==1.17.1; python_version >= '3.11'", "scipy==1.15.3; python_version < '3.11'", "soxr==1.1.0",
]  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "added"),
    [
        ({"model": "whisper-large-v3"}, AUDIO),
        # Who lists soundfile has chosen, and keeps the release.
        ({"model": "whisper-large-v3", "vllm_requirements": ["Soundfile==0.13.1"]}, ["Soundfile==0.13.1"]),
        ({"vllm_args": {"kv_transfer_config": {"kv_connector": "NixlConnector", "kv_role": "kv_both"}}}, ["nixl==1.5.1"]),
        ({"vllm_args": {"kv_transfer_config": {"kv_connector": "NixlConnector", "kv_role": "kv_both"}}, "vllm_requirements": ["nixl-cu13==1.4"]}, ["nixl-cu13==1.4"]),
        ({"vllm_args": {"kv_transfer_config": {"kv_connector": "LMCacheConnectorV1", "kv_role": "kv_both"}}}, ["lmcache==0.5.6"]),
        ({"vllm_args": {"distributed_executor_backend": "ray"}}, ["ray==2.60.0"]),
        ({"vllm_args": {"load_format": "tensorizer"}}, ["tensorizer==2.12.1"]),
        # In vLLM itself before 0.28 and 0.24, then in plugins.
        ({"vllm_args": {"quantization": "bitsandbytes"}}, ["vllm-bnb-plugin==0.0.3"]),
        ({"vllm_args": {"quantization": "bitsandbytes"}, "vllm_version": "0.27.1"}, ["bitsandbytes==0.50.2"]),
        ({"vllm_args": {"load_format": "gguf"}}, ["vllm-gguf-plugin==0.0.5"]),
        ({"vllm_args": {"load_format": "gguf"}, "vllm_version": "0.24.0"}, ["vllm-gguf-plugin==0.0.5"]),
        ({"vllm_args": {"load_format": "gguf"}, "vllm_version": "0.23.0"}, []),
        ({}, []),
    ],
)
def test_packages_of_features(plan: Any, keys: dict[str, Any], added: list[str]) -> None:
    """Pinned into the release of the service that has the feature; the user's version counts."""
    made = plan(service(**{"model": "qwen3-8b", "gpus": [0], **keys}))
    assert made.errors == [], made.errors
    [release] = made.hosts["gpu1"]["releases"]
    assert [one for one in release["requirements"] if not one.startswith("cuda")] == added


def test_a_feature_of_one_service_leaves_the_others_release(plan: Any) -> None:
    chat, sound = service(gpus=[0], model="qwen3-8b"), service(name="ear", port=8002, gpus=[1], model="whisper-large-v3")
    alone = plan(chat).hosts["gpu1"]["services"][0]["release"]
    both = {one["name"]: one["release"] for one in plan(chat, sound).hosts["gpu1"]["services"]}
    assert both["qwen"] == alone != both["ear"]
