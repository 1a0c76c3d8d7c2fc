"""What to spawn, made ready for the wire: the manifest as it was given, the module's bytes or its digest.

Source: wire protocol, "Large answers" (over the wire a package is named by digest or reference).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from theater_bus.core.manifest import Manifest, Variables, resolve_manifest
from theater_bus.errors import SpawnRefused

__all__ = ["Blueprint", "read_blueprint"]


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A manifest that was read and found correct, and the package that goes with it.

    `document` is what travels, with its variables replaced; `wasm` is None when the manifest names a package by digest,
    and `digest` too when it names one that the host resolves (`https://…`, `oci://…`).
    """

    manifest: Manifest
    document: str | dict[str, Any]
    digest: bytes | None
    wasm: bytes | None


async def read_blueprint(
    manifest: Path | str | Mapping[str, Any],
    package: bytes | Path | str | None,
    variables: Mapping[str, Any] | None = None,
    spawned_as: str = "spawn",
) -> Blueprint:
    """Read `manifest` (a path, TOML text, or its tables) and the module: `package`, else what the manifest names.

    `variables` are its `${var.NAME}`; `${env.NAME}` are those of this process. A text without a line break and without
    `=` is a path. Raises `SpawnRefused`, with every problem of the manifest.
    """
    if isinstance(package, str):
        package = Path(package)
    elif package is not None and not isinstance(package, bytes | Path):
        raise TypeError(f"package is bytes or a path, not {type(package).__name__}")
    if isinstance(manifest, str) and "\n" not in manifest and "=" not in manifest:
        manifest = Path(manifest)
    return await asyncio.to_thread(_read, manifest, package, Variables(variables or {}, os.environ), spawned_as)


def _read(
    manifest: Path | str | Mapping[str, Any], package: bytes | Path | None, variables: Variables, source: str
) -> Blueprint:
    folder = Path()
    document: str | dict[str, Any]
    if isinstance(manifest, Path):
        folder, source = manifest.parent, str(manifest)
        document = _text(manifest)
    else:
        document = manifest if isinstance(manifest, str) else dict(manifest)
    read, tables = resolve_manifest(document, source, variables)
    if isinstance(document, dict) or "${" in document:
        document = tables
    wasm = package if isinstance(package, bytes) else None
    if isinstance(package, Path):
        wasm = _bytes(package, source)
    elif wasm is None:
        if read.package_digest is not None:
            return Blueprint(read, document, read.package_digest, None)
        if read.package_reference is not None:
            return Blueprint(read, document, None, None)
        if read.package is None:
            raise SpawnRefused(
                f'{source}: no package is named. Fix: write package = "module.wasm" in the manifest, or give `package`',
                source=source,
            )
        wasm = _bytes(folder / read.package, source)
    return Blueprint(read, document, hashlib.sha256(wasm).digest(), wasm)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise SpawnRefused(
            f"the manifest {path} cannot be read: {_why(error)}. Fix: check the path; a manifest is a TOML file",
            source=str(path),
        ) from error
    except UnicodeError as error:
        raise SpawnRefused(
            f"{path} is no manifest: it is no text. Fix: give a TOML file; a module is named in it, "
            'package = "module.wasm"',
            source=str(path),
        ) from error


def _bytes(path: Path, source: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SpawnRefused(
            f"{source}: the package {path} cannot be read: {_why(error)}. "
            "Fix: check `package`, which is relative to the manifest's folder",
            source=source,
        ) from error


def _why(error: OSError) -> str:
    return error.strerror or str(error)
