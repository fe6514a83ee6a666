"""The systemd unit of the gateway: systemd.service(5), systemd.exec(5).

It needs root to make network namespaces and to change users; everything else is taken away.
Namespaces and listeners of guests lie in the service manager's store over a restart. What is not
hardened, and why, stands in docs/gateway.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_TEMPLATE: Final = """\
[Unit]
Description=egressguard gateway: the only way out of captive machines and containers
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={program} gateway run
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=100ms
TimeoutStartSec=120
TimeoutStopSec=10
WatchdogSec=30
# Held over a restart: namespaces of guests, what must not be forgotten of them, and the API's
# socket. They are given back at `systemctl stop`.
FileDescriptorStoreMax=16384
Environment=EGRESSGUARD_FDSTORE=1
LimitNOFILE=524288
LimitMEMLOCK=infinity
UMask=0077

RuntimeDirectory=egressguard
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
StateDirectory=egressguard-gateway
StateDirectoryMode=0700
LogsDirectory=egressguard
LogsDirectoryMode=0700
CacheDirectory=egressguard

# NET_ADMIN and SYS_ADMIN make network namespaces, SETUID, SETGID and SETPCAP give rights up,
# KILL ends workers. The workers have none.
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_BIND_SERVICE CAP_NET_RAW CAP_SYS_ADMIN CAP_SETUID \\
    CAP_SETGID CAP_SETPCAP CAP_KILL CAP_DAC_READ_SEARCH
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=net
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
LockPersonality=yes
DevicePolicy=closed
DeviceAllow=/dev/net/tun rw
SystemCallArchitectures=native
SystemCallFilter=@system-service @privileged seccomp unshare setns
SystemCallFilter=~@clock @cpu-emulation @module @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM
KeyringMode=private
OOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
"""


def text(program: Sequence[str]) -> str:
    """Return the unit's text.

    Args:
        program: words that start egressguard, the first one an absolute path.
    """
    return _TEMPLATE.format(program=" ".join(map(_quoted, program)))


def _quoted(word: str) -> str:
    """Write a word as systemd.service(5), "Command lines", reads it."""
    if word and all(sign.isalnum() or sign in "/._-+:@=," for sign in word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'
