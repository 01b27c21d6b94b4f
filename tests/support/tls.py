"""A certificate authority for one test run, and a certificate of it for this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Authority:
    """Paths of PEM files."""

    ca: Path
    certificate: Path
    key: Path


def make_authority(directory: Path) -> Authority:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    made = Authority(directory / "ca.pem", directory / "certificate.pem", directory / "key.pem")
    authority.cert_pem.write_to_path(str(made.ca))
    issued.private_key_pem.write_to_path(str(made.key))
    for blob in issued.cert_chain_pems:
        blob.write_to_path(str(made.certificate), append=True)
    return made
