"""What no package brings: users, the certificates' bundle, where names are looked up."""

from __future__ import annotations

from problem import Problem
from tree import Tree

USER = 65532
"""``nonroot``, the number that images without a shell have agreed on."""


def configure(tree: Tree) -> None:
    """Adds the files that Debian's installation scripts would have made."""
    tree.file(
        "etc/passwd",
        f"root:x:0:0:root:/:/none\nnonroot:x:{USER}:{USER}:nonroot:/home/nonroot:/none\nnobody:x:65534:65534::/:/none\n",
    )
    tree.file("etc/group", f"root:x:0:\nnonroot:x:{USER}:\nnogroup:x:65534:\n")
    tree.file("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
    tree.file("etc/ssl/certs/ca-certificates.crt", _bundle(tree))
    tree.link("etc/localtime", "/usr/share/zoneinfo/Etc/UTC")
    tree.folder("etc/kubeedge/config")
    tree.folder("home/nonroot")
    tree.folder("var/lib")
    tree.folder("tmp", 0o1777)
    for name in ("dev", "proc", "run", "sys"):
        tree.folder(name)


def _bundle(tree: Tree) -> bytes:
    """All authorities that Debian trusts, one after the other."""
    found = [data for path, data in tree.files("usr/share/ca-certificates") if path.endswith(".crt")]
    tree.remove("usr/share/ca-certificates")
    if len(found) < 50:
        raise Problem(f"ca-certificates holds {len(found)} authorities, there should be more than 100: has the package changed?")
    return b"".join(data if data.endswith(b"\n") else data + b"\n" for data in found)
