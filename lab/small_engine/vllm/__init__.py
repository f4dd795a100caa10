# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The modules of vLLM that the build of a release and its parser look at. The engine behind them is C(small_engine)."""

from small_engine import VERSION as __version__  # noqa: F401
