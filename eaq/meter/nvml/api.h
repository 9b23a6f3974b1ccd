// The calls of NVIDIA's management library that eaq makes, by name, from libnvidia-ml.so.1 as the driver installs it. Types and
// values are those of its stable C interface (NVML API reference); no header of it is needed to build, no library to start.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace eaq::meter_nvml {

using Return = int;
inline constexpr Return success = 0, not_supported = 3, no_permission = 4, not_found = 6, insufficient_size = 7,
                        driver_not_loaded = 9, function_not_found = 13, gpu_is_lost = 15;

struct DeviceHandle;
using Device = DeviceHandle*;

enum class ValueType : int { f64 = 0, u32 = 1, ulong = 2, u64 = 3, i64 = 4, i32 = 5, u16 = 6 };

/// nvmlFieldValue_t. Each field has a return code of its own: the call succeeds although a field failed.
struct FieldValue {
  std::uint32_t id = 0;
  std::uint32_t scope = 0;
  std::int64_t timestamp_us = 0;
  std::int64_t latency_us = 0;
  ValueType type{};
  Return result = not_supported;
  union {
    double f64;
    std::uint32_t u32;
    std::uint64_t u64;
    std::int64_t i64;
    std::int32_t i32;
    std::uint16_t u16;
  };
  FieldValue() : u64(0) {}
  explicit FieldValue(std::uint32_t field) : id(field), u64(0) {}
  double number() const;
};
static_assert(sizeof(FieldValue) == 40);

namespace field {
inline constexpr std::uint32_t power_policy = 74, thermal_policy = 75, board_limit_policy = 77, reliability_policy = 79,
                               energy = 83, power_average = 185, power_instant = 186, software_thermal = 269,
                               hardware_thermal = 270, power_brake = 271;
}

/// nvmlProcessInfo_t of nvmlDeviceGetComputeRunningProcesses_v3.
struct ProcessInfo {
  std::uint32_t pid = 0;
  std::uint64_t memory = 0;
  std::uint32_t gpu_instance = 0, compute_instance = 0;
};
static_assert(sizeof(ProcessInfo) == 24);

/// nvmlProcessUtilizationSample_t.
struct ProcessUtilization {
  std::uint32_t pid = 0;
  std::uint64_t timestamp_us = 0;
  std::uint32_t sm = 0, memory = 0, encoder = 0, decoder = 0;
};
static_assert(sizeof(ProcessUtilization) == 32);

inline constexpr std::uint32_t text_size = 96;

/// The table. A call that the installed library lacks is null: what asks for it is then "not supported", never a crash.
struct Api {
  Return (*init)() = nullptr;
  Return (*shutdown)() = nullptr;
  const char* (*error_string)(Return) = nullptr;
  Return (*driver_version)(char*, std::uint32_t) = nullptr;
  Return (*device_count)(std::uint32_t*) = nullptr;
  Return (*device_by_index)(std::uint32_t, Device*) = nullptr;
  Return (*name)(Device, char*, std::uint32_t) = nullptr;
  Return (*uuid)(Device, char*, std::uint32_t) = nullptr;
  Return (*vbios)(Device, char*, std::uint32_t) = nullptr;
  Return (*field_values)(Device, int, FieldValue*) = nullptr;
  Return (*energy)(Device, unsigned long long* millijoules) = nullptr;
  Return (*power)(Device, std::uint32_t* milliwatts) = nullptr;
  Return (*power_limit)(Device, std::uint32_t* milliwatts) = nullptr;
  Return (*temperature)(Device, int sensor, std::uint32_t* celsius) = nullptr;
  Return (*clock)(Device, int domain, std::uint32_t* megahertz) = nullptr;
  Return (*performance_state)(Device, std::int32_t*) = nullptr;
  Return (*clock_reasons)(Device, unsigned long long*) = nullptr;
  Return (*mig_mode)(Device, std::uint32_t* current, std::uint32_t* pending) = nullptr;
  Return (*ecc_mode)(Device, std::int32_t* current, std::int32_t* pending) = nullptr;
  Return (*processes)(Device, std::uint32_t* count, ProcessInfo*) = nullptr;
  Return (*process_utilization)(Device, ProcessUtilization*, std::uint32_t* count, unsigned long long since_us) = nullptr;

  std::string explain(Return) const;  ///< in the library's words
};

/// The library, loaded and initialised; shut down with its last owner. MeterError{unsupported} where it is not there or does not
/// start, with the reason. The environment variable EAQ_NVML_LIBRARY names another file than libnvidia-ml.so.1.
std::shared_ptr<const Api> load();
/// The same around a table that is given: tests bring one of their own.
std::shared_ptr<const Api> start(const Api& table, std::shared_ptr<void> library = nullptr);

}  // namespace eaq::meter_nvml
