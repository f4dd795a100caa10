# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment in which a release's CUDA compiler works: one for units, the smoke test and shells, made here alone.

A release's toolkit is always reached as C(<release>/cuda), a link that its build makes, so that no path here depends on where the toolkit
comes from or on Python's version.
"""

from __future__ import annotations

SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def environment(release: str, own_libraries: bool = True) -> dict[str, str]:
    """Variables for a release at a path. No list has an empty element: nvcc and the linker would read it as the working directory.

    :param own_libraries: whether the toolkit is the release's own, whose libraries are those that torch was linked with. Another one's
        must not take their place when the service runs.
    """
    home = f"{release}/cuda"
    found = {
        "CUDA_HOME": home,
        # FlashInfer and DeepGEMM look up nvcc, ninja and c++ by name.
        "PATH": ":".join((f"{release}/bin", f"{home}/bin", *SYSTEM_PATH)),
        "CPATH": f"{home}/include",
        # The stubs stand in for the driver's libcuda where a kernel is linked on a host without one; nothing is ever run with them.
        "LIBRARY_PATH": f"{home}/lib64:{home}/lib64/stubs",
    }
    if own_libraries:
        found["LD_LIBRARY_PATH"] = f"{home}/lib64"
    return found
