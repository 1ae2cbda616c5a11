"""Authority: certificates for tests, made when they are needed and trusted by nobody else."""

import ssl
from datetime import datetime
from pathlib import Path

import trustme


class Authority:
    """A certificate authority that writes what it issues into a folder."""

    def __init__(self, folder: Path, name: str = "ours") -> None:
        self._ca = trustme.CA(organization_name=name)
        self._folder = folder
        self._name = name
        self.bundle = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(str(self.bundle))

    def issue(self, *names: str, file: str = "server", not_after: datetime | None = None) -> tuple[Path, Path]:
        """Certificate and key for `names`: host names or addresses."""
        issued = self._ca.issue_cert(*names, not_after=not_after)
        certfile, keyfile = self._folder / f"{self._name}-{file}.crt", self._folder / f"{self._name}-{file}.key"
        certfile.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        keyfile.write_bytes(issued.private_key_pem.bytes())
        return certfile, keyfile

    def client(self, *pair: Path) -> ssl.SSLContext:
        """What trusts this authority, and shows `pair` if there is one."""
        context = ssl.create_default_context(cafile=str(self.bundle))
        if pair:
            context.load_cert_chain(certfile=pair[0], keyfile=pair[1])
        return context
