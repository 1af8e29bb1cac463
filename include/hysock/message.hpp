// hysock/message.hpp: what receivers and producers agree on.
#ifndef HYSOCK_MESSAGE_HPP
#define HYSOCK_MESSAGE_HPP

#include "handle.hpp"

namespace hysock {

/// How messages stand on the wire.
enum class framing : std::int32_t {
    u32be = HYSOCK_FRAMING_U32BE,
    u32le = HYSOCK_FRAMING_U32LE,
    delimiter = HYSOCK_FRAMING_DELIMITER,
    raw = HYSOCK_FRAMING_RAW,
    seqpacket = HYSOCK_FRAMING_SEQPACKET,
    datagram = HYSOCK_FRAMING_DATAGRAM,
};

/// What happens to a message for which there is no room.
enum class overflow_policy : std::int32_t {
    block = HYSOCK_OVERFLOW_BLOCK,
    drop_newest = HYSOCK_OVERFLOW_DROP_NEWEST,
    drop_oldest = HYSOCK_OVERFLOW_DROP_OLDEST,
    fail = HYSOCK_OVERFLOW_FAIL,
};

} // namespace hysock

#endif
