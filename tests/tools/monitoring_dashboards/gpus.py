# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""GPUs: load, memory, heat, and health."""

from __future__ import annotations

from .grafana import BAD, HOST, WARN, Dashboard, Panel

NAME = "{{host}} {{gpu}}"
BOARD = Dashboard(
    uid="inferops-gpus",
    title="Inferops / GPUs",
    description="Load, memory, temperature, power and health of GPUs (docs/gpu-health.md).",
    variables=("cluster", "host"),
    rows=[
        (
            "Health",
            [
                Panel(
                    "May be used",
                    "0: the driver says that the GPU is lost or has to be reset.",
                    "short",
                    [(f"min by (host, gpu) (inferops_gpu_usable{{{HOST}}})", NAME)],
                    kind="stat",
                    width=12,
                    height=6,
                    mappings=[(1, "ok", "green"), (0, "not usable", "red")],
                ),
                Panel(
                    "Findings",
                    "Of the GPU health check.",
                    "short",
                    [(f"inferops_gpu_finding{{{HOST}}}", "")],
                    kind="table",
                    width=12,
                    height=6,
                    hidden=("Value",),
                ),
                Panel(
                    "XIDs since boot",
                    "Errors in the kernel's log, with the action of NVIDIA's catalogue.",
                    "short",
                    [(f"inferops_gpu_xids{{{HOST}}}", "")],
                    kind="table",
                    width=8,
                ),
                Panel(
                    "ECC errors",
                    "Uncorrectable ones end programs. Corrected ones do no harm.",
                    "short",
                    [
                        (f"max by (host, gpu) (inferops_gpu_ecc_uncorrectable{{{HOST}}})", NAME + " uncorrectable"),
                        (f"max by (host, gpu) (inferops_gpu_ecc_correctable{{{HOST}}})", NAME + " corrected"),
                    ],
                ),
                Panel(
                    "Clocks held back",
                    "By heat, the power brake or the hardware. A power limit is normal and not shown.",
                    "short",
                    [(f"max by (host, gpu, reason) (inferops_gpu_throttled{{{HOST}}})", NAME + " {{reason}}")],
                    most=1,
                    steps=[(1, WARN)],
                ),
            ],
        ),
        (
            "Load",
            [
                Panel(
                    "Load",
                    "Share of the time in which a kernel runs. 100 % does not mean that the GPU could do no more.",
                    "percentunit",
                    [(f"max by (host, gpu) (inferops_gpu_utilization_ratio{{{HOST}}})", NAME)],
                    most=1,
                ),
                Panel(
                    "Memory in use",
                    "vLLM reserves its share at the start; it does not change with load.",
                    "percentunit",
                    [(f"max by (host, gpu) (inferops_gpu_memory_used_bytes{{{HOST}}} / inferops_gpu_memory_total_bytes{{{HOST}}})", NAME)],
                    most=1,
                    steps=[(0.98, WARN)],
                ),
                Panel(
                    "Temperature",
                    "Data centre GPUs slow down at about 90 °C.",
                    "celsius",
                    [(f"max by (host, gpu) (inferops_gpu_temperature_celsius{{{HOST}}})", NAME)],
                    steps=[(87, WARN), (92, BAD)],
                ),
                Panel(
                    "Power",
                    "And the limit of each.",
                    "watt",
                    [
                        (f"max by (host, gpu) (inferops_gpu_power_watts{{{HOST}}})", NAME),
                        (f"max by (host, gpu) (inferops_gpu_power_limit_watts{{{HOST}}})", NAME + " limit"),
                    ],
                ),
                Panel(
                    "PCIe lanes missing",
                    "Of those that card and slot allow.",
                    "short",
                    [(f"max by (host, gpu) (inferops_gpu_pcie_width_max{{{HOST}}} - inferops_gpu_pcie_width{{{HOST}}})", NAME)],
                    steps=[(1, WARN)],
                ),
                Panel(
                    "Models and drivers",
                    "What is installed.",
                    "short",
                    [(f"count by (model, driver) (inferops_gpu_info{{{HOST}}})", "{{model}}, {{driver}}")],
                    kind="stat",
                ),
            ],
        ),
    ],
)
