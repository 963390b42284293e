#include "connectors/kafka/proof.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>

#include "connectors/kafka/ends.h"

namespace lockstep {
namespace {

StreamProof::Answer waiting(std::string what) {
  StreamProof::Answer answer;
  answer.waiting_for = std::move(what);
  return answer;
}

// Nothing will come until somebody has put that right.
StreamProof::Answer broken(std::string fault) {
  StreamProof::Answer answer = waiting(fault);
  answer.fault = std::move(fault);
  return answer;
}

StreamProof::Answer passed(bool exact) {
  StreamProof::Answer answer;
  answer.reached = true;
  answer.exact = exact;
  return answer;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

// Returns the setting, or `otherwise` when it is not set.
std::string_view setting(const std::map<std::string, std::string>& settings, const char* name,
                         std::string_view otherwise) {
  const auto found = settings.find(name);
  return found == settings.end() ? otherwise : std::string_view(found->second);
}

}  // namespace

std::vector<std::string> settings_that_void_proof(
    const std::map<std::string, std::string>& settings) {
  std::vector<std::string> voids;
  if (const auto mode = setting(settings, "lsn.flush.mode", "connector");
      !equals_ignoring_case(mode, "connector")) {
    voids.push_back(fmt::format("lsn.flush.mode is {}, must be connector", mode));
  }
  if (const auto tolerance = setting(settings, "errors.tolerance", "none");
      !equals_ignoring_case(tolerance, "none")) {
    voids.push_back(fmt::format("errors.tolerance is {}, must be none", tolerance));
  }
  if (const auto acks = setting(settings, "producer.override.acks", "all");
      acks != "all" && acks != "-1") {
    voids.push_back(fmt::format("producer.override.acks is {}, must be all", acks));
  }
  for (const auto& [name, value] : settings) {
    if (!name.starts_with("transforms.") || !name.ends_with(".type")) continue;
    if (value.ends_with("Filter") || value.ends_with("Filter$Key") ||
        value.ends_with("Filter$Value") || value.ends_with("ExtractNewRecordState")) {
      voids.push_back(fmt::format("transform {} drops records, must be removed", value));
    }
  }
  return voids;
}

Result<std::unique_ptr<KafkaProof>> KafkaProof::open(KafkaProofOptions options) {
  LOCKSTEP_ASSIGN(TopicPlan plan, plan_topics(options.topic_prefix, options.tables));
  KafkaOptions reader = options.kafka;
  reader.group_id.clear();
  LOCKSTEP_ASSIGN(auto client, KafkaClient::open(reader));
  std::optional<ConnectRest> rest;
  if (options.connect) {
    LOCKSTEP_ASSIGN(rest, ConnectRest::open(*options.connect));
  }
  return std::unique_ptr<KafkaProof>(
      new KafkaProof(std::move(options), std::move(plan), std::move(client), std::move(rest)));
}

KafkaProof::KafkaProof(KafkaProofOptions options, TopicPlan plan,
                       std::unique_ptr<KafkaClient> client, std::optional<ConnectRest> rest)
    : options_(std::move(options)),
      plan_(std::move(plan)),
      client_(std::move(client)),
      rest_(std::move(rest)) {
  for (const auto& [topic, use] : plan_) {
    for (std::int32_t i = 0; options_.streams.contains(stream_name(topic, i)); ++i)
      known_[topic] = i + 1;
  }
}

Result<StreamProof::Answer> KafkaProof::reached(Lsn lsn) {
  LOCKSTEP_ASSIGN(Answer answer, rest_ ? connector_reached(lsn) : slot_reached(lsn));
  if (!answer.reached) return answer;
  // Only now: a first event may have made its topic since the ends were last read.
  auto ended = with_ends(std::move(answer));
  if (ended || ended.error().reaction != Reaction::Retry) return ended;
  if (ended.error().exit == ExitCode::Permission) return broken(std::move(ended).error().message);
  const std::string problem = client_->problem();
  return broken(
      fmt::format("broker unreachable: {}", problem.empty() ? ended.error().message : problem));
}

Result<StreamProof::Answer> KafkaProof::with_ends(Answer answer) {
  LOCKSTEP_ASSIGN(const auto listed, client_->partition_counts(topics_of(plan_), options_.timeout));
  LOCKSTEP_ASSIGN(std::string lacks, unlisted(listed));
  if (!lacks.empty()) return waiting(std::move(lacks));
  LOCKSTEP_ASSIGN(auto ends, read_end_offsets(*client_, listed, options_.timeout));
  for (StreamEnd& end : ends) answer.ends.emplace_back(std::move(end.stream), end.end);
  return answer;
}

// Each table's topic is asked for once by its name: one that does not exist yet must be one that
// our user will be shown.
Result<std::string> KafkaProof::unlisted(const std::map<std::string, std::int32_t>& listed) {
  for (const auto& [topic, partitions] : listed) {
    std::int32_t& known = known_[topic];
    known = std::max(known, partitions);
  }
  const auto until = std::chrono::steady_clock::now() + options_.timeout;
  for (const auto& [topic, use] : plan_) {
    if (use.role != TopicRole::Table || known_.contains(topic)) continue;
    if (std::chrono::steady_clock::now() > until)
      return fmt::format("topic {} is not listed, and was not asked for by its name yet", topic);
    LOCKSTEP_ASSIGN(const std::int32_t partitions, client_->partitions_of(topic, options_.timeout));
    known_[topic] = partitions;
  }
  for (const auto& [topic, partitions] : known_) {
    const auto found = listed.find(topic);
    if (partitions > (found == listed.end() ? 0 : found->second))
      return fmt::format("topic {} is not listed with all of its {} partitions", topic, partitions);
  }
  return std::string();
}

Result<StreamProof::Answer> KafkaProof::connector_reached(Lsn lsn) {
  auto offsets = rest_->offsets();
  auto settings = rest_->config();  // After them: what it left out until then was in no topic.
  if (!settings) {
    if (settings.error().reaction != Reaction::Retry) return fail(std::move(settings).error());
    return broken(std::move(settings).error().message);
  }
  const std::string& connector = rest_->options().connector;
  // First: it notes what is left out, also by settings under which nothing is proven anyway.
  if (options_.judge) {
    LOCKSTEP_ASSIGN(const std::string unfit, options_.judge(*settings));
    if (!unfit.empty()) return broken(fmt::format("connector {}: {}", connector, unfit));
  }
  if (const auto voids = settings_that_void_proof(*settings); !voids.empty()) {
    return broken(fmt::format("connector {} cannot prove what it has delivered: {}", connector,
                              fmt::join(voids, "; ")));
  }
  if (!offsets) {
    // Connect before Kafka 3.5 has no offsets over REST; a missing connector answers status with
    // 404 too.
    if (offsets.error().code == "404" && rest_->status()) return slot_reached(lsn);
    if (offsets.error().reaction != Reaction::Retry) return fail(std::move(offsets).error());
    return broken(std::move(offsets).error().message);
  }
  const auto ours = std::ranges::find(*offsets, options_.topic_prefix, &ConnectorOffset::server);
  if (ours == offsets->end() && !offsets->empty()) {
    return broken(fmt::format("connector {} writes topics of prefix {}, not {}", connector,
                              offsets->front().server, options_.topic_prefix));
  }
  if (ours == offsets->end() || !ours->lsn_commit) {
    return not_there_yet(fmt::format("connector {} has committed nothing yet, waiting for {}",
                                     connector, lsn_text(lsn)));
  }
  if (*ours->lsn_commit >= lsn) {
    LOCKSTEP_TRY(source_reaches(*ours->lsn_commit));
    return passed(true);
  }
  return not_there_yet(fmt::format("connector {} has committed {}, waiting for {}", connector,
                                   lsn_text(*ours->lsn_commit), lsn_text(lsn)));
}

// What was read of a log that was put back since says nothing about the log that there is now.
Status KafkaProof::source_reaches(Lsn committed) {
  LOCKSTEP_ASSIGN(const Lsn end, options_.end_of_log());
  if (committed <= end) return {};
  return fail(
      Reaction::Halt,
      fmt::format("the source's log ends at {}, before {}, up to which it was read already: "
                  "it was restored from a backup; begin the migration anew",
                  lsn_text(end), lsn_text(committed)));
}

Result<StreamProof::Answer> KafkaProof::slot_reached(Lsn lsn) {
  LOCKSTEP_ASSIGN(const std::optional<Lsn> flushed, options_.confirmed_flush());
  if (!flushed) return waiting(fmt::format("slot {} has no confirmed position yet", options_.slot));
  if (*flushed >= lsn) {
    LOCKSTEP_TRY(source_reaches(*flushed));
    return passed(false);
  }
  return waiting(fmt::format("slot {} is confirmed up to {}, waiting for {}", options_.slot,
                             lsn_text(*flushed), lsn_text(lsn)));
}

// `progress` says where the connector stands; one that stands still is named with what to do.
Result<StreamProof::Answer> KafkaProof::not_there_yet(const std::string& progress) {
  const auto status = rest_->status();
  if (!status) return broken(status.error().message);
  const auto fault = connector_fault(*status, rest_->options());
  if (!fault) return waiting(progress);
  if (!fault->failed) return broken(fault->text());
  if (const Status restarted = rest_->restart_failed(); !restarted)
    return fail(Reaction::Retry, fmt::format("{} ({})", fault->text(), restarted.error().message));
  return fail(Reaction::Retry, fault->text());
}

}  // namespace lockstep
