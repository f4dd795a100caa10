# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The class that plugins patch, such as the lab's own that breaks a release (lab/wheelhouse/broken_engine)."""


class EngineCore:
    """The engine in its own process."""

    def _initialize_kv_caches(self) -> None:
        """The step after which the engine can take requests."""
