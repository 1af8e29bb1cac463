"""For gunicorn: what test_foreign_matrix.py asks of every server."""

NUMBERS = [b"%d\n" % n for n in range(1000)]


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/hello":
        start_response("200 OK", [("Content-Length", "13")])
        return [b"Hello, world!"]
    if path == "/chunked":
        start_response("200 OK", [])
        return iter(NUMBERS)
    if path in ("/echo", "/echo-chunked"):
        data = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Length", str(len(data)))] if path == "/echo" else [])
        return [data] if path == "/echo" else iter([data[:65536], data[65536:]])
    if path in ("/204", "/304"):
        start_response(f"{path[1:]} x", [])
        return []
    start_response("404 Not Found", [("Content-Length", "2")])
    return [b"no"]
