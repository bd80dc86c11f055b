// SPDX-License-Identifier: Apache-2.0
// PTX text into instructions.
#include <fake_cuda/ptx/machine.hpp>
#include <fake_cuda/ptx/text.hpp>
#include <set>

namespace ptx {

namespace {

using Symbols = std::map<std::string, std::uint64_t, std::less<>>;

/// The body of one kernel.
class KernelParser {
 public:
  KernelParser(Kernel& kernel, Symbols symbols) : kernel_(kernel), symbols_(std::move(symbols)) {
    static constexpr const char* names[specials] = {
        "%tid.x",       "%tid.y",       "%tid.z",       "%ntid.x",      "%ntid.y",      "%ntid.z",           "%ctaid.x",
        "%ctaid.y",     "%ctaid.z",     "%nctaid.x",    "%nctaid.y",    "%nctaid.z",    "%laneid",           "%warpid",
        "%lanemask_eq", "%lanemask_lt", "%lanemask_le", "%lanemask_gt", "%lanemask_ge", "%dynamic_smem_size"};
    for (Slot s = 0; s < specials; ++s) slots_[names[s]] = s;
    kernel_.registers.resize(specials);
  }

  void statement(std::string_view s) {
    s = trimmed(s);
    while (!s.empty()) {  // labels, and braces that open or close a scope
      if (s[0] == '{' || s[0] == '}') {
        s = trimmed(s.substr(1));
        continue;
      }
      const auto colon = s.find(':');
      if (colon == s.npos || s.substr(0, colon).find_first_of(" \t\n,[{.") != s.npos || s.substr(colon, 2) == "::")
        break;
      last_label_ = std::string(s.substr(0, colon));
      labels_[last_label_] = static_cast<std::int64_t>(kernel_.code.size());
      s = trimmed(s.substr(colon + 1));
    }
    if (s.empty()) return;
    if (s[0] == '.') return directive(s);
    instruction(s);
  }

  void finish() {
    for (const auto& [at, label] : jumps_) {
      const auto found = labels_.find(label);
      if (found == labels_.end()) fail("no such label", label);
      kernel_.code[at].number = found->second;
    }
    for (const auto& [at, name] : tables_) {
      const auto found = branch_lists_.find(name);
      if (found == branch_lists_.end()) fail("no such list of labels", name);
      for (const auto& label : found->second)
        kernel_.code[at].targets.push_back(static_cast<std::int32_t>(labels_.at(label)));
    }
    Instruction end;  // a body may end without ret
    end.run = [](Thread& t, const Instruction&) { t.waits = Waits::ended; };
    end.text = "ret";
    kernel_.code.push_back(end);
  }

 private:
  void directive(std::string_view s) {
    const auto kind = word(s);
    if (kind == ".shared") {
      const auto d = declaration(s);
      kernel_.shared_bytes = aligned(kernel_.shared_bytes, d.align);
      symbols_[d.name] = kernel_.shared_bytes;
      kernel_.shared_bytes += d.bytes;
    } else if (kind == ".local") {
      const auto d = declaration(s);
      kernel_.local_bytes = aligned(kernel_.local_bytes, d.align);
      symbols_[d.name] = kernel_.local_bytes;
      kernel_.local_bytes += d.bytes;
    } else if (kind == ".branchtargets") {
      for (const auto label : list(s)) branch_lists_[last_label_].emplace_back(label);
    } else if (kind == ".reg") {
      word(s);
      for (const auto name : list(s))
        if (!name.starts_with('%')) registers_.emplace(name);  // others get their places where they are used
    }
    // .pragma, .loc: nothing to do.
  }

  Slot slot(std::string_view name) {
    if (name == "_") return -1;
    const auto found = slots_.find(name);
    if (found != slots_.end()) return found->second;
    const auto place = static_cast<Slot>(kernel_.registers.size());
    std::uint64_t value = 0;
    if (const auto number = literal(name))
      value = *number;
    else if (const auto symbol = symbols_.find(name); symbol != symbols_.end())
      value = symbol->second;
    else if (!name.starts_with('%') && !registers_.contains(name))
      fail("what is this", name);
    kernel_.registers.push_back(value);
    return slots_[std::string(name)] = place;
  }

