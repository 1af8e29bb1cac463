"""Python's http.server on a Unix socket: python_server.py SOCKET HTTP/1.0|HTTP/1.1

GET /            Hello, world! with a length
GET /chunked     the numbers 0 to 999, one chunk each (HTTP/1.1)
GET /until-close a body that only the end of the connection delimits
GET /headers     the request's headers as received
any  /echo       method, target and body of the request
GET /count       the number of connections so far
else             404
"""

import socketserver
import sys
from http.server import BaseHTTPRequestHandler

CONNECTIONS = 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/":
            self.give(200, b"Hello, world!")
        elif self.path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for number in range(1000):
                text = b"%d\n" % number
                self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
            self.wfile.write(b"0\r\n\r\n")
        elif self.path == "/until-close":
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            for number in range(1000):
                self.wfile.write(b"%d\n" % number)
            self.close_connection = True
        elif self.path == "/headers":
            self.give(200, "".join(f"{k}: {v}\n" for k, v in self.headers.items()).encode())
        elif self.path == "/count":
            self.give(200, b"%d" % CONNECTIONS)
        else:
            self.echo()

    def echo(self):
        if self.path.partition("?")[0] != "/echo":
            self.give(404, b"no such thing\n")
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.give(200, f"{self.command} {self.path}\n".encode() + body)

    do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = echo

    def give(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    # The backlog stays at socketserver's 5 on purpose: clients meet a full one.

    def process_request(self, request, client_address):
        global CONNECTIONS
        CONNECTIONS += 1
        super().process_request(request, client_address)


if __name__ == "__main__":
    Handler.protocol_version = sys.argv[2]
    with Server(sys.argv[1], Handler) as server:
        print(f"listening on {sys.argv[1]}", flush=True)
        server.serve_forever()
