// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "seed_run.hpp"
#include "tables.hpp"

namespace compare {

/// The study's tables as Markdown.
std::string markdown_tables(const StudyOptions& o, const std::vector<Description>& methods, const Results& results);

/// Writes compare.csv, compare.jsonl, tables.md, samples.svg and report.html into the study's folder.
void write_study(const StudyOptions& o, const std::vector<Description>& methods, const Results& results);

}  // namespace compare
