#include "eaq/engine/synthetic.h"

#include <charconv>
#include <cmath>
#include <mutex>
#include <thread>

#include "eaq/engine/memory.h"

namespace eaq {
namespace {

constexpr std::string_view prefix = "synthetic:";

// --- the numbers

// SplitMix64's output function: the value at a counter, so that tensors and their parts can be made in any order.
constexpr std::uint64_t mixed(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}
constexpr std::uint64_t step = 0x9e3779b97f4a7c15;

// The sum of twelve uniforms has variance 1 and is normal but for its ends, which lie at 6. In whole numbers of 32 bits it is
// exact: no machine's logarithm takes part, and every machine has the same weights.
double normal_at(std::uint64_t key, std::uint64_t index) {
  constexpr std::uint64_t words = 6, low = 0xffffffff;
  std::uint64_t counter = key + index * words * step, sum = 0;
  for (std::uint64_t word = 0; word < words; ++word) {
    const std::uint64_t z = mixed(counter += step);
    sum += (z & low) + (z >> 32);
  }
  return static_cast<double>(static_cast<std::int64_t>(sum) - (std::int64_t{6} << 32)) * 0x1p-32;
}

/// What a tensor's elements are drawn from.
struct Draw {
  Shape shape;
  float mean = 0;
  double deviation = 0;
};

void fill(const Draw& draw, std::uint64_t key, std::span<float> values) {
  const auto part = [&](std::size_t first, std::size_t last) {
    // The deviation is rounded before the mean comes to it: where a compiler may fuse the two, it would round once less.
    for (std::size_t i = first; i < last; ++i) values[i] = static_cast<float>(draw.deviation * normal_at(key, i)) + draw.mean;
  };
  constexpr std::size_t worth_a_thread = 1 << 20;
  const std::size_t cores = static_cast<std::size_t>(std::max(1, cpu_info().logical_cores));
  const std::size_t threads = std::clamp<std::size_t>(values.size() / worth_a_thread, 1, std::min<std::size_t>(cores, 16));
  std::vector<std::thread> others;
  for (std::size_t t = 1; t < threads; ++t)
    others.emplace_back(part, values.size() * t / threads, values.size() * (t + 1) / threads);
  part(0, values.size() / threads);
  for (std::thread& thread : others) thread.join();
}

// --- the tensors, from the graph

class Tensors {
 public:
  Tensors(const Graph& graph, std::string_view residual_weights)
      : residual_weights_(residual_weights), residual_(1 / std::sqrt(2 * static_cast<double>(graph.layers))) {
    for (const Node& node : graph.nodes) {
      if (const auto* embedding = std::get_if<EmbeddingNode>(&node.op)) {
        add(embedding->tokens);
        add(embedding->positions);
      } else if (const auto* linear = std::get_if<LinearNode>(&node.op)) {
        add(linear->weight);
        const auto parts = static_cast<std::int64_t>(linear->weight.tensors.size());
        for (const std::string& name : linear->bias) all[name] = {{linear->weight.out_features / parts}, 0, 0.01};
      } else if (const auto* norm = std::get_if<NormNode>(&node.op)) {
        const Shape width{graph.values[static_cast<std::size_t>(norm->out)].width};
        all[norm->gamma] = {width, 1, 0.02};
        all[norm->beta] = {width, 0, 0.02};
      }
    }
  }

  std::map<std::string, Draw, std::less<>> all;

 private:
  void add(const WeightRef& weight) {
    const std::int64_t out = weight.out_features / static_cast<std::int64_t>(weight.tensors.size());
    for (const std::string& name : weight.tensors) {
      const bool scaled = !residual_weights_.empty() && name.ends_with(residual_weights_);
      all[name] = {weight.transposed ? Shape{weight.in_features, out} : Shape{out, weight.in_features}, 0,
                   0.02 * (scaled ? residual_ : 1)};
    }
  }

  std::string_view residual_weights_;
  double residual_;
};

/// Tensors that are made when they are asked for and go when they are released, as the pages of a file would.
class RandomCheckpoint : public Checkpoint {
 public:
  RandomCheckpoint(std::string name, std::string config, std::uint64_t seed, Tensors tensors)
      : name_(std::move(name)), config_(std::move(config)), seed_(seed), draws_(std::move(tensors.all)) {}

  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const auto& [name, draw] : draws_) names.push_back(name);
    return names;
  }
  bool contains(std::string_view name) const override { return draws_.find(name) != draws_.end(); }

