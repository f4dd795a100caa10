# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""UFW on a host: its present state, the steps to the wanted state, and the rollback of a change that locks the controller out.

C(rules), C(state) and C(steps) have no side effects and also run on the controller; the other modules act on the host.
"""
