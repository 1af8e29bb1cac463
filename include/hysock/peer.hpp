// hysock/peer.hpp: who is at the other end.
#ifndef HYSOCK_PEER_HPP
#define HYSOCK_PEER_HPP

#include "handle.hpp"

namespace hysock {

/// Whether something is known of a peer.
enum class peer_state : std::int32_t {
    known = HYSOCK_PEER_KNOWN,
    gone = HYSOCK_PEER_GONE,
    unsupported = HYSOCK_PEER_UNSUPPORTED,
};

/// Who connected, as it was at that moment: a hysock_peer. Decide by it only where it is known.
struct peer : hysock_peer {
    peer() noexcept : hysock_peer{} {}
    /// Whether user, group and process are known.
    bool known() const noexcept { return state == HYSOCK_PEER_KNOWN; }
    /// The supplementary groups, good as long as the exchange, the call or the batch.
    view<std::uint32_t> all_groups() const noexcept { return {groups, group_count}; }
    /// The label of the system's security module, good as long as the same.
    std::optional<std::string_view> security_label() const noexcept {
        return detail::to_optional(label);
    }
};

namespace detail {

template <class F> result<peer> to_peer(F &&fill) {
    peer p;
    error err;
    if (fill(static_cast<hysock_peer *>(&p), sizeof(hysock_peer), err.out()) != HYSOCK_OK)
        return err;
    return p;
}

/// A descriptor with an error of its own.
inline result<unique_fd> to_fd(std::int32_t fd, const error &err) {
    if (fd < 0)
        return err ? err : error(to_status(fd));
    return unique_fd(fd);
}

} // namespace detail

} // namespace hysock

#endif
