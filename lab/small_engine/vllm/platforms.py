# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""vLLM's platform: found."""

from __future__ import annotations


class Platform:
    """The platform of the small engine."""

    def is_unspecified(self) -> bool:
        """Whether vLLM has found no platform."""
        return False


current_platform = Platform()
