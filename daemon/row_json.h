// Renders what is known of one row: JSON, and text for people.
#pragma once

#include <string>

#include "daemon/key_text.h"
#include "daemon/quarantine.h"
#include "daemon/row_verdict.h"

namespace lockstep {

// `explain-row --format json`, one document.  Waits for both servers, who render key and values.
std::string row_json(const RowFacts& row, const RowVerdict& verdict, KeyTexts& texts,
                     ShowValues values);

// The document for people, several lines, the verdict last.
std::string row_text(const std::string& document);

}  // namespace lockstep
