"""The program that holds a pod's namespaces, and the image around it: made here, so that no registry is needed.

A gateway that never saw the cloud's registry must still be able to start a pod whose image was loaded from a stick, and
the usual pause image is not on it. The program is small enough to be kept as machine code: as the first process of its
namespace it blocks TERM, INT and CHLD and waits for them; CHLD: it reaps every dead child (with shareProcessNamespace it
is everybody's parent); TERM or INT: it ends with 0. It calls nothing but the kernel and needs no library.
"""

from __future__ import annotations

import io
import struct
import tarfile

MASK = struct.pack("<Q", 1 << (2 - 1) | 1 << (15 - 1) | 1 << (17 - 1))  # sigset: INT, TERM, CHLD

X86_64 = bytes.fromhex(
    # start: rt_sigprocmask(SIG_BLOCK, mask, NULL, 8)
    "b80e000000"  # mov eax, 14
    "31ff"  # xor edi, edi
    "488d355a000000"  # lea rsi, [rip+mask]
    "31d2"  # xor edx, edx
    "41ba08000000"  # mov r10d, 8
    "0f05"  # syscall
    # again: rt_sigtimedwait(mask, NULL, NULL, 8) gives the signal's number
    "b880000000"  # mov eax, 128
    "488d3d44000000"  # lea rdi, [rip+mask]
    "31f6"  # xor esi, esi
    "31d2"  # xor edx, edx
    "41ba08000000"  # mov r10d, 8
    "0f05"  # syscall
    "83f811740c"  # cmp eax, 17 (CHLD); je reap
    "83f80f7421"  # cmp eax, 15 (TERM); je quit
    "83f802741c"  # cmp eax, 2 (INT); je quit
    "ebd7"  # jmp again
    # reap: wait4(-1, NULL, WNOHANG, NULL) until nobody is left
    "b83d000000"  # mov eax, 61
    "83cfff"  # or edi, -1
    "31f6"  # xor esi, esi
    "ba01000000"  # mov edx, 1
    "4531d2"  # xor r10d, r10d
    "0f05"  # syscall
    "85c07fe8"  # test eax, eax; jg reap
    "ebbd"  # jmp again
    # quit: exit_group(0)
    "b8e7000000"  # mov eax, 231
    "31ff"  # xor edi, edi
    "0f05"  # syscall
    "0f1f4000"  # nop, so that the mask is aligned
)

AARCH64 = struct.pack(
    "<32I",
    # start: rt_sigprocmask(SIG_BLOCK, mask, NULL, 8)
    0xD28010E8,  # mov x8, #135
    0xD2800000,  # mov x0, #0
    0x100003C1,  # adr x1, mask
    0xD2800002,  # mov x2, #0
    0xD2800103,  # mov x3, #8
    0xD4000001,  # svc #0
    # again: rt_sigtimedwait(mask, NULL, NULL, 8)
    0xD2801128,  # mov x8, #137
    0x10000320,  # adr x0, mask
    0xD2800001,  # mov x1, #0
    0xD2800002,  # mov x2, #0
    0xD2800103,  # mov x3, #8
    0xD4000001,  # svc #0
    0x7100441F,  # cmp w0, #17
    0x540000C0,  # b.eq reap
    0x71003C1F,  # cmp w0, #15
    0x540001A0,  # b.eq quit
    0x7100081F,  # cmp w0, #2
    0x54000160,  # b.eq quit
    0x17FFFFF4,  # b again
    # reap: wait4(-1, NULL, WNOHANG, NULL)
    0xD2802088,  # mov x8, #260
    0x92800000,  # mov x0, #-1
    0xD2800001,  # mov x1, #0
    0xD2800022,  # mov x2, #1
    0xD2800003,  # mov x3, #0
    0xD4000001,  # svc #0
    0x7100001F,  # cmp w0, #0
    0x54FFFF2C,  # b.gt reap
    0x17FFFFEB,  # b again
    # quit: exit_group(0)
    0xD2800BC8,  # mov x8, #94
    0xD2800000,  # mov x0, #0
    0xD4000001,  # svc #0
    0xD503201F,  # nop
)

ARMV7 = struct.pack(
    "<32I",
    # start: rt_sigprocmask(SIG_BLOCK, mask, NULL, 8)
    0xE3A070AF,  # mov r7, #175
    0xE3A00000,  # mov r0, #0
    0xE28F1070,  # add r1, pc, mask
    0xE3A02000,  # mov r2, #0
    0xE3A03008,  # mov r3, #8
    0xEF000000,  # svc #0
    # again: rt_sigtimedwait(mask, NULL, NULL, 8)
    0xE3A070B1,  # mov r7, #177
    0xE28F005C,  # add r0, pc, mask
    0xE3A01000,  # mov r1, #0
    0xE3A02000,  # mov r2, #0
    0xE3A03008,  # mov r3, #8
    0xEF000000,  # svc #0
    0xE3500011,  # cmp r0, #17
    0x0A000004,  # beq reap
    0xE350000F,  # cmp r0, #15
    0x0A00000B,  # beq quit
    0xE3500002,  # cmp r0, #2
    0x0A000009,  # beq quit
    0xEAFFFFF2,  # b again
    # reap: wait4(-1, NULL, WNOHANG, NULL)
    0xE3A07072,  # mov r7, #114
    0xE3E00000,  # mvn r0, #0
    0xE3A01000,  # mov r1, #0
    0xE3A02001,  # mov r2, #1
    0xE3A03000,  # mov r3, #0
    0xEF000000,  # svc #0
    0xE3500000,  # cmp r0, #0
    0xCAFFFFF7,  # bgt reap
    0xEAFFFFE9,  # b again
    # quit: exit_group(0)
    0xE3A070F8,  # mov r7, #248
    0xE3A00000,  # mov r0, #0
    0xEF000000,  # svc #0
    0xE1A00000,  # nop
)


_CODE = {"amd64": X86_64, "arm64": AARCH64, "arm": ARMV7}
_MACHINE = {"amd64": 62, "arm64": 183, "arm": 40}
_NAMES = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "armv7l": "arm",
    "armv6l": "arm",
    "arm": "arm",
}


def architecture(machine: str) -> str | None:
    """docker's name of what ``uname -m`` or the engine calls ``machine``; None when there is no pause program for it."""
    return _NAMES.get(machine)


def pause_program(arch: str) -> bytes:
    """The whole static ELF file for ``amd64``, ``arm64`` or ``arm``: headers, one readable and executable segment."""
    code = _CODE[arch] + MASK
    base, headers = (0x10000, 52 + 32) if arch == "arm" else (0x400000, 64 + 56)
    size = headers + len(code)
    wide = arch != "arm"
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + bytes(9)
    flags = 0 if wide else 0x05000000  # ARM: EABI version 5
    pointers = "<HHIQQQIHHHHHH" if wide else "<HHIIIIIHHHHHH"
    first = 64 if wide else 52
    header = struct.pack(pointers, 2, _MACHINE[arch], 1, base + headers, first, 0, flags, first, headers - first, 1, 0, 0, 0)
    if wide:
        segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x10000)
    else:
        segment = struct.pack("<IIIIIIII", 1, 0, base, base, size, size, 5, 0x10000)
    return ident + header + segment + code


def pause_tar(arch: str) -> bytes:
    """A root file system that holds ``/pause`` alone, the same bytes each time: for ``docker import``."""
    program = pause_program(arch)
    entry = tarfile.TarInfo("pause")
    entry.size, entry.mode = len(program), 0o755
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(entry, io.BytesIO(program))
    return target.getvalue()
