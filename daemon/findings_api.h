// The findings at the control socket: without keys and rows, which only a server can spell.
#pragma once

#include <functional>
#include <string>

#include "checkpoint/checkpoint_reader.h"
#include "daemon/control_server.h"

namespace lockstep {

// GET {"findings": [{"id", "table", "kind", "state", ..}], "total": N}; ?table=, ?all=1, ?limit=.
inline constexpr const char* kFindingsPath = "/api/v1/findings";

// `is_table`: whether there is a table of that name; where a query names none it is not asked.
ControlResponse answer_findings(const CheckpointReader& checkpoint, const ControlRequest& request,
                                const std::function<bool(const std::string& table)>& is_table);

}  // namespace lockstep
