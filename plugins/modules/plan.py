# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: plan
short_description: Resolve the plan of all hosts in the inventory, or report all errors at once
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Covers every host of the inventory that defines C(model_services). Merges the variables of each host with the roles' defaults and its services with
    the model catalogue, and computes arguments, paths, ports, GPUs, releases and weights. The roles only read the resolved plan.
  - Plans all hosts, whatever the limit of the run, to find conflicts between hosts.
  - Reads the facts of a host from C(__plan_facts), which the role C(inferops.gpu.plan) registers with M(inferops.gpu.host_facts).
    Without facts, the module skips the checks that need them.
  - Assembles a multi-node service (key C(distributed)) from all hosts that define it, and reports an error when a run reaches only some of them.
  - Runs on the controller, does not connect to hosts and changes nothing.
  - Checks only the form of secrets (C(api_key), C(secret_environment)). The result does not contain them.
extends_documentation_fragment:
  - inferops.gpu.attributes.read
attributes:
  action:
    description: Runs on the controller.
    support: full
seealso:
  - module: inferops.gpu.host_facts
"""

EXAMPLES = r"""
- name: Plan the whole inventory, or fail with all errors in it
  inferops.gpu.plan:
  register: planned
  run_once: true
  any_errors_fatal: true

- name: Plan the inventory
  inferops.gpu.plan:
  register: planned
  run_once: true

- name: Show the plan
  ansible.builtin.debug:
    msg: "{{ planned.summary | join('\n') }}"
  run_once: true
