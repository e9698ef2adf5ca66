"""What a host is told for its first boot: our host key, the operator's key, and nothing to install.

Both forms hold the host key's private half, so they are secrets: pass them as outputs of `HostKey`.
"""

from __future__ import annotations

import json

GUARD = """\
[Unit]
Description=Only root asks the vendor's metadata service, which knows this host's key
After=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/sbin/ip rule add priority 100 to 169.254.169.254 uidrange 1-4294967294 unreachable

[Install]
WantedBy=multi-user.target
"""
SSHD = "PermitRootLogin prohibit-password\nPasswordAuthentication no\nHostKey /etc/ssh/ssh_host_ed25519_key\n"


def cloud_config(authorized_key: str, private: str, public: str) -> str:
    """User data for images with cloud-init, which reads it before sshd starts."""
    unit = "metadata-for-root-only.service"
    told = {
        "disable_root": False,
        "ssh_pwauth": False,
        "users": [{"name": "root", "lock_passwd": True, "ssh_authorized_keys": [authorized_key]}],
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": private, "ed25519_public": public},
        "write_files": [
            {"path": f"/etc/systemd/system/{unit}", "content": GUARD},
            {"path": "/etc/ssh/sshd_config.d/10-resilience.conf", "content": SSHD},
        ],
        "runcmd": [["systemctl", "enable", "--now", unit]],
    }
    return f"#cloud-config\n{json.dumps(told, indent=1)}\n"


def startup_script(authorized_key: str, private: str, public: str) -> str:
    """For images without cloud-init: run as root at each boot, after sshd has started with a key of its own.

    Until it has run the host shows that other key, and nobody of ours talks to it.
    """
    return f"""\
#!/bin/sh
set -eu
umask 077
mkdir -p /root/.ssh
printf '%s\\n' '{authorized_key}' >/root/.ssh/authorized_keys
key=/etc/ssh/ssh_host_ed25519_key
cat >"$key.new" <<'KEY'
{private.strip()}
KEY
if cmp -s "$key.new" "$key"; then
  rm "$key.new"
  exit 0
fi
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
mv "$key.new" "$key"
printf '%s\\n' '{public}' >"$key.pub"
printf '%s' '{SSHD}' >/etc/ssh/sshd_config.d/10-resilience.conf
systemctl restart ssh
"""
