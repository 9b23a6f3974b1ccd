#include "eaq/profile/findings.h"

namespace eaq {

void conclude(Profile& profile) {
  profile.roofline = fit_roofline(profile.sites, profile.run.energy ? profile.run.energy->idle_power_W : std::nullopt);
  profile.correlations = correlate(profile.sites);
  profile.guidelines = guidelines(profile);
  profile.claims = compare_with_original(profile);
}

}  // namespace eaq
