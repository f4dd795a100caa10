# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a host's model services, as C(playbooks/status.yml) shows it. Everything here only reads, within time and size limits.

Texts of units' programs, file names and servers are not trusted: C(texts.py) makes one short line of each.
"""
