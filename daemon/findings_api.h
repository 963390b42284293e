// The findings at the control socket: without keys and rows, which only a server can spell.
#pragma once

#include "checkpoint/checkpoint_reader.h"
#include "daemon/control_server.h"

namespace lockstep {

// GET {"findings": [{"id", "table", "kind", "state", ..}], "total": N}; ?table=, ?all=1, ?limit=.
inline constexpr const char* kFindingsPath = "/api/v1/findings";

ControlResponse answer_findings(const CheckpointReader& checkpoint, const ControlRequest& request);

}  // namespace lockstep
