# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The accounts of model services on a host: which are managed, their creation and removal, and how root runs a function as one of them."""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
import typing as t

# Prefix of the comment (GECOS) of every account that was created for a service; the service's name follows.
MARK = "inferops service "
NO_LOGIN = "/usr/sbin/nologin"


def read(prefix: str) -> dict[str, dict[str, t.Any]]:
    """Return, by name, the C(uid), primary C(group), C(groups), C(home) and C(comment) of accounts whose name has a prefix or whose comment has the mark."""
    found = {}
    for entry in pwd.getpwall():
        if entry.pw_name.startswith(prefix) or entry.pw_gecos.startswith(MARK):
            found[entry.pw_name] = _about(entry)
    return found


def find(name: str) -> dict[str, t.Any] | None:
    """Return the same for one account, from any source of the host (NSS); None when it does not exist."""
    try:
        return _about(pwd.getpwnam(name))
    except KeyError:
        return None


def _about(entry: pwd.struct_passwd) -> dict[str, t.Any]:
    try:
        group = grp.getgrgid(entry.pw_gid).gr_name
    except KeyError:
        group = str(entry.pw_gid)
    return {"uid": entry.pw_uid, "group": group, "groups": groups_of(entry.pw_name), "home": entry.pw_dir, "comment": entry.pw_gecos}


def groups_of(name: str) -> list[str]:
    """Return the names of the groups that an account is a member of, without its primary group."""
    return sorted(group.gr_name for group in grp.getgrall() if name in group.gr_mem)


def is_of(about: t.Mapping[str, t.Any], service: str) -> bool:
    """Whether an account was created for a service."""
    return about["comment"] == MARK + service


def ensure(name: str, service: str, home: str, groups: t.Sequence[str], check_mode: bool) -> list[str]:
    """Make sure that a service has its account, with a group of the same name and in further groups; return the changes, made or in check mode predicted.

    Raises RuntimeError when the account is not managed, or cannot be created.
    """
    about = find(name)
    if about is None:
        group = _group(name)
        if group is not None and group.gr_mem:
            raise RuntimeError(f"the host has a group {name} with members ({', '.join(group.gr_mem)}) that was not created by inferops.gpu")
        if not check_mode:
            own = ["--gid", name] if group is not None else ["--user-group"]
            # A system account: logind's RemoveIPC does not apply to it, and no login screen shows it.
            _run("useradd", "--system", *own, "--no-create-home", "--home-dir", home, "--shell", NO_LOGIN, "--comment", MARK + service,
                 *(["--groups", ",".join(groups)] if groups else []), name)
        return [f"account {name}"]
    if not is_of(about, service):
        raise RuntimeError(f"the host has an account {name} that was not created by inferops.gpu for service {service} (its comment is {about['comment']!r})")
    missing = sorted(set(groups) - set(about["groups"]) - {about["group"]})
    if missing and not check_mode:
        _run("usermod", "--append", "--groups", ",".join(missing), name)
    return [f"{name} in {group}" for group in missing]


def remove(name: str) -> bool:
    """Remove a managed account with its group, and return whether it existed. Raises RuntimeError."""
    about = find(name)
    if about is None or not about["comment"].startswith(MARK):
        return False
    delete(name)
    group = _group(name)
    # In case userdel keeps the group (USERGROUPS_ENAB of login.defs).
    if group is not None and not group.gr_mem:
        delete_group(name)
    return True


def delete(name: str) -> None:
    """Remove an account. Raises RuntimeError with the command's message."""
    _run("userdel", name)


def delete_group(name: str) -> None:
    """Remove a group. Raises RuntimeError with the command's message."""
    _run("groupdel", name)


def is_ours(name: str) -> bool:
    """Whether an account of this name exists and was created for a service."""
    about = find(name)
    return about is not None and about["comment"].startswith(MARK)


def _group(name: str) -> grp.struct_group | None:
    try:
        return grp.getgrnam(name)
    except KeyError:
        return None


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} {command[-1]}: {(done.stderr or done.stdout).strip() or f'status {done.returncode}'}")


def as_account(user: str, function: t.Callable[..., t.Any], *arguments: t.Any) -> t.Any:
    """Call a function in a process that runs as an account, and return its result, which has to be JSON-serialisable.

    For work in folders that the account owns: whatever is in them, the process has only the account's permissions. Without root the function is
    called directly. Raises OSError with the function's error, KeyError when the account does not exist.
    """
    entry = pwd.getpwnam(user)
    if os.geteuid() in (entry.pw_uid, *([] if os.geteuid() == 0 else [os.geteuid()])):
        return function(*arguments)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(entry, write_end, function, arguments)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as answers:
        said = answers.read()
    os.waitpid(child, 0)
    try:
        answer = json.loads(said)
    except ValueError:
        raise OSError(f"the process that ran as {user} died without a result") from None
    if "error" in answer:
        raise OSError(answer["error"])
    return answer["result"]


def _answer(entry: pwd.struct_passwd, write_end: int, function: t.Callable[..., t.Any], arguments: t.Sequence[t.Any]) -> t.NoReturn:
    """In the child process: switch to the account permanently, call the function, send the result, exit."""
    try:
        os.chdir("/")
        os.setgroups(os.getgrouplist(entry.pw_name, entry.pw_gid))
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        os.umask(0o022)
        answer = {"result": function(*arguments)}
    except Exception as error:  # the parent process waits for the result, so any error must reach it
        answer = {"error": str(error)}
    try:
        with os.fdopen(write_end, "w") as file:
            json.dump(answer, file)
    finally:
        os._exit(0)
