"""A TLS client by hand: each record when a test wants it, under keys that it computes itself."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from .raw import TIMEOUT_S


class RawTls:
    """A client that does each step only when it is told, and knows its own keys (RFC 8446, 7)."""

    def __init__(self, address: tuple[str, int], trust: ssl.SSLContext, folder: Path) -> None:
        self._address = address
        self._keys = folder / "keys"
        trust.keylog_filename = str(self._keys)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = trust.wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._secret = b""
        self._sent_under_it = 0

    async def shake_hands(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, self._address)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self.send(self._outgoing.read())
                self._incoming.write(await loop.sock_recv(self._socket, 65536))
        await self.send(self._outgoing.read())
        (line,) = re.findall("CLIENT_TRAFFIC_SECRET_0 .*", self._keys.read_text("ascii"))
        self._secret = bytes.fromhex(line.split()[2])

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def read(self, ending: bytes) -> bytes:
        """What the server said, up to ``ending``; raises ``SSLError`` for its alert."""
        seen = b""
        async with asyncio.timeout(TIMEOUT_S):
            while not seen.endswith(ending):
                try:
                    seen += self._tls.read(65536)
                except ssl.SSLWantReadError:
                    came = await asyncio.get_running_loop().sock_recv(self._socket, 65536)
                    assert came, seen
                    self._incoming.write(came)
        return seen

    async def say(self, data: bytes) -> None:
        await self.send(self._record(data, 0x17))

    async def ask_for_new_keys(self) -> None:
        """``KeyUpdate`` with ``update_requested``; what follows has the next secret (4.6.3)."""
        await self.send(self._record(b"\x18\0\0\1\1", 0x16))
        self._secret = self._derived(b"traffic upd", self._hash.digest_size)
        self._sent_under_it = 0

    @property
    def _hash(self) -> hashes.SHA384 | hashes.SHA256:
        cipher = self._tls.cipher()
        assert cipher is not None
        assert "GCM" in cipher[0]
        return hashes.SHA384() if "SHA384" in cipher[0] else hashes.SHA256()

    def _record(self, data: bytes, kind: int) -> bytes:
        """5.2 and 5.3: the kind stands inside, and the record's number changes the nonce."""
        key = self._derived(b"key", 32 if self._hash.digest_size == 48 else 16)
        iv = int.from_bytes(self._derived(b"iv", 12), "big") ^ self._sent_under_it
        self._sent_under_it += 1
        head = b"\x17\x03\x03" + (len(data) + 17).to_bytes(2, "big")
        return head + AESGCM(key).encrypt(iv.to_bytes(12, "big"), data + bytes([kind]), head)

    def _derived(self, label: bytes, size: int) -> bytes:
        """HKDF-Expand-Label (7.1) of the present secret."""
        name = b"tls13 " + label
        info = size.to_bytes(2, "big") + bytes([len(name)]) + name + b"\0"
        return HKDFExpand(self._hash, size, info).derive(self._secret)

    def close(self) -> None:
        self._socket.close()
