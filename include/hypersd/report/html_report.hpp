// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/core/error.hpp>
#include <hypersd/io/file.hpp>
#include <hypersd/io/text.hpp>
#include <hypersd/report/html_style.hpp>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hypersd::report {

/// A key figure of a run.
struct ReportCard {
  std::string label;
  std::string value;
  std::string unit = {};  ///< small, behind the value, e.g. `± 0.3` or `min`
  std::string hint = {};  ///< a line below
};

/// The value of a column that is highlighted.
enum class Best { None, Lowest, Highest };

/// A table's column.
struct ReportColumn {
  std::string name;
  Best best = Best::None;
};

/// A table's cell: text, or a number with the half-width of its interval.
struct ReportCell {
  std::string text = {};
  std::optional<double> value = {};
  int digits = 2;
  double half_width = std::numeric_limits<double>::quiet_NaN();  ///< NaN: no interval
  std::string unit = {};                                         ///< directly behind the number, e.g. `%`

  ReportCell(std::string t) : text(std::move(t)) {}  // NOLINT(google-explicit-constructor): a row reads {"TCD", 6.7}
  ReportCell(const char* t) : text(t) {}             // NOLINT(google-explicit-constructor)
  ReportCell(double v, int decimals = 2, double interval = std::numeric_limits<double>::quiet_NaN(),  // NOLINT
             std::string behind = {})
      : value(v), digits(decimals), half_width(interval), unit(std::move(behind)) {}
};

/// A table's row. A reference row is separated and not considered for the best value.
struct ReportRow {
  std::vector<ReportCell> cells;
  bool reference = false;
};

/// A table; each row has one cell for each column.
struct ReportTable {
  std::vector<ReportColumn> columns;
  std::vector<ReportRow> rows;
  std::string caption = {};
};

/// One self-contained HTML page, built from top to bottom, without external resources and, but for `image_strip`,
/// without scripts. All text is escaped; backticks mark `code`, double asterisks **bold**.
class HtmlReport {
 public:
  using KeyValues = std::vector<std::pair<std::string, std::string>>;

  explicit HtmlReport(std::string title, std::string subtitle = {})
      : title_(std::move(title)), subtitle_(std::move(subtitle)) {}

