// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/pipeline/phase.hpp>
#include <set>
#include <tuple>

namespace hypersd::pipeline {

/// The whole method as a type: parts in order, each of which starts from what the part before left behind.
///
///   Recipe recipe(staged("tscd", {8, 4, 2, 1}, ...), part(feedback), part(one_step));
///   const auto state = recipe.run(session, teacher);
///
/// Every part is phases of the session: they are resumed, or skipped if they are finished. `recipe.json` in the
/// folder says what was composed.
template <class... Parts>
class Recipe {
 public:
  static_assert(sizeof...(Parts) > 0, "a recipe needs at least one part");
  /// Throws OptionError if two parts have the same name, or two phases the same files.
  explicit Recipe(Parts... parts) : parts_(std::move(parts)...) {
    std::set<std::string> names, files;
    for_each([&](const auto& part) {
      require<OptionError>(!part.name.empty() && names.insert(part.name).second, "recipe: two parts called '",
                           part.name, "'");
      for (const auto& phase : part.phases)
        require<OptionError>(files.insert(records::RunDirectory::file_name(phase.name)).second,
                             "recipe: two phases called '", phase.name, "'");
    });
  }

  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> out;
    for_each([&](const auto& part) { out.push_back(part.name); });
    return out;
  }
  /// The composition: a list of parts, each with its name and what it says of itself, or that it is skipped.
  [[nodiscard]] io::Json::Array describe(const std::set<std::string>& skip = {}) const {
    io::Json::Array out;
    for_each([&](const auto& part) {
      const bool skipped = skip.contains(part.name);
      out.push_back(skipped ? io::Json::Object{{"part", part.name}, {"skipped", true}} : part.describe());
    });
    return out;
  }

  /// Runs all parts but those named in `skip`. `done(phase, state)`, if given, is called after each phase. Throws
  /// OptionError for a name that no part has, and where the folder holds the run of another recipe, naming the first
  /// part that differs.
  template <nn::Module Net, class Done = NoCallback>
  RecipeState<Net> run(const Session& session, const Net& teacher, const std::set<std::string>& skip = {},
                       Done&& done = {}) const {
    const auto known = names();
    for (const auto& name : skip)
      require<OptionError>(std::find(known.begin(), known.end(), name) != known.end(), "recipe: no part called '", name,
                           "' to skip");
    session.directory.keep_recipe(known, describe(skip));
    RecipeState<Net> state{teacher, teacher};
    [&]<std::size_t... i>(std::index_sequence<i...>) {
      ((skip.contains(std::get<i>(parts_).name) ? void() : run_part(session, std::get<i>(parts_), state, done)), ...);
    }
    (std::index_sequence_for<Parts...>{});
    return state;
  }

 private:
  template <class F>
  void for_each(F&& f) const {
    std::apply([&](const auto&... part) { (f(part), ...); }, parts_);
  }

  std::tuple<Parts...> parts_;
};

}  // namespace hypersd::pipeline
