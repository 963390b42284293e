// Whether both servers have a table's keys in one order, which is that of their indexes.
//
// What is not known to be one order is taken for two: a comparison of two orders costs more, and is
// as exact (reconcile/range_book.h).  The reverse would be slow, no more.
#pragma once

#include <string>

#include "pipeline/model/table.h"

namespace lockstep {

// Why keys of the table may stand in another order on the target than on the source, for people;
// "": they do not.
std::string why_two_orders(const TableMap& map);

}  // namespace lockstep
