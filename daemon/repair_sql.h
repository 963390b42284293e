// The SQL that would make a row of the target equal, for people: what lockstep itself does is to
// read the row from the source once more.
#pragma once

#include <string>

#include "daemon/key_text.h"
#include "pipeline/ports/verified.h"

namespace lockstep {

// One statement.  Waits for both servers; a comment that says why where there is no statement.
std::string repair_sql(const Finding& finding, KeyTexts& texts);

}  // namespace lockstep
