# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment for a release's CUDA compiler: the same one for units, the smoke test and shells.

The path of a release's toolkit is always C(<release>/cuda), a link that its build creates, so no path here depends on the source of the toolkit
or on Python's version.
"""

from __future__ import annotations

SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def environment(release: str, own_libraries: bool = True) -> dict[str, str]:
    """Variables for a release at a path. No list has an empty element: nvcc and the linker would read it as the working directory.

    :param own_libraries: whether the toolkit is the release's own, whose libraries torch was linked with. Those of another toolkit
        must not replace them when the service runs.
    """
    home = f"{release}/cuda"
    found = {
        "CUDA_HOME": home,
        # FlashInfer and DeepGEMM look up nvcc, ninja and c++ by name.
        "PATH": ":".join((f"{release}/bin", f"{home}/bin", *SYSTEM_PATH)),
        "CPATH": f"{home}/include",
        # The stubs replace the driver's libcuda when a kernel is linked on a host without a driver; no program runs with them.
        "LIBRARY_PATH": f"{home}/lib64:{home}/lib64/stubs",
    }
    if own_libraries:
        found["LD_LIBRARY_PATH"] = f"{home}/lib64"
    return found