  TensorView tensor(std::string_view name) const override {
    const auto& [known, draw] = *find(name);
    const std::lock_guard lock(mutex_);
    if (const auto made = made_.find(name); made != made_.end()) return made->second.view();
    require_memory(static_cast<double>(elements(draw.shape)) * sizeof(float), printable(name_) + ": '" + known + "'",
                   "name smaller sizes");
    Tensor tensor(DType::f32, draw.shape);
    std::uint64_t key = mixed(seed_ + step);
    for (const char c : known) key = mixed(key ^ static_cast<unsigned char>(c));
    fill(draw, key, tensor.as<float>());
    return made_.emplace(known, std::move(tensor)).first->second.view();
  }

  void release(std::string_view name) const override {
    find(name);
    const std::lock_guard lock(mutex_);
    if (const auto made = made_.find(name); made != made_.end()) made_.erase(made);
  }

  std::map<std::string, std::string> metadata() const override { return {{"format", "random"}}; }

  // The recipe stands for the content: one recipe, one content. Its number changes with the way in which weights are made.
  std::string hash() const override {
    return "sha256:" + sha256("eaq random weights 1, seed " + std::to_string(seed_) + ", " + config_);
  }
  std::vector<std::filesystem::path> files() const override { return {}; }
  std::uint64_t total_bytes() const override {
    std::uint64_t bytes = 0;
    for (const auto& [name, draw] : draws_) bytes += static_cast<std::uint64_t>(elements(draw.shape)) * sizeof(float);
    return bytes;
  }

 private:
  using Draws = std::map<std::string, Draw, std::less<>>;
  Draws::const_iterator find(std::string_view name) const {
    const auto it = draws_.find(name);
    if (it == draws_.end())
      throw Error(ErrorKind::input, printable(name_) + ": has no tensor '" + printable(std::string(name)) + "'");
    return it;
  }

  std::string name_, config_;
  std::uint64_t seed_;
  Draws draws_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, Tensor, std::less<>> made_;
};

// --- the name

/// "synthetic:gpt2?layers=2&seed=1", understood.
struct Request {
  const ModelFamily* family = nullptr;
  std::string config;
  std::uint64_t seed = 0;
};

std::string sizes_of(const ModelFamily& family) {
  std::string list;
  for (const SizeKey& size : family.sizes) list += std::string(size.size) + ", ";
  return list + "seed";
}

void read_setting(const std::string& where, std::string_view setting, Request& request) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorKind::input, printable(where) + ": '" + printable(std::string(setting)) + "' " + what);
  };
  const std::string_view name = setting.substr(0, setting.find('='));
  const std::string_view digits = name.size() < setting.size() ? setting.substr(name.size() + 1) : "";
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) refuse("is not NAME=NUMBER");
  if (name == "seed") {
    request.seed = value;
    return;
  }
  const auto key = std::find_if(request.family->sizes.begin(), request.family->sizes.end(),
                                [&](const SizeKey& size) { return size.size == name; });
  if (key == request.family->sizes.end()) refuse("is no size of this family; there are: " + sizes_of(*request.family));
  if (value < 1 || value > 1 << 24) refuse("is not from 1 to 16777216");
  request.config += ", \"" + std::string(key->key) + "\": " + std::to_string(value);
}

Request read_request(const std::string& where) {
  std::string_view rest = std::string_view(where).substr(prefix.size());
  const std::string_view name = rest.substr(0, rest.find('?'));
  Request request{find_entry(model_families(), name), R"({"model_type": ")" + std::string(name) + '"', 0};
  if (request.family == nullptr)
    throw Error(ErrorKind::input,
                printable(where) + ": no family of models has this name; there are: " + names_of(model_families()));
  rest.remove_prefix(name.size());
  while (!rest.empty()) {
    rest.remove_prefix(1);  // ? or &
    const std::string_view setting = rest.substr(0, rest.find('&'));
    read_setting(where, setting, request);
    rest.remove_prefix(setting.size());
  }
  request.config += "}";
  return request;
}

}  // namespace

bool is_synthetic(std::string_view where) { return where.starts_with(prefix); }

Model synthetic_model(const std::string& where) {
  const Request request = read_request(where);
  Model model;
  model.name = where;
  model.path = where;
  model.random = true;
  model.graph = graph_of_config(request.config, printable(where));
  model.checkpoint = std::make_shared<RandomCheckpoint>(where, request.config, request.seed,
                                                        Tensors(model.graph, request.family->residual_weights));
  return model;
}

}  // namespace eaq
