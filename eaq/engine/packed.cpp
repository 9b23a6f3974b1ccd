#include "eaq/engine/packed.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "eaq/engine/memory.h"

namespace eaq {
namespace {

using Vector = std::shared_ptr<const std::vector<float>>;

// Values of one position of the original Transformer's sinusoids, interleaved as Hugging Face's DistilBERT computes them.
Tensor sinusoids(std::int64_t positions, std::int64_t width) {
  Tensor table(DType::f32, {positions, width});
  float* out = table.buffer.as<float>();
  for (std::int64_t p = 0; p < positions; ++p)
    for (std::int64_t c = 0; c < width; ++c) {
      const std::int64_t pair = c / 2;  // one sine and one cosine
      const double angle =
          static_cast<double>(p) / std::pow(10000.0, 2.0 * static_cast<double>(pair) / static_cast<double>(width));
      out[p * width + c] = static_cast<float>(c % 2 == 0 ? std::sin(angle) : std::cos(angle));
    }
  return table;
}

const Node* linear_at(const Graph& graph, std::string_view site) {
  for (const Node& node : graph.nodes)
    if (node.site == site && std::holds_alternative<LinearNode>(node.op)) return &node;
  return nullptr;
}

bool reads(const Node& node, Value value) {
  return std::visit(
      [&](const auto& op) {
        using T = std::decay_t<decltype(op)>;
        if constexpr (std::is_same_v<T, EmbeddingNode>)
          return false;
        else if constexpr (std::is_same_v<T, ResidualOp>)
          return op.a == value || op.b == value;
        else
          return op.in == value;
      },
      node.op);
}

// The norm that a linear layer's weight takes in: one that only this layer reads, where its format on this device gains by it.
// A weight that an embedding gathers from stays as it is.
const NormNode* norm_held_by(const PackedModel::State& packed, std::string_view site) {
  const Node* node = linear_at(packed.graph, site);
  const Site* own = packed.graph.site(site);
  if (node == nullptr || own == nullptr || !own->tied_to.empty() || own->weight.zeros) return nullptr;
  const Backend& backend = *packed.device.backend;
  const Format& format = format_named(packed.recipe.format_of(site));
  if (backend.support(format, *packed.device.context).level == SupportLevel::refused ||
      !backend.folds_norms(format, *packed.device.context))
    return nullptr;
  for (const Site& other : packed.graph.sites)
    if (other.tied_to == site) return nullptr;
  const Value in = std::get<LinearNode>(node->op).in;
  const NormNode* norm = nullptr;
  int readers = packed.graph.output == in;
  for (const Node& one : packed.graph.nodes) {
    if (const auto* made = std::get_if<NormNode>(&one.op); made != nullptr && made->out == in) norm = made;
    readers += reads(one, in);
  }
  return readers == 1 ? norm : nullptr;
}

bool is_held(const PackedModel::State& packed, const NormNode& norm) {
  return std::any_of(packed.graph.nodes.begin(), packed.graph.nodes.end(), [&](const Node& node) {
    const auto* linear = std::get_if<LinearNode>(&node.op);
    return linear != nullptr && linear->in == norm.out && norm_held_by(packed, node.site) != nullptr;
  });
}

Tensor zeros_of(DType dtype, const Shape& shape) {
  Tensor tensor(dtype, shape);
  std::fill_n(tensor.buffer.data(), tensor.buffer.size(), std::byte{});
  return tensor;
}

class Packer {
 public:
  /// `other` may have packed what this one wants; null: nobody has.
  Packer(const Model& model, PackedModel::State& state, const PackedModel::State* other, const PackOptions& options = {})
      : model_(model), state_(state), other_(other), options_(options) {}

  void pack() {
    refuse_what_cannot_run();
    // Heads and linears first: an embedding that is tied to a head gathers from the head's product.
    for (const Node& node : state_.graph.nodes)
      if (const auto* linear = std::get_if<LinearNode>(&node.op)) pack(node.site, *linear);
    for (const Node& node : state_.graph.nodes) {
      if (const auto* embedding = std::get_if<EmbeddingNode>(&node.op)) pack(node.site, *embedding);
      if (const auto* norm = std::get_if<NormNode>(&node.op)) {
        const bool held = is_held(state_, *norm), shared = has_the_same_base() && is_held(*other_, *norm) == held;
        // What a weight took in has nothing left to do.
        const auto parameter = [&](const std::string& name, float nothing) {
          if (shared) return other_->vectors.at(name);
          const Vector values = rounded({name});
          return held ? std::make_shared<const std::vector<float>>(values->size(), nothing) : values;
        };
        state_.vectors[norm->gamma] = parameter(norm->gamma, 1);
        state_.vectors[norm->beta] = parameter(norm->beta, 0);
      }
    }
  }

  std::shared_ptr<const Product> product_of(const std::string& site) {
    for (const Node& node : state_.graph.nodes)
      if (const auto* linear = std::get_if<LinearNode>(&node.op); linear != nullptr && node.site == site)
        return product(site, linear->weight);
    throw Error(ErrorKind::bug, "'" + site + "' has no product to pack again");
  }

