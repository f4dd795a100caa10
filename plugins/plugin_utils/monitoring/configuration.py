# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration files of Prometheus, Alertmanager and the blackbox exporter, as data and as YAML.

Keys are those of Prometheus 2.31 (Ubuntu 22.04), Alertmanager 0.23 and blackbox exporter 0.19 and later. Paths are relative: each program resolves them
from its configuration file, so that a copy elsewhere can be checked before it is installed.
"""

from __future__ import annotations

import json

from typing import Any, Mapping, Sequence

import yaml

from . import targets

_PROBE_SECONDS = 10
# A target is not trusted: whoever can run a program as a service's account, or bind its port while it is stopped, answers the scrape. An engine of vLLM 0.26
# has 450 series (tests/unit/roles/monitoring/data), and each further one of its data-parallel engines at most as many again.
_LIMITS = {
    "sample_limit": 20000, "label_limit": 64, "label_name_length_limit": 200, "label_value_length_limit": 4000, "body_size_limit": "32MB",
    "honor_timestamps": False, "follow_redirects": False,
}
# Series that other jobs and Prometheus itself make, which an engine must not.
_NOT_AN_ENGINES = "inferops.*|node_.*|probe_.*|DCGM_.*|ALERTS.*|up|scrape_.*|prometheus_.*|alertmanager_.*"
_HEADER = "# Managed by inferops.gpu (role monitoring).\n"


def prometheus(parts: list[targets.Plan], settings: Mapping[str, Any]) -> dict[str, Any]:
    """prometheus.yml. C(settings) are those of the role without its prefix, with C(host) of the inventory."""
    found = {
        "global": {"scrape_interval": f"{settings['scrape_interval']}s", "evaluation_interval": f"{settings['scrape_interval']}s"},
        "rule_files": ["rules/*.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [_own(settings, "alertmanager_port")]}]}]},
        "scrape_configs": [*scrape_configs(parts, settings), *(_itself(name, port, settings) for name, port in _ITSELF.items())],
    }
    return found


_ITSELF = {"prometheus": "prometheus_port", "alertmanager": "alertmanager_port"}


def scrape_configs(parts: list[targets.Plan], settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The scrape configurations of the hosts."""
    found: list[dict[str, Any]] = [_engines(targets.VLLM, targets.file_of(targets.VLLM))]
    found += [_scraped(job, targets.file_of(job)) for job in (targets.NODE, targets.DCGM)]
    for name in targets.server_names(parts):
        of_name = _engines(f"{targets.VLLM}-{name}", targets.file_of(targets.VLLM, name))
        found.append({**of_name, "tls_config": {"server_name": name}})
    if settings["probe"]:
        found.append({
            **_scraped(targets.PROBE, targets.file_of(targets.PROBE)),
            "metrics_path": "/probe",
            # A probe may take longer than a scrape of metrics, and loads the engine: less often.
            "scrape_interval": f"{max(30, settings['scrape_interval'])}s",
            "scrape_timeout": f"{_PROBE_SECONDS + 2}s",
            "relabel_configs": [
                {"source_labels": ["__address__"], "target_label": "__param_target"},
                {"source_labels": ["__param_target"], "target_label": "instance"},
                {"target_label": "__address__", "replacement": f"127.0.0.1:{settings['blackbox_port']}"},
            ],
        })
    return found


def _scraped(name: str, file: str) -> dict[str, Any]:
    return {"job_name": name, "file_sd_configs": [{"files": [f"targets/{file}"]}], **_LIMITS}


def _engines(name: str, file: str) -> dict[str, Any]:
    return {**_scraped(name, file), "metric_relabel_configs": [{"source_labels": ["__name__"], "regex": _NOT_AN_ENGINES, "action": "drop"}]}


def _itself(name: str, port: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    labels = {"cluster": settings["cluster"], "host": settings["host"]}
    return {"job_name": name, "static_configs": [{"targets": [_own(settings, port)], "labels": labels}]}


def _own(settings: Mapping[str, Any], port: str) -> str:
    """The address at which a program of this host is reached from it."""
    listens = str(settings["listen_address"])
    address = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}.get(listens, f"[{listens}]" if ":" in listens else listens)
    return f"{address}:{settings[port]}"


def alertmanager(urls: Sequence[str], token_file: str = "") -> dict[str, Any]:
    """alertmanager.yml. Its API shows the URLs to everybody who reaches it; it reads them from files only from 0.26 on (C(url_file)).

    :param token_file: path of the file with the bearer token for all URLs, of which the API shows only the path; empty for none
    """
    receiver: dict[str, Any] = {"name": "inferops"}
    if urls:
        # Alertmanager would send the token after a redirect as well.
        http = {"http_config": {"authorization": {"credentials_file": token_file}, "follow_redirects": False}} if token_file else {}
        receiver["webhook_configs"] = [{"url": url, "send_resolved": True, **http} for url in urls]
    return {
        "route": {
            "receiver": "inferops", "group_by": ["alertname", "cluster", "service", "host"], "group_wait": "10s", "group_interval": "1m",
            "repeat_interval": "4h",
        },
        "receivers": [receiver],
        "inhibit_rules": [
            # The same alert with both severities.
            {
                "source_matchers": ['severity="critical"'], "target_matchers": ['severity="warning"'],
                "equal": ["alertname", "cluster", "host", "service", "mountpoint", "gpu"],
            },
            # What follows from a host that does not answer.
            {
                "source_matchers": ['alertname="InferopsHostNotAnswering"'], "equal": ["cluster", "host"],
                "target_matchers": ['alertname=~"InferopsServiceNotAnswering|InferopsServiceNodeMissing|InferopsScrapeMissing"'],
            },
        ],
    }


def blackbox(parts: list[targets.Plan]) -> dict[str, Any]:
    """blackbox.yml: a module for most services, and one for each name in certificates that differs from the address. None has a secret."""
    modules = {targets.OPEN: _module()}
    for target in targets.all_targets(parts):
        if target["job"] == targets.VLLM and target["server_name"]:
            modules[targets.module_of(target)] = _module(target["server_name"])
    return {"modules": modules}


def _module(server_name: str = "") -> dict[str, Any]:
    http: dict[str, Any] = {"valid_status_codes": [200], "preferred_ip_protocol": "ip4", "follow_redirects": False}
    if server_name:
        http["tls_config"] = {"server_name": server_name}
    return {"prober": "http", "timeout": f"{_PROBE_SECONDS}s", "http": http}


def to_yaml(data: Any) -> str:
    """Data as YAML with a header."""
    # JSON first: values from Ansible may have types that YAML does not represent.
    text: str = yaml.safe_dump(json.loads(json.dumps(data)), sort_keys=False, width=160)
    return _HEADER + text
