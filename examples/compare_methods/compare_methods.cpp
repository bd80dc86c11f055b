// SPDX-License-Identifier: Apache-2.0
/// Every method on one bench: one teacher, equal budgets, several seeds.
#include "method.hpp"
#include "report.hpp"

#include <cstdio>

namespace {

using namespace compare;

template <Device D>
void execute(const StudyOptions& o) {
  std::vector<Method<D>> methods = all_methods<D>();
  if (!o.methods.empty())
    std::erase_if(methods, [&](const Method<D>& m) {
      return std::find(o.methods.begin(), o.methods.end(), m.name) == o.methods.end();
    });
  std::vector<Description> described;
  for (const auto& m : methods) described.push_back(m.description());
  report::TerminalProgress terminal;
  const Progress progress = [&](const ProgressEvent& e) { terminal(e); };
  Results results;
  for (int i = 0; i < o.seeds; ++i) {
    const std::uint64_t seed = o.first_seed + static_cast<std::uint64_t>(i);
    std::printf("seed %llu (%d of %d)\n", static_cast<unsigned long long>(seed), i + 1, o.seeds);
    std::fflush(stdout);
    const auto rows = run_seed(o, seed, methods, progress);
    results.rows.insert(results.rows.end(), rows.begin(), rows.end());
    write_study(o, described, results);  // after every seed, so that a long study can be looked at
  }
  std::printf("\n%s\nreport: %s/report.html\n", markdown_tables(o, described, results).c_str(),
              o.base.out.string().c_str());
}

}  // namespace

int main(int argc, char** argv) try {
  const auto guard = program::stop_on_signal("hypersd_compare_methods");
  std::vector<std::string> names;
  std::set<std::string> settings;
  std::string text = "Methods (settings of --vary with the method's own values):";
  for (const auto& m : all_methods<Cpu>()) {
    names.push_back(m.name);
    text += "\n  " + m.name + " (" + settings_text(m.settings) + ")";
    for (const auto& [name, value] : m.settings) settings.insert(name);
  }
  const auto undefined = undefined_methods();
  for (const auto& m : undefined) names.push_back(m.name);
  const StudyOptions o = parse_options(argc, argv, names, settings, text);
  fashion::require_types(o.base, "examples/compare.sh");
  for (const auto& m : undefined)
    require<OptionError>(std::find(o.methods.begin(), o.methods.end(), m.name) == o.methods.end(), "--methods ", m.name,
                         ": not defined on ", m.where, ", ", m.reason);
  if (o.base.threads > 0) set_num_threads(o.base.threads);
  program::on_gpu(o.base.device) ? execute<program::Gpu>(o) : execute<Cpu>(o);
  return 0;
} catch (...) {
  return program::failed("hypersd_compare_methods");
}
