#include "pipeline/ports/meters.h"

#include <algorithm>
#include <utility>

namespace lockstep {

Histogram::Histogram(std::span<const double> bounds)
    : bounds_(bounds), counts_(bounds.size() + 1) {}

void Histogram::Gathered::add(double value, std::uint64_t times) {
  const auto bound = std::ranges::lower_bound(bounds_, value);
  counts_[static_cast<std::size_t>(bound - bounds_.begin())] += times;
  sum_ += value * static_cast<double>(times);
}

void Histogram::add(const Gathered& gathered) {
  for (std::size_t i = 0; i < counts_.size(); ++i)
    if (gathered.counts_[i] != 0) counts_[i].add(gathered.counts_[i]);
  sum_.fetch_add(gathered.sum_, std::memory_order_relaxed);
}

void Histogram::add(double value) {
  Gathered one(*this);
  one.add(value, 1);
  add(one);
}

Histogram::Sums Histogram::read() const {
  Sums sums{bounds_, {}, sum_.load(std::memory_order_relaxed)};
  std::uint64_t all = 0;
  for (const Counter& count : counts_) sums.up_to.push_back(all += count.value());
  return sums;
}

void NamedCounter::add(std::string_view first, std::string_view second) {
  constexpr std::size_t kMost = 100;
  const MutexLock lock(mutex_);
  Names names{first, second};
  if (values_.size() >= kMost && !values_.contains(names)) names.second = "other";
  ++values_[std::move(names)];
}

std::map<NamedCounter::Names, std::uint64_t> NamedCounter::values() const {
  const MutexLock lock(mutex_);
  return values_;
}

std::string_view worker_text(Worker worker) {
  switch (worker) {
    case Worker::Source:
      return "source";
    case Worker::Lane:
      return "lane";
    case Worker::Scan:
      return "scan";
    case Worker::Debts:
      return "debts";
    case Worker::Probe:
      return "probe";
    case Worker::Sweep:
      return "sweep";
    case Worker::Supervisor:
      return "supervisor";
  }
  return "unknown";
}

TableMeters& Meters::table(const std::string& name) {
  const MutexLock lock(mutex_);
  return tables_[name];
}

std::vector<std::pair<std::string, const TableMeters*>> Meters::tables() const {
  const MutexLock lock(mutex_);
  std::vector<std::pair<std::string, const TableMeters*>> all;
  for (const auto& [name, table] : tables_) all.emplace_back(name, &table);
  return all;
}

std::vector<std::string> Meters::more_aside(std::map<std::string, std::uint64_t> now) {
  const MutexLock lock(mutex_);
  std::vector<std::string> more;
  for (const auto& [table, rows] : now) {
    const auto before = aside_.find(table);
    if (rows > (before == aside_.end() ? 0 : before->second)) more.push_back(table);
  }
  aside_ = std::move(now);
  return more;
}

}  // namespace lockstep
