"""Program: lets a browser on this machine look at the public name inside the lab.

It listens on this machine's loopback, moves to where the users are, and asks their resolver anew
for each connection, so that it follows the name when it moves.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import sys

import dns.asyncresolver

from resilience.lab import network, places
from resilience.lab.entrance import NEW_NETWORK

HTTP = 80


async def address() -> str:
    """Where the public name points right now, as the users' resolver says."""
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = [places.RESOLVER]
    answer = await resolver.resolve(places.NAME, "A", lifetime=5)
    return str(answer[0])


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction of a connection, until it ends."""
    with contextlib.suppress(OSError):
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()


async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One browser connection: through, or a plain page that says why not."""
    try:
        far_reader, far_writer = await asyncio.wait_for(asyncio.open_connection(await address(), HTTP), 10)
    except Exception as error:  # noqa: BLE001 - whatever it is, the person at the browser is told
        text = f"The lab does not serve {places.NAME}: {type(error).__name__}: {error}\n"
        writer.write(f"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n{text}".encode())
        await writer.drain()
        writer.close()
        return
    await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))
    far_writer.close()
    writer.close()


async def serve(listener: socket.socket) -> None:
    """Until the lab goes."""
    server = await asyncio.start_server(connect, sock=listener)
    async with server:
        await server.serve_forever()


def main() -> None:
    """`forward PORT`."""
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    with (network.SPACES / places.USERS_SPACE).open() as door:
        if ctypes.CDLL(None, use_errno=True).setns(door.fileno(), NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), "the users' place cannot be entered")
    asyncio.run(serve(listener))


if __name__ == "__main__":
    main()
