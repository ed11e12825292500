"""The other side of the http bench: a server that answers at once, and the client alone, without workflows."""

import asyncio
import sys
import time

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\n42"


class Answering(asyncio.Protocol):
    """Answers every request head with the same."""

    def __init__(self) -> None:
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A call of asyncio's."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """A call of asyncio's."""
        self.data += data
        while b"\r\n\r\n" in self.data:
            _, _, self.data = self.data.partition(b"\r\n\r\n")
            self.transport.write(ANSWER)  # type: ignore[attr-defined]


async def serve() -> None:
    """Be the server, and say where."""
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", flush=True)
    await server.serve_forever()


async def ask(url: str, count: int) -> float:
    """Seconds for `count` GETs, 50 at once."""
    import aiohttp

    left = count

    async def one(session: aiohttp.ClientSession) -> None:
        nonlocal left
        while left:
            left -= 1
            async with session.get(url) as answer:
                await answer.read()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=50)) as session:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(50):
                group.create_task(one(session))
        return time.perf_counter() - began


async def hand_out(path: str, size: int) -> None:
    """Serve so many bytes on a Unix socket, in pieces as a daemon sends them, for ever."""
    from aiohttp import web

    piece = b"x" * (1 << 18)

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = size
        await response.prepare(request)
        for start in range(0, size, len(piece)):
            await response.write(piece[: size - start])
        return response

    made = web.Application()
    made.router.add_get("/", handle)
    runner = web.AppRunner(made)
    await runner.setup()
    await web.UnixSite(runner, path).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    if sys.argv[1] == "bytes":
        asyncio.run(hand_out(sys.argv[2], int(sys.argv[3])))
    elif sys.argv[1] == "server":
        asyncio.run(serve())
    else:
        print(asyncio.run(ask(sys.argv[2], int(sys.argv[3]))))
