# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LoRA adapters of running engines: which of those in the file that an engine follows it does not have.

An engine may have refused one, so that the file alone does not tell what it serves. C(/v1/models) needs the API key, which is in the unit's environment
file, that root reads.
"""

from __future__ import annotations

import concurrent.futures
import re
import typing as t

from .. import _adapters, _host, _openai_api
from . import metrics, units

_KEY = re.compile(r'^VLLM_API_KEY="((?:[^"\\\n]|\\.)*)"$', re.MULTILINE)
_MOST_THREADS = 64


def not_loaded(running: t.Mapping[str, units.About]) -> dict[str, list[str]]:
    """Return, by unit, the names of adapters that its engine does not have or has from another directory. Units whose engine does not tell are left out.

    :param running: active units. All engines are asked side by side
    """
    asked = {unit: one for unit, one in running.items() if one.engine and one.adapters_file}
    if not asked:
        return {}
    with concurrent.futures.ThreadPoolExecutor(min(len(asked), _MOST_THREADS)) as pool:
        found = dict(zip(asked, pool.map(_of_engine, asked.values())))
    return {unit: names for unit, names in found.items() if names is not None}


def _of_engine(about: units.About) -> list[str] | None:
    wanted = _adapters.read(about.adapters_file)
    # The key goes to this host alone.
    if wanted is None or not metrics.is_local(about.engine):
        return None
    try:
        api = _openai_api.Api(about.engine, api_key(_host.read_text(about.environment_file)), metrics.SECONDS, _openai_api.Trust(verify=False))
        listed = _adapters.listed(api)
    except (_openai_api.ApiError, ValueError):
        return None
    return sorted(name for name, path in wanted.items() if listed.get(name) != path)


def api_key(text: str) -> str:
    """Return the API key in the text of an environment file, as the collection quotes it (filter/systemd.py); empty when there is none."""
    found = _KEY.search(text)
    return re.sub(r"\\(.)", r"\1", found[1]) if found else ""
