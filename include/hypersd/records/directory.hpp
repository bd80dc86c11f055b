// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <hypersd/dist/group.hpp>
#include <hypersd/io/file.hpp>
#include <hypersd/io/json_fields.hpp>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hypersd::records {

/// The options that decide a run's results, by name, as text. Leave out what does not (threads, verbosity).
using RunOptions = std::vector<std::pair<std::string, std::string>>;

/// What to do with a folder that holds a run already.
enum class Existing {
  refuse,   ///< OptionError
  resume,   ///< continue it; a folder without a run gets a new one
  replace,  ///< remove its state and start again
};

namespace detail {

/// An exclusive lock on a file for the life of the object. The system drops it when the process ends, however.
class FileLock {
 public:
  /// Throws IoError naming `folder` and, if known, the process that holds the lock, or if `path` is a link or no file.
  FileLock(const std::string& path, const std::string& folder) : file_(io::open_for_writing(path, O_RDWR | O_CREAT)) {
    if (::flock(file_.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) fail<IoError>("cannot lock ", io::in_quotes(path), ": ", io::system_reason(errno));
      std::string owner(32, '\0');
      owner.resize(io::read_at(file_, owner.data(), owner.size(), 0, path));
      owner.resize(std::min(owner.find_first_not_of("0123456789"), owner.size()));
      fail<IoError>("run folder ", io::in_quotes(folder), " is in use by another process",
                    owner.empty() ? "" : " (" + owner + ")");
    }
    const std::string me = std::to_string(::getpid()) + "\n";
    if (::ftruncate(file_.get(), 0) != 0)
      fail<IoError>("cannot write ", io::in_quotes(path), ": ", io::system_reason(errno));
    io::write_all(file_, me.data(), me.size(), path);
  }

 private:
  io::FileHandle file_;
};

}  // namespace detail

/// A run's folder: `run.json` (options and finished phases), `state/PHASE.safetensors` (checkpoints), `logs/PHASE.csv`
/// and `.jsonl` (loss curves), and whatever the program puts beside them. One process at a time, or one group of them:
/// rank 0 then holds the folder and writes it, and the others know what it knows.
class RunDirectory {
 public:
  /// Opens or creates the folder. Throws IoError if it cannot be written or another process uses it, OptionError if it
  /// holds a run with other options (naming the first) or `existing` forbids one, FormatError for a damaged run.json.
  /// With several processes in `group` all of them call it.
  RunDirectory(std::string folder, RunOptions options, Existing existing = Existing::refuse, dist::Group group = {})
      : folder_(std::move(folder)), options_(std::move(options)), group_(group) {
    for (const auto& [name, value] : options_)
      require<OptionError>(io::valid_utf8(name) && io::valid_utf8(value), "option ", io::in_quotes(name), " = ",
                           io::in_quotes(value), " is not valid UTF-8, so run.json cannot hold it");
    group_.on_root([&] { open(existing); });
    if (group_.size() == 1) return;
    resumed_ = group_.shared(resumed_);
    const std::string text = group_.shared(group_.root() ? run_json() : "");
    if (!group_.root()) parse(text);
  }

  [[nodiscard]] const std::string& folder() const { return folder_; }
  /// True if the folder held this run before.
  [[nodiscard]] bool resumed() const { return resumed_; }
  [[nodiscard]] const RunOptions& options() const { return options_; }

  /// Path of `name` in the folder.
  [[nodiscard]] std::string file(const std::string& name) const {
    return (std::filesystem::path(folder_) / name).string();
  }
  /// Path of a phase's checkpoint.
  [[nodiscard]] std::string checkpoint(const std::string& phase) const {
    return file("state/" + file_name(phase) + ".safetensors");
  }
  /// Name of a phase's loss curve for `LossLog`: the path without `.csv`.
  [[nodiscard]] std::string loss_log(const std::string& phase) const { return file("logs/" + file_name(phase)); }

  /// Phases that are done, in order.
  [[nodiscard]] std::vector<std::string> phases() const {
    std::vector<std::string> out;
    for (const Phase& p : done_) out.push_back(p.name);
    return out;
  }
  [[nodiscard]] bool done(const std::string& phase) const { return find(phase) != nullptr; }
  /// Marks a phase as done, with facts to remember (a metric, a duration), durable on return. Its results must be in
  /// their files before. A phase marked again gets the new facts. All processes of a group call it.
  void mark_done(const std::string& phase, std::map<std::string, std::string> facts = {}) {
    const Phase* known = find(phase);
    if (known == nullptr)
      done_.push_back({phase, std::move(facts)});
    else
      done_[static_cast<std::size_t>(known - done_.data())].facts = std::move(facts);
    group_.on_root([&] { save(); });
  }
  /// A fact of a finished phase, or `fallback`.
  [[nodiscard]] std::string fact(const std::string& phase, const std::string& key, std::string fallback = "") const {
    const Phase* p = find(phase);
    if (p == nullptr) return fallback;
    const auto it = p->facts.find(key);
    return it == p->facts.end() ? fallback : it->second;
  }

