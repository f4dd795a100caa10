# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mask secrets in messages that may quote a header, a URL or a program's output.

The plan, the modules and the host library's programs all use this module. Standard library only, Python 3.9. RFC 3986, 3.2.1, and RFC 7235 define
URLs and headers; the token prefixes are those of Hugging Face, OpenAI, GitHub, GitLab and NVIDIA.
"""

from __future__ import annotations

import json
import re
import typing as t
import urllib.parse

MASK = "(hidden)"

# Secrets shorter than this are not masked, since they would match in ordinary words.
_SHORTEST = 4
# How many characters of a URL are searched for its password, so that masking takes time in proportion to the text's length.
_LONGEST = 4096

_BLANK = re.compile(r"\s|$")
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,30})://")
# The user before the password; not a host before its port.
_NAMED = re.compile(r'[^\s/?#@:"\[\]]*:(?!\d+(?:[/?#\s"]|$))')
_AUTHORITY = re.compile(r'[^/\s?#"]*')
# The same without a scheme, which curl and others accept for a proxy: <user>:<password>@<host>.
_BARE = re.compile(r"(?P<user>[^\s/@:\"'=,;]+:[^\s/@\"',;]+)@(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d+)?(?:/\S*)?")
# Within other text it must not match too much: the part before the @ starts a word, and the part after it looks like a host.
_RUN = re.compile(r"[^\s/@\"',;]+")
_BARE_USER = re.compile(r"(?:^|(?<=[=(]))(?!(?i:mailto|from|to|cc):)[^:=()\[\]{}<>]+:.")
_BARE_HOST = re.compile(
    r"@(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253}(?=:\d{1,5}(?!\w))|(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,63}\b"
    r"|\d{1,3}(?:\.\d{1,3}){3}(?!\w)|localhost\b)"
)
# Query parameters that grant access to anyone who has the URL: tokens, and signatures of object stores.
_MEMBER = re.compile(r"[?&](?P<name>[\w.-]+)=")
_SECRET_MEMBER = re.compile(r"(?i)token|secret|passw(?:or)?d|signature|credential|(?:^|[_-])(?:api[_-]?)?key$|^sig$|^pwd$")
_VALUE = re.compile(r"[^&\s\"'#]+")
_HEADER = re.compile(
    r"(?:(?i:\b(?:proxy-)?authorization['\"]?\s*[:=]\s*['\"]?(?:(?:basic|bearer|token)(?:\s|%20)+)?)|\bBearer\s+)(?P<value>[^\s'\"]+)"
)
# Two flags of vLLM begin like a Hub token.
_TOKEN = re.compile(r"\b(?:hf_(?!overrides\b|config_path\b)|sk-|ghp_|gho_|ghs_|github_pat_|glpat-|nvapi-)[A-Za-z0-9_-]{8,}")

# A text without any of these has no secrets of the above forms; this is true for most texts.
_TRIGGER = re.compile(r"(?i)@|bearer|authorization|[?&]|hf_|sk-|gh[ops]_|github_pat_|glpat-|nvapi-")

# Names whose values are secrets. The anchors exclude names like "max_num_batched_tokens".
_SECRET_NAME = re.compile(r"(?:^|[_-])(?:api[_-]?key\w*|key|keys|token|secrets?(?:[_-]\w+)?|passw(?:or)?d|credentials?)$", re.IGNORECASE)

# Schemes whose user name is not a secret, since authentication uses a key.
_BY_KEY = ("ssh", "git+ssh", "sftp", "rsync", "scp", "svn+ssh")


def masked(text: t.Any, *secrets: t.Any) -> str:
    """Return text with these secrets masked, and everything that looks like one: users and passwords in URLs, headers, tokens.

    In a secret that is a URL, only the user and password are masked. Ignores secrets that are empty or too short to be distinguished from other text.
    """
    found = str(text)
    for form in sorted(forms_of(secrets), key=len, reverse=True):
        found = found.replace(form, MASK)
    if _TRIGGER.search(found) is None:
        return found
    found = _hidden(found, _users(found))
    found = _hidden(found, _bare(found))
    found = _HEADER.sub(lambda match: match[0][:match.start("value") - match.start()] + MASK, found)
    found = _hidden(found, _values(found))
    return _TOKEN.sub(MASK, found)


def is_secret_name(name: t.Any) -> bool:
    """Whether a variable, key or flag of this name would hold a secret."""
    return bool(_SECRET_NAME.search(str(name)))


def has_credentials(text: str) -> bool:
    """Whether text has a URL with credentials: a user or password, or a token in its query."""
    return any(True for find in (_users, _bare, _values) for _span in find(text))


def has_token(text: str) -> bool:
    """Whether text has a token of a known form, or a header with a token."""
    return _TOKEN.search(text) is not None or _HEADER.search(text) is not None


def _hidden(text: str, spans: t.Iterable[tuple[int, int]]) -> str:
    parts, done = [], 0
    for start, end in spans:
        parts += [text[done:start], MASK]
        done = end
    return "".join((*parts, text[done:]))


def _users(text: str) -> t.Iterator[tuple[int, int]]:
    """Yield the positions of users and passwords in URLs: after the :// and before the @.

    A password may have @, slashes and quotes, although no standard allows that: with a user and a colon it extends to the last @ of the word.
    """
    done = word_end = last_at = -1
    for match in _SCHEME.finditer(text):
        start = match.end()
        if start > word_end:
            word_end = t.cast("re.Match[str]", _BLANK.search(text, start)).start()
            last_at = text.rfind("@", start, word_end)
        if match.start() < done or last_at < start:
            continue
        named = _NAMED.match(text, start)
        end = _password_end(text, named.end(), min(last_at + 1, start + _LONGEST)) if named is not None else -1
        if end < 0:
            end = text.rfind("@", start, t.cast("re.Match[str]", _AUTHORITY.match(text, start)).end())
            user = text[start:max(end, start)]
            if not user or (match["scheme"].lower() in _BY_KEY and ":" not in user):
                continue
        done = end + 1
        yield start, end


def _password_end(text: str, start: int, stop: int) -> int:
    """Return the position of the @ after a password, or -1. A quote belongs to the password if an @ follows before the next quote; else it ends the URL."""
    quote = text.find('"', start, stop)
    while quote >= 0:
        following = text.find('"', quote + 1, stop)
        if text.find("@", quote + 1, following if following >= 0 else stop) < 0:
            return text.rfind("@", start, quote)
        quote = following
    return text.rfind("@", start, stop)


def _bare(text: str) -> t.Iterator[tuple[int, int]]:
    """Yield the positions of users and passwords in URLs without a scheme."""
    whole = _BARE.fullmatch(text.strip())
    if whole is not None:
        start = len(text) - len(text.lstrip())
        yield start, start + whole.end("user")
        return
    if "@" not in text:
        return
    for run in _RUN.finditer(text):
        if not text.startswith("@", run.end()) or _BARE_HOST.match(text, run.end()) is None:
            continue
        user = _BARE_USER.search(run[0])
        if user is not None and (user.start() > 0 or text[run.start() - 1:run.start()] not in ("/", "@")):
            yield run.start() + user.start(), run.end()


def _values(text: str) -> t.Iterator[tuple[int, int]]:
    """Yield the positions of secret values in a query."""
    done = 0
    for match in _MEMBER.finditer(text):
        if match.start() >= done and _SECRET_MEMBER.search(match["name"]) is not None:
            value = _VALUE.match(text, match.end())
            if value is not None:
                done = value.end()
                yield value.span()


def forms_of(secrets: t.Iterable[t.Any]) -> set[str]:
    """Return all forms of secrets in messages: unchanged, without surrounding white space, escaped, and line by line."""
    texts: set[str] = set()
    for secret in secrets:
        text = str(secret) if secret else ""
        users = [user for start, end in _users(text) for user in _readings(text[start:end])]
        if "://" in text:
            # A URL is not a secret, but the part before its @ is, and the password alone too.
            texts.update(part for user in users for part in (user, user.partition(":")[2]))
            texts.update(text[start:end] for start, end in _values(text))
        else:
            texts.update((text, text.strip(), *text.splitlines()))
    forms = set()
    for text in texts:
        forms.update((text, repr(text)[1:-1], ascii(text)[1:-1], json.dumps(text)[1:-1], urllib.parse.quote(text, safe=""), urllib.parse.unquote(text)))
        forms.add(repr(text.encode("utf-8", "surrogateescape"))[2:-1])
    return {form for form in forms if len(form.strip()) >= _SHORTEST and form != MASK}


def _readings(user: str) -> t.Iterator[str]:
    """Yield the possible values of a user and password with several @: one of them may belong to the path."""
    yield user
    yield user.partition("@")[0]
    yield t.cast("re.Match[str]", _AUTHORITY.match(user))[0].rpartition("@")[0]
