#!/usr/bin/python3
"""Offers the BuildKit inside a dockerd as if it were a buildkitd: plain HTTP/2 on a TCP port.

    grpc-adapter.py --socket /path/docker.sock [--port PORT]

For each connection it dials the engine, performs the one `POST /grpc` upgrade, then copies both ways, half-closes
included. It prints `listening on 127.0.0.1:PORT` once clients may come (PORT 0, the default: any free one) and ends
on SIGTERM.
"""

import argparse
import asyncio
import signal

UPGRADE = b"POST /grpc HTTP/1.1\r\nHost: lab\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n"


async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Copies until end of file, which it passes on."""
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    sink.write_eof()


async def serve(path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One client: upgrade a connection to the engine at `path` for it, and relay."""
    upstream = None
    try:
        engine, upstream = await asyncio.open_unix_connection(path)
        upstream.write(UPGRADE)
        head = await engine.readuntil(b"\r\n\r\n")
        status = head.split(b"\r\n", 1)[0].decode("latin-1")
        if " 101 " not in status:
            print(f"the engine refused the upgrade: {status}", flush=True)
            return
        await asyncio.gather(copy(reader, upstream), copy(engine, writer))
    except (OSError, asyncio.IncompleteReadError) as error:
        print(f"connection ended: {error}", flush=True)
    finally:
        for end in (writer, upstream):
            if end is not None:
                end.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--socket", required=True, help="the engine's unix socket")
    parser.add_argument("--port", type=int, default=0, help="port of 127.0.0.1 to listen on")
    options = parser.parse_args()

    server = await asyncio.start_server(lambda r, w: serve(options.socket, r, w), "127.0.0.1", options.port)
    print(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
