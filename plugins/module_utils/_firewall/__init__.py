# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""UFW on a host: what it says now, what differs from what is wanted, and the rollback of a change that shuts the controller out.

C(rules), C(state) and C(steps) are pure and run on the controller as well; the others act on the host.
"""
