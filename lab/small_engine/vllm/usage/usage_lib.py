# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where an engine runs."""

import enum


class UsageContext(enum.Enum):
    """The one context that is used here."""

    OPENAI_API_SERVER = "OPENAI_API_SERVER"
