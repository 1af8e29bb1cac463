"""hysock.h by cffi in ABI mode: the header as it is, the library as it is, no compiler.

    cffi_smoke.py HEADER LIBRARY SOCKET

Serves and calls in one thread, by a queue; prints what it has seen.
"""

import re
import sys

import cffi

DEADLINE_MS = 20_000


def declarations(header):
    """What cffi understands of a header: everything but what is for the preprocessor.

    Constants stay when they are numbers; cffi takes the limits of C's types from us.
    """
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
    text = re.sub(r'^#ifdef __cplusplus\n(extern "C" \{|\} )\n?#endif\n', "", text, flags=re.M)
    text = re.sub(r"^#ifdef __cplusplus\n.*?^#endif\n", "", text, flags=re.M | re.S)
    constants = re.findall(r"^#define (HYSOCK_\w+) \(?(-?(?:0x)?[0-9a-fA-F]+)\)?\s*$", text, re.M)
    text = re.sub(r"^#.*\n", "", text, flags=re.M)
    return "".join(f"#define {name} {value}\n" for name, value in constants) + text


def main(header, library, path):
    ffi = cffi.FFI()
    with open(header, encoding="utf-8") as file:
        ffi.cdef(declarations(file.read()))
    hysock = ffi.dlopen(library)
    err = ffi.new("hysock_error *")
    assert ffi.sizeof("hysock_error") == 512

    def check(status):
        if status < 0:
            words = ffi.string(err.message).decode() if err.status == status else ""
            raise OSError(status, words or ffi.string(hysock.hysock_status_message(status)).decode())
        return status

    def made(kind, function, *arguments):
        place = ffi.new(f"hysock_{kind} **")
        check(function(*arguments, place, err))
        return place[0]

    def text(value):
        return None if value.ptr == ffi.NULL else ffi.unpack(value.ptr, value.len).decode()

    nts = 2 ** (8 * ffi.sizeof("size_t")) - 1
    seen = []

    @ffi.callback("hysock_exchange_fn")
    def handler(exchange, _):
        seen.append((text(hysock.hysock_exchange_method(exchange)), text(hysock.hysock_exchange_path(exchange))))
        assert text(hysock.hysock_exchange_header(exchange, b"x-none")) is None
        body = f"hello {text(hysock.hysock_exchange_query_value(exchange, b'name'))}".encode()
        check(hysock.hysock_exchange_answer(exchange, 200, b"text/plain", body, len(body), err))

    answers = []

    @ffi.callback("hysock_call_fn")
    def completed(call, status, _):
        check(status)
        answers.append((hysock.hysock_call_http_status(call), text(hysock.hysock_call_body(call))))

    dropped = []

    @ffi.callback("hysock_drop_fn")
    def drop(userdata):
        dropped.append(ffi.from_handle(userdata))

    runtime = made("runtime", hysock.hysock_runtime_new, ffi.NULL)
    queue = made("queue", hysock.hysock_queue_new, runtime)
    config = hysock.hysock_server_config_new()
    check(hysock.hysock_server_config_set_queue(config, queue))
    token = ffi.new_handle("handler")
    server = made(
        "server", hysock.hysock_server_serve,
        runtime, path.encode(), nts, config, handler, token, drop,
    )  # fmt: skip
    hysock.hysock_server_config_free(config)
    client_config = hysock.hysock_client_config_new()
    check(hysock.hysock_client_config_set_queue(client_config, queue))
    client = made("client", hysock.hysock_client_new, runtime, path.encode(), nts, client_config)
    hysock.hysock_client_config_free(client_config)

    call = made("call", hysock.hysock_call_new, client, b"GET", b"/hello?name=cffi", nts)
    check(hysock.hysock_call_start(call, completed, ffi.NULL, ffi.NULL, err))
    while not answers:
        assert check(hysock.hysock_queue_dispatch(queue, 1, DEADLINE_MS)) == 1
    assert seen == [("GET", "/hello")], seen
    assert answers == [(200, "hello cffi")], answers
    hysock.hysock_call_free(call)

    # Errors come in words, and constants are there.
    place = ffi.new("hysock_call **")
    status = hysock.hysock_get(b"/nowhere/at/all.sock", nts, place, err)
    assert status == hysock.HYSOCK_E_ABSENT == -11, status
    assert b"/nowhere/at/all.sock" in ffi.string(err.message)

    counts = ffi.new("hysock_server_counts *")
    check(hysock.hysock_server_stats(server, counts, ffi.sizeof("hysock_server_counts"), err))
    assert counts.requests_total == 1

    check(hysock.hysock_server_shutdown(server, 0, err))
    check(hysock.hysock_server_wait(server, DEADLINE_MS, err))
    assert dropped == ["handler"], dropped
    hysock.hysock_server_free(server)
    hysock.hysock_client_free(client)
    hysock.hysock_queue_free(queue)
    check(hysock.hysock_runtime_shutdown(runtime, 0, err))
    check(hysock.hysock_runtime_wait(runtime, DEADLINE_MS, err))
    hysock.hysock_runtime_free(runtime)
    assert hysock.hysock_handles_live(hysock.HYSOCK_KIND_ANY) == 0

    functions = [name for name in dir(hysock) if name.startswith("hysock_")]
    for name in functions:
        getattr(hysock, name)  # looked up in the library
    print(len(functions), "functions")


if __name__ == "__main__":
    main(*sys.argv[1:])
