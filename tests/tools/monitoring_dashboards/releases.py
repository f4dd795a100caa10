# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Weights, releases, downloads, certificates and advisories."""

from __future__ import annotations

from .grafana import HOST, SERVICE, WARN, Dashboard, Panel

BOARD = Dashboard(
    uid="inferops-releases",
    title="Inferops / Weights and releases",
    description="What is installed, what runs, what is downloaded, and what runs out.",
    rows=[
        (
            "What runs",
            [
                Panel(
                    "Services",
                    "Release and revision of each unit.",
                    "short",
                    [(f"inferops_service_info{{{SERVICE}}}", "")],
                    kind="table",
                    width=12,
                    hidden=("Value",),
                ),
                Panel(
                    "Releases",
                    "On the hosts, and whether a service uses them.",
                    "short",
                    [(f"inferops_release_info{{{HOST}}}", "")],
                    kind="table",
                    width=12,
                    hidden=("Value",),
                ),
                Panel(
                    "Advisories",
                    "Known problems of what runs.",
                    "short",
                    [(f"inferops_advisory{{{SERVICE}}}", "")],
                    kind="table",
                    width=12,
                    hidden=("Value",),
                ),
                Panel(
                    "Certificates",
                    "Time until they expire.",
                    "s",
                    [(f"min by (service, host) (inferops_certificate_expiry_timestamp_seconds{{{SERVICE}}}) - time()", "{{service}} {{host}}")],
                    kind="bargauge",
                    width=12,
                ),
                Panel(
                    "Changed outside",
                    "1: the files of the unit are not those of its last known good state.",
                    "short",
                    [(f"max by (service, host) (inferops_service_changed_outside{{{SERVICE}}})", "{{service}} {{host}}")],
                    kind="stat",
                    width=12,
                    height=5,
                    mappings=[(0, "no", "green"), (1, "yes", "orange")],
                    steps=[(1, WARN)],
                ),
                Panel(
                    "Last known good state",
                    "The backup of a service's configuration, which a rollback uses.",
                    "short",
                    [(f"max by (service, host) (inferops_service_last_known_good{{{SERVICE}}})", "{{service}} {{host}}")],
                    kind="stat",
                    width=12,
                    height=5,
                    mappings=[(1, "there", "green"), (0, "missing", "orange")],
                ),
            ],
        ),
        (
            "Weights",
            [
                Panel(
                    "Size on the hosts",
                    "By repository.",
                    "bytes",
                    [(f"sum by (host, repo) (inferops_weights_bytes{{{HOST}}})", "{{host}} {{repo}}")],
                    kind="bargauge",
                    width=8,
                ),
                Panel("Incomplete", "Without a manifest.", "short", [(f"inferops_weights_complete{{{HOST}}} == 0", "")], kind="table", hidden=("Value",)),
                Panel(
                    "Downloads",
                    "Share that is there.",
                    "percentunit",
                    [(f"max by (host, unit) (inferops_download_bytes{{{HOST}}} / (inferops_download_total_bytes{{{HOST}}} > 0))", "{{host}} {{unit}}")],
                    most=1,
                ),
                Panel(
                    "Rate of downloads",
                    "Bytes per second.",
                    "Bps",
                    [(f"sum by (host, unit) (deriv(inferops_download_bytes{{{HOST}}}[5m]))", "{{host}} {{unit}}")],
                ),
                Panel(
                    "Free space",
                    "Of file systems that hold weights, releases, caches or state.",
                    "bytes",
                    [(f"min by (host, mountpoint) (inferops_filesystem_available_bytes{{{HOST}}})", "{{host}} {{mountpoint}}")],
                ),
            ],
        ),
    ],
)
