# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Monitoring: its host, its address, its ports, and services that it does not reach."""

from __future__ import annotations

from example_builders import example, one
from plan_builders import host_facts, service

MONITORED = {"monitoring_host": "mon1", "monitoring_address": "10.0.0.9"}
OWN = {"monitoring_host": "gpu1", "monitoring_address": "10.0.0.1"}
OTHER = [{"port": 9100, "address": "0.0.0.0", "pid": 7, "unit": "printer.service"}]
# An exporter that an administrator has unpacked, and a Prometheus in a container.
UNPACKED = [{"port": 9100, "address": "0.0.0.0", "pid": 7, "unit": "node_exporter.service"}]
PACKAGED = [{"port": 9100, "address": "0.0.0.0", "pid": 7, "unit": "prometheus-node-exporter.service"}]
CONTAINER = [{"port": 9090, "address": "0.0.0.0", "pid": 7, "unit": "docker.service", "program": "docker-proxy"}]

EXAMPLES = [
    example(
        "monitoring-host-exists",
        one(service(), monitoring_host="mon1"),
        "for a Prometheus outside of it leave monitoring_host empty and set monitoring_address",
        one(service(), monitoring_host="", monitoring_address="10.0.0.9"),
    ),
    example(
        "monitoring-address-is-known",
        one(service(), monitoring_host="mon1", monitoring_address="mon1.example"),
        "set monitoring_address to the IP address from which Prometheus scrapes",
        one(service(), **MONITORED),
    ),
    example(
        "monitoring-ports-are-free",
        one(service(port=9090), **OWN),
        "choose another port, or set monitoring_prometheus_port to another one",
        one(service(port=9091), **OWN),
    ),
    example(
        "monitoring-ports-are-free",
        one(service(), **MONITORED, monitoring_dcgm_exporter_port=9100),
        "set monitoring_dcgm_exporter_port to another port",
        one(service(), **MONITORED, monitoring_dcgm_exporter_port=9400),
    ),
    example(
        "monitoring-has-a-port-of-its-own",
        one(service(), facts=host_facts(listeners=OTHER), **MONITORED),
        "set monitoring_node_exporter_port to a free port",
        one(service(), facts=host_facts(listeners=OTHER), **MONITORED, monitoring_node_exporter_port=9101),
    ),
    example(
        "monitoring-has-a-port-of-its-own",
        one(service(), facts=host_facts(listeners=UNPACKED), **MONITORED),
        "or, if it is a node exporter of your own, set monitoring_node_exporter to false",
        one(service(), facts=host_facts(listeners=UNPACKED), **MONITORED, monitoring_node_exporter=False),
    ),
    example(
        "monitoring-has-a-port-of-its-own",
        one(service(), facts=host_facts(listeners=[*CONTAINER, *PACKAGED]), **OWN),
        "set monitoring_prometheus_port to a free port",
        one(service(), facts=host_facts(listeners=[*CONTAINER, *PACKAGED]), **OWN, monitoring_prometheus_port=9091),
    ),
    example(
        "unreachable-metrics",
        one(service(host="127.0.0.1"), **MONITORED),
        "let it listen on an address of the host",
        one(service(host="10.0.0.5"), **MONITORED),
    ),
]