"""

RETURN = r"""
hosts:
  description: The resolved plan of each host, by inventory name. Empty if there are errors. The README of the role C(plan) describes it in full.
  returned: always
  type: dict
  contains:
    # Written by `make docs` from plugins/plugin_utils/plan/output/types.py.
    host:
      description: Name in the inventory.
      type: str
    account:
      description: Account that downloads run under.
      type: dict
      contains:
        user:
          description: Name of the user.
          type: str
        group:
          description: Name of its group.
          type: str
        home:
          description: Home directory.
          type: str
        groups:
          description: "Groups that the accounts of services are members of: its own, and further groups that the host has it in."
          type: list
          elements: str
    paths:
      description: Directories of the collection.
      type: dict
      contains:
        config:
          description: Environment files, tokens, credentials.
          type: str
        install:
          description: Programs of the collection and uv.
          type: str
        library:
          description: "The host library in force, which units call: a link to a directory named by its contents."
          type: str
        releases:
          description: Releases, a directory each.
          type: str
        models:
          description: Downloaded weights.
          type: str
        state:
          description: Records of jobs, downloads and services.
          type: str
        cache:
          description: Compile and kernel caches, a directory for each service.
          type: str
    packages:
      description: OS packages that the roles need beyond C(host_packages).
      type: list
      elements: str
    directories:
      description: Directories of the collection that the host lacks or that are another account's.
      type: list
      elements: dict
    proxy:
      description: How the host reaches the Internet through a proxy; null without one.
      type: dict
      contains:
        http:
          description: Address for http, empty without one.
          type: str
        https:
          description: Address for https, empty without one.
          type: str
        no_proxy:
          description: Names and networks that the host reaches directly.
          type: list
          elements: str
        username:
          description: User at the proxy; the password is never part of the plan.
          type: str
    firewall:
      description: The firewall.
      type: dict
      contains:
        enabled:
          description: Whether the role manages the firewall.
          type: bool
        needed:
          description: Whether the role has anything to do.
          type: bool
        logging:
          description: UFW's level of logging; empty to leave the host's own.
          type: str
        rollback_timeout:
          description: Seconds after which a change that is not confirmed is rolled back.
          type: int
        rules:
          description: Rules, SSH first.
          type: list
          elements: dict
          contains:
            port:
              description: Port; null for all ports.
              type: int
            protocol:
              description: "C(tcp) or C(udp); null for all protocols."
              type: str
            sources:
              description: Networks.
              type: list
              elements: str
            comment:
              description: "Comment of the rule in UFW, which marks it as managed: C(inferops:), its C(kind), and the services."
              type: str
        service_comments:
          description: Comments of the rules that are removed with a service, by service; C(all) has those of all services.
          type: dict
    kernel:
      description: Kernel parameters, modules and limits; C(needed) is whether the role has anything to do.
      type: dict
    releases:
      description: Releases that the services run on, each once.
      type: list
      elements: dict
      contains:
        name:
          description: Engine, version and a digest of everything that decides what is in it.
          type: str
        path:
          description: Its directory.
          type: str
        engine:
          description: "C(vllm) or C(transformers)."
          type: str
        package:
          description: Package of the engine, with extras.
          type: str
        version:
          description: Version of the engine.
          type: str
        source:
          description: Where the engine comes from.
          type: dict
          contains:
            kind:
              description: "C(index), C(nightly), C(git) or C(file)."
              type: str
            address:
              description: Address or path, empty for an index.
              type: str
            reference:
              description: Commit, tag or branch of a git repository.
              type: str
            sha256:
              description: Of a file, where the user gives it.
              type: str
        requirements:
          description: Further packages, each with its version.
          type: list
          elements: str
        overrides:
          description: Requirements that replace those of packages.
          type: list
          elements: str
        python:
          description: Interpreter that it is built on.
          type: str
        torch_backend:
          description: uv's C(--torch-backend), empty for none.
          type: str
        cpu:
          description: Whether it computes on processors alone.
          type: bool
        build_environment:
          description: Environment variables of the build.
          type: dict
        verify_commands:
          description: Commands that verify the release before it gets its name.
          type: list
          elements: list
        cuda:
          description: "Its CUDA toolkit: source, version, path, architectures."
          type: dict
        index:
          description: Where its packages come from.
          type: dict
          contains:
            index_url:
              description: Package index, empty for uv's own default.
              type: str
            extra_index_urls:
              description: Further indexes.
              type: list
              elements: str
            find_links:
              description: Directories and pages with wheels.
              type: list
              elements: str
            no_index:
              description: Whether no index is asked at all.
              type: bool
    weights:
      description: Weights that the services read, each once.
      type: list
      elements: dict
      contains:
        name:
          description: Name, part of the unit's name.
          type: str
        repo:
          description: Repository on the Hugging Face Hub.
          type: str
        revision:
          description: Commit, tag or branch.
          type: str
        path:
          description: Directory; complete when it has this name.
          type: str
        manifest:
          description: Size and sha256 of each file; the mark of completeness.
          type: str
        bytes:
          description: Size of the download; null when unknown.
          type: int
        exclude:
          description: Patterns of files that are left out.
          type: list
          elements: str
        include:
          description: Patterns of the only files that are wanted; empty for all.
          type: list
          elements: str
        token_endpoints:
          description: Endpoints that get the token.
          type: list
          elements: str
        endpoints:
          description: Endpoints, in the order in which they are asked.
          type: list
          elements: str
        unit:
          description: Unit that downloads or verifies them.
          type: str
        local:
          description: Whether they are used as they are on the host, without a download.
          type: bool
        extra:
          description: Whether they are of a repository beside the model's, such as an adapter.
          type: bool
        mount:
          description: Mount point that has to be there, empty for none.
          type: str
        record:
          description: What was verified of local weights; empty for downloaded ones.
          type: str
        share:
          description: The host's part in copying them from host to host.
          type: dict
          contains:
            role:
              description: "C(alone), C(source) (downloads and serves), or C(follower) (copies from the source)."
              type: str
            source:
              description: Name of the source host.
              type: str
            url:
              description: Where the source serves.
              type: str
            peers:
              description: Addresses of the followers that a source serves.
              type: list
              elements: str
            download:
              description: "What the download has to know of it: whom to copy from, or where to export what it has."
              type: dict
        to_fetch:
          description: Bytes that this run downloads; null when unknown.
          type: int
        verified:
          description: Whether the host has them, verified, since they last changed.
          type: bool
    weights_share_peers:
      description: Addresses of the hosts that copy weights from this one.
      type: list
      elements: str
    services:
      description: Services; those with C(state=absent) come last and have fewer keys.
      type: list
      elements: dict
      contains:
        name:
          description: Name of the service.
          type: str
        state:
          description: "C(present) or C(absent)."
          type: str
        unit:
          description: "Unit that stands for the service on this host: it serves when the unit is active."
          type: str
        account:
          description: The service's own account.
          type: dict
          contains:
            user:
              description: Name of the user.
              type: str
            group:
              description: Name of its group.
              type: str
        environment_file:
          description: Environment with secrets, mode 0600.
          type: str
        served:
          description: Last known good state of the service.
          type: str
        cache:
          description: Compile and kernel caches.
          type: str
        files:
          description: Files of the controller that it needs.
          type: dict
          contains:
            root:
              description: Directory of all that the service had.
              type: str
            folder:
              description: Directory of those that it has now, named by their contents; null without any.
              type: str
            named_by:
              description: Files that tell which of these directories are still needed.
              type: list
              elements: str
        units:
          description: Units of a multi-node service on this host, the one that stands for it first; empty on one host.
          type: list
          elements: dict
        unit_states:
          description: Units and their states, as M(inferops.gpu.service_state) takes them.
          type: list
          elements: dict
        former_units:
          description: Units that it may have had under another backend or role, which are removed.
          type: list
          elements: dict
        engine:
          description: "C(vllm) or C(transformers)."
          type: str
        model:
          description: Model as the inventory names it.
          type: str
        repo:
          description: Repository of the model.
          type: str
        revision:
          description: Commit, tag or branch.
          type: str
        release:
          description: Name of its release.
          type: str
        release_path:
          description: Directory of its release.
          type: str
        weights:
          description: Name of its weights.
          type: str
        weights_path:
          description: Directory of its weights.
          type: str
        served_model_name:
          description: Name of the model in the API.
          type: str
        served_model_names:
          description: All names of the model in the API.
          type: list
          elements: str
        address:
          description: Address that it listens on.
          type: str
        port:
          description: Port that it listens on.
          type: int
        url:
          description: Where the controller reaches it; null on hosts whose API does not answer.
          type: str
        local_url:
          description: Where its own host reaches it; null as C(url).
          type: str
        task:
          description: Task by which it is verified.
          type: str
        thinking:
          description: "Whether the model thinks before it answers: C(never), C(always) or C(hybrid); empty when unknown."
          type: str
        thinking_switch:
          description: Argument of the chat template that turns a hybrid's thinking off.
          type: str
        tls:
          description: TLS of its API; null without.
          type: dict
          contains:
            name:
              description: Name that the certificate is verified against.
              type: str
            unit:
              description: Unit that reads the files.
              type: str
            copied:
              description: Files that systemd passes to the service, by name.
              type: dict
            read:
              description: Files that the service's account reads itself.
              type: list
              elements: str
        gpus:
          description: GPUs by index, or UUIDs of MIG slices; empty when unknown.
          type: list
          elements: raw
        argv:
          description: Command line of the engine; empty on hosts where Ray starts the ranks.
          type: list
          elements: str
        environment:
          description: Environment of the engine, without secrets.
          type: dict
        missing_account:
          description: Its account as M(inferops.gpu.service_accounts) takes it; null where the host has it and its groups.
          type: dict
        directories:
          description: Its directories that the host lacks, or that are another account's, as M(inferops.gpu.directories) takes them.
          type: list
          elements: dict
        own_folders:
          description: Command that gives the service's account its directories before each start.
          type: list
          elements: str
        before_start:
          description: Commands that the unit runs before each start.
          type: list
          elements: list
        arguments_checked:
          description: Whether the plan has checked the values of all arguments, by what the version's own parser takes.
          type: bool
        arguments_stamp:
          description: File with the digest of the service whose arguments the engine accepted last.
          type: str
        has_api_key:
          description: Whether it has an API key; the key itself is never part of the plan.
          type: bool
        node:
          description: This host's node of a multi-node service; null on one host.
          type: dict
        timeouts:
          description: Times of its unit.
          type: dict
          contains:
            start:
              description: Seconds until it serves.
              type: int
            stop:
              description: Seconds until systemd kills it.
              type: int
            shutdown:
              description: Seconds that running requests get to finish.
              type: int
        all_weights:
          description: Names of all weights that it reads.
          type: list
          elements: str
        extra_repositories:
          description: "Repositories that its arguments name: argument, repo, revision, weights, path."
          type: list
          elements: dict
        file_sources:
          description: "Files of the controller that it needs: name and source."
          type: list
          elements: dict
        digest:
          description: Changes when anything that the service runs with changes.
          type: str
        memory:
          description: Estimate for the fullest of its GPUs; null when too little is known.
          type: dict
          contains:
            total:
              description: Memory of the GPU.
              type: int
            used:
              description: Weights, reserve and KV cache.
              type: int
            free:
              description: What is left.
              type: int
            weights:
              description: Weights.
              type: int
            reserve:
              description: Activations, CUDA graphs, buffers.
              type: int
            kv_cache:
              description: KV cache.
              type: int
            kv_bytes_per_token:
              description: KV cache of one token; null when unknown.
              type: int
            max_model_len:
              description: Tokens of one request; null when unknown.
              type: int
            concurrency:
              description: Requests of that length that fit at once; null when unknown.
              type: float
        stages:
          description: Pipeline stages; null for a model in one piece.
          type: dict
          contains:
            tensor_parallel_size:
              description: GPUs of each stage.
              type: int
            pipeline_parallel_size:
              description: Stages.
              type: int
            stages:
              description: Each stage's hosts, layers and memory on one GPU.
              type: list
              elements: dict
            network_bytes_per_token:
              description: Bytes that cross the network for each token; null when unknown.
              type: int
    defined_in:
      description: Variables that the services come from.
      type: list
      elements: str
    # Until here.
errors:
  description: Everything that is wrong in the inventory.
  returned: always
  type: list
  elements: dict
  contains:
    host:
      description: Name in the inventory.
      type: str
    service:
      description: Name of the service, or empty when the error is not about a service.
      type: str
    key:
      description: The key or variable with the wrong value.
      type: str
    value:
      description: The value, or V((hidden\)) where it may be a secret.
      type: str
    why:
      description: Why the plan refuses the value.
      type: str
    fix:
      description: What to write instead.
      type: str
    check:
      description: The name by which C(plan_accept) can accept it; empty when it cannot be accepted.
      type: str
warnings:
  description: Findings that do not stop the plan.
  returned: always
  type: list
  elements: str
summary:
  description: >-
    The plan of the hosts of this play as a table, the pipeline stages of services that have them, and the command of each service, as lines
    of text.
  returned: always
  type: list
  elements: str
"""
