# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(plan_accept): findings that a user accepts by the name of the check, with a reason. An accepted finding does not stop the plan."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Collection, Mapping

from .. import values
from ansible_collections.inferops.gpu.plugins.module_utils._masking import masked

from ..errors import InvalidValue, PlanError, PlanWarning, did_you_mean, one_line, shown

KEY = "plan_accept"

# Former names of checks, each with the current one.
RENAMED: Mapping[str, str] = {"held-gpus": "gpus-in-use", "open-world": "public-access", "shut-ports": "blocked-ports"}


@dataclass(frozen=True)
class Accepted:
    """A finding that a user has accepted: the name of the check, the user's reason, and the finding. All fields are text on one line, without secrets."""

    host: str
    service: str
    check: str
    reason: str
    finding: str

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, masked(one_line(getattr(self, field.name))))


def read(host: str, raw: Any, acceptable: Collection[str], others: Collection[str]) -> tuple[dict[str, str], list[PlanError]]:
    """Reasons by the name of the accepted check.

    :param acceptable: names of checks that may be accepted
    :param others: names of checks that may not be accepted
    """
    try:
        pairs = values.mapping(raw)
    except InvalidValue as bad:
        return {}, [PlanError(host, "", KEY, shown(raw), bad.why, bad.fix)]
    accepted = {}
    errors = []
    for name, reason in pairs.items():
        key = f"{KEY}.{name}"
        if name in RENAMED:
            errors.append(PlanError(host, "", key, shown(reason), "this check was renamed", f"write {RENAMED[name]}"))
        elif name in others:
            errors.append(PlanError(host, "", key, shown(reason), "this check cannot be accepted", "fix what it finds"))
        elif name not in acceptable:
            fix = did_you_mean(name, acceptable, f"checks that can be accepted: {', '.join(acceptable)}")
            errors.append(PlanError(host, "", key, shown(reason), "there is no such check", fix))
        else:
            try:
                text = values.string(reason)
                if not text.strip():
                    raise InvalidValue("the reason is empty", "write why this is acceptable on this host")
                accepted[name] = text
            except InvalidValue as bad:
                errors.append(PlanError(host, "", key, shown(reason), bad.why, bad.fix))
    return accepted, errors


def apply(finding: PlanError | PlanWarning, check: str, accepted: Mapping[str, str]) -> PlanError | PlanWarning | None:
    """Apply plan_accept to a finding: an accepted error becomes a warning with the reason, an accepted warning is dropped.

    Other findings get the name by which they can be accepted.
    """
    if check in accepted:
        if isinstance(finding, PlanWarning):
            return None
        return PlanWarning(finding.host, finding.service, f"accepted as {check} ({accepted[check]}): {_text(finding)}")
    if isinstance(finding, PlanWarning):
        return replace(finding, text=f"{finding.text} [{check}]")
    return replace(finding, check=check, fix=f"{finding.fix}; or accept it as {check} in {KEY}, with a reason")


def taken(finding: PlanError | PlanWarning, check: str, accepted: Mapping[str, str]) -> Accepted | None:
    """The record of a finding that C(apply) accepts; None for others."""
    if check not in accepted:
        return None
    return Accepted(finding.host, finding.service, check, accepted[check], _text(finding))


def _text(finding: PlanError | PlanWarning) -> str:
    if isinstance(finding, PlanWarning):
        return finding.text
    return f"{finding.key} {finding.value}: {finding.why}" if finding.key else finding.why
