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
    """Return all files without secrets, by their paths; with `only`, those for an existing Prometheus."""
    parts = targets.monitored(plans, monitor)
    found = {f"targets/{name}": text for name, text in targets.files(parts, settings["probe"]).items()}
    if only:
        return {**found, "scrape_configs.yml": configuration.to_yaml({"scrape_configs": configuration.scrape_configs(parts, settings)})}
    found["prometheus.yml"] = configuration.to_yaml(configuration.prometheus(parts, settings))
    if settings["probe"]:
        found["blackbox.yml"] = configuration.to_yaml(configuration.blackbox(parts))
    return found


def monitoring_alertmanager(urls: t.Sequence[str], token_file: str = "") -> str:
    """Return the configuration of Alertmanager; with `token_file`, its webhooks get the bearer token in this file."""
    return configuration.to_yaml(configuration.alertmanager([str(url) for url in urls], token_file))


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {
            "monitoring_targets": monitoring_targets,
            "monitoring_files": monitoring_files,
            "monitoring_alertmanager": monitoring_alertmanager,
        }
