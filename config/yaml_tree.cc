#include "config/yaml_tree.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <map>
#include <sstream>
#include <utility>

namespace lockstep {
namespace {

Where where_of(const YAML::Mark& mark) {
  if (mark.is_null()) return {};
  return {mark.line + 1, mark.column + 1};
}

std::size_t count_nodes(const YamlNode& node) {
  std::size_t count = 1;
  for (const YamlNode& item : node.items) count += count_nodes(item);
  for (const YamlEntry& entry : node.entries) {
    count += count_nodes(entry.key) + count_nodes(entry.value);
  }
  return count;
}

// Builds the tree from yaml-cpp's events.
class TreeBuilder : public YAML::EventHandler {
 public:
  YamlNode take_root() { return std::move(root_); }
  const std::vector<YamlError>& errors() const { return errors_; }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add({YamlKind::Null, {}, false, where_of(mark), {}, {}}, anchor);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    // yaml-cpp marks a quoted scalar by the tag "!".
    add({YamlKind::Scalar, value, tag == "!", where_of(mark), {}, {}}, anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto known = anchors_.find(anchor);
    if (known == anchors_.end()) {
      fail(where_of(mark), "an alias to something that is not complete yet", "");
      add({YamlKind::Null, {}, false, where_of(mark), {}, {}}, 0);
      return;
    }
    nodes_ += count_nodes(known->second);
    if (full(where_of(mark))) return;
    YamlNode copy = known->second;
    copy.where = where_of(mark);
    add(std::move(copy), 0);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open({YamlKind::List, {}, false, where_of(mark), {}, {}}, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open({YamlKind::Map, {}, false, where_of(mark), {}, {}}, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    YamlNode node;
    YAML::anchor_t anchor;
    bool has_key = false;  // Of a map: `key` waits for its value.
    YamlNode key;
  };

  void fail(Where where, std::string text, std::string hint) {
    if (errors_.empty()) errors_.push_back({where, std::move(text), std::move(hint)});
  }

  bool full(Where where) {
    if (nodes_ <= kYamlNodesMax) return false;
    fail(where, fmt::format("more than {} values", kYamlNodesMax),
         "write it without anchors and aliases");
    return true;
  }

  void open(YamlNode node, YAML::anchor_t anchor) {
    if (stack_.size() >= kYamlDepthMax) {
      fail(node.where, fmt::format("nested deeper than {} levels", kYamlDepthMax), "");
    }
    stack_.push_back({std::move(node), anchor, false, {}});
  }

  void close() {
    Open done = std::move(stack_.back());
    stack_.pop_back();
    add(std::move(done.node), done.anchor);
  }

  void add(YamlNode node, YAML::anchor_t anchor) {
    ++nodes_;
    if (full(node.where)) return;
    if (anchor != 0) anchors_[anchor] = node;
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = stack_.back();
    if (parent.node.kind == YamlKind::List) {
      parent.node.items.push_back(std::move(node));
    } else if (parent.has_key) {
      parent.node.entries.push_back({std::move(parent.key), std::move(node)});
      parent.has_key = false;
    } else {
      parent.key = std::move(node);
      parent.has_key = true;
    }
  }

  YamlNode root_;
  std::vector<Open> stack_;
  std::map<YAML::anchor_t, YamlNode> anchors_;
  std::vector<YamlError> errors_;
  std::size_t nodes_ = 0;
};

}  // namespace

YamlNode parse_yaml(const std::string& text, std::vector<YamlError>& errors) {
  std::istringstream stream(text);
  TreeBuilder builder;
  try {
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) return {};
    TreeBuilder rest;
    if (parser.HandleNextDocument(rest)) {
      errors.push_back({rest.take_root().where, "a second document", "one file is one migration"});
    }
    errors.insert(errors.end(), builder.errors().begin(), builder.errors().end());
    return errors.empty() ? builder.take_root() : YamlNode{};
  } catch (const YAML::Exception& exception) {
    errors.push_back({where_of(exception.mark), "not valid YAML: " + exception.msg,
                      "indent with blanks, and quote text that holds ': ' or ' #'"});
    return {};
  }
}

}  // namespace lockstep
