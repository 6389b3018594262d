"""Names of the numbers in the kernel's structures (linux/tcp.h, linux/inet_diag.h), as the public tables call them."""

from __future__ import annotations

import struct

MEMINFO, INFO, VEGASINFO, CONG, SKMEMINFO, DCTCPINFO, BBRINFO = 1, 2, 3, 4, 7, 9, 16
SCALARS = {"TOS": 5, "TClass": 6, "ClassID": 17, "Shutdown": 8, "Protocol": 10, "Mark": 15}
"""Attributes that are one number."""

MESSAGE = ("Family", "State", "Timer", "Retrans")
MESSAGE_END = ("Expires", "Rqueue", "Wqueue", "UID", "Inode")
MEMORY = ("Rmem", "Wmem", "Fmem", "Tmem")
SOCKET_MEMORY = (
    *("RmemAlloc", "Rcvbuf", "WmemAlloc", "Sndbuf", "FwdAlloc", "WmemQueued", "Optmem", "Backlog", "Drops"),
)

VEGAS = ("Enabled", "RTTCount", "RTT", "MinRTT")
DCTCP = ("Enabled", "CEState", "Alpha", "ABEcn", "ABTot")
BBR = ("BW", "MinRTT", "PacingGain", "CwndGain")
_DCTCP, _BBR = struct.Struct("=HHIII"), struct.Struct("=qIII")

_BYTES = ("State", "CAState", "Retransmits", "Probes", "Backoff", "Options", "WScale", "AppLimited")
_WORDS = (
    *("RTO", "ATO", "SndMSS", "RcvMSS", "Unacked", "Sacked", "Lost", "Retrans", "Fackets"),
    *("LastDataSent", "LastAckSent", "LastDataRecv", "LastAckRecv", "PMTU", "RcvSsThresh", "RTT", "RTTVar"),
    *("SndSsThresh", "SndCwnd", "AdvMSS", "Reordering", "RcvRTT", "RcvSpace", "TotalRetrans"),
)
_LONGS = ("PacingRate", "MaxPacingRate", "BytesAcked", "BytesReceived")
_MORE_WORDS = ("SegsOut", "SegsIn", "NotsentBytes", "MinRTT", "DataSegsIn", "DataSegsOut")
_MORE_LONGS = ("DeliveryRate", "BusyTime", "RWndLimited", "SndBufLimited")
_NEW = ("Delivered", "DeliveredCE", "BytesSent", "BytesRetrans", "DSackDups", "ReordSeen", "RcvOooPack", "SndWnd")
TCP_INFO = (*_BYTES, *_WORDS, *_LONGS, *_MORE_WORDS, *_MORE_LONGS, *_NEW)
_TCP_INFO = struct.Struct("=8B24I4q6I4q2I2q4I")
"""64-bit numbers are signed, as in the tables: an unlimited pacing rate is -1."""


def tcp_info(payload: bytes) -> dict[str, int]:
    """By name; what the kernel did not send is 0. Empty for an empty payload."""
    if not payload:
        return {}
    whole = payload[: _TCP_INFO.size].ljust(_TCP_INFO.size, b"\0")
    return dict(zip(TCP_INFO, _TCP_INFO.unpack(whole), strict=True))


def numbers(names: tuple[str, ...], payload: bytes) -> dict[str, int]:
    """32-bit numbers by name, as many as there are."""
    return {
        name: int.from_bytes(payload[4 * place : 4 * place + 4], "little")
        for place, name in enumerate(names)
        if len(payload) >= 4 * place + 4
    }


def number(payload: bytes) -> int:
    """An attribute that is one number; 0 without it."""
    return int.from_bytes(payload, "little")


def dctcp(payload: bytes) -> dict[str, int]:
    return dict(zip(DCTCP, _DCTCP.unpack_from(payload), strict=True)) if len(payload) >= _DCTCP.size else {}


def bbr(payload: bytes) -> dict[str, int]:
    """Bandwidth in bytes a second, the least round trip in microseconds, gains shifted left by 8 bits."""
    return dict(zip(BBR, _BBR.unpack_from(payload), strict=True)) if len(payload) >= _BBR.size else {}
