# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a release's engine comes from. A source that is not an index becomes a wheel in the release, so that the lock file can pin it by its hash."""

from __future__ import annotations

import base64
import hashlib
import netrc
import os
import shutil
import ssl
import tempfile
import typing as t
import urllib.error
import urllib.parse
import urllib.request

from .._masking import masked
from .steps import BuildError, Status, run, uv_environment

# Folder in a release for wheels that do not come from an index.
WHEELS = "wheels"
_BLOCK = 1 << 20
# Limit for an sdist or wheel in bytes: far more than any engine's, so that an endless answer does not fill the disk.
_LARGEST = 16 * 1024**3
_SCHEMES = ("https", "http")


def engine(spec: dict[str, t.Any], folder: str, status: Status) -> tuple[str, dict[str, str]]:
    """Return the requirement for the engine and its resolved source: the wheel, the commit, the file's sha256.

    Raises BuildError.
    """
    source = spec["source"]
    if source["kind"] == "index":
        return f"{spec['package']}=={spec['version']}", {}
    if source["kind"] == "nightly":
        return f"{spec['package']}=={'.'.join(spec['version'].split('.')[:2])}.*", {}
    work = os.path.join(folder, ".source")
    wheels = os.path.join(folder, WHEELS)
    for path in (work, wheels):
        os.mkdir(path)
    if source["kind"] == "git":
        resolved = {"commit": check_out(spec, work, status)}
        build_wheel(spec, work, wheels, status)
    else:
        archive, resolved = fetch(spec, work, status)
        if archive.endswith(".whl"):
            shutil.move(archive, wheels)
        else:
            build_wheel(spec, archive, wheels, status)
    shutil.rmtree(work)
    [wheel] = os.listdir(wheels)
    name, version = wheel.split("-")[:2]
    if name.replace("_", "-") != spec["package"].partition("[")[0]:
        raise BuildError(f"the source contains {name} {version} and not {spec['package']}", "correct vllm_source")
    return f"{spec['package']}=={version}", {**resolved, "wheel": wheel}


def check_out(spec: dict[str, t.Any], work: str, status: Status) -> str:
    """Check out a commit, tag or branch of a git repository, with the history that its version depends on; return the commit. Raises BuildError."""
    source = spec["source"]
    status.write(masked(f"fetching {source['reference']} of {source['address']}"))
    # Never prompt: nobody could answer.
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -o BatchMode=yes"}
    wrong = "make sure that the host can reach the repository and that it has this commit, tag or branch (vllm_source)"
    with tempfile.TemporaryDirectory() as home:
        environment.update(git_home(spec, home))
        # The history, without the files of earlier commits: the version depends on the distance to the last tag.
        run(["git", "clone", "--quiet", "--filter=blob:none", "--no-checkout", source["address"], work], environment, wrong)
        run(["git", "-C", work, "fetch", "--quiet", "origin", source["reference"]], environment, wrong)
        run(["git", "-C", work, "checkout", "--quiet", "--detach", "FETCH_HEAD"], environment, wrong)
        return run(["git", "-C", work, "rev-parse", "HEAD"], environment, wrong).strip()


def git_home(spec: dict[str, t.Any], home: str) -> dict[str, str]:
    """Return the variables by which git finds credentials: it reads .netrc in its home directory and has no variable for that file (git-credential(1)).

    Its other settings are still root's.
    """
    path = spec.get("netrc", "")
    if not path or not os.path.exists(path):
        return {}
    os.symlink(path, os.path.join(home, ".netrc"))
    return {"HOME": home, "GIT_CONFIG_GLOBAL": os.path.join(os.path.expanduser("~root"), ".gitconfig")}


def fetch(spec: dict[str, t.Any], work: str, status: Status) -> tuple[str, dict[str, str]]:
    """Copy or download an sdist or wheel and check its sha256 when one is given; return its path and sha256. Raises BuildError."""
    source = spec["source"]
    address = source["address"]
    status.write(masked(f"fetching {address}"))
    target = os.path.join(work, os.path.basename(urllib.request.url2pathname(address)))
    digest, size = hashlib.sha256(), 0
    try:
        with open_source(address, spec.get("netrc", "")) as stream, open(target, "wb") as file:
            for block in iter(lambda: stream.read(_BLOCK), b""):
                size += len(block)
                if size > _LARGEST:
                    raise BuildError(f"{address} is longer than {_LARGEST} bytes", "check vllm_source")
                digest.update(block)
                file.write(block)
    except netrc.NetrcParseError as error:
        # The exception's text quotes the line, which may have a password.
        raise BuildError(f"{error.filename} is not a valid netrc file (line {error.lineno})", "correct host_index_credentials") from None
    except (urllib.error.URLError, OSError) as error:
        said = masked(f"cannot read {address}: {error}", address if "://" in address else "")
        raise BuildError(said, "make sure that the host can reach it (vllm_source)") from error
    if source["sha256"] and digest.hexdigest() != source["sha256"]:
        raise BuildError(f"{address} has sha256 {digest.hexdigest()} instead of {source['sha256']}", "the file was changed or truncated: check its origin")
    return target, {"sha256": digest.hexdigest()}


def open_source(address: str, credentials: str = "") -> t.IO[bytes]:
    """Open a local file or a URL, with the credentials that the netrc file has for its host."""
    if address.startswith("/"):
        return open(address, "rb")
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=ssl.create_default_context()), Redirects)
    request = urllib.request.Request(address)
    pair = netrc.netrc(credentials).authenticators(urllib.parse.urlsplit(address).hostname or "") if credentials and os.path.exists(credentials) else None
    if pair is not None:
        # Not sent to another host after a redirect.
        request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(f"{pair[0]}:{pair[2]}".encode()).decode())
    opened: t.IO[bytes] = opener.open(request, timeout=60)
    return opened


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects only to http and https, and never from https to http."""

    def redirect_request(self, req: t.Any, fp: t.Any, code: int, msg: str, headers: t.Any, newurl: str) -> t.Any:
        scheme = urllib.parse.urlsplit(newurl).scheme.lower()
        if scheme not in _SCHEMES or (req.type == "https" and scheme != "https"):
            raise urllib.error.URLError("it redirects from https to http, or to an unsupported scheme")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def build_wheel(spec: dict[str, t.Any], path: str, wheels: str, status: Status) -> None:
    """Build a wheel from a source tree or an sdist, in an isolated environment that uv creates. Raises BuildError."""
    status.write("building the wheel")
    offline = ["--no-index"] if spec["index"]["no_index"] else []
    run([spec["uv"], "build", "--wheel", *offline, "--python", spec["python"], "--out-dir", wheels, path],
        {**uv_environment(spec), **spec["build_environment"]},
        "make sure that the host has what the build needs (vllm_build_environment, host_packages_extra), and that the indexes have its build requirements")
    # uv writes this file to keep its output out of git.
    ignore = os.path.join(wheels, ".gitignore")
    if os.path.exists(ignore):
        os.unlink(ignore)
