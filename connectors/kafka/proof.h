// KafkaProof: proof that everything committed before an LSN is in Kafka, and where its topics then
// end (V3).
//
// Exact: Connect's REST interface says that every record up to lsn_commit >= L was acknowledged.
// Near: the slot's confirmed_flush_lsn >= L.  An answer only after that is followed by fresh ends
// of all topics, those included that have appeared since.  A topic that a broker does not list
// proves nothing: one that starts up forgets some for a moment, and none lists what our user may
// not see.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "connectors/connect/rest.h"
#include "connectors/kafka/client.h"
#include "connectors/kafka/topics.h"
#include "pipeline/base/result.h"
#include "pipeline/ports/proof.h"

namespace lockstep {

struct KafkaProofOptions {
  KafkaOptions kafka;
  std::string topic_prefix;
  std::vector<KafkaTable> tables;
  std::set<std::string> streams;          // Of which there is progress: "topic/partition".
  std::optional<ConnectOptions> connect;  // Nothing: only the near-proof is possible.
  std::string slot;                       // The connector's, for messages.
  // The slot's confirmed_flush_lsn; nothing while it is null.
  std::function<Result<std::optional<Lsn>>()> confirmed_flush;
  std::function<Result<Lsn>()> end_of_log;  // Of the source, now.
  std::chrono::milliseconds timeout{5000};  // Of asking the broker.
  // Why what a connector with these settings has delivered proves nothing; "": it does.
  std::function<Result<std::string>(const std::map<std::string, std::string>& settings)> judge;
};

// Proof thread only.
class KafkaProof : public StreamProof {
 public:
  // Halt with exit code Config for wrong settings.  Waits for nothing.
  static Result<std::unique_ptr<KafkaProof>> open(KafkaProofOptions options);

  // Waits for Connect and the broker, each for its timeout at most.  Both being away is an Answer
  // that waits; an error is what only the operator can change, also (Retry) a connector that
  // has failed.  Halt (I16) when more was read than
  // the source's log holds: it was restored.
  Result<Answer> reached(Lsn lsn) override;

 private:
  KafkaProof(KafkaProofOptions options, TopicPlan plan, std::unique_ptr<KafkaClient> client,
             std::optional<ConnectRest> rest);

  // Whether the connector has passed `lsn`; else why not.  Sets exact.
  Result<Answer> connector_reached(Lsn lsn);
  Result<Answer> slot_reached(Lsn lsn);
  Status source_reaches(Lsn committed);
  Result<Answer> not_there_yet(const std::string& progress);
  // The ends of all topics; or that one is not listed that exists, or may exist.
  Result<Answer> with_ends(Answer answer);
  Result<std::string> unlisted(const std::map<std::string, std::int32_t>& listed);

  const KafkaProofOptions options_;
  const TopicPlan plan_;
  std::unique_ptr<KafkaClient> client_;
  std::optional<ConnectRest> rest_;
  // Partitions that are known to exist, by topic; 0: the topic may be seen once it exists.
  std::map<std::string, std::int32_t> known_;
};

// The settings of a connector under which its offsets prove nothing, each as one sentence.
std::vector<std::string> settings_that_void_proof(
    const std::map<std::string, std::string>& settings);

}  // namespace lockstep
