# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tiny models, a module for each kind: the lab's stand-ins for weights."""
