// hysock/listener.hpp: how a socket file is made.
#ifndef HYSOCK_LISTENER_HPP
#define HYSOCK_LISTENER_HPP

#include "handle.hpp"

namespace hysock {

/// What happens to a socket file that is there already.
enum class stale_policy : std::int32_t {
    refuse = HYSOCK_STALE_REFUSE,
    replace = HYSOCK_STALE_REPLACE,
    take_over = HYSOCK_STALE_TAKE_OVER,
};

/// Whose the file of an adopted socket is.
enum class adopt : std::int32_t {
    own = HYSOCK_ADOPT_OWN,
    keep = HYSOCK_ADOPT_KEEP,
};

/// How a socket file is made.
class listener_config : public detail::handle<hysock_listener_config, hysock_listener_config_free> {
  public:
    /// hysock_listener_config_new(): make a config that holds the defaults.
    listener_config() noexcept : handle(hysock_listener_config_new()) {}
    /// hysock_listener_config_set_mode(): set the permission bits of the socket file: 0001 to 0777,
    /// 0600 by default.
    status set_mode(std::uint32_t mode) noexcept {
        return detail::to_status(hysock_listener_config_set_mode(get(), mode));
    }
    /// hysock_listener_config_set_backlog(): set how many connections may wait to be accepted: 1 to
    /// 2147483647.
    status set_backlog(std::uint32_t backlog) noexcept {
        return detail::to_status(hysock_listener_config_set_backlog(get(), backlog));
    }
    /// hysock_listener_config_set_stale(): set what happens to a socket file that is there already:
    /// HYSOCK_STALE_REPLACE, the default, HYSOCK_STALE_REFUSE or HYSOCK_STALE_TAKE_OVER. An
    /// abstract name has no file: one that is in use cannot be taken over.
    status set_stale(stale_policy policy) noexcept {
        return detail::to_status(
            hysock_listener_config_set_stale(get(), static_cast<std::int32_t>(policy)));
    }
    /// hysock_listener_config_set_owner(): set who owns the socket file: a user's name, or a
    /// number.
    status set_owner(zstring user) noexcept {
        return detail::to_status(hysock_listener_config_set_owner(get(), user.c_str()));
    }
    /// hysock_listener_config_set_group(): set the group of the socket file: a group's name, or a
    /// number.
    status set_group(zstring group) noexcept {
        return detail::to_status(hysock_listener_config_set_group(get(), group.c_str()));
    }
    /// hysock_listener_config_set_parent_check(): set whether root may make a socket in a directory
    /// where everybody can replace files (world-writable and not sticky): by default it is refused
    /// with HYSOCK_E_FORBIDDEN. For other users nothing is checked.
    status set_parent_check(bool on) noexcept {
        return detail::to_status(hysock_listener_config_set_parent_check(get(), on));
    }
    /// hysock_listener_config_allow(): let in only those whom a rule names: this one, or another
    /// rule of the same config.
    status allow(rule rule, std::uint32_t id = 0) noexcept {
        return detail::to_status(
            hysock_listener_config_allow(get(), static_cast<std::int32_t>(rule), id));
    }
};

/// hysock_listener_open(): make a socket at `address` and listen on it, without a runtime and
/// without threads: for a program that does so before it forks to become a daemon, or before it
/// gives up its rights.
inline result<unique_fd> listener_open(std::string_view address,
                                       detail::optional_config<listener_config> config = {}) {
    std::int32_t fd = -1;
    error err;
    if (hysock_listener_open(detail::chars(address), address.size(), config.get(), &fd,
                             err.out()) != HYSOCK_OK)
        return err;
    return unique_fd(fd);
}

} // namespace hysock

#endif
