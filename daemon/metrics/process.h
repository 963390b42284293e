// What the kernel says of this process, for /metrics.
#pragma once

#include "daemon/metrics/families.h"

namespace lockstep {

// Adds process_...; what /proc does not tell is left out.
void add_process(MetricFamilies& families);

}  // namespace lockstep
