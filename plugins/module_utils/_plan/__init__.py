# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: inventory and catalogue in, one resolved plan out, or every fault at once.

Pure Python without Ansible: C(resolve.resolve) is the one way in, and the rules it holds every host against stand in C(rules).
"""
