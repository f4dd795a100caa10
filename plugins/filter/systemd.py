# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that quote values for systemd's unit and environment files. Documented in the .yml files beside this one."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

# systemd.syntax(7), "Quoting": inside double quotes a backslash begins a C escape.
ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def quote(value: t.Any) -> str:
    """Return a value as one word of a unit file, with doubled specifiers (%), and quoted if it has special characters."""
    text = str(value)
    if "\0" in text:
        raise AnsibleFilterError("a value for a unit file contains a NUL character, which systemd does not support")
    escaped = "".join(ESCAPES.get(character, character) for character in text).replace("%", "%%")
    plain = bool(text) and all(character.isalnum() or character in "-_./:=,@+%" for character in text)
    return escaped if plain else f'"{escaped}"'


def unit_word(value: t.Any) -> str:
    """Return a value as one word of an Exec line, where an unescaped $ would begin a variable."""
    return quote(value).replace("$", "$$")


def unit_environment(value: dict[str, t.Any]) -> list[str]:
    """Return `NAME=value` words for Environment= lines, sorted by name. systemd does not expand $ there."""
    return [quote(f"{name}={value[name]}") for name in sorted(value)]


def environment_file(value: t.Mapping[str, t.Any]) -> str:
    """Return the text of an EnvironmentFile: one quoted assignment per line, sorted by name. A line break in a value is an error."""
    lines = []
    for name in sorted(value):
        text = str(value[name])
        if "\n" in text or "\0" in text:
            raise AnsibleFilterError(f"the value of {name} contains a line break, which an environment file does not support")
        escaped = "".join("\\" + character if character in '\\"`$' else character for character in text)
        lines.append(f'{name}="{escaped}"\n')
    return "".join(lines)


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"unit_word": unit_word, "unit_environment": unit_environment, "environment_file": environment_file}
