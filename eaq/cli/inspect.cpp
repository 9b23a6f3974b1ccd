#include "eaq/base/json.h"

#include <algorithm>
#include <cmath>

#include "eaq/cli/cli.h"

namespace eaq {
namespace {

struct InspectCommand {
  std::string model;
  OutputOptions output;
};

// Open_model() has held names, shapes and types against config.json; this reads the values.
std::int64_t non_finite(const Model& model, const WeightRef& weight) {
  std::int64_t count = 0;
  for (const std::string& tensor : weight.tensors) {
    if (!model.has(tensor)) continue;  // computed, as sinusoidal positions are
    const std::vector<float> values = to_f32(model.tensor(tensor));
    count += std::count_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
    model.checkpoint->release(model.resolve(tensor));
  }
  return count;
}

struct SiteRow {
  const Site* site;
  double flops_per_token, bytes_per_token;
  std::vector<std::pair<std::string, std::size_t>> bytes;  ///< by format
  std::int64_t non_finite;
};

// What the whole model in a format holds for one site: an 8-bit format leaves embeddings in its base, and a tied head that has
// its embedding's format is the embedding's own bytes.
std::size_t site_bytes(const Graph& graph, const Site& site, std::string_view format) {
  const Recipe recipe = uniform_recipe(graph, format);
  const std::string& own = recipe.format_of(site.id);
  if (!site.tied_to.empty() && recipe.format_of(site.tied_to) == own) return 0;
  return format_named(own).stored_bytes(site.weight.out_features, site.weight.in_features);
}

// One token at batch 1, in fp32: two operations per weight of a product; its weights read once, its activations in and out. A
// gather reads one row.
SiteRow row_of(const Model& model, const Site& site) {
  const WeightRef& w = site.weight;
  const auto out = static_cast<double>(w.out_features), in = static_cast<double>(w.in_features);
  SiteRow row{&site, 0, 4 * 2 * in, {}, non_finite(model, w)};
  if (site.kind != StepKind::embedding) {
    row.flops_per_token = 2 * out * in;
    row.bytes_per_token = 4 * (out * in + in + out);
  }
  for (const auto& format : formats())
    if (format.entry != nullptr) row.bytes.emplace_back(format.name, site_bytes(model.graph, site, format.name));
  return row;
}

Json json_of(const Model& model, const std::vector<SiteRow>& rows) {
  Json sites = Json::array();
  for (const SiteRow& row : rows) {
    Json bytes = Json::object();
    for (const auto& [format, size] : row.bytes) bytes[format] = size;
    Json site{{"site", row.site->id},
              {"kind", name_of(row.site->kind)},
              {"parameters", row.site->parameters},
              {"shape", {row.site->weight.out_features, row.site->weight.in_features}},
              {"bytes", std::move(bytes)},
              {"flops_per_token", row.flops_per_token},
              {"bytes_per_token", row.bytes_per_token},
              {"non_finite", row.non_finite}};
    if (!row.site->tied_to.empty()) site["tied_to"] = row.site->tied_to;
    sites.push_back(std::move(site));
  }
  // Sites and what belongs to none (biases and norms) make up the whole.
  Json sizes = Json::object(), others = Json::object();
  for (std::size_t f = 0; f < rows.front().bytes.size(); ++f) {
    const std::string& format = rows.front().bytes[f].first;
    const std::int64_t whole = stored_bytes(model.graph, uniform_recipe(model.graph, format));
    std::int64_t in_sites = 0;
    for (const SiteRow& row : rows) in_sites += static_cast<std::int64_t>(row.bytes[f].second);
    sizes[format] = whole;
    others[format] = whole - in_sites;
  }
  return {{"model", model.name},
          {"family", model.graph.family},
          {"parameters", model.graph.parameters},
          {"vocabulary", model.graph.vocabulary},
          {"context", model.graph.context},
          {"hash", model.checkpoint->hash()},
          {"bytes", std::move(sizes)},
          {"bias_and_norm_bytes", std::move(others)},
          {"sites", std::move(sites)}};
}

std::string size_text(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, bytes < 1024 * 1024 ? "%.1f KiB" : "%.1f MiB",
                bytes / (bytes < 1024 * 1024 ? 1024.0 : 1024.0 * 1024.0));
  return text;
}

std::string count_text(double count) {
  char text[32];
  std::snprintf(text, sizeof text, count < 1e6 ? "%.1f k" : "%.2f M", count / (count < 1e6 ? 1e3 : 1e6));
  return text;
}

std::string text_of(const Model& model, const std::vector<SiteRow>& rows) {
  const Graph& g = model.graph;
  std::string text = model.name + ": " + g.family + ", " + std::to_string(g.parameters) + " parameters, " +
                     std::to_string(g.layers) + " layers of width " + std::to_string(g.width) + ", vocabulary " +
                     std::to_string(g.vocabulary) + ", context " + std::to_string(g.context) + "\n";
  std::size_t longest = 4;
  for (const SiteRow& row : rows) longest = std::max(longest, row.site->id.size());
  char line[512];
  std::snprintf(line, sizeof line, "%-*s  %-9s  %-15s  %10s  %10s  %10s\n", static_cast<int>(longest), "site", "kind", "shape",
                "fp32", "flops/token", "read/token");
  text += line;
  double flops = 0, traffic = 0;
  for (const SiteRow& row : rows) {
    const WeightRef& w = row.site->weight;
    const std::string shape = std::to_string(w.out_features) + " x " + std::to_string(w.in_features);
    std::snprintf(
        line, sizeof line, "%-*s  %-9s  %-15s  %10s  %11s  %10s%s\n", static_cast<int>(longest), row.site->id.c_str(),
        std::string(name_of(row.site->kind)).c_str(), shape.c_str(),
        row.site->tied_to.empty() ? size_text(4.0 * static_cast<double>(w.out_features * w.in_features)).c_str() : "(tied)",
        count_text(row.flops_per_token).c_str(), size_text(row.bytes_per_token).c_str(),
        row.non_finite > 0 ? "  ! NaN or Inf" : "");
    text += line;
    flops += row.flops_per_token;
    traffic += row.bytes_per_token;
  }
  text += "All products, one token: " + count_text(flops) + "flops, " + size_text(traffic) + " read in fp32.\nStored:";
  for (const auto& format : formats())
    if (format.entry != nullptr)
      text += " " + std::string(format.name) + " " +
              size_text(static_cast<double>(stored_bytes(g, uniform_recipe(g, format.name)))) + ",";
  text.back() = '.';
  text += "\n";
  for (const SiteRow& row : rows)
    if (!row.site->tied_to.empty())
      text += row.site->id + " shares the weights of " + row.site->tied_to + ": they are stored, and counted, once.\n";
  if (model.random) return text + "Its weights are random: it can be timed, not judged.\n";
  return text + "Every tensor that config.json asks for is there, with the right shape.\n";
}

int run(const InspectCommand& command) {
  fetch_model(command.model);
  const Model model = open_model(command.model);
  std::vector<SiteRow> rows;
  for (const Site& site : model.graph.sites) rows.push_back(row_of(model, site));
  print(command.output.json ? json_of(model, rows).dump(2) + "\n" : text_of(model, rows));
  return 0;
}

}  // namespace

void define_inspect(CLI::App& app, Action& chosen) {
  auto command = std::make_shared<InspectCommand>();
  add_model_argument(app, command->model);
  add_output_options(app, command->output);
  app.callback([&chosen, command] { chosen = [command] { return run(*command); }; });
}

}  // namespace eaq
