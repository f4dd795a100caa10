# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings that a user accepts by name, with a reason: plan_accept. What is accepted does not stop the plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Collection, Mapping

from .. import values
from ..errors import Bad, PlanError, PlanWarning, did_you_mean, shown

KEY = "plan_accept"


def read(host: str, raw: Any, acceptable: Collection[str], others: Collection[str]) -> tuple[dict[str, str], list[PlanError]]:
    """Reasons by the name of what they accept.

    :param acceptable: names that may be accepted
    :param others: names of rules that may not
    """
    try:
        pairs = values.mapping(raw)
    except Bad as bad:
        return {}, [PlanError(host, "", KEY, shown(raw), bad.why, bad.fix)]
    accepted = {}
    errors = []
    for name, reason in pairs.items():
        key = f"{KEY}.{name}"
        if name in others:
            errors.append(PlanError(host, "", key, shown(reason), "this rule cannot be accepted away", "put right what it finds"))
        elif name not in acceptable:
            fix = did_you_mean(name, acceptable, f"what can be accepted is {', '.join(acceptable)}")
            errors.append(PlanError(host, "", key, shown(reason), "there is no such rule", fix))
        else:
            try:
                text = values.text(reason)
                if not text.strip():
                    raise Bad("the reason is empty", "say why this is all right here, for who reads it next year")
                accepted[name] = text
            except Bad as bad:
                errors.append(PlanError(host, "", key, shown(reason), bad.why, bad.fix))
    return accepted, errors


def apply(finding: PlanError | PlanWarning, rule: str, accepted: Mapping[str, str]) -> PlanError | PlanWarning | None:
    """A finding that may be accepted, after it was asked for: an accepted error is a warning with the reason, an accepted warning nothing.

    Others say under which name they can be accepted.
    """
    if rule in accepted:
        if isinstance(finding, PlanWarning):
            return None
        what = f"{finding.key} {finding.value}: {finding.why}" if finding.key else finding.why
        return PlanWarning(finding.host, finding.service, f"accepted as {rule} ({accepted[rule]}): {what}")
    if isinstance(finding, PlanWarning):
        return replace(finding, text=f"{finding.text} [{rule}]")
    return replace(finding, rule=rule, fix=f"{finding.fix}; or accept it, with your reason, as {rule} in {KEY}")
