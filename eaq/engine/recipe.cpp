// Recipes: uniform ones from a format's name, and those read from eaq.recipe/1.
#include <algorithm>
#include <numeric>

#include "eaq/base/json.h"
#include "eaq/engine/engine.h"

namespace eaq {
namespace {

constexpr std::string_view head_suffix = "+head";
constexpr std::string_view schema = "eaq.recipe/1";

// Levenshtein distance, to offer the nearest name for a mistyped one.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, change}));
    }
  }
  return row[b.size()];
}

std::string nearest_site(const Graph& graph, std::string_view wanted) {
  std::string best;
  std::size_t least = std::string::npos;
  for (const Site& site : graph.sites)
    for (const std::string& name : site.names)
      if (const std::size_t d = distance(wanted, name); d < least) least = d, best = name;
  return best;
}

bool covered(const Site& site, const FormatTraits& traits, bool with_head) {
  if (traits.everything) return true;
  if (site.kind == StepKind::linear) return true;
  // Positions are a small table that is added, not multiplied: they stay in the base format.
  const bool positions = site.kind == StepKind::embedding && site.id.find("position") != std::string::npos;
  return with_head && !positions && site.id.find("wpe") == std::string::npos;
}

std::size_t vector_bytes(std::string_view base) { return format_named(base).traits().storage == "fp32" ? 4 : 2; }

}  // namespace

const std::string& Recipe::format_of(std::string_view site) const {
  const auto it = sites.find(std::string(site));
  return it == sites.end() ? base : it->second;
}

Recipe uniform_recipe(const Graph& graph, std::string_view name, std::string_view base) {
  const bool with_head = name.ends_with(head_suffix);
  const std::string format(with_head ? name.substr(0, name.size() - head_suffix.size()) : name);
  const FormatTraits& traits = format_named(format).traits();
  if (with_head && traits.everything)
    throw Error(ErrorKind::usage, std::string(name) + ": " + format + " covers the head already");
  Recipe recipe;
  recipe.name = name;
  recipe.base = traits.everything ? format : std::string(base);
  if (!format_named(recipe.base).traits().everything)
    throw Error(ErrorKind::usage, "--base " + recipe.base + ": the base format must be one that holds everything");
  for (const Site& site : graph.sites)
    if (covered(site, traits, with_head) && format != recipe.base) recipe.sites[site.id] = format;
  return recipe;
}

Recipe read_recipe(const Graph& graph, const std::filesystem::path& path) {
  const Json json = read_json(path);
  const std::string name = printable(path.string());
  const auto fail = [&](const std::string& what) { throw Error(ErrorKind::input, name + ": " + what); };
  if (!json.is_object()) fail("a recipe is a JSON object");
  for (const auto& [key, value] : json.items())
    if (key != "schema" && key != "default" && key != "sites" && key != "kv_cache" && key != "name")
      fail("unknown key '" + printable(key) + "'");
  if (const auto found = get<std::string>(json, "schema", name); found != schema)
    fail("schema is '" + printable(found) + "', this version reads " + std::string(schema));

  const auto format_checked = [&](const std::string& format, const std::string& where) {
    if (find_entry(formats(), format) == nullptr)
      fail(where + ": no format is called '" + printable(format) + "' (there are: " + names_of(formats()) + ")");
    return format;
  };
  Recipe recipe;
  recipe.name = get_or<std::string>(json, "name", name, path.stem().string());
  recipe.base = format_checked(get_or<std::string>(json, "default", name, "fp32"), "default");
  // A default that covers the blocks only (int8) means what the short name means.
  if (!format_named(recipe.base).traits().everything) {
    Recipe uniform = uniform_recipe(graph, recipe.base);
    recipe.base = uniform.base;
    recipe.sites = std::move(uniform.sites);
  }
  recipe.kv_cache = get_or<std::string>(json, "kv_cache", name, "");
  if (!recipe.kv_cache.empty() && recipe.kv_cache != "fp32" && recipe.kv_cache != "bf16" && recipe.kv_cache != "fp16")
    fail("kv_cache: '" + printable(recipe.kv_cache) + "' is not supported (fp32, bf16, fp16 are)");

  std::map<std::string, std::pair<std::string, std::string>> chosen;  // site id -> (name used, format)
  if (json.contains("sites")) {
    if (!json["sites"].is_object()) fail("'sites' must be an object of site: format");
    for (const auto& [key, value] : json["sites"].items()) {
      const Site* site = graph.site(key);
      if (site == nullptr)
        fail("the model has no site '" + printable(key) + "'; the nearest is '" + nearest_site(graph, key) + "'");
      if (!value.is_string()) fail("site '" + key + "': the format must be a string");
      const std::string format = format_checked(value.get<std::string>(), "site '" + key + "'");
      const auto [it, fresh] = chosen.try_emplace(site->id, key, format);
      if (!fresh && it->second.second != format)
        fail("'" + it->second.first + "' and '" + key + "' are one fused product: they must have the same format, not " +
             it->second.second + " and " + format);
    }
  }
  for (const auto& [id, choice] : chosen) {
    const Site& site = *graph.site(id);
    // Naming q alone leaves k and v at the default, and the three are one product.
    if (choice.first != id && choice.second != recipe.format_of(id) && !json["sites"].contains(id))
      for (const std::string& member : site.names)
        if (!json["sites"].contains(member))
          fail("'" + choice.first + "' is one fused product with '" + member + "', which is left at " + recipe.format_of(id) +
               ": name both, or '" + id + "'");
    if (choice.second == recipe.base)
      recipe.sites.erase(id);
    else
      recipe.sites[id] = choice.second;
  }
  return recipe;
}

std::string recipe_json(const Recipe& recipe) {
  Json json = {{"schema", schema}, {"name", recipe.name}, {"default", recipe.base}, {"sites", Json::object()}};
  for (const auto& [site, format] : recipe.sites) json["sites"][site] = format;
  if (!recipe.kv_cache.empty()) json["kv_cache"] = recipe.kv_cache;
  return json.dump();
}

std::int64_t stored_bytes(const Graph& graph, const Recipe& recipe) {
  std::size_t bytes = 0;
  std::int64_t vectors = graph.parameters;  // biases and norms: what no weight accounts for
  for (const Site& site : graph.sites) {
    const std::string& format = recipe.format_of(site.id);
    const WeightRef& w = site.weight;
    if (site.tied_to.empty()) vectors -= w.out_features * w.in_features;
    // A tied head in its embedding's format is the same bytes; in another it is a copy.
    if (!site.tied_to.empty() && recipe.format_of(site.tied_to) == format) continue;
    bytes += format_named(format).stored_bytes(w.out_features, w.in_features);
  }
  return static_cast<std::int64_t>(bytes + static_cast<std::size_t>(vectors) * vector_bytes(recipe.base));
}

}  // namespace eaq
