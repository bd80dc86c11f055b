// SPDX-License-Identifier: Apache-2.0
#include <hypersd/report/progress.hpp>

#include <doctest/doctest.h>

#include <temp_folder.hpp>

using namespace hypersd;
using test::mentions;

namespace {

struct Screen {
  std::string text;
  double time = 0;

  report::TerminalProgress progress(const report::ProgressOptions& o) {
    return {o, [this](const std::string& s) { text += s; }, [this] { return time; }};
  }
  [[nodiscard]] int lines() const { return static_cast<int>(std::count(text.begin(), text.end(), '\n')); }
};

}  // namespace

TEST_CASE("without a terminal: a line at each tenth, with rate, time left and loss") {
  Screen screen;
  const auto show = screen.progress({});
  for (int i = 0; i <= 100; ++i, screen.time += 0.5) show({"teacher", i, 100, 1.0 / (i + 1), ""});
  CHECK(screen.lines() == 10);
  CHECK(screen.text.substr(0, screen.text.find('\n')) == "teacher: 10/100 (10%)  loss 0.09091  2.0 it/s  ETA 0:45");
  CHECK(mentions(screen.text, "teacher: 100/100 (100%)  loss 0.009901  2.0 it/s  in 0:50\n"));
  CHECK(screen.text.find('\r') == std::string::npos);
  CHECK(screen.text.find('\x1b') == std::string::npos);
}

TEST_CASE("quick phases give one line, slow ones a sign of life") {
  Screen quick;
  const auto fast = quick.progress({});
  for (int i = 0; i <= 1000; ++i, quick.time += 0.001) fast({"quick", i, 1000, {}, ""});
  CHECK(quick.lines() == 1);
  Screen slow;
  const auto crawl = slow.progress({});
  for (int i = 0; i <= 20; ++i, slow.time += 10) crawl({"slow", i, 1000, {}, ""});
  CHECK(slow.lines() == 6);
  CHECK(mentions(slow.text, "10.0 s/it"));
}

TEST_CASE("a resumed phase counts its own steps only") {
  Screen screen;
  const auto show = screen.progress({});
  for (int i = 900; i <= 1000; ++i, screen.time += 0.1) show({"teacher", i, 1000, {}, ""});
  CHECK(mentions(screen.text, "10.0 it/s  in 0:10"));
}

TEST_CASE("the bar fits its terminal and ends with a line") {
  for (const int width : {20, 40, 80, 200}) {
    Screen screen;
    report::ProgressOptions o{.bar = true, .width = width};
    {
      const auto show = screen.progress(o);
      for (int i = 0; i <= 50; ++i, screen.time += 0.3) show({"a phase with a name", i, 50, 0.123456, ""});
      show({"next", 1, 50, {}, ""});
    }
    CHECK(screen.lines() == 2);
    // Every drawing, without escapes and with the blocks as one column each, is narrower than the terminal.
    int columns = 0, widest = 0;
    bool escape = false;
    for (const char c : screen.text) {
      if (c == '\r' || c == '\n') columns = 0;
      if (c == '\x1b') escape = true;
      if (!escape && static_cast<unsigned char>(c) >= 0x20 && (static_cast<unsigned char>(c) & 0xC0) != 0x80) ++columns;
      if (escape && (c == 'K' || c == 'm')) escape = false;
      widest = std::max(widest, columns);
    }
    CHECK(widest < width);
    CHECK(mentions(screen.text, width >= 40 ? "100%" : "a phase"));
  }
}

TEST_CASE("messages, unknown totals, silence") {
  Screen screen;
  const auto show = screen.progress({.bar = true});
  show({"load", 3, 0, {}, ""});
  show({"", 0, 0, {}, "checkpoint written"});
  CHECK(mentions(screen.text, "checkpoint written\n"));
  CHECK(mentions(screen.text, "load"));
  CHECK_NOTHROW(notify({}, {"nobody listens", 1, 2, {}, ""}));
  Progress progress = show;
  notify(progress, {"", 0, 0, {}, "through the function"});
  CHECK(mentions(screen.text, "through the function"));
}
