"""A daemon trusts whom the machine trusts and nobody else, though it reads who that is with the first call."""

import os
import subprocess
import sys

import pytest

from tests.certified import certified

CALL = """
import asyncio, ssl, sys
from tiphys.service import trust

usual = ssl.create_default_context, ssl.SSLContext.set_default_verify_paths
with trust.read_later():
    import aiohttp
from aiohttp import connector

assert (ssl.create_default_context, ssl.SSLContext.set_default_verify_paths) == usual
contexts = [one for one in vars(connector).values() if isinstance(one, ssl.SSLContext)]
assert contexts and not any(one.cert_store_stats()["x509"] for one in contexts)

async def main():
    mine = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    mine.load_cert_chain(sys.argv[1], sys.argv[2])
    server = await asyncio.start_server(answer, "localhost", 0, ssl=mine)
    port = server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as session:
        for _ in range(2):
            async with session.get(f"https://localhost:{port}/") as got:
                print(got.status)

async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 204 No Content\\r\\nConnection: close\\r\\n\\r\\n")
    writer.close()

try:
    asyncio.run(main())
except aiohttp.ClientConnectorCertificateError:
    print("a stranger")
"""


@pytest.mark.parametrize(("trusted", "said"), [("first", "204\n204\n"), ("second", "a stranger\n")])
def test_who_signed_is_looked_up_when_somebody_is_called(tmp_path, trusted, said):
    served = certified(tmp_path / "first")
    authority = (served if trusted == "first" else certified(tmp_path / "second")).authority
    environ = {**os.environ, "SSL_CERT_FILE": str(authority), "SSL_CERT_DIR": str(tmp_path)}
    words = [sys.executable, "-c", CALL, str(served.chain), str(served.key)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, env=environ)
    assert ended.stdout == said, ended.stderr


def test_what_other_threads_make_meanwhile_reads_at_once(tmp_path):
    code = """
import ssl, threading
from tiphys.service import trust

made = []
with trust.read_later():
    other = threading.Thread(target=lambda: made.append(ssl.create_default_context()))
    other.start()
    other.join()
    named = ssl.create_default_context(cafile=ssl.get_default_verify_paths().cafile)
assert type(made[0]) is ssl.SSLContext and made[0].cert_store_stats()["x509"] == 1, made[0].cert_store_stats()
assert type(named) is ssl.SSLContext and named.cert_store_stats()["x509"] == 1
"""
    environ = {**os.environ, "SSL_CERT_FILE": str(certified(tmp_path / "one").authority), "SSL_CERT_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environ)
