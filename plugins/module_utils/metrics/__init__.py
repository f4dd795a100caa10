# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collector: writes the state of services, GPUs, weights and releases as metrics for Prometheus' node exporter (its textfile collector)."""
