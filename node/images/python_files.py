"""The Python files that our programs need in an image, compiled by the image's own interpreter.

The files are found by importing the programs and asking which modules came. They go into the image as `.pyc` without
source: on an emulated processor a start from source takes 8.5 s, one from compiled files 1.3 s. A compiled file that
checks nothing about its source has the same bytes wherever and whenever it is made.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path

from node.images.errors import ImageError
from node.images.tree import Tree

LIBRARY = "usr/lib/python3.11"
INTERPRETER = "usr/bin/python3.11"
PACKAGES = ("python3.11-minimal", "libpython3.11-stdlib")
# Imported by name only when they are needed, so that importing a program does not show them.
LATE = ("encodings.idna", "encodings.latin_1", "encodings.ascii", "stringprep", "runpy")
_LIBRARIES = "usr/lib/x86_64-linux-gnu/"
_LOADER = f"{_LIBRARIES}ld-linux-x86-64.so.2"

# Runs in the image's interpreter: import, list, compile. Order is fixed, since it shows in what is marshalled.
_PROBE = """\
import importlib, json, os, py_compile, sys
asked = json.load(sys.stdin)
sys.path.insert(0, asked["source"])
for name in asked["modules"]:
    importlib.import_module(name)
files = sorted({m.__file__ for m in list(sys.modules.values()) if getattr(m, "__file__", None)})
made, taken = {}, []
for number, path in enumerate(files):
    if path.endswith(".so"):
        taken.append(path)
        continue
    base = asked["source"] if path.startswith(asked["source"] + "/") else asked["library"]
    name = os.path.relpath(path, base)[:-len(".py")] + ".pyc"
    target = os.path.join(asked["out"], str(number))
    py_compile.compile(path, target, asked["shown"] + "/" + name[:-1], doraise=True,
                       invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    made[name] = target
json.dump({"made": made, "extensions": taken}, sys.stdout)
"""

_COMPILE = """\
import importlib, json, py_compile, sys
asked = json.load(sys.stdin)
for path, shown, target in asked["wanted"]:
    py_compile.compile(path, target, shown, doraise=True,
                       invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
sys.path.insert(0, asked["source"])
for name in asked["modules"]:
    importlib.import_module(name)
"""


def collect(packages: Tree, modules: Sequence[str], source: Path) -> tuple[Mapping[str, bytes], tuple[str, ...]]:
    """Compiled files by their path below `LIBRARY`, and paths of the extension modules in the tree.

    `packages` holds Python's packages, `source` is the folder that holds our top package. Raises `ImageError`.
    """
    with tempfile.TemporaryDirectory(prefix="mlab-python-") as scratch:
        root, out = Path(scratch) / "root", Path(scratch) / "out"
        out.mkdir()
        _write(packages, root)
        asked = {
            "modules": [*modules, *LATE],
            "source": str(source),
            "library": str(root / LIBRARY),
            "shown": f"/{LIBRARY}",
            "out": str(out),
        }
        said = json.loads(_interpret(root, _PROBE, asked))
        made = {name: Path(path).read_bytes() for name, path in sorted(said["made"].items())}
        return made, tuple(str(Path(path).relative_to(root)) for path in sorted(said["extensions"]))


def compiled(
    packages: Tree, files: Mapping[str, bytes], programs: Sequence[str], known: MutableMapping[tuple[str, bytes], bytes]
) -> Mapping[str, bytes]:
    """Compiled files by their path below `LIBRARY`, from sources and whatever lies beside them by the same paths.

    The image's interpreter compiles those that are not `known` by path and source, and they are from then on; it
    imports each of `programs`. Raises `ImageError`.
    """
    with tempfile.TemporaryDirectory(prefix="mlab-python-") as scratch:
        root, source, out = (Path(scratch) / name for name in ("root", "source", "out"))
        out.mkdir()
        _write(packages, root)
        for name, data in files.items():
            place = source / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        modules = [name for name in sorted(files) if name.endswith(".py")]
        wanted = {name: out / str(n) for n, name in enumerate(modules) if (name, files[name]) not in known}
        asked = {
            "wanted": [[str(source / name), f"/{LIBRARY}/{name}", str(made)] for name, made in wanted.items()],
            "modules": list(programs),
            "source": str(source),
        }
        _interpret(root, _COMPILE, asked)
        known.update({(name, files[name]): made.read_bytes() for name, made in wanted.items()})
        return {f"{name}c": known[name, files[name]] for name in modules}


def certificates(packages: Tree, tree: Tree) -> None:
    """The public authorities, where OpenSSL looks for them; a file `etc/mlab/ca.pem` takes their place."""
    bundle = b"".join(
        packages.entries[path].data.rstrip(b"\n") + b"\n"
        for path in packages
        if path.startswith("usr/share/ca-certificates/mozilla/") and path.endswith(".crt")
    )
    tree.file("etc/ssl/certs/ca-certificates.crt", bundle)
    tree.link("usr/lib/ssl/cert.pem", "/etc/ssl/certs/ca-certificates.crt")


def _interpret(root: Path, program: str, asked: object) -> str:
    """What a program says to a question in JSON, run by the image's interpreter."""
    libraries = f"{root}/usr/lib/x86_64-linux-gnu:{root}/usr/lib"
    command = [str(root / _LOADER), "--library-path", libraries, str(root / INTERPRETER)]
    done = subprocess.run(
        [*command, "-s", "-S", "-B", "-c", program],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        env={"PYTHONHOME": str(root / "usr"), "PYTHONHASHSEED": "0", "PATH": os.defpath},
        check=False,
    )
    if done.returncode != 0:
        raise ImageError(f"the image's Python cannot import its programs: {done.stderr.strip()[-400:]}")
    return done.stdout


def _write(packages: Tree, root: Path) -> None:
    """What the interpreter needs to run from a folder: itself, its libraries, its modules; links become copies."""
    for path in packages:
        if packages.entries[path].is_folder or not path.startswith((f"{LIBRARY}/", INTERPRETER, _LIBRARIES)):
            continue
        try:
            real = packages.entries[packages.resolve(path)]
        except ImageError:  # a link into a package that was not asked for
            continue
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(real.data)
        place.chmod(real.permissions | 0o400)
