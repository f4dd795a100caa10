# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Services: their names, models, releases, engines, and what their hosts bring them."""

from __future__ import annotations

from typing import Any

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.uncatalogued import Answer
from example_builders import accepting, example, one
from plan_builders import gpus, host_facts, service

COMMIT = "e156cb4efae43fbee1a1ab073f946a1377e6b969"
GIT = "git+https://git.example/vllm.git"
ENTRY = {
    "mine": {"repo": "org/mine", "revision": COMMIT, "profiles": {"big": {"gpus": 2, "gpu": "H100"}}, "presets": {"busy": {"arguments": {"max_num_seqs": 8}}}}
}


CODED = {"coded": {"repo": "org/coded", "revision": COMMIT, "remote_code": "its tokenizer (tokenization_own.py)"}}
# Chat templates with tool calls, and with reasoning that a switch turns off.
HERMES = '{% for tool in tools %}{{ tool | tojson }}{% endfor %}<tool_call>{"name": ...}</tool_call>'
THINKS = "{% if add_generation_prompt %}{% if enable_thinking is false %}<think></think>{% endif %}{% endif %}"
OPENS = "{% if add_generation_prompt %}assistant\n<think>\n{% endif %}"
HERMES_PARSER = {"enable_auto_tool_choice": True, "tool_call_parser": "hermes"}


def mine(**keys: Any) -> dict[str, Any]:
    """A service of a model of the user's own catalogue."""
    return service(**{"model": "mine", "gpus": [0], **keys})


def dev(**keys: Any) -> dict[str, Any]:
    """A service on Transformers."""
    return service(**{"name": "dev", "model": "qwen3-0.6b", "engine": "transformers", "gpus": [0], **keys})


def local(**keys: Any) -> dict[str, Any]:
    """A service whose weights lie on the host."""
    return service(**{"weights_path": "/mnt/models/qwen", **keys})