  void instruction(std::string_view s) {
    Instruction out;
    out.text = s;
    if (s[0] == '@') {
      auto guard = word(s).substr(1);
      out.unless = guard.starts_with('!');
      if (out.unless) guard.remove_prefix(1);
      out.guard = slot(guard);
    }
    const std::string opcode(word(s));
    const auto operands = list(s);
    if (opcode == "bra" || opcode == "bra.uni") {
      jumps_.emplace_back(kernel_.code.size(), operands.at(0));
      out.run = [](Thread& t, const Instruction& i) { t.pc = static_cast<std::int32_t>(i.number); };
    } else if (opcode.starts_with("brx.idx")) {
      out.s[0] = slot(operands.at(0));
      tables_.emplace_back(kernel_.code.size(), operands.at(1));
      out.run = [](Thread& t, const Instruction& i) { t.pc = i.targets.at(get<std::uint32_t>(t, i.s[0])); };
    } else if (opcode == "ret" || opcode == "exit" || opcode == "ret.uni") {
      out.run = [](Thread& t, const Instruction&) { t.waits = Waits::ended; };
    } else if (opcode == "bar.sync" || opcode == "barrier.sync" || opcode == "barrier.sync.aligned") {
      if (operands.size() != 1 || literal(operands[0]) != 0U) fail("only barrier 0 of all threads is known", out.text);
      out.run = [](Thread& t, const Instruction&) { t.waits = Waits::barrier; };
    } else if (opcode.starts_with("membar") || opcode.starts_with("fence") || opcode.starts_with("prefetch")) {
      out.run = [](Thread&, const Instruction&) {};
    } else {
      general(out, opcode, operands);
    }
    kernel_.code.push_back(std::move(out));
  }

  void general(Instruction& out, const std::string& opcode, const std::vector<std::string_view>& operands) {
    std::string meaning = opcode;
    std::size_t first = 0, sources = 0;
    const auto add = [&](Slot s) {
      if (sources == out.s.size()) fail("too many operands", out.text);
      out.s[sources++] = s;
    };
    // Stores and copies have no result but memory.
    const bool results =
        !opcode.starts_with("st.") && !opcode.starts_with("cp.async") && !opcode.starts_with("bar.warp");
    if (results && !operands.empty()) {
      first = 1;
      std::size_t n = 0;
      if (operands[0][0] == '{') {
        for (const auto part : list(inside(operands[0]))) out.d.at(n++) = slot(part);
        out.count = static_cast<std::uint8_t>(n);
        if (opcode.starts_with("mov.")) meaning = "unpack." + opcode.substr(4) + "." + std::to_string(n);
      } else {
        const auto bar = operands[0].find('|');
        out.d[0] = slot(trimmed(operands[0].substr(0, bar)));
        if (bar != std::string_view::npos) out.d[1] = slot(trimmed(operands[0].substr(bar + 1)));
      }
    }
    int addresses = 0;
    for (std::size_t k = first; k < operands.size(); ++k) {
      auto operand = operands[k];
      if (operand[0] == '[') {
        operand = inside(operand);
        const auto plus = operand.find('+');
        add(slot(trimmed(operand.substr(0, plus))));
        if (plus != operand.npos) {
          const auto offset = literal(trimmed(operand.substr(plus + 1)));
          if (!offset) fail("an offset that is no number", out.text);
          (addresses == 0 ? out.number : out.second) = static_cast<std::int64_t>(*offset);
        }
        ++addresses;
      } else if (operand[0] == '{') {
        std::size_t n = 0;
        for (const auto part : list(inside(operand))) add(slot(part)), ++n;
        if (opcode.starts_with("mov.")) meaning = "pack." + opcode.substr(4) + "." + std::to_string(n);
        if (!results) out.count = static_cast<std::uint8_t>(n);
      } else {
        if (operand[0] == '!') fail("a negated operand", out.text);
        add(slot(operand));
      }
    }
    out.collective = (out.run = warp_operation(meaning)) != nullptr;
    if (!out.run) out.run = arithmetic(meaning);
    if (!out.run) out.run = conversion(meaning);
    if (!out.run) out.run = memory_access(meaning);
    if (!out.run) out.run = [](Thread&, const Instruction&) { throw Fault("an instruction that is not known here"); };
  }

  Kernel& kernel_;
  Symbols symbols_;
  std::map<std::string, Slot, std::less<>> slots_;
  std::set<std::string, std::less<>> registers_;  ///< with names that do not say so
  std::map<std::string, std::int64_t, std::less<>> labels_;
  std::map<std::string, std::vector<std::string>> branch_lists_;
  std::vector<std::pair<std::size_t, std::string>> jumps_, tables_;
  std::string last_label_;
};

/// Comments become blanks, so that what refers to the text may stay.
void without_comments(std::string& text) {
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    if (text[i] != '/') continue;
    if (text[i + 1] == '/')
      for (; i < text.size() && text[i] != '\n'; ++i) text[i] = ' ';
    else if (text[i + 1] == '*') {
      const auto end = std::min(text.find("*/", i + 2), text.size() - 2);
      for (; i < end + 2; ++i) text[i] = ' ';
    }
  }
}

class ModuleParser {
 public:
  explicit ModuleParser(std::string text) {
    without_comments(text);
    module_.text = std::make_unique<std::string>(std::move(text));
  }

