"""The one door to python-tuf: it costs some 20 MB, so only what updates imports it.

securesystemslib verifies Ed25519 in slow pure Python, without a word, when cryptography has other names for two of its
types than it expects (before release 40). The names are given first, and what came of it is looked at.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import types

from edgeagent.errors import EnvironmentFaultError

for _new, _old in (("PublicKeyTypes", "PUBLIC_KEY_TYPES"), ("PrivateKeyTypes", "PRIVATE_KEY_TYPES")):
    if not hasattr(types, _new):
        setattr(types, _new, getattr(types, _old))

try:
    from securesystemslib.signer import Signature, Signer, SSlibKey
    from securesystemslib.signer import _key as _library
    from tuf.api import exceptions
    from tuf.api.metadata import (
        DelegatedRole,
        Delegations,
        Key,
        Metadata,
        MetaFile,
        Root,
        Snapshot,
        TargetFile,
        Targets,
        Timestamp,
    )
    from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig
except ImportError as error:
    raise EnvironmentFaultError(
        f"python-tuf can't be used: {error}", remedy="Install it: pip install 'edgeagent[update]'"
    ) from error

if _library.CRYPTO_IMPORT_ERROR:
    raise EnvironmentFaultError(
        "securesystemslib doesn't work with this release of cryptography",
        remedy="Install cryptography 38 or later.",
    )

__all__ = [
    "DelegatedRole",
    "Delegations",
    "FetcherInterface",
    "Key",
    "MetaFile",
    "Metadata",
    "Root",
    "SSlibKey",
    "Signature",
    "Signer",
    "Snapshot",
    "TargetFile",
    "Targets",
    "Timestamp",
    "Updater",
    "UpdaterConfig",
    "exceptions",
]
