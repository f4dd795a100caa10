# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings of a host: the values in force, the values that its files set at the next boot, and how to change both.

Every function takes the root directory of the host, so that tests can use a tree of files.
"""
