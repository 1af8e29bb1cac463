// hysock for C++: HTTP/1.1 and messages over Unix domain sockets.
//
// A face of hysock.h, which stays the manual: header-only, C++17 and later, also with
// -fno-exceptions and -fno-rtti. Link with the same library.
//
//     auto runtime = hysock::runtime::make().value();
//     auto server = hysock::server::serve(runtime, "hello.sock", [](hysock::exchange &exchange) {
//         exchange.answer(200, "text/plain", "Hello, world!\n");
//     });
//
// Names are those of hysock.h: hysock_server_add_route() is server::add_route(). Each handle is a
// move-only type whose destructor is its _free, each _new a static make(); an object that was
// moved from is empty, and every use of it an error, never a crash.
//
// Results. What can fail returns a result<T>: `if (r)`, `*r`, `r.error().message()`; value()
// throws hysock::exception, or without exceptions ends the process. Setters return a status, which
// may be passed over: what was refused makes the next step fail. Getters of texts give a
// std::string_view or, where there may be none, a std::optional.
//
// Callbacks are lambdas, or any function object. They are moved in and destroyed once, after the
// last call, on the delivery's threads; when the registration fails, before it returns. None is
// copied. What one throws ends in it: the client of a handler gets a 500, call::perform() fails
// with status::threw, and on_throw() sets who hears of the rest.
//
// Coroutines: hysock/coro.hpp (C++20), which this header leaves out.
#ifndef HYSOCK_HPP
#define HYSOCK_HPP

#include "hysock/call.hpp"
#include "hysock/client.hpp"
#include "hysock/exchange.hpp"
#include "hysock/listener.hpp"
#include "hysock/producer.hpp"
#include "hysock/receiver.hpp"
#include "hysock/runtime.hpp"
#include "hysock/server.hpp"

#endif
