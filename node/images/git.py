"""Debian's git in a container image, for a program that follows a branch: https and ssh, and signatures by SSH keys.

Only the parts that fetching, reading and verifying need. Git starts helpers through a shell, and what ends a git that
hangs asks for its children: busybox is both. Credentials are no part of an image: git and ssh read the settings that a
pod finds in its Secret, if it has some.
"""

from __future__ import annotations

from node.images import elf, python_files
from node.images.tree import Tree

LIBRARIES = ("libcurl3-gnutls", "libexpat1", "libpcre2-8-0", "libselinux1", "zlib1g")
PACKAGES = ("git", "openssh-client")
"""Without what they depend on: most of it (Perl above all) is for verbs that are not here."""
SECRETS = "/run/secrets/mlab"
_PROGRAMS = ("usr/bin/git", "usr/lib/git-core/git-remote-http", "usr/bin/ssh", "usr/bin/ssh-keygen", "usr/bin/busybox")
_LINKS = {
    "usr/bin/git-upload-pack": "git",
    "usr/lib/git-core/git-remote-https": "git-remote-http",
    "usr/bin/cat": "busybox",
    "usr/bin/ps": "busybox",
    "usr/bin/sh": "busybox",
}
# A server that stopped answering must not hold a fetch up for ever; a first process reaps no strangers, so nothing of
# git's goes on behind its back.
_SETTINGS = f"""\
[http]
\tlowSpeedLimit = 1000
\tlowSpeedTime = 30
[gc]
\tautoDetach = false
[maintenance]
\tautoDetach = false
[include]
\tpath = {SECRETS}/gitconfig
"""


def put(packages: Tree, image: Tree) -> None:
    """Copy it with its libraries. Raises `ImageError` where the packages lack one."""
    elf.copy(packages, image, _PROGRAMS)
    for path, target in _LINKS.items():
        image.link(path, target)
    image.folder("usr/share/git-core/templates")
    image.file("etc/gitconfig", _SETTINGS)
    image.file("etc/ssh/ssh_config", f"Include {SECRETS}/ssh_config\n")
    python_files.certificates(packages, image)
