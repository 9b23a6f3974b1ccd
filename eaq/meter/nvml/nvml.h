// nvml: the energy counter and the power sensors of NVIDIA's cards, through the driver's own library. One zone per card in use
// ("GPU-uuid": the counter's joules with the driver's average power beside them) and one more that is shown and never charged
// ("GPU-uuid/instant": the sensor's short window, a cross-check by integration).
//   nvmlDeviceGetFieldValues: 83 energy since the driver was loaded, mJ; 185 average power; 186 instantaneous power, mW
// Cards from Volta on have the counter; older ones give power alone. Source: NVML API reference.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "eaq/meter/meter.h"
#include "eaq/meter/nvml/api.h"

namespace eaq::meter_nvml {

struct Card {
  Device device = nullptr;
  std::string uuid, name;
};

/// Cards by the driver's order. MeterError where they cannot be listed.
std::vector<Card> list_cards(const Api& api);

/// Which of them a CUDA program sees under this value of CUDA_VISIBLE_DEVICES (null: all of them): UUIDs or their beginnings, or
/// numbers, and nothing after the first that names no card, as CUDA has it. Numbers are ambiguous among unlike cards unless
/// `by_bus` (CUDA_DEVICE_ORDER=PCI_BUS_ID): Error{unavailable} says so.
std::vector<Card> visible_cards(std::vector<Card> all, const char* visible, bool by_bus);

std::unique_ptr<Meter> open_cards(std::shared_ptr<const Api> api, std::vector<Card> cards, Clock& clock);

}  // namespace eaq::meter_nvml
