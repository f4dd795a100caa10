# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the supervisors of a multi-node service in virtual time, on hosts, a network and a systemd that exist only here, and lets them fail."""
