"""A TLS proxy for an HTTP port of this machine. The first call of a function then includes the cost of TLS, as on AWS.

`TlsFront(port)` listens at `url` with a certificate for localhost. `roots` is a file with this machine's trusted roots
and the issuer of the certificate, so that a function reads as many roots as on AWS. `no_roots` is an empty folder. The
proxy needs the program openssl.
"""
import asyncio
import ssl
import subprocess
import tempfile
import threading
from pathlib import Path

COPY_BYTES = 64 * 1024
# The files of trusted roots on Debian and on Red Hat.
SYSTEM_ROOTS = [Path(path) for path in ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")]


class TlsFront:
    """A TLS proxy for the time of a `with` block."""

    def __init__(self, port: int) -> None:
        self.target_port = port

    def __enter__(self) -> "TlsFront":
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)

        def request(name: str, subject: str, *options: str | Path) -> None:
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                            "-days", "2", "-subj", f"/CN={subject}", "-keyout", folder / f"{name}.key",
                            "-out", folder / f"{name}.pem", *options], check=True, capture_output=True)

        request("authority", "crm-access test authority")
        request("localhost", "localhost", "-CA", folder / "authority.pem", "-CAkey", folder / "authority.key",
                "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE")
        self.no_roots = folder / "none"
        self.no_roots.mkdir()
        self.roots = folder / "roots.pem"
        system_roots = next((path.read_text() for path in SYSTEM_ROOTS if path.is_file()), "")
        self.roots.write_text(system_roots + (folder / "authority.pem").read_text())
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "localhost.pem", folder / "localhost.key")
        self.context.set_alpn_protocols(["http/1.1"])
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        threading.Thread(target=self._run, args=(ready,), daemon=True).start()
        ready.wait()
        return self

    def __exit__(self, *_) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.folder.cleanup()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self.loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        await asyncio.gather(copy(reader, target_writer), copy(target_reader, writer), return_exceptions=True)


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(COPY_BYTES):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