  Module operator()() {
    std::string_view rest = *module_.text;
    while (!(rest = trimmed(rest)).empty()) {
      const auto end = rest.find_first_of(";{(\n");
      if (end == rest.npos) break;
      const auto head = rest.substr(0, end);
      if (head.find(".entry") != head.npos || head.find(".func") != head.npos) {
        rest = function(rest);
      } else if (rest[end] == '\n') {
        rest.remove_prefix(end);  // .version and its like
      } else {
        const auto semicolon = rest.find(';');
        variable(rest.substr(0, semicolon));
        rest.remove_prefix(semicolon + 1);
      }
    }
    return std::move(module_);
  }

 private:
  void variable(std::string_view s) {
    const auto equals = s.find('=');
    auto head = s.substr(0, equals);
    if (head.find(".shared") != head.npos) {
      const auto d = declaration(head);
      if (!d.open) fail("shared memory of a whole module", s);
      open_shared_.push_back(d.name);
      return;
    }
    if (head.find(".global") == head.npos && head.find(".const") == head.npos) fail("a declaration", s);
    const auto d = declaration(head);
    const std::size_t at = aligned(module_.variables.size(), std::max<std::size_t>(d.align, 16));
    module_.variables.resize(at + d.bytes);
    symbols_[d.name] = variable_window | at;
    if (equals == s.npos) return;
    const auto value = trimmed(s.substr(equals + 1));
    const auto elements = value[0] == '{' ? list(inside(value)) : std::vector{value};
    const std::size_t size = d.bytes / std::max<std::size_t>(elements.size(), 1);
    for (std::size_t k = 0; k < elements.size(); ++k) {
      const auto number = literal(elements[k]);
      if (!number || size > 8) fail("an initial value", s);
      std::memcpy(module_.variables.data() + at + k * size, &*number, size);
    }
  }

  /// Reads a kernel, or passes over another function; returns what follows.
  std::string_view function(std::string_view s) {
    const auto open = s.find('{'), semicolon = s.find(';');
    const bool entry = s.substr(0, std::min(open, semicolon)).find(".entry") != s.npos;
    if (semicolon < open) return s.substr(semicolon + 1);  // declared only
    std::size_t end = open, depth = 0;
    do {
      if (s[end] == '{') ++depth;
      if (s[end] == '}') --depth;
      ++end;
    } while (depth > 0);
    if (entry) kernel(s.substr(0, open), s.substr(open + 1, end - open - 2));
    return s.substr(end);
  }

  void kernel(std::string_view head, std::string_view body) {
    const auto bracket = std::min(head.find('('), head.size());
    auto before = trimmed(head.substr(0, bracket));
    std::string name(before.substr(before.find_last_of(blank) + 1));
    Kernel& out = module_.kernels[name];
    out.name = name;
    Symbols symbols = symbols_;
    if (bracket < head.size()) {
      const auto close = head.find(')', bracket);
      for (const auto part : list(head.substr(bracket + 1, close - bracket - 1))) {
        const auto d = declaration(part);
        out.parameter_bytes = aligned(out.parameter_bytes, d.align);
        symbols[d.name] = out.parameter_bytes;
        out.parameters.push_back({out.parameter_bytes, d.bytes});
        out.parameter_bytes += d.bytes;
      }
      auto after = head.substr(close + 1);
      const auto limit = after.find(".maxntid");
      if (limit != after.npos) {
        after.remove_prefix(limit + 8);
        out.most_threads = 1;
        for (auto n : list(after.substr(0, after.find('.'))))
          out.most_threads *= static_cast<std::uint32_t>(literal(word(n)).value_or(1));
      }
    }
    // What a launch gives comes behind the kernel's own shared memory, so that must be known first.
    std::size_t own = 0;
    for (std::string_view rest = body; rest.find(".shared") != rest.npos;) {
      rest.remove_prefix(rest.find(".shared") + 7);
      if (rest[0] != ' ' && rest[0] != '\t') continue;  // of an opcode
      const auto d = declaration(rest.substr(0, rest.find(';')));
      own = aligned(own, d.align) + d.bytes;
    }
    for (const auto& shared : open_shared_) symbols[shared] = aligned(own, 16);
    KernelParser parser(out, std::move(symbols));
    while (!body.empty()) {
      const auto end = std::min(body.find(';'), body.size());
      parser.statement(body.substr(0, end));
      body.remove_prefix(std::min(end + 1, body.size()));
    }
    parser.finish();
  }

  Module module_;
  Symbols symbols_;
  std::vector<std::string> open_shared_;
};

}  // namespace

Module parse(std::string text) { return ModuleParser(std::move(text))(); }

}  // namespace ptx