  /// Keeps in recipe.json what the run is composed of, an entry for each of the `parts`. Throws OptionError if a
  /// resumed run was composed otherwise, naming the first part that differs, FormatError for a damaged file. All
  /// processes of a group call it.
  void keep_recipe(const std::vector<std::string>& parts, const io::Json::Array& entries) const {
    const std::string path = file("recipe.json");
    if (resumed_ && std::filesystem::exists(path)) {
      const io::Json json = io::read_json(path);
      const auto* then = json.as<io::Json::Array>();
      require<FormatError>(then != nullptr, "file ", io::in_quotes(path), " is no recipe");
      // As text: 1.0 is read back as the whole number 1.
      for (std::size_t i = 0; i < std::max(entries.size(), then->size()); ++i)
        require<OptionError>(i < entries.size() && i < then->size() && entries[i].str() == (*then)[i].str(), "folder ",
                             io::in_quotes(folder_), " holds the run of another recipe: part ", i + 1,
                             i < parts.size() ? " ('" + parts[i] + "')" : "", " differs");
    }
    group_.on_root([&] { io::atomic_write(path, io::Json(entries).str(1) + "\n"); });
  }

  /// A phase's name as a file name: letters, digits, `.`, `_` stay, runs of other characters become one `-`.
  static std::string file_name(const std::string& phase) {
    std::string out;
    for (const char c : phase) {
      const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_';
      if (plain && !(c == '.' && out.empty()))
        out += c;
      else if (!out.empty() && out.back() != '-')
        out += '-';
    }
    while (!out.empty() && out.back() == '-') out.pop_back();
    require<OptionError>(!out.empty(), "phase ", io::in_quotes(phase), " has no letter or digit for a file name");
    return out;
  }

 private:
  using Texts = std::map<std::string, std::string>;
  struct Phase {
    std::string name;
    Texts facts;
  };
  static constexpr std::int64_t run_format = 1;  ///< of run.json

  [[nodiscard]] const Phase* find(const std::string& phase) const {
    for (const Phase& p : done_)
      if (p.name == phase) return &p;
    return nullptr;
  }
  void open(Existing existing) {
    io::ensure_writable_folder(folder_);
    lock_.emplace(file(".lock"), folder_);
    std::error_code ignored;
    const bool there = std::filesystem::exists(file("run.json"), ignored);
    require<OptionError>(!there || existing != Existing::refuse, "folder ", io::in_quotes(folder_),
                         " holds a run already: resume it, remove the folder, or choose another");
    // What a kill during `clear`, or a user who removed run.json, has left: nothing says which options made it.
    const bool orphaned = !there && (!empty(file("state")) || !empty(file("logs")));
    require<OptionError>(
        !orphaned || existing == Existing::replace, "folder ", io::in_quotes(folder_),
        " has files of a run in state/ or logs/ but no run.json: remove both, or choose another folder");
    if ((there || orphaned) && existing == Existing::replace) clear();
    resumed_ = there && existing == Existing::resume;
    if (resumed_) parse(io::read_file(file("run.json")));
    io::ensure_writable_folder(file("state"));
    io::ensure_writable_folder(file("logs"));
    if (!resumed_) save();
  }
  /// Whether `folder` has no file but those of interrupted writes, whose names begin with a dot.
  static bool empty(const std::string& folder) {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(folder, ignored))
      if (!entry.path().filename().string().starts_with('.')) return false;
    return true;
  }
  void clear() const {
    std::error_code code;
    for (const char* name : {"run.json", "state", "logs"}) {
      std::filesystem::remove_all(file(name), code);
      if (code) fail<IoError>("cannot remove ", io::in_quotes(file(name)), ": ", code.message());
    }
  }
  [[nodiscard]] std::string run_json() const {
    const auto object = [](const auto& texts) { return io::Json::Object(texts.begin(), texts.end()); };
    io::Json::Array done;
    for (const Phase& p : done_) done.push_back(io::Json::Object{{"phase", p.name}, {"facts", object(p.facts)}});
    const io::Json json = io::Json::Object{{"format", run_format}, {"options", object(options_)}, {"done", done}};
    return json.str(2) + "\n";
  }
  void save() const { io::atomic_write(file("run.json"), run_json()); }
  /// Takes finished phases from run.json's `text` and compares its options with this run's.
  void parse(const std::string& text) {
    const std::string path = "run file " + io::in_quotes(file("run.json")),
                      damaged = path + " is damaged (repair it, or remove the folder to begin again)";
    const auto json = io::Json::parse(text, damaged);
    require<FormatError>(json.member<std::int64_t>("format", damaged) == run_format, path,
                         " is of an unknown version; another version of the library wrote it");
    const auto texts = [&](const io::Json& object, const char* name) {
      Texts out;
      for (const auto& [key, value] : object.member<io::Json::Object>(name, damaged)) {
        require<FormatError>(value.as<std::string>() != nullptr, damaged, ": '", key, "' is no text");
        out.emplace(key, *value.as<std::string>());
      }
      return out;
    };
    for (const io::Json& entry : json.member<io::Json::Array>("done", damaged))
      done_.push_back({entry.member<std::string>("phase", damaged), texts(entry, "facts")});
    Texts then = texts(json, "options");
    const std::string where = "folder " + io::in_quotes(folder_) + " holds a run with other options: ";
    for (const auto& [name, value] : options_) {
      const auto it = then.find(name);
      require<OptionError>(it != then.end(), where, name, " was not set and is ", io::in_quotes(value), " now");
      require<OptionError>(it->second == value, where, name, " was ", io::in_quotes(it->second), " and is ",
                           io::in_quotes(value), " now");
      then.erase(it);
    }
    if (!then.empty())
      fail<OptionError>(where, then.begin()->first, " was ", io::in_quotes(then.begin()->second),
                        " and is not set now");
  }

  std::string folder_;
  RunOptions options_;
  dist::Group group_;
  std::optional<detail::FileLock> lock_;
  std::vector<Phase> done_;
  bool resumed_ = false;
};

}  // namespace hypersd::records
