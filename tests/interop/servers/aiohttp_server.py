"""aiohttp on the socket argv[1]: what test_foreign_matrix.py asks of every server."""

import sys

from aiohttp import web

NUMBERS = [b"%d\n" % n for n in range(1000)]


async def stream(request, pieces):
    answer = web.StreamResponse()
    answer.enable_chunked_encoding()
    await answer.prepare(request)
    for piece in pieces:
        await answer.write(piece)
    await answer.write_eof()
    return answer


async def handle(request):
    if request.path == "/hello":
        return web.Response(body=b"Hello, world!")
    if request.path == "/chunked":
        return await stream(request, NUMBERS)
    if request.path == "/echo":
        return web.Response(body=await request.read())
    if request.path == "/echo-chunked":
        data = await request.read()
        return await stream(request, [data[:65536], data[65536:]])
    if request.path in ("/204", "/304"):
        return web.Response(status=int(request.path[1:]))
    return web.Response(status=404, body=b"no")


app = web.Application(client_max_size=64 << 20)
app.router.add_route("*", "/{path:.*}", handle)
web.run_app(app, path=sys.argv[1], access_log=None, print=None)
