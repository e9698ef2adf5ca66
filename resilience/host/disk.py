"""Runs on the host, from standard input of `python3 -`: opens the folders that hold what is ours, or makes them so.

ext4 encrypts them (fscrypt, version 2 policies): names by AES-256-CTS, contents by AES-256-XTS, with a key that comes through
the pipe and goes into the kernel's keyring of that file system, nowhere else. After a boot the folders are locked until it
comes again. Standard library only: the host is a plain one.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

ADD_KEY, GET_POLICY, SET_POLICY = 0xC0506617, 0xC0096616, 0x800C6613
"""FS_IOC_ADD_ENCRYPTION_KEY, FS_IOC_GET_ENCRYPTION_POLICY_EX, FS_IOC_SET_ENCRYPTION_POLICY of linux/fscrypt.h."""
POLICY = struct.Struct("<BBBBB3x16s")
"""fscrypt_policy_v2: version, contents, names, flags, data unit, identifier of the key."""
CANNOT = {errno.EOPNOTSUPP, errno.ENOTTY}
"""What a file system answers that does not encrypt, or not yet."""
BY_IDENTIFIER, VERSION, XTS, CTS, PAD_32 = 2, 2, 1, 4, 3


class Refused(Exception):
    """Why a folder is not opened."""


def open_folders(order: dict[str, Any]) -> None:
    """Open each folder, or make it where there is none; say which were made, or why not."""
    key, made = bytes.fromhex(order["key"]), []
    try:
        for name in order["folders"]:
            path = Path(name)
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
            if _open(path, key):
                made.append(name)
    except Refused as why:
        sys.stdout.write(json.dumps({"refused": f"{path}: {why}"}) + "\n")
        return
    if Path(order["layout"]).exists():  # at boot, with the folders locked, it could be made by nobody
        subprocess.run(["systemd-tmpfiles", "--create", order["layout"]], check=True)
    sys.stdout.write(json.dumps({"made": made}) + "\n")


def _open(path: Path, key: bytes) -> bool:
    """Whether the folder was made into one that this key opens; one that is, is open afterwards."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        held = _held(folder)
        if held is None and any(path.iterdir()):
            raise Refused("it holds files in clear, which nothing can encrypt where they lie")
        opened = _add(folder, key, path)
        if held not in {None, opened}:
            raise Refused("another key opens it")
        if held is None:
            policy = POLICY.pack(VERSION, XTS, CTS, PAD_32, 0, opened)
            _ask(folder, SET_POLICY, bytearray(policy))
        return held is None
    finally:
        os.close(folder)


def _held(folder: int) -> bytes | None:
    """Which key a folder is encrypted with; None where it is not."""
    answer = bytearray(struct.pack("<Q", POLICY.size) + bytes(POLICY.size))
    try:
        fcntl.ioctl(folder, GET_POLICY, answer)
    except OSError as error:
        if error.errno in {errno.ENODATA, *CANNOT}:
            return None
        raise Refused(os.strerror(error.errno or 0)) from error
    return bytes(POLICY.unpack_from(answer, 8)[-1])


def _add(folder: int, key: bytes, path: Path) -> bytes:
    """Give the key to the file system; its identifier. Where the file system may not encrypt yet, it is told to."""
    order = bytearray(struct.pack("<II32xII32x", BY_IDENTIFIER, 0, len(key), 0) + key)
    try:
        fcntl.ioctl(folder, ADD_KEY, order)
    except OSError as error:
        if error.errno not in CANNOT:
            raise Refused(os.strerror(error.errno or 0)) from error
        _enable(path)
        _ask(folder, ADD_KEY, order)
    return bytes(order[8:24])


def _enable(path: Path) -> None:
    told = subprocess.run(["df", "--output=fstype,source", path], check=False, capture_output=True, text=True).stdout
    found = (told.splitlines() or [""])[-1].split()
    if len(found) < 2 or found[0] != "ext4":  # noqa: PLR2004
        raise Refused(f"it is on {found[0] if found else 'an unknown file system'}, and only ext4 can do it")
    done = subprocess.run(["tune2fs", "-O", "encrypt", found[1]], check=False, capture_output=True, text=True)
    if done.returncode:
        raise Refused(f"tune2fs: {done.stderr.strip() or done.stdout.strip()}")


def _ask(folder: int, request: int, order: bytearray) -> None:
    try:
        fcntl.ioctl(folder, request, order)
    except OSError as error:
        raise Refused(os.strerror(error.errno or 0)) from error
