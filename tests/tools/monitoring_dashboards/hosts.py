# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts and their network."""

from __future__ import annotations

from .grafana import BAD, HOST, WARN, Dashboard, Panel

REAL = f'device!~"lo|veth.*|docker.*|br-.*|ifb.*",{HOST}'


def network(metric: str, direction: str) -> str:
    """Rate of a counter of the network interfaces."""
    return f"sum by (host, device) (rate(node_network_{direction}_{metric}_total{{{REAL}}}[$__rate_interval]))"


def table(name: str) -> str:
    """Rate of a counter of the connection table."""
    return f"sum by (host) (rate(node_nf_conntrack_stat_{name}{{{HOST}}}[$__rate_interval]))"


BOARD = Dashboard(
    uid="inferops-hosts",
    title="Inferops / Hosts and network",
    description="Load, memory, disks, network, connection table and clocks of the hosts.",
    variables=("cluster", "host"),
    rows=[
        (
            "Host",
            [
                Panel(
                    "CPU",
                    "Share of all cores in use.",
                    "percentunit",
                    [(f'1 - avg by (host) (rate(node_cpu_seconds_total{{mode="idle",{HOST}}}[$__rate_interval]))', "{{host}}")],
                    most=1,
                ),
                Panel(
                    "Memory in use",
                    "Without caches.",
                    "percentunit",
                    [(f"max by (host) (1 - node_memory_MemAvailable_bytes{{{HOST}}} / node_memory_MemTotal_bytes{{{HOST}}})", "{{host}}")],
                    most=1,
                    steps=[(0.9, WARN), (0.97, BAD)],
                ),
                Panel(
                    "Disks in use",
                    "File systems that hold weights, releases, caches or state.",
                    "percentunit",
                    [
                        (
                            f"max by (host, mountpoint) (1 - inferops_filesystem_available_bytes{{{HOST}}} / inferops_filesystem_size_bytes{{{HOST}}})",
                            "{{host}} {{mountpoint}}",
                        )
                    ],
                    most=1,
                    steps=[(0.9, WARN), (0.97, BAD)],
                ),
                Panel(
                    "Reading from disks",
                    "Bytes per second: weights at a start.",
                    "Bps",
                    [(f"sum by (host) (rate(node_disk_read_bytes_total{{{HOST}}}[$__rate_interval]))", "{{host}}")],
                ),
                Panel(
                    "Clock",
                    "Seconds by which the clock is off, according to the kernel.",
                    "s",
                    [(f"max by (host) (abs(node_timex_offset_seconds{{{HOST}}}))", "{{host}}")],
                    steps=[(0.1, BAD)],
                ),
                Panel(
                    "Collector",
                    "Duration of a run of the collector of services and GPUs.",
                    "s",
                    [(f"max by (host) (inferops_collector_duration_seconds{{{HOST}}})", "{{host}}")],
                    steps=[(15, WARN)],
                ),
            ],
        ),
        (
            "Network",
            [
                Panel(
                    "Received and sent",
                    "Bytes per second of real interfaces.",
                    "Bps",
                    [(network("bytes", "receive"), "{{host}} {{device}} in"), (network("bytes", "transmit"), "{{host}} {{device}} out")],
                ),
                Panel(
                    "Dropped packets",
                    "By the interface or the kernel, per second.",
                    "pps",
                    [(network("drop", "receive"), "{{host}} {{device}} in"), (network("drop", "transmit"), "{{host}} {{device}} out")],
                ),
                Panel(
                    "Errors",
                    "Per second. A cable, a transceiver or a port.",
                    "pps",
                    [(network("errs", "receive"), "{{host}} {{device}} in"), (network("errs", "transmit"), "{{host}} {{device}} out")],
                ),
                Panel(
                    "Connection table",
                    "Share in use. When it is full, new connections are dropped.",
                    "percentunit",
                    [(f"max by (host) (node_nf_conntrack_entries{{{HOST}}} / node_nf_conntrack_entries_limit{{{HOST}}})", "{{host}}")],
                    most=1,
                    steps=[(0.8, WARN), (0.95, BAD)],
                ),
                Panel(
                    "Lost connections",
                    "Connections that the table had no room for, per second.",
                    "short",
                    [(table("drop"), "{{host}} drop"), (table("early_drop"), "{{host}} early_drop"), (table("insert_failed"), "{{host}} insert_failed")],
                ),
                Panel(
                    "TCP retransmissions",
                    "Segments sent again, per second.",
                    "pps",
                    [(f"sum by (host) (rate(node_netstat_Tcp_RetransSegs{{{HOST}}}[$__rate_interval]))", "{{host}}")],
                ),
            ],
        ),
    ],
)
