# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""XID errors, which NVIDIA's kernel driver writes to the kernel's log: what each means, and what to do about it.

Codes, mnemonics and actions are those of NVIDIA's XID catalogue ("Analyzing Xid Errors with the Xid Catalog" in its GPU deployment documentation), as of
October 2025. Codes that the catalogue lists as unused are left out. C(test_xid_catalogue.py) compares the table in docs/gpu-health.md with this one.
"""

from __future__ import annotations

import typing as t

# What to do. A higher position is a stronger action.
NONE = "none"
RESTART_SERVICE = "restart_service"
UPDATE_DRIVER = "update_driver"
INVESTIGATE = "investigate"
RESET_GPU = "reset_gpu"
REBOOT = "reboot"
REPLACE = "replace"
ACTIONS = (NONE, RESTART_SERVICE, UPDATE_DRIVER, INVESTIGATE, RESET_GPU, REBOOT, REPLACE)


class Xid(t.NamedTuple):
    """One XID. C(action) is one of C(ACTIONS)."""

    code: int
    mnemonic: str
    meaning: str
    action: str


_ROWS = (
    (8, "IDLE_TIMEOUT", "the GPU stopped processing", RESTART_SERVICE),
    (11, "GR_ERROR_MISSING_HW", "invalid or corrupted push buffer", RESTART_SERVICE),
    (13, "GR_EXCEPTION", "exception of the graphics engine, usually an error of the program", RESTART_SERVICE),
    (25, "GR_ILLEGAL_NOTIFY", "invalid push buffer", RESTART_SERVICE),
    (31, "FIFO_ERROR_MMU_ERR_FLT", "page fault in GPU memory, usually an error of the program", RESTART_SERVICE),
    (32, "PBDMA_ERROR", "invalid or corrupted push buffer", RESTART_SERVICE),
    (37, "FECS_ERR_UNIMP_FIRMWARE_METHOD", "error of the driver's firmware", NONE),
    (38, "FECS_ERR_WATCHDOG_TIMEOUT", "error of the driver's firmware", NONE),
    (39, "CE0_ERROR", "exception of a copy engine", RESTART_SERVICE),
    (40, "CE1_ERROR", "exception of a copy engine", RESTART_SERVICE),
    (41, "CE2_ERROR", "exception of a copy engine", RESTART_SERVICE),
    (43, "RESETCHANNEL_VERIF_ERROR", "the program's channel was reset, usually after an error of the program", NONE),
    (44, "GR_FAULT_DURING_CTXSW", "error during a context switch", NONE),
    (45, "PREEMPTIVE_REMOVAL", "a program was removed from the GPU, because it ended or after another XID", NONE),
    (46, "GPU_TIMEOUT_ERROR", "the GPU stopped processing", RESET_GPU),
    (48, "GPU_ECC_DBE", "uncorrectable ECC error", RESET_GPU),
    (54, "PWR_REDUCED_CLOCKING", "auxiliary power is not connected", INVESTIGATE),
    (60, "SEC2_ERROR", "exception of the video processor", RESTART_SERVICE),
    (62, "PMU_HALT_ERROR", "the GPU's internal microcontroller has halted", RESET_GPU),
    (63, "INFOROM_DRAM_RETIREMENT_EVENT", "a row of memory was remapped, or will be at the next reset", NONE),
    (64, "INFOROM_DRAM_RETIREMENT_FAILURE", "a row of memory could not be remapped", RESET_GPU),
    (66, "FECS_ERR_REG_ACCESS_VIOLATION", "illegal access by the driver", NONE),
    (67, "FECS_ERR_VERIF_VIOLATION", "illegal access by the driver", NONE),
    (68, "NVDEC0_ERROR", "exception of a video decoder", RESTART_SERVICE),
    (69, "GR_CLASS_ERROR", "class error of the graphics engine", RESTART_SERVICE),
    (70, "CE3_ERROR", "error of a copy engine", RESTART_SERVICE),
    (71, "CE4_ERROR", "error of a copy engine", RESTART_SERVICE),
    (72, "CE5_ERROR", "error of a copy engine", RESTART_SERVICE),
    (74, "NVLINK_ERROR", "NVLink error", INVESTIGATE),
    (75, "CE6_ERROR", "error of a copy engine", RESTART_SERVICE),
    (76, "CE7_ERROR", "error of a copy engine", RESTART_SERVICE),
    (77, "CE8_ERROR", "error of a copy engine", RESTART_SERVICE),
    (78, "VGPU_START_ERROR", "a vGPU could not start", UPDATE_DRIVER),
    (79, "GPU_HAS_FALLEN_OFF_THE_BUS", "the GPU has fallen off the bus", REBOOT),
    (80, "PBDMA_PUSHBUFFER_CRC_MISMATCH", "corrupted data was sent to the GPU", RESTART_SERVICE),
    (82, "NVJPG0_ERROR", "error of a JPEG decoder", RESTART_SERVICE),
    (83, "NVDEC1_ERROR", "error of a video decoder", RESTART_SERVICE),
    (84, "NVDEC2_ERROR", "error of a video decoder", RESTART_SERVICE),
    (85, "CE9_ERROR", "error of a copy engine", RESTART_SERVICE),
    (86, "OFA0_ERROR", "exception of the optical flow accelerator", RESTART_SERVICE),
    (88, "NVDEC3_ERROR", "error of a video decoder", RESTART_SERVICE),
    (89, "NVDEC4_ERROR", "error of a video decoder", RESTART_SERVICE),
    (92, "EXCESSIVE_SBE_INTERRUPTS", "many correctable ECC errors", INVESTIGATE),
    (93, "INFOROM_ERASE_LIMIT_EXCEEDED", "the InfoROM was written too often", NONE),
    (94, "CONTAINED_ERROR", "memory error that was contained to one program", RESTART_SERVICE),
    (95, "UNCONTAINED_ERROR", "memory error that was not contained", RESET_GPU),
    (96, "NVDEC5_ERROR", "error of a video decoder", RESTART_SERVICE),
    (97, "NVDEC6_ERROR", "error of a video decoder", RESTART_SERVICE),
    (98, "NVDEC7_ERROR", "error of a video decoder", RESTART_SERVICE),
    (99, "NVJPG1_ERROR", "error of a JPEG decoder", RESTART_SERVICE),
    (100, "NVJPG2_ERROR", "error of a JPEG decoder", RESTART_SERVICE),
    (101, "NVJPG3_ERROR", "error of a JPEG decoder", RESTART_SERVICE),
    (102, "NVJPG4_ERROR", "error of a JPEG decoder", RESTART_SERVICE),
    (103, "NVJPG5_ERROR", "error of a JPEG decoder", RESTART_SERVICE),
    (104, "NVJPG6_ERROR", "error of a JPEG decoder", RESTART_SERVICE),
    (105, "NVJPG7_ERROR", "error of a JPEG decoder", RESTART_SERVICE),
    (106, "SMBPBI_TEST_MESSAGE", "test message", NONE),
    (107, "SMBPBI_TEST_MESSAGE_SILENT", "test message", NONE),
    (108, "NVLINK_REMOTE_TRANSLATION_ERROR", "NVLink: error of a remote address", NONE),
    (109, "CTXSW_TIMEOUT_ERROR", "a context switch timed out", RESET_GPU),
    (110, "SEC_FAULT_ERROR", "security violation", RESET_GPU),
    (119, "GSP_RPC_TIMEOUT", "the GPU's system processor (GSP) does not answer", RESET_GPU),
    (120, "GSP_ERROR", "error of the GPU's system processor (GSP)", RESET_GPU),
    (121, "C2C_ERROR", "error of the link between CPU and GPU", NONE),
    (126, "CE10_ERROR", "error of a copy engine", RESTART_SERVICE),
    (127, "CE11_ERROR", "error of a copy engine", RESTART_SERVICE),
    (128, "CE12_ERROR", "error of a copy engine", RESTART_SERVICE),
    (129, "CE13_ERROR", "error of a copy engine", RESTART_SERVICE),
    (130, "CE14_ERROR", "error of a copy engine", RESTART_SERVICE),
    (131, "CE15_ERROR", "error of a copy engine", RESTART_SERVICE),
    (132, "CE16_ERROR", "error of a copy engine", RESTART_SERVICE),
    (133, "CE17_ERROR", "error of a copy engine", RESTART_SERVICE),
    (134, "CE18_ERROR", "error of a copy engine", RESTART_SERVICE),
    (135, "CE19_ERROR", "error of a copy engine", RESTART_SERVICE),
    (136, "ALI_TRAINING_FAIL", "an NVLink could not be trained", RESET_GPU),
    (137, "NVLINK_PRIV_ERR", "NVLink privilege error, usually an error of the program", NONE),
    (139, "OFA1_ERROR", "error of the optical flow accelerator", RESTART_SERVICE),
    (140, "UNRECOVERABLE_ECC_ERROR_ESCAPE", "ECC error that could not be recovered", RESET_GPU),
    (141, "FAST_PATH_ERROR", "error of CUDA's fast path", NONE),
    (142, "NVENC3_ERROR", "error of a video encoder", INVESTIGATE),
    (143, "GPU_INIT_ERROR", "the GPU could not be initialized", RESET_GPU),
    (144, "NVLINK_SAW_ERROR", "NVLink 5: SAW error", INVESTIGATE),
    (145, "NVLINK_RLW_ERROR", "NVLink 5: RLW error", INVESTIGATE),
    (146, "NVLINK_TLW_ERROR", "NVLink 5: TLW error", INVESTIGATE),
    (147, "NVLINK_TREX_ERROR", "NVLink 5: TREX error", INVESTIGATE),
    (148, "NVLINK_NVLPW_CTRL_ERROR", "NVLink 5: NVLPW_CTRL error", INVESTIGATE),
    (149, "NVLINK_NETIR_ERROR", "NVLink 5: NETIR error", INVESTIGATE),
    (150, "NVLINK_MSE_ERROR", "NVLink 5: MSE error", INVESTIGATE),
    (151, "KEY_ROTATION_ERROR", "the keys of confidential computing could not be rotated", REBOOT),
    (152, "DLA_SMMU_ERROR", "error of the deep learning accelerator", NONE),
    (153, "DLA_TIMEOUT", "timeout of the deep learning accelerator", NONE),
    (154, "GPU_RECOVERY_ACTION_CHANGED", "the driver's recovery action for the GPU has changed", NONE),
    (155, "NVLINK_SW_DEFINED_ERROR", "NVLink: error that software defines", RESET_GPU),
    (156, "RESOURCE_RETIREMENT_EVENT", "a part of the GPU was retired", RESET_GPU),
    (157, "RESOURCE_RETIREMENT_FAILURE", "a part of the GPU could not be retired", NONE),
    (158, "GPU_FATAL_TIMEOUT", "fatal timeout", RESET_GPU),
    (159, "CHI_NON_DATA_ERROR", "error on the link between CPU and GPU", INVESTIGATE),
    (160, "CHANNEL_RETIREMENT_EVENT", "a memory channel was retired", NONE),
    (161, "CHANNEL_RETIREMENT_FAILURE", "a memory channel could not be retired", NONE),
    (162, "PSHC_REENGAGED", "power smoothing is in use again", NONE),
    (163, "PSHC_DISENGAGED", "power smoothing is no longer in use", NONE),
    (164, "PSHC_LOW_LIFETIME", "power smoothing: the circuit is near the end of its life", INVESTIGATE),
    (165, "PSHC_ZERO_LIFETIME", "power smoothing: the circuit has reached the end of its life", INVESTIGATE),
    (166, "NVLINK_SECURE_CRYPTO_ERR", "NVLink: encrypted traffic before encryption was configured", INVESTIGATE),
    (167, "PCIE_FATAL_TIMEOUT", "fatal timeout on PCIe", INVESTIGATE),
    (168, "REDUCED_GPU_MEMORY_CAPACITY", "the GPU has less memory, because of errors in a protected region", INVESTIGATE),
    (169, "SEC2_HALT_ERROR", "an internal microcontroller has halted", INVESTIGATE),
    (170, "NVLINK_SECURE_OTHER", "NVLink: interrupt in confidential computing", INVESTIGATE),
    (171, "UNCORRECTABLE_DRAM_ERROR", "XID 48 in detail: the error is in DRAM", INVESTIGATE),
    (172, "UNCORRECTABLE_SRAM_ERROR", "XID 48 in detail: the error is in SRAM", INVESTIGATE),
)
XIDS: t.Mapping[int, Xid] = {row[0]: Xid(*row) for row in _ROWS}

# Where the catalogue's action depends on what else happened. XID 48 alone means no reset on GPUs that contain memory errors.
_DEPENDS = (48, 156)


def find(code: int) -> Xid:
    """Return an XID; for a code that the catalogue does not have, one without a mnemonic that has to be investigated."""
    return XIDS.get(code) or Xid(code, "", "not in NVIDIA's catalogue of October 2025", INVESTIGATE)


def forbids_use(xid: Xid) -> bool:
    """Whether a GPU must not be used after it, as long as nothing shows that it was reset. Errors of programs never do."""
    return xid.action in (RESET_GPU, REBOOT) and xid.code not in _DEPENDS