  /// Begins a section. The navigation bar links to it as `short_name` (empty: the title).
  HtmlReport& section(const std::string& title, const std::string& short_name = {}) {
    close_section();
    const std::string id = "s" + std::to_string(sections_.size() + 1);
    sections_.push_back(short_name.empty() ? title : short_name);
    body_ += "<section id=\"" + id + "\">\n<h2>" + rich(title) + "</h2>\n";
    in_section_ = true;
    return *this;
  }
  /// A heading within a section.
  HtmlReport& heading(const std::string& text) { return add("<h3>" + rich(text) + "</h3>\n"); }
  HtmlReport& paragraph(const std::string& text) { return add("<p>" + rich(text) + "</p>\n"); }
  /// A highlighted paragraph.
  HtmlReport& note(const std::string& text) { return add("<div class=\"note\">" + rich(text) + "</div>\n"); }
  HtmlReport& bullets(const std::vector<std::string>& items) {
    std::string list = "<ul>\n";
    for (const std::string& item : items) list += "<li>" + rich(item) + "</li>\n";
    return add(list + "</ul>\n");
  }
  /// Key figures side by side.
  HtmlReport& cards(const std::vector<ReportCard>& cards) {
    std::string out = "<div class=\"cards\">\n";
    for (const ReportCard& c : cards) {
      out += "<div class=\"card\"><div class=\"label\">" + rich(c.label) + "</div><div class=\"value\">" +
             io::xml_text(c.value) + (c.unit.empty() ? "" : "<small>" + io::xml_text(c.unit) + "</small>") + "</div>";
      if (!c.hint.empty()) out += "<div class=\"hint\">" + rich(c.hint) + "</div>";
      out += "</div>\n";
    }
    return add(out + "</div>\n");
  }
  /// Throws ShapeError if a row's number of cells is not the number of columns.
  HtmlReport& table(const ReportTable& table) {
    std::string out = "<div class=\"scroll\"><table>\n";
    if (!table.caption.empty()) out += "<caption>" + rich(table.caption) + "</caption>\n";
    out += "<thead><tr>";
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      const ReportColumn& column = table.columns[i];
      out += std::string(is_text(table, i) ? "<th class=\"text\">" : "<th>") + rich(column.name);
      if (column.best != Best::None)
        out += column.best == Best::Lowest ? " <span class=\"arrow\" title=\"lower is better\">&darr;</span>"
                                           : " <span class=\"arrow\" title=\"higher is better\">&uarr;</span>";
      out += "</th>";
    }
    out += "</tr></thead>\n<tbody>\n";
    for (const ReportRow& row : table.rows) {
      require<ShapeError>(row.cells.size() == table.columns.size(), "report table: a row has ", row.cells.size(),
                          " cells for ", table.columns.size(), " columns");
      out += row.reference ? "<tr class=\"reference\">" : "<tr>";
      for (std::size_t i = 0; i < row.cells.size(); ++i) out += cell(table, row, i);
      out += "</tr>\n";
    }
    return add(out + "</tbody></table></div>\n");
  }
  /// A drawing: the markup of `line_plot`, `image_grid` or `image_strip`. It is not escaped, so it must come from a
  /// trusted source. A caption says what to look at.
  HtmlReport& drawing(const std::string& svg, const std::string& caption = {}) {
    return add("<figure>\n<div class=\"scroll\">" + svg + "</div>" + figcaption(caption) + "</figure>\n");
  }
  /// Shows what is added until `end_columns` side by side, if the screen is wide enough.
  HtmlReport& begin_columns() { return add("<div class=\"columns\">\n"); }
  HtmlReport& end_columns() { return add("</div>\n"); }
  /// Hides what is added until `end_details` behind `summary`; a click shows it.
  HtmlReport& begin_details(const std::string& summary, bool open = false) {
    return add(std::string(open ? "<details open>" : "<details>") + "<summary>" + rich(summary) + "</summary>\n");
  }
  HtmlReport& end_details() { return add("</details>\n"); }
  /// Names and values, e.g. the options of a run.
  HtmlReport& key_values(const KeyValues& values) {
    std::string out = "<dl>\n";
    for (const auto& [key, value] : values) out += "<dt>" + io::xml_text(key) + "</dt><dd>" + rich(value) + "</dd>\n";
    return add(out + "</dl>\n");
  }
  /// Preformatted text, e.g. a command.
  HtmlReport& code(const std::string& text) { return add("<pre>" + io::xml_text(text) + "</pre>\n"); }
  /// A line at the end of the page.
  HtmlReport& footer(const std::string& text) {
    footer_ = text;
    return *this;
  }

  /// The page.
  [[nodiscard]] std::string html() const {
    std::string out =
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>";
    out += io::xml_text(title_) + "</title>\n<style>" + detail::html_style +
           "</style>\n</head>\n<body>\n<header><div><h1>" + rich(title_) + "</h1>" +
           (subtitle_.empty() ? "" : "<p>" + rich(subtitle_) + "</p>") + "</div></header>\n";
    if (sections_.size() > 1) {
      out += "<nav><div>";
      for (std::size_t i = 0; i < sections_.size(); ++i)
        out += "<a href=\"#s" + std::to_string(i + 1) + "\">" + rich(sections_[i]) + "</a>";
      out += "</div></nav>\n";
    }
    out += "<main>\n" + body_ + (in_section_ ? "</section>\n" : "") + "</main>\n";
    if (!footer_.empty()) out += "<footer>" + rich(footer_) + "</footer>\n";
    return out + "</body>\n</html>\n";
  }
  /// Writes the page atomically. Throws IoError naming `path`.
  void save(const std::string& path) const { io::atomic_write(path, html()); }

 private:
  HtmlReport& add(const std::string& markup) {
    body_ += markup;
    return *this;
  }
  void close_section() {
    if (in_section_) body_ += "</section>\n";
    in_section_ = false;
  }
  static std::string figcaption(const std::string& caption) {
    return caption.empty() ? "" : "<figcaption>" + rich(caption) + "</figcaption>";
  }
  static bool is_text(const ReportTable& table, std::size_t column) {
    for (const ReportRow& row : table.rows)
      if (column < row.cells.size() && row.cells[column].value) return false;
    return true;
  }
  static std::string cell(const ReportTable& table, const ReportRow& row, std::size_t i) {
    const ReportCell& c = row.cells[i];
    if (!c.value) return (is_text(table, i) ? "<td class=\"text\">" : "<td>") + rich(c.text) + "</td>";
    std::string out = is_best(table, row, i) ? "<td class=\"best\">" : "<td>";
    out += io::fixed(*c.value, c.digits) + io::xml_text(c.unit);
    if (!std::isnan(c.half_width))
      out += "<span class=\"pm\">&plusmn; " + io::fixed(c.half_width, c.digits) + "</span>";
    return out + "</td>";
  }
  // Compares rounded values: equal numbers on the page are equal.
  static bool is_best(const ReportTable& table, const ReportRow& row, std::size_t i) {
    const Best best = table.columns[i].best;
    if (best == Best::None || row.reference || !std::isfinite(*row.cells[i].value)) return false;
    const auto shown = [&](const ReportCell& c) { return std::round(*c.value * std::pow(10.0, c.digits)); };
    int rivals = 0;
    for (const ReportRow& other : table.rows) {
      if (other.reference || i >= other.cells.size()) continue;
      const ReportCell& c = other.cells[i];
      if (!c.value || !std::isfinite(*c.value)) continue;
      ++rivals;
      const bool better = best == Best::Lowest ? *c.value < *row.cells[i].value : *c.value > *row.cells[i].value;
      if (better && (c.digits != row.cells[i].digits || shown(c) != shown(row.cells[i]))) return false;
    }
    return rivals > 1;
  }
  // Escapes, then converts `x` and **x** to markup; an unpaired mark stays.
  static std::string rich(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size();) {
      const std::string_view mark = text[i] == '`' ? "`" : text.substr(i, 2) == "**" ? "**" : "";
      const std::size_t end = mark.empty() ? std::string_view::npos : text.find(mark, i + mark.size());
      if (end != std::string_view::npos && end > i + mark.size()) {
        const std::string inner = io::xml_text(text.substr(i + mark.size(), end - i - mark.size()));
        out += mark == "`" ? "<code>" + inner + "</code>" : "<strong>" + inner + "</strong>";
        i = end + mark.size();
        continue;
      }
      std::size_t next = text.find_first_of("`*", i + 1);
      if (next == std::string_view::npos) next = text.size();
      out += io::xml_text(text.substr(i, next - i));
      i = next;
    }
    return out;
  }

  std::string title_, subtitle_, footer_, body_;
  std::vector<std::string> sections_;
  bool in_section_ = false;
};

}  // namespace hypersd::report
