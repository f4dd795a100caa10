# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a run of site.yml: its contents, its page, its folder, and the comparison of a report with the present state of hosts."""
