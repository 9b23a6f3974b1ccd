// What a PackedModel holds, for the engine's own files.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "eaq/engine/engine.h"

namespace eaq {

struct PackedModel::State {
  Graph graph;
  Recipe recipe;
  Device device;
  std::map<std::string, std::shared_ptr<const Product>> products;            ///< by site
  std::map<std::string, Table> tables;                                       ///< embeddings, by site
  std::map<std::string, std::shared_ptr<const std::vector<float>>> vectors;  ///< biases by site; norms' parameters by tensor name
  mutable KernelNames attention;                                             ///< what ran; sessions tell
};

}  // namespace eaq
