// Profiles made up for tests of what is read from them; for the tests of this folder.
#pragma once

#include <string>

#include "eaq/profile/findings.h"

namespace eaq::profile_testing {

inline Figure figure(double mean, double half) { return {mean, {{mean - half, mean + half}}, {}}; }

inline SiteRecord row(const std::string& site, const std::string& kind, std::int64_t parameters = 0) {
  SiteRecord s{site, kind, "fp32"};
  s.parameters = parameters;
  return s;
}

inline ImpactRecord kl(double mean, double half) {
  ImpactRecord impact;
  impact.n = 10000;
  impact.kl = figure(mean, half);
  return impact;
}

/// The rows of a GPT-2 of `layers`, without figures.
inline Profile gpt2(int layers) {
  Profile p;
  p.run.model = "gpt2";
  p.run.task = "wikitext2";
  p.sites = {row("transformer.wte", "embedding", 1000), row("transformer.wpe", "embedding", 100)};
  for (int i = 0; i < layers; ++i) {
    const std::string h = "transformer.h." + std::to_string(i) + ".";
    p.sites.push_back(row(h + "ln_1", "norm"));
    p.sites.push_back(row(h + "attn.c_attn", "linear", 3000000));
    p.sites.push_back(row(h + "attn", "attention"));
    p.sites.push_back(row(h + "attn.residual", "residual"));
    p.sites.push_back(row(h + "mlp.c_fc", "linear", 4000000));
    p.sites.push_back(row(h + "mlp.act", "activation"));
    p.sites.push_back(row(h + "mlp.c_proj", "linear", 4000000));
  }
  p.sites.push_back(row("lm_head", "head", 50000000));
  return p;
}

}  // namespace eaq::profile_testing
