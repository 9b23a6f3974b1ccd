#include <algorithm>
#include <array>
#include <charconv>

#include "eaq/meter/nvml/nvml.h"

namespace eaq::meter_nvml {
namespace {

std::string text_of(Return (*ask)(Device, char*, std::uint32_t), Device device) {
  std::array<char, text_size> text{};
  if (ask == nullptr || ask(device, text.data(), text.size()) != success) return {};
  text.back() = '\0';
  return printable(text.data());
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

}  // namespace

std::vector<Card> list_cards(const Api& api) {
  std::uint32_t count = 0;
  if (const Return code = api.device_count(&count); code != success)
    throw MeterError(code == no_permission ? Fault::denied : Fault::unsupported, "NVML counts no cards: " + api.explain(code));
  std::vector<Card> cards;
  for (std::uint32_t i = 0; i < count; ++i) {
    Card card;
    if (api.device_by_index(i, &card.device) != success) continue;  // a card that this user may not open
    card.uuid = text_of(api.uuid, card.device);
    card.name = text_of(api.name, card.device);
    if (!card.uuid.empty()) cards.push_back(std::move(card));
  }
  return cards;
}

std::vector<Card> visible_cards(std::vector<Card> all, const char* visible, bool by_bus) {
  if (visible == nullptr) return all;
  std::vector<Card> seen;
  for (std::string_view rest = visible; !rest.empty();) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view one = trimmed(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    std::size_t index = 0;
    const auto [end, error] = std::from_chars(one.data(), one.data() + one.size(), index);
    auto found = all.end();
    if (error == std::errc() && end == one.data() + one.size()) {
      const bool alike = std::all_of(all.begin(), all.end(), [&](const Card& c) { return c.name == all.front().name; });
      if (!alike && !by_bus)
        throw MeterError(Fault::unsupported,
                         "CUDA_VISIBLE_DEVICES=" + printable(visible) +
                             " numbers unlike cards by their speed: name them by UUID, or set CUDA_DEVICE_ORDER=PCI_BUS_ID");
      if (index < all.size()) found = all.begin() + static_cast<std::ptrdiff_t>(index);
    } else if (!one.empty()) {
      found = std::find_if(all.begin(), all.end(), [&](const Card& c) { return c.uuid.starts_with(one); });
    }
    if (found == all.end()) break;
    seen.push_back(*found);
  }
  return seen;
}

}  // namespace eaq::meter_nvml
