# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor on the controller: judges facts, compares hosts, and makes the report. Plain typed Python, no import from Ansible."""
