# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings of a host: what is in force, what its files would make of it at the next boot, and how to change both.

Every function takes the root directory that it looks in, so that a tree of files can stand in for a host.
"""
