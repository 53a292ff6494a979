"""A TLS front before a plain HTTP port of this machine, so that a function's first call pays for TLS as it does on AWS.

`TlsFront(port)` answers at `url` with a certificate for localhost; `roots` is a file of trusted roots that has it beside
this machine's own, so that a function reads as many roots as it does anywhere. Needs the program openssl.
"""
import asyncio
import ssl
import subprocess
import tempfile
import threading
from pathlib import Path

SYSTEM_ROOTS = [Path(path) for path in ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")]


class TlsFront:
    def __init__(self, port: int) -> None:
        self.behind = port

    def __enter__(self) -> "TlsFront":
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)

        def request(name: str, subject: str, *options: str | Path) -> None:
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                            "-days", "2", "-subj", f"/CN={subject}", "-keyout", folder / f"{name}.key",
                            "-out", folder / f"{name}.pem", *options], check=True, capture_output=True)

        request("authority", "an authority of this machine's own")
        request("localhost", "localhost", "-CA", folder / "authority.pem", "-CAkey", folder / "authority.key",
                "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE")
        self.no_roots = folder / "none"
        self.no_roots.mkdir()
        self.roots = folder / "roots.pem"
        own = next((path.read_text() for path in SYSTEM_ROOTS if path.is_file()), "")
        self.roots.write_text(own + (folder / "authority.pem").read_text())
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
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self.behind)
        await asyncio.gather(copy(reader, behind_writer), copy(behind_reader, writer), return_exceptions=True)


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