 private:
  void refuse_what_cannot_run() {
    std::set<std::string> used{state_.recipe.base};
    for (const auto& [site, format] : state_.recipe.sites) used.insert(format);
    for (const std::string& name : used) {
      const Support support = support_of(name);
      if (support.level == SupportLevel::refused && !(options_.emulates && name != state_.recipe.base))
        throw Error(ErrorKind::unavailable, "format " + name + " cannot run here: " + support.reason);
    }
  }

  Support support_of(const std::string& format) const {
    return state_.device.backend->support(format_named(format), *state_.device.context);
  }

  std::shared_ptr<const Product> product(const std::string& site, const WeightRef& ref) {
    const std::string& format = state_.recipe.format_of(site);
    const NormNode* norm = norm_held_by(state_, site);
    const Vector gamma = norm != nullptr ? rounded({norm->gamma}) : nullptr;
    LinearWeight weight = stored(ref);
    weight.input_scale = gamma ? gamma->data() : nullptr;
    std::vector<Tensor> zeros;  // of what is ablated
    if (ref.zeros)
      for (TensorView& part : weight.parts) zeros.push_back(zeros_of(DType::f32, part.shape)), part = zeros.back().view();
    const Backend& backend = *state_.device.backend;
    auto made = support_of(format).level == SupportLevel::refused
                    ? make_emulated_product(backend, format_named(format), *state_.device.context, weight)
                    : backend.make_product(format_named(format), *state_.device.context, weight);
    release(ref);
    return made;
  }

  bool has_the_same_base() const { return other_ != nullptr && other_->recipe.base == state_.recipe.base; }

  bool has_the_same(const std::string& site) const {
    if (other_ == nullptr || other_->recipe.format_of(site) != state_.recipe.format_of(site)) return false;
    const Site *mine = state_.graph.site(site), *its = other_->graph.site(site);
    if (mine == nullptr || its == nullptr || mine->weight.zeros != its->weight.zeros) return false;
    const NormNode *my_norm = norm_held_by(state_, site), *its_norm = norm_held_by(*other_, site);
    if (my_norm == nullptr || its_norm == nullptr) return my_norm == its_norm;
    return my_norm->gamma == its_norm->gamma && has_the_same_base();
  }

  void pack(const std::string& site, const LinearNode& node) {
    const bool same = has_the_same(site);
    state_.products[site] = same ? other_->products.at(site) : product(site, node.weight);
    const NormNode* norm = norm_held_by(state_, site);
    if (norm != nullptr)
      state_.vectors[site] = same ? other_->vectors.at(site) : bias_with(*norm, node);
    else if (!node.bias.empty())
      state_.vectors[site] = same && has_the_same_base() ? other_->vectors.at(site) : rounded(node.bias);
  }

  // What a norm's beta gives by way of the weight is a part of the bias.
  Vector bias_with(const NormNode& norm, const LinearNode& node) {
    const Vector beta = rounded({norm.beta}), bias = rounded(node.bias);
    const LinearWeight weight = stored(node.weight);
    auto whole = std::make_shared<std::vector<float>>(static_cast<std::size_t>(weight.out_features));
    constexpr std::int64_t at_once = 512;
    std::vector<float> rows(static_cast<std::size_t>(std::min(at_once, weight.out_features) * weight.in_features));
    for (std::int64_t first = 0; first < weight.out_features; first += at_once) {
      const std::int64_t count = std::min(at_once, weight.out_features - first);
      weight.read_rows(first, count, rows.data());
      for (std::int64_t r = 0; r < count; ++r) {
        const auto i = static_cast<std::size_t>(first + r);
        const float* row = rows.data() + r * weight.in_features;
        (*whole)[i] = static_cast<float>(
            std::inner_product(beta->begin(), beta->end(), row, bias->empty() ? 0.0 : static_cast<double>((*bias)[i])));
      }
    }
    release(node.weight);
    return whole;
  }

  LinearWeight stored(const WeightRef& ref) {
    LinearWeight weight;
    weight.transposed = ref.transposed, weight.out_features = ref.out_features, weight.in_features = ref.in_features;
    for (const std::string& name : ref.tensors) weight.parts.push_back(model_.tensor(name));
    return weight;
  }
  void release(const WeightRef& ref) {
    for (const std::string& name : ref.tensors) model_.checkpoint->release(model_.resolve(name));
  }

  void pack(const std::string& site, const EmbeddingNode& node) {
    state_.tables[site] = table(site, node.tokens, false);
    state_.tables[node.position_site] = table(node.position_site, node.positions, node.sinusoidal);
  }

