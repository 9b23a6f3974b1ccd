#include "eaq/format/format.h"

#include <algorithm>
#include <cstring>

namespace eaq {
namespace {

/// `count` elements of a stored part from `first` on, as f32.
void copy_f32(const TensorView& part, std::int64_t first, std::int64_t count, float* out) {
  const std::byte* data = part.data + static_cast<std::size_t>(first) * size_of(part.dtype);
  if (part.dtype == DType::f32)
    std::memcpy(out, data, static_cast<std::size_t>(count) * sizeof(float));
  else
    to_f32({part.dtype, {count}, data}, {out, static_cast<std::size_t>(count)});
}

// Output rows are columns of the stored part: read in blocks of input rows, so that each line of the checkpoint is used whole.
void read_columns(const TensorView& part, std::int64_t first, std::int64_t count, float* out, std::int64_t in) {
  constexpr std::int64_t block = 16;
  const std::int64_t width = part.shape[1];
  std::vector<float> rows(static_cast<std::size_t>(block * count));
  for (std::int64_t k = 0; k < in; k += block) {
    const std::int64_t some = std::min(block, in - k);
    for (std::int64_t i = 0; i < some; ++i) copy_f32(part, (k + i) * width + first, count, rows.data() + i * count);
    for (std::int64_t n = 0; n < count; ++n)
      for (std::int64_t i = 0; i < some; ++i) out[n * in + k + i] = rows[static_cast<std::size_t>(i * count + n)];
  }
}

}  // namespace

void LinearWeight::read_rows(std::int64_t first, std::int64_t count, float* out) const {
  std::int64_t part_first = 0;
  for (const TensorView& part : parts) {
    const std::int64_t rows = part.shape.at(transposed ? 1 : 0), part_end = part_first + rows;
    const std::int64_t begin = std::max(first, part_first), end = std::min(first + count, part_end);
    if (begin < end) {
      float* to = out + (begin - first) * in_features;
      if (transposed)
        read_columns(part, begin - part_first, end - begin, to, in_features);
      else
        copy_f32(part, (begin - part_first) * in_features, (end - begin) * in_features, to);
    }
    part_first = part_end;
  }
  if (input_scale == nullptr) return;
  for (std::int64_t r = 0; r < count; ++r)
    for (std::int64_t k = 0; k < in_features; ++k) out[r * in_features + k] *= input_scale[k];
}

void LinearWeight::check() const {
  std::int64_t rows = 0;
  bool fits = in_features > 0 && !parts.empty();
  for (const TensorView& part : parts) {
    fits = fits && part.shape.size() == 2 && part.shape[transposed ? 0 : 1] == in_features && is_float(part.dtype);
    if (fits) rows += part.shape[transposed ? 1 : 0];
  }
  if (!fits || rows != out_features || rows == 0) {
    std::string shapes;
    for (const TensorView& part : parts)
      shapes += (shapes.empty() ? "" : " + ") + to_string(part.shape) + " " + std::string(name_of(part.dtype));
    throw Error(ErrorKind::input, "a linear weight of " + std::to_string(out_features) + " outputs and " +
                                      std::to_string(in_features) + " inputs cannot be made of " +
                                      (transposed ? "transposed " : "") + shapes);
  }
}

const Format& format_named(std::string_view name) {
  if (const Format* format = find_entry(formats(), name)) return *format;
  for (const auto& row : formats())
    if (row.name == name)
      throw Error(ErrorKind::unavailable,
                  "format '" + std::string(name) + "' is not part of this build: " + std::string(row.left_out));
  throw Error(ErrorKind::usage, "there is no format '" + printable(name) + "'; there are " + names_of(formats()));
}

const ProductMaker* Format::on(std::string_view device) const {
  for (const ProductsRow& row : format_products())
    if (row.format == traits().name && row.device == device) return &row.products();
  return nullptr;
}

DType storage_of(std::string_view format) {
  const std::string_view storage = format_named(format).traits().storage;
  return storage == "bf16" ? DType::bf16 : storage == "fp16" ? DType::f16 : DType::f32;
}

Tensor stored_as(DType dtype, const TensorView& from) {
  Tensor to(dtype, from.shape);
  if (from.dtype == dtype) return std::memcpy(to.buffer.data(), from.data, to.buffer.size()), std::move(to);
  constexpr std::int64_t block = 1 << 16;
  std::vector<float> values;
  const std::int64_t n = from.size();
  for (std::int64_t at = 0; at < n; at += block) {
    values.resize(static_cast<std::size_t>(std::min(block, n - at)));
    to_f32(
        {from.dtype, {static_cast<std::int64_t>(values.size())}, from.data + at * static_cast<std::int64_t>(size_of(from.dtype))},
        values);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::size_t j = static_cast<std::size_t>(at) + i;
      if (dtype == DType::f32) to.buffer.as<float>()[j] = values[i];
      if (dtype == DType::bf16) to.buffer.as<bf16>()[j] = bf16(values[i]);
      if (dtype == DType::f16) to.buffer.as<f16>()[j] = f16(values[i]);
    }
  }
  return to;
}

}  // namespace eaq
