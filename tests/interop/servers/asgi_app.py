"""For uvicorn and hypercorn: what test_foreign_matrix.py asks of every server."""

NUMBERS = [b"%d\n" % n for n in range(1000)]


async def body_of(receive):
    data = bytearray()
    while True:
        event = await receive()
        data += event.get("body", b"")
        if not event.get("more_body"):
            return bytes(data)


async def answer(send, status, pieces, *headers):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError  # no lifespan: servers go on without
    path = scope["path"]
    if path == "/hello":
        await answer(send, 200, [b"Hello, world!"], (b"content-length", b"13"))
    elif path == "/chunked":
        await answer(send, 200, NUMBERS)
    elif path == "/echo":
        data = await body_of(receive)
        await answer(send, 200, [data], (b"content-length", b"%d" % len(data)))
    elif path == "/echo-chunked":
        data = await body_of(receive)
        await answer(send, 200, [data[:65536], data[65536:]])
    elif path in ("/204", "/304"):
        await answer(send, int(path[1:]), [])
    else:
        await answer(send, 404, [b"no"], (b"content-length", b"2"))
