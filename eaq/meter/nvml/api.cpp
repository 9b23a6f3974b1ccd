#include "eaq/meter/nvml/api.h"

#include <dlfcn.h>

#include <cstdlib>

#include "eaq/meter/meter.h"

namespace eaq::meter_nvml {
namespace {

template <class Function>
void bind(void* library, Function& function, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (void* found = ::dlsym(library, name)) {
      function = reinterpret_cast<Function>(found);
      return;
    }
}

Api bind_all(void* library) {
  Api api;
  bind(library, api.init, {"nvmlInit_v2"});
  bind(library, api.shutdown, {"nvmlShutdown"});
  bind(library, api.error_string, {"nvmlErrorString"});
  bind(library, api.driver_version, {"nvmlSystemGetDriverVersion"});
  bind(library, api.device_count, {"nvmlDeviceGetCount_v2"});
  bind(library, api.device_by_index, {"nvmlDeviceGetHandleByIndex_v2"});
  bind(library, api.name, {"nvmlDeviceGetName"});
  bind(library, api.uuid, {"nvmlDeviceGetUUID"});
  bind(library, api.vbios, {"nvmlDeviceGetVbiosVersion"});
  bind(library, api.field_values, {"nvmlDeviceGetFieldValues"});
  bind(library, api.energy, {"nvmlDeviceGetTotalEnergyConsumption"});
  bind(library, api.power, {"nvmlDeviceGetPowerUsage"});
  bind(library, api.power_limit, {"nvmlDeviceGetEnforcedPowerLimit"});
  bind(library, api.temperature, {"nvmlDeviceGetTemperature"});
  bind(library, api.clock, {"nvmlDeviceGetClockInfo"});
  bind(library, api.performance_state, {"nvmlDeviceGetPerformanceState"});
  bind(library, api.clock_reasons, {"nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"});
  bind(library, api.mig_mode, {"nvmlDeviceGetMigMode"});
  bind(library, api.ecc_mode, {"nvmlDeviceGetEccMode"});
  bind(library, api.processes, {"nvmlDeviceGetComputeRunningProcesses_v3"});
  bind(library, api.process_utilization, {"nvmlDeviceGetProcessUtilization"});
  return api;
}

}  // namespace

double FieldValue::number() const {
  switch (type) {
    case ValueType::f64:
      return f64;
    case ValueType::u32:
      return u32;
    case ValueType::i64:
      return static_cast<double>(i64);
    case ValueType::i32:
      return i32;
    case ValueType::u16:
      return u16;
    case ValueType::ulong:
    case ValueType::u64:
      break;
  }
  return static_cast<double>(u64);
}

std::string Api::explain(Return code) const {
  const char* text = error_string == nullptr ? nullptr : error_string(code);
  return text == nullptr ? "NVML error " + std::to_string(code) : text;
}

std::shared_ptr<const Api> load() {
  const char* chosen = std::getenv("EAQ_NVML_LIBRARY");
  const std::string file = chosen != nullptr && *chosen != '\0' ? chosen : "libnvidia-ml.so.1";
  void* handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) throw MeterError(Fault::unsupported, file + " not found: there is no NVIDIA driver here");
  const std::shared_ptr<void> library(handle, [](void* h) { ::dlclose(h); });
  return start(bind_all(handle), library);
}

std::shared_ptr<const Api> start(const Api& table, std::shared_ptr<void> library) {
  if (table.init == nullptr || table.device_count == nullptr || table.device_by_index == nullptr || table.uuid == nullptr)
    throw MeterError(Fault::unsupported, "libnvidia-ml.so.1 lacks the calls of driver 418 and later");
  if (const Return code = table.init(); code != success) {
    const Fault fault = code == no_permission ? Fault::denied : Fault::unsupported;
    throw MeterError(fault, "NVML does not start: " + table.explain(code));
  }
  return {new Api(table), [library = std::move(library)](const Api* api) {
            if (api->shutdown != nullptr) api->shutdown();
            delete api;
          }};
}

}  // namespace eaq::meter_nvml
