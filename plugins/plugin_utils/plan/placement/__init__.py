# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services merged from all inputs, and where they run: GPUs, parallel layouts, multi-node services with their units and ports."""
