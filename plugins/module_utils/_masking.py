# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text without secrets, for every message that may quote a header, an address or what a program printed.

The one place for it: the plan, the modules and the programs that roles put on hosts (as C(masking.py) beside them) use it. Standard library
only, Python 3.9. What an address and a header look like is in RFC 3986, 3.2.1, and RFC 7235; prefixes of tokens are those that Hugging Face,
OpenAI, GitHub, GitLab and NVIDIA give theirs.
"""

from __future__ import annotations

import json
import re
import typing as t
import urllib.parse

MASK = "(hidden)"

# Below this a secret is not looked for, as it would be found in every other word.
_SHORTEST = 4

# Who is named before the @ of an address; a password may hold a slash, though no standard allows it, unless what stands there is a port.
_USER = re.compile(
    r'(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?:(?P<plain>[^/\s?#"]*)@|(?P<odd>[^\s/?#@:"\[\]]*:(?!\d+(?:[/?#\s"]|$))[^\s@"]*)@)'
)
# The same without a scheme, as curl and others take it for a proxy: <user>:<password>@<host>.
_BARE = re.compile(r"(?P<user>[^\s/@:\"'=,;]+:[^\s/@\"',;]+)@(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d+)?(?:/\S*)?")
# Members of a query that let in whoever has the address: tokens, and the signatures of object stores.
_QUERY = re.compile(
    r"(?i)(?P<name>[?&](?:[\w.-]*(?:token|secret|passw(?:or)?d|signature|credential)[\w.-]*|(?:[\w.-]*[_-])?(?:api[_-]?)?key|sig|pwd)=)(?P<value>[^&\s\"'#]+)"
)
_HEADER = re.compile(
    r"(?:(?i:\b(?:proxy-)?authorization['\"]?\s*[:=]\s*['\"]?(?:(?:basic|bearer|token)(?:\s|%20)+)?)|\bBearer\s+)(?P<value>[^\s'\"]+)"
)
# Two flags of vLLM begin like a token of the Hub.
_TOKEN = re.compile(r"\b(?:hf_(?!overrides\b|config_path\b)|sk-|ghp_|gho_|ghs_|github_pat_|glpat-|nvapi-)[A-Za-z0-9_-]{8,}")

# Without one of these nothing of the above can be in a text: most texts are short and hold none.
_TRIGGER = re.compile(r"(?i)://|bearer|authorization|[?&]|hf_|sk-|gh[ops]_|github_pat_|glpat-|nvapi-")

# Schemes whose user name opens nothing by itself: it comes with a key.
_BY_KEY = ("ssh", "git+ssh", "sftp", "rsync", "scp", "svn+ssh")


def masked(text: t.Any, *secrets: t.Any) -> str:
    """Return text with these secrets masked, and all that looks like one: users and passwords of addresses, headers, tokens.

    Of a secret that is an address the user and password in it are meant. What is empty, or too short to be told from other text, is passed over.
    """
    found = str(text)
    for form in sorted(_forms(secrets), key=len, reverse=True):
        found = found.replace(form, MASK)
    if _TRIGGER.search(found) is None:
        return found
    found = _USER.sub(_user_masked, found)
    found = _HEADER.sub(lambda match: match[0][:match.start("value") - match.start()] + MASK, found)
    found = _QUERY.sub(lambda match: match["name"] + MASK, found)
    return _TOKEN.sub(MASK, found)


def has_credentials(text: str) -> bool:
    """Whether text holds an address that lets in whoever reads it: a user or password, a token in its query."""
    return (
        any(not _is_harmless(match) for match in _USER.finditer(text)) or _BARE.fullmatch(text.strip()) is not None or _QUERY.search(text) is not None
    )


def has_token(text: str) -> bool:
    """Whether text holds a token of a known form, or a header that brings one."""
    return _TOKEN.search(text) is not None or _HEADER.search(text) is not None


def _is_harmless(match: re.Match[str]) -> bool:
    user = match["plain"]
    return user is not None and (not user or (match["scheme"].lower() in _BY_KEY and ":" not in user))


def _user_masked(match: re.Match[str]) -> str:
    return match[0] if _is_harmless(match) else f"{match['scheme']}://{MASK}@"


def _forms(secrets: t.Iterable[t.Any]) -> set[str]:
    """All ways in which messages write a secret: as it is, without the white space around it, escaped, and line by line."""
    texts: set[str] = set()
    for secret in secrets:
        text = str(secret) if secret else ""
        users = [match["plain"] or match["odd"] or "" for match in _USER.finditer(text) if not _is_harmless(match)]
        if "://" in text:
            # An address is no secret; what stands before its @ is, and its password alone as well.
            texts.update(part for user in users for part in (user, user.partition(":")[2]))
            texts.update(match["value"] for match in _QUERY.finditer(text))
        else:
            texts.update((text, text.strip(), *text.splitlines()))
    forms = set()
    for text in texts:
        forms.update((text, repr(text)[1:-1], ascii(text)[1:-1], json.dumps(text)[1:-1], urllib.parse.quote(text, safe=""), urllib.parse.unquote(text)))
        forms.add(repr(text.encode("utf-8", "surrogateescape"))[2:-1])
    return {form for form in forms if len(form.strip()) >= _SHORTEST and form != MASK}
