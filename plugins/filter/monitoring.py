# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for the role monitoring. Documented in the .yml files beside this one."""

from __future__ import annotations

import typing as t

from ansible_collections.inferops.gpu.plugins.plugin_utils.monitoring import configuration, targets

Plans = t.Mapping[str, t.Any]


def monitoring_targets(plans: Plans, monitor: str, probe: bool = True) -> dict[str, str]:
    """Return the files with targets by their names."""
    return targets.files(targets.monitored(plans, monitor), probe)


def monitoring_files(plans: Plans, monitor: str, settings: t.Mapping[str, t.Any], only: bool = False) -> dict[str, str]:
    """Return all files without secrets, by their paths in the directory `settings.folder`; with `only`, those for an existing Prometheus."""
    parts = targets.monitored(plans, monitor)
    found = {f"targets/{name}": text for name, text in targets.files(parts, settings["probe"]).items()}
    if only:
        return {**found, "scrape_configs.yml": configuration.to_yaml({"scrape_configs": configuration.scrape_configs(parts, settings)})}
    found["prometheus.yml"] = configuration.to_yaml(configuration.prometheus(parts, settings))
    if settings["probe"]:
        found["blackbox.yml"] = configuration.to_yaml(configuration.blackbox(parts, settings["folder"]))
    return found


def monitoring_alertmanager(urls: t.Sequence[str]) -> str:
    """Return the configuration of Alertmanager, which has the secret URLs."""
    return configuration.to_yaml(configuration.alertmanager([str(url) for url in urls]))


def monitoring_keys(plans: Plans, monitor: str, secrets: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Return the files with the services' keys. `secrets` are by host those of P(inferops.gpu.service_secrets#filter); other hosts are left out."""
    found = {}
    for host, service, path in targets.keys(plans, monitor):
        key = (secrets.get(host) or {}).get(service, {}).get("VLLM_API_KEY")
        if key:
            found[path] = str(key)
    return found


def monitoring_key_paths(plans: Plans, monitor: str) -> list[str]:
    """Return the paths of all keys, also those of hosts outside of the run."""
    return [path for _host, _service, path in targets.keys(plans, monitor)]


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {
            "monitoring_targets": monitoring_targets,
            "monitoring_files": monitoring_files,
            "monitoring_alertmanager": monitoring_alertmanager,
            "monitoring_keys": monitoring_keys,
            "monitoring_key_paths": monitoring_key_paths,
        }
