// hysock/field.hpp: headers, trailers and query parameters.
#ifndef HYSOCK_FIELD_HPP
#define HYSOCK_FIELD_HPP

#include "handle.hpp"

#include <vector>

namespace hysock {

/// A header, a trailer or a query parameter.
struct field {
    std::string_view name;
    std::string_view value;
};

namespace detail {

/// One field, of a getter of hysock.h that counts.
template <class H, class G> result<field> field_at(const H *handle, G getter, std::size_t index) {
    hysock_str name{nullptr, 0};
    hysock_str value{nullptr, 0};
    const hysock_status s = getter(handle, index, &name, &value);
    if (s != HYSOCK_OK)
        return error(to_status(s));
    return field{to_view(name), to_view(value)};
}

/// All fields, of a getter of hysock.h that fills an array.
template <class H, class G> result<std::vector<field>> all_fields(const H *handle, G getter) {
    std::vector<hysock_header> raw(16);
    for (;;) {
        const std::int32_t n = getter(handle, raw.data(), raw.size());
        if (n < 0)
            return error(to_status(n));
        const bool all = static_cast<std::size_t>(n) <= raw.size();
        raw.resize(static_cast<std::size_t>(n));
        if (all)
            break;
    }
    std::vector<field> fields;
    fields.reserve(raw.size());
    for (const auto &header : raw)
        fields.push_back({to_view(header.name), to_view(header.value)});
    return fields;
}

/// Fields that go out, as hysock.h has them.
inline std::vector<hysock_header> to_headers(view<field> fields) {
    std::vector<hysock_header> raw;
    raw.reserve(fields.size());
    for (const field &f : fields)
        raw.push_back({{chars(f.name), f.name.size()}, {chars(f.value), f.value.size()}});
    return raw;
}

} // namespace detail

} // namespace hysock

#endif
