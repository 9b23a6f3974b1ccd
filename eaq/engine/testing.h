// For the tests of this floor: small models, and logits by the plain way.
#pragma once

#include <gtest/gtest.h>

#include <numeric>

#include "eaq/engine/engine.h"

namespace eaq {

inline std::filesystem::path source_folder() { return EAQ_SOURCE_DIR; }

inline std::shared_ptr<const PackedModel> packed(const std::string& where, const std::string& format,
                                                 const std::string& device = "cpu") {
  const Model model = open_model(where);
  return std::make_shared<PackedModel>(model, uniform_recipe(model.graph, format), open_device(device, {.threads = 2}));
}

/// Every device that can run here.
inline std::vector<std::string> devices_here() {
  std::vector<std::string> names;
  for (const auto& row : backends())
    if (row.entry != nullptr && row.entry->unavailable_reason().empty()) names.emplace_back(row.entry->device());
  return names;
}

/// All of those but the reference, which takes minutes for what others do in seconds.
inline std::vector<std::string> fast_devices() {
  std::vector<std::string> names = devices_here();
  std::erase(names, "ref");
  return names;
}

inline bool can_run(const std::string& format, const std::string& device) {
  const Device opened = open_device(device);
  return opened.backend->support(format_named(format), *opened.context).level != SupportLevel::refused;
}

/// A 16-bit format of the device; older cards have no bf16.
inline std::string sixteen_bits(const std::string& device) { return can_run("bf16", device) ? "bf16" : "fp16"; }

inline std::vector<float> logits_of(Session& session, const Batch& batch) {
  const Matrix logits = session.run(batch);
  return on_host(*session.packed().device().context, logits);
}

/// max|a - b| / max|b|.
inline double relative_error(std::span<const float> a, std::span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    error = std::max(error, std::abs(static_cast<double>(a[i]) - b[i]));
    norm = std::max(norm, std::abs(static_cast<double>(b[i])));
  }
  EXPECT_GT(norm, 0);
  return error / norm;
}

}  // namespace eaq