EXAMPLES = [
    example(
        "service-names-are-unique",
        one(service(gpus=[0]), service(gpus=[1], port=8002)),
        "give each service its own name",
        one(service(gpus=[0]), service(gpus=[1], port=8002, name="b")),
    ),
    example("model-is-known", one(service(model="qwen3-8c", gpus=[0])), "did you mean qwen3-8b", one(service(model="qwen3-8b", gpus=[0]))),
    example("model-is-known", one(service(model="qwen3-235b-a22b-w8a8")), "choose another model", one(service())),
    example(
        "repository-exists",
        one(service(model="org/no", revision=COMMIT, gpus=[0])),
        "correct the service's model or revision",
        one(service(model="qwen3-8b", revision=..., gpus=[0])),
        answers={"org/no": Answer(missing="the Hub has none")},
    ),
    *(
        example(
            "remote-code",
            one(service(model="org/code", revision=COMMIT, gpus=[0], vllm_args={"trust_remote_code": True})),
            says,
            one(service(model="org/code", revision=COMMIT, gpus=[0], **then)),
            answers={"org/code": Answer((("config.json", 5),), {"model_type": "exotic", "auto_map": {"AutoConfig": "other/code--configuration_x.X"}})},
        )
        for says, then in (
            ("remove trust_remote_code", {}),
            ("set weights_path to that directory", {"weights_path": "/srv/model", "vllm_args": {"trust_remote_code": True}}),
        )
    ),
    example(
        "repository-metadata-is-known",
        one(service(model="org/odd", revision=COMMIT, gpus=[0])),
        "org/odd is not in the catalogue",
        one(service(model="qwen3-8b", gpus=[0], revision=...)),
        answers={"org/odd": Answer(problem="it has no config.json")},
    ),
    example("min-vllm", one(service(vllm_version="0.9.2")), "set vllm_version to 0.10.0 or newer", one(service(vllm_version="0.32.0"))),
    example(
        "model-class",
        one(service(model="org/new", revision=COMMIT, gpus=[0], vllm_version="0.15.1")),
        "set vllm_version to 0.16.0 or newer",
        one(service(model="org/new", revision=COMMIT, gpus=[0], vllm_version="0.16.0")),
        answers={"org/new": Answer((("config.json", 5),), {"architectures": ["GlmMoeDsaForCausalLM"]})},
    ),
    *(
        example(
            "model-class",
            one(service(model="org/new", revision=COMMIT, gpus=[0], **now)),
            "it starts only if transformers' implementation serves",
            one(service(model="org/new", revision=COMMIT, gpus=[0], **then)),
            answers={"org/new": Answer((("config.json", 5),), {"architectures": [name]})},
        )
        for name, now, then in (
            ("NobodysForCausalLM", {}, {"vllm_args": {"model_impl": "transformers"}}),
            ("MotifForCausalLM", {"vllm_version": "0.12.0"}, {"vllm_version": "0.10.2"}),
            ("Qwen3ForCausalLM", {"vllm_args": {"hf_overrides": {"architectures": ["NobodysForCausalLM"]}}}, {}),
            # vLLM makes such a class of the one that generates text.
            ("NobodysForSequenceClassification", {}, {"vllm_args": {"hf_overrides": {"architectures": ["Qwen3ForSequenceClassification"]}}}),
        )
    ),
    example(
        "remote-code-is-allowed",
        one(service(model="coded", gpus=[0]), plan_catalogue=CODED),
        "allow it with trust_remote_code: true",
        one(service(model="coded", gpus=[0], vllm_args={"trust_remote_code": True}), plan_catalogue=CODED),
    ),
    example(
        "remote-code-is-allowed",
        one(service(model="coded", revision="main", gpus=[0], vllm_args={"trust_remote_code": True}), plan_catalogue=CODED),
        "set the service's revision to the commit",
        one(service(model="coded", gpus=[0], vllm_args={"trust_remote_code": True}), plan_catalogue=CODED),
    ),
    example(
        "remote-code-is-allowed",
        one(service(model="coded", gpus=[0], vllm_args={"trust_remote_code": False}), plan_catalogue=CODED),
        "read that code",
        one(service(model="coded", gpus=[0], vllm_args={"tokenizer": "/srv/tokenizer"}), plan_catalogue=CODED),
    ),
    *(
        example(
            "parsers-off",
            one(service(model="org/new", revision=COMMIT, gpus=[0], vllm_args=now)),
            says,
            one(service(model="org/new", revision=COMMIT, gpus=[0], vllm_args=then)),
            answers={"org/new": Answer((("config.json", 5),), {"architectures": [name]}, template)},
        )
        for name, template, now, says, then in (
            ("Qwen3ForCausalLM", HERMES, {}, "enable_auto_tool_choice: true, tool_call_parser: hermes}", HERMES_PARSER),
            ("Qwen3ForCausalLM", HERMES, {}, "or tool_call_parser: null", {"tool_call_parser": None}),
            ("Qwen3ForCausalLM", THINKS, {}, "reasoning_parser: qwen3}", {"reasoning_parser": "qwen3"}),
            ("NemotronHForCausalLM", THINKS, {}, "reasoning_parser: ", {"chat_template": "/srv/own.jinja"}),
            ("NobodysForCausalLM", OPENS, {}, "reasoning_parser: qwen3}", {"reasoning_parser": "deepseek_r1"}),
        )
    ),
    example(
        "parser",
        one(service(model="org/new", revision=COMMIT, gpus=[0], vllm_args={"enable_auto_tool_choice": True, "tool_call_parser": "mistral"})),
        "write hermes",
        one(service(model="org/new", revision=COMMIT, gpus=[0], vllm_args=HERMES_PARSER)),
        answers={"org/new": Answer((("config.json", 5),), {"architectures": ["Qwen3ForCausalLM"]}, HERMES)},
    ),
    example("revision-is-pinned", one(service(revision="main")), "pin the service's revision", one(service(revision=COMMIT))),
    example(
        "license-is-not-gated",
        one(service(model="llama-3.1-8b-instruct", gpus=[0], vllm_args={"max_model_len": 8192})),
        "is gated",
        one(service(model="qwen3-8b", gpus=[0], vllm_args={"max_model_len": 8192})),
    ),
    example(
        "sources-are-pinned",
        one(service(), vllm_source=f"{GIT}@main"),
        "is not pinned and can become a different vLLM",
        one(service(), vllm_source=f"{GIT}@{COMMIT}"),
    ),
    example(
        "nightlies-have-an-index",
        one(service(), vllm_source="nightly"),
        "add vLLM's nightly index, or a mirror of it, to vllm_extra_index_urls",
        one(service(), vllm_source="nightly", vllm_extra_index_urls=["https://nightly.example/simple"]),
    ),
    example(
        "wheelhouse-is-set",
        one(service(), vllm_no_index=True),
        "set the wheelhouse in vllm_find_links",
        one(service(), vllm_no_index=True, vllm_find_links=["/srv/wheels"]),
    ),
    example(
        "file-matches-the-version",
        one(service(), vllm_source="/srv/vllm-0.31.0.tar.gz", vllm_version="0.32.0"),
        "set vllm_version: 0.31.0",
        one(service(), vllm_source="/srv/vllm-0.31.0.tar.gz", vllm_version="0.31.0"),
    ),
    example(
        "variants-exist",
        one(mine(profile="bigg"), plan_catalogue=ENTRY),
        "did you mean big?",
        one(mine(profile="big", gpus=[0]), plan_catalogue=ENTRY),
        costs="is for 2 x H100",
    ),
    example("variants-exist", one(service(preset="minimum")), "did you mean minimal?", one(service(preset="minimal"))),
    example(
        "variants-exist",
        one(mine(preset="x"), plan_catalogue={"mine": {"repo": "org/mine", "revision": COMMIT}}),
        "remove it",
        one(mine(), plan_catalogue={"mine": {"repo": "org/mine", "revision": COMMIT}}),
    ),
    example(
        "profile-fits-the-gpus",
        one(mine(profile="big"), plan_catalogue=ENTRY),
        "and the service has 1",
        one(mine(profile="big", gpus=[0, 1]), plan_catalogue=ENTRY),
    ),
    example("keys-match-the-engine", one(dev(vllm_args={"dtype": "float32"})), "under transformers_args", one(dev(transformers_args={"dtype": "float32"}))),
    example("keys-match-the-engine", one(service(transformers_args={"dtype": "float32"})), "under vllm_args", one(service(vllm_args={"dtype": "float32"}))),
    example(
        "transformers-arguments-are-valid",
        one(dev(transformers_args={"--compile": True})),
        "write it like compile",
        one(dev(transformers_args={"compile": True})),
    ),
    example("served-name-is-valid", one(dev(served_model_name="org/model")), "set served_model_name", one(dev(served_model_name="model"))),
    example("api-key-is-enforced", one(dev(api_key="sk-1")), "leave engine out", one(dev(api_key="sk-1", engine=...))),
    example("single-user", one(dev()), "transformers is for a single developer", one(dev(engine=...))),
    example(
        "disk",
        one(service(), facts=host_facts(mounts=[{"mount": "/", "free_bytes": 10**11}])),
        "set weights_dir or",
        one(service(), weights_dir="/data/models", facts=host_facts(mounts=[{"mount": "/", "free_bytes": 10**11}, {"mount": "/data", "free_bytes": 10**13}])),
        on_host=("mounts",),
    ),
    example(
        "weights-mirror-exists",
        one(service(), weights_share="mirror", weights_mirror_host="cache"),
        "name a host of the inventory, or set weights_mirror_address to the mirror's address",
        one(service(), weights_share="mirror", weights_mirror_host="cache", weights_mirror_address="10.0.0.9"),
    ),
    example(
        "weights-share-port-is-free",
        one(service(port=8765), weights_share="peer", weights_share_port=8765),
        "set weights_share_port to another port",
        one(service(port=8765), weights_share="peer", weights_share_port=8766),
    ),
    example(
        "weights-share-interface-exists",
        one(service(), weights_share="peer", weights_share_interface="eth9", facts=host_facts(interfaces={"eth0": ["10.0.0.1"]})),
        "did you mean eth0?",
        one(service(), weights_share="peer", weights_share_interface="eth0", facts=host_facts(interfaces={"eth0": ["10.0.0.1"]})),
    ),
    example("weights-path-is-mounted", one(local(weights_mount="/srv")), "write the mount that contains weights_path", one(local(weights_mount="/mnt"))),
    example(
        "weights-path-is-visible-to-the-unit",
        one(local(weights_path="/home/me/qwen")),
        "move the directory, for example to /srv or /mnt",
        one(local(weights_path="/srv/qwen")),
    ),
    example(
        "stop-timeout-covers-shutdown",
        one(service(), model_service_stop_timeout=59, model_service_shutdown_timeout=30),
        "set model_service_stop_timeout to 60 or more",
        one(service(), model_service_stop_timeout=60, model_service_shutdown_timeout=30),
    ),
    example(
        "service-needs-no-restart",
        one(
            service(port=8002),
            model_service_restart=False,
            facts=host_facts(listeners=[{"port": 8001, "address": "0.0.0.0", "pid": 7, "unit": "vllm-qwen.service"}]),
        ),
        "keep the port",
        one(
            service(port=8001),
            model_service_restart=False,
            facts=host_facts(listeners=[{"port": 8001, "address": "0.0.0.0", "pid": 7, "unit": "vllm-qwen.service"}]),
        ),
    ),
    example(
        "no-credentials-in-values",
        one(service(), host_index_url="https://me:hush@index.example/simple"),
        "write user and password into host_index_credentials",
        one(service(), host_index_url="https://index.example/simple", host_index_credentials={"index.example": {"user": "me", "password": "hush"}}),
    ),
    example(
        "no-advisory-applies",
        one(service(model="qwen3-235b-a22b", vllm_version="0.18.0", vllm_args={"tensor_parallel_size": 2, "pipeline_parallel_size": 2})),
        "set vllm_args.async_scheduling: false",
        one(
            service(
                model="qwen3-235b-a22b", vllm_version="0.18.0", vllm_args={"tensor_parallel_size": 2, "pipeline_parallel_size": 2, "async_scheduling": False}
            )
        ),
    ),
    example(
        "memory",
        one(service(model="qwen3-32b", gpus=[0]), plan_gpus=gpus(1)),
        "set max_model_len to",
        one(service(model="qwen3-32b", gpus=[0], vllm_args={"max_model_len": 8192}), plan_gpus=gpus(1)),
    ),
    example(
        "memory",
        one(service(model="qwen3-32b", gpus=[0]), plan_gpus=gpus(1)),
        "accept it as memory in plan_accept, with a reason",
        accepting(one(service(model="qwen3-32b", gpus=[0]), plan_gpus=gpus(1)), memory="it is tried"),
    ),
    example(
        "memory",
        one(service(model="glm-4.7-fp8"), plan_gpus=gpus(8)),
        "use 8 such GPUs (tensor_parallel_size 8)",
        one(service(model="glm-4.7-fp8", gpus=list(range(8)), vllm_args={"tensor_parallel_size": 8}), plan_gpus=gpus(8)),
    ),
]
