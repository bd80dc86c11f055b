// SPDX-License-Identifier: Apache-2.0
/// Every method on one bench: one teacher, equal budgets, several seeds.
#include "report.hpp"

#include <cstdio>

namespace {

using namespace compare;

void execute(const StudyOptions& o, const std::vector<Method>& methods) {
  io::TerminalProgress terminal;
  const Progress progress = [&](const ProgressEvent& e) { terminal(e); };
  Results results;
  for (int i = 0; i < o.seeds; ++i) {
    const std::uint64_t seed = o.first_seed + static_cast<std::uint64_t>(i);
    std::printf("seed %llu (%d of %d)\n", static_cast<unsigned long long>(seed), i + 1, o.seeds);
    std::fflush(stdout);
    const auto rows = run_seed(o, seed, methods, progress);
    results.rows.insert(results.rows.end(), rows.begin(), rows.end());
    write_study(o, methods, results);  // after every seed, so that a long study can be looked at
  }
  std::printf("\n%s\nreport: %s/report.html\n", markdown_tables(o, methods, results).c_str(),
              o.base.out.string().c_str());
}

}  // namespace

int main(int argc, char** argv) {
  return fashion::run_program("hypersd_compare_methods", [&] {
    std::vector<Method> methods = all_methods();
    std::vector<std::string> names;
    std::string text = "Methods:";
    for (const Method& m : methods) {
      names.push_back(m.name);
      text += " " + m.name;
    }
    const StudyOptions o = parse_options(argc, argv, names, text);
    if (!o.methods.empty())
      std::erase_if(methods, [&](const Method& m) {
        return std::find(o.methods.begin(), o.methods.end(), m.name) == o.methods.end();
      });
    if (o.base.threads > 0) set_num_threads(o.base.threads);
    execute(o, methods);
  });
}