  Table table(const std::string& site, const WeightRef& ref, bool sinusoidal) {
    if (has_the_same(site)) return other_->tables.at(site);
    const std::string& format = state_.recipe.format_of(site);
    if (ref.zeros)
      return {nullptr, std::make_shared<Tensor>(zeros_of(storage_of(state_.recipe.base), {ref.out_features, ref.in_features}))};
    for (const Site& other : state_.graph.sites)
      if (other.tied_to == site && !other.weight.zeros && state_.recipe.format_of(other.id) == format)
        return {state_.products.at(other.id), nullptr};
    if (!format_named(format).traits().everything) return {product(site, ref), nullptr};
    if (sinusoidal && !model_.has(ref.tensors[0])) {
      const Tensor computed = sinusoids(ref.out_features, ref.in_features);
      return {nullptr, std::make_shared<Tensor>(stored_as(storage_of(format), computed.view()))};
    }
    auto stored = std::make_shared<Tensor>(stored_as(storage_of(format), model_.tensor(ref.tensors[0])));
    model_.checkpoint->release(model_.resolve(ref.tensors[0]));
    return {nullptr, std::move(stored)};
  }

  // Biases and norms hold the values of the base format's storage; kernels read them as f32 (0.1 % of the parameters).
  Vector rounded(const std::vector<std::string>& names) {
    auto values = std::make_shared<std::vector<float>>();
    for (const std::string& name : names) {
      const auto part = to_f32(model_.tensor(name));
      values->insert(values->end(), part.begin(), part.end());
    }
    const DType storage = storage_of(state_.recipe.base);
    for (float& x : *values) {
      if (storage == DType::bf16) x = static_cast<float>(bf16(x));
      if (storage == DType::f16) x = static_cast<float>(f16(x));
    }
    return values;
  }

  const Model& model_;
  PackedModel::State& state_;
  const PackedModel::State* other_;
  PackOptions options_;
};

std::shared_ptr<const PackedModel::State> pack(const Model& model, Recipe recipe, const Device& device,
                                               const PackedModel::State* other, const PackOptions& options = {}) {
  auto state = std::make_shared<PackedModel::State>();
  state->graph = model.graph;
  state->recipe = std::move(recipe);
  state->device = device;
  Packer(model, *state, other, options).pack();
  return state;
}

// "bf16", "bf16+f32": joined, each once.
void add_unique(std::string& list, const std::string& items) {
  for (std::size_t begin = 0; begin < items.size();) {
    const std::size_t end = std::min(items.find('+', begin), items.size());
    const std::string item = items.substr(begin, end - begin);
    if (("+" + list + "+").find("+" + item + "+") == std::string::npos) list += (list.empty() ? "" : "+") + item;
    begin = end + 1;
  }
}

}  // namespace

PackedModel::PackedModel(const Model& model, Recipe recipe, const Device& device)
    : state_(pack(model, std::move(recipe), device, nullptr)) {}
PackedModel::PackedModel(const Model& model, Recipe recipe, const PackedModel& other, const PackOptions& options)
    : state_(pack(model, std::move(recipe), other.device(), &other.state(), options)) {}

PackedModel::~PackedModel() = default;

std::shared_ptr<const Product> PackedModel::pack_again(const Model& model, const std::string& site) const {
  // What is left afterwards must do for whatever else is wanted meanwhile.
  constexpr double spare = 4;
  if (state_->device.context->is_host())
    require_memory(spare * static_cast<double>(state_->products.at(site)->bytes()), "another copy of '" + site + "'",
                   "a smaller model needs less");
  PackedModel::State same;
  same.graph = state_->graph, same.recipe = state_->recipe, same.device = state_->device;
  return Packer(model, same, nullptr).product_of(site);
}

const Graph& PackedModel::graph() const { return state_->graph; }
const Recipe& PackedModel::recipe() const { return state_->recipe; }
const Device& PackedModel::device() const { return state_->device; }

std::size_t PackedModel::resident_bytes() const {
  std::set<const void*> counted;
  std::size_t bytes = 0;
  const auto count = [&](const Product* product) {
    bytes += product != nullptr && counted.insert(product).second ? product->bytes() : 0;
  };
  for (const auto& [site, product] : state_->products) count(product.get());
  for (const auto& [site, table] : state_->tables) {
    count(table.product.get());
    bytes += table.matrix ? table.matrix->buffer.size() : 0;
  }
  for (const auto& [name, vector] : state_->vectors) bytes += vector->size() * sizeof(float);
  return bytes;
}

void PackedModel::begin_report() const {
  state_->attention.clear();
  for (const auto& [site, product] : state_->products) product->begin_report();
}

KernelReport PackedModel::report() const {
  // Storage and arithmetic are those of the sites that the recipe is about: of an int8 recipe, the int8 sites.
  const bool mixed = !state_->recipe.sites.empty();
  KernelReport whole;
  const std::vector<std::string> attention = state_->attention.all();
  std::set<std::string> kernels(attention.begin(), attention.end());
  for (const auto& [site, product] : state_->products) {
    const KernelReport one = product->report();
    if (one.kernels.empty()) continue;  // has not run
    kernels.insert(one.kernels.begin(), one.kernels.end());
    whole.emulated |= one.emulated;
    if (mixed && state_->recipe.sites.count(site) == 0) continue;
    add_unique(whole.storage, one.storage);
    add_unique(whole.arithmetic, one.arithmetic);
  }
  whole.kernels.assign(kernels.begin(), kernels.end());
  return whole;
}

}  // namespace eaq
