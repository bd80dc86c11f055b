// SPDX-License-Identifier: Apache-2.0
// Blocks, their threads and their memory.
#include <algorithm>
#include <fake_cuda/ptx/machine.hpp>
#include <fake_cuda/state.hpp>
#include <sstream>

namespace ptx {

namespace {

constexpr std::int32_t warp_size = 32;
/// Two uses of memory are told apart by pairs of bytes: the narrowest elements that kernels share.
constexpr std::uint32_t granule = 2;

std::uint32_t next_launch_time() {
  static std::uint32_t time = 0;
  return ++time;
}

}  // namespace

Machine::Machine(const Launch& l, bool backward, fake_cuda::Metered* metered)
    : launch(l),
      backward_(backward),
      metered_(metered),
      threads_(static_cast<std::int32_t>(l.block[0] * l.block[1] * l.block[2])),
      shared_bytes_(l.kernel->shared_bytes + l.dynamic_bytes + 16),
      thread_(static_cast<std::size_t>((threads_ + warp_size - 1) / warp_size * warp_size)),
      registers_(thread_.size() * l.kernel->registers.size()),
      shared_(shared_bytes_),
      shared_uses_((shared_bytes_ + granule - 1) / granule),
      launch_time_(next_launch_time()) {
  for (std::size_t i = 0; i < thread_.size(); ++i) {
    thread_[i].machine = this;
    thread_[i].r = registers_.data() + i * l.kernel->registers.size();
    thread_[i].local.resize(l.kernel->local_bytes);
  }
  if (metered) meter_.emplace(thread_.size(), l.kernel->code.size());
}

void Machine::note(Use* uses, std::uint32_t size, std::int32_t who, std::uint32_t time, bool writes, const char* what) {
  for (std::uint32_t k = 0; k < (size + granule - 1) / granule; ++k) {
    Use& u = uses[k];
    if (u.write_time == time && u.writer != who) throw Fault(what);
    if (writes) {
      if (u.read_time == time && u.reader != who) throw Fault(what);
      u.write_time = time;
      u.writer = who;
    } else {
      u.reader = u.read_time == time && u.reader != who ? -1 : who;
      u.read_time = time;
    }
  }
}

char* Machine::at(Thread& t, std::uint64_t address, std::uint32_t size, bool writes, bool metered) {
  if (address % size != 0) throw Fault("an address that is not aligned");
  const std::uint64_t window = address & window_mask, offset = address & ~window_mask;
  if (meter_ && metered && (window == 0 || window == shared_window))
    meter_->note(static_cast<std::size_t>(t.id), static_cast<std::size_t>(t.pc), offset, size, window != 0, writes);
  if (window == 0) return global(t, address, size, writes);
  const auto inside = [&](std::size_t bytes) {
    if (offset + size > bytes) throw Fault("an address beyond the memory there");
  };
  if (window == shared_window) {
    inside(shared_bytes_);
    note(shared_uses_.data() + offset / granule, size, t.id, time_, writes,
         "threads use the same shared memory, one of them writes, and no barrier is between");
    return shared_.data() + offset;
  }
  if (window == local_window) {
    inside(t.local.size());
    return t.local.data() + offset;
  }
  if (writes) throw Fault("writes to constant memory");
  const auto& bytes = window == parameter_window ? launch.parameters : launch.module->variables;
  inside(bytes.size());
  return const_cast<char*>(bytes.data()) + offset;
}

char* Machine::global(Thread&, std::uint64_t address, std::uint32_t size, bool writes) {
  const Global* found = nullptr;
  for (const Global& g : known_)
    if (address >= g.begin && address + size <= g.end) found = &g;
  if (!found) {
    auto& blocks = fake_cuda::state().blocks;
    auto block = blocks.upper_bound(reinterpret_cast<const char*>(address));
    if (block != blocks.begin()) --block;
    if (block == blocks.end()) throw Fault("memory that is not allocated");
    const auto begin = reinterpret_cast<std::uint64_t>(block->first);
    auto& [bytes, length, live, graph, uses] = block->second;
    if (!live || address < begin || address + size > begin + length) throw Fault("memory that is not allocated");
    if (!uses) uses = std::make_shared<std::vector<Use>>((length + granule - 1) / granule);
    Global& g = known_[next_++ % std::size(known_)];
    g = {begin, begin + length, bytes.get(), static_cast<std::vector<Use>*>(uses.get())->data()};
    found = &g;
  }
  const std::uint64_t offset = address - found->begin;
  note(found->uses + offset / granule, size, block_, launch_time_, writes,
       "blocks use the same memory, and one of them writes");
  return found->bytes + offset;
}

void Machine::start(Thread& t, std::int32_t id) {
  const auto& registers = launch.kernel->registers;
  std::copy(registers.begin(), registers.end(), t.r);
  t.id = id;
  t.pc = 0;
  t.groups = 0;
  t.transfers.clear();
  t.waits = id < threads_ ? Waits::none : Waits::ended;
  std::fill(t.local.begin(), t.local.end(), static_cast<char>(0xff));
  const auto u = static_cast<std::uint32_t>(id), x = launch.block[0], y = launch.block[1], lane = u % 32;
  const std::uint32_t here = 1U << lane, below = here - 1;
  const std::array<std::uint32_t, 3> ids{u % x, u / x % y, u / x / y};
  for (std::size_t k = 0; k < 3; ++k) {
    t.r[static_cast<std::size_t>(tid_x) + k] = ids[k];
    t.r[static_cast<std::size_t>(ntid_x) + k] = launch.block[k];
    t.r[static_cast<std::size_t>(nctaid_x) + k] = launch.grid[k];
  }
  t.r[laneid] = lane;
  t.r[warpid] = u / 32;
  t.r[lanemask_eq] = here;
  t.r[lanemask_lt] = below;
  t.r[lanemask_le] = below | here;
  t.r[lanemask_gt] = ~(below | here);
  t.r[lanemask_ge] = ~below;
  t.r[dynamic_smem_size] = launch.dynamic_bytes;
}

std::string Machine::describe(const Thread& t, const Instruction& i, const char* what) const {
  std::ostringstream out;
  out << launch.kernel->name << ": " << what << ": " << i.text << " (block " << block_ << ", thread " << t.id << ')';
  return out.str();
}

void Machine::go(Thread& t) {
  const Instruction* code = launch.kernel->code.data();
  while (t.waits == Waits::none) {
    const Instruction& i = code[t.pc];
    if (metered_) ++metered_->instructions;
    if (i.guard >= 0 && (t.r[i.guard] != 0) == i.unless) {
      ++t.pc;
      continue;
    }
    if (i.collective) {
      t.waits = Waits::warp;
      return;
    }
    ++t.pc;
    try {
      i.run(t, i);
    } catch (const Fault& fault) {
      throw Fault(describe(t, i, fault.what()));
    }
  }
}

void Machine::together(Thread* lanes, std::int32_t count) {
  std::int32_t pc = -1;
  active = 0;
  Thread* one = nullptr;
  for (std::int32_t lane = 0; lane < count; ++lane) {
    if (lanes[lane].waits != Waits::warp || (pc >= 0 && lanes[lane].pc != pc)) continue;
    pc = lanes[lane].pc;
    one = lanes + lane;
    active |= 1U << lane;
  }
  const Instruction& i = launch.kernel->code[static_cast<std::size_t>(pc)];
  try {
    i.run(*lanes, i);
  } catch (const Fault& fault) {
    throw Fault(describe(*one, i, fault.what()));
  }
  for (std::int32_t lane = 0; lane < count; ++lane) {
    if ((active >> lane & 1U) == 0) continue;
    ++lanes[lane].pc;
    lanes[lane].waits = Waits::none;
  }
}

void Machine::run_warp(std::int32_t warp) {
  Thread* lanes = thread_.data() + static_cast<std::ptrdiff_t>(warp) * warp_size;
  for (;;) {
    bool waiting = false;
    for (std::int32_t k = 0; k < warp_size; ++k) {
      Thread& t = lanes[backward_ ? warp_size - 1 - k : k];
      go(t);
      waiting = waiting || t.waits == Waits::warp;
    }
    if (!waiting) return;
    together(lanes, warp_size);
  }
}

void Machine::run_block(std::uint32_t x, std::uint32_t y, std::uint32_t z) {
  block_ = static_cast<std::int32_t>(x + launch.grid[0] * (y + launch.grid[1] * z));
  std::fill(shared_.begin(), shared_.end(), static_cast<char>(0xff));
  ++time_;
  const auto count = static_cast<std::int32_t>(thread_.size());
  for (std::int32_t id = 0; id < count; ++id) {
    Thread& t = thread_[static_cast<std::size_t>(id)];
    start(t, id);
    t.r[ctaid_x] = x;
    t.r[ctaid_y] = y;
    t.r[ctaid_z] = z;
  }
  const std::int32_t warps = count / warp_size;
  for (bool open = true; open;) {
    for (std::int32_t w = 0; w < warps; ++w) run_warp(backward_ ? warps - 1 - w : w);
    ++time_;
    open = false;
    const Thread* ended = nullptr;
    for (std::int32_t id = 0; id < threads_; ++id) {
      Thread& t = thread_[static_cast<std::size_t>(id)];
      if (t.waits == Waits::barrier) {
        t.waits = Waits::none;
        open = true;
      } else {
        ended = &t;
      }
    }
    if (open && ended)
      throw Fault(describe(*ended, launch.kernel->code[static_cast<std::size_t>(ended->pc) - 1],
                           "this thread has ended, and others wait for it at a barrier"));
  }
  if (meter_) meter_->end_block(*metered_);
}

void run(const Launch& launch, bool backward, fake_cuda::Metered* metered) {
  Machine machine(launch, backward, metered);
  const auto [gx, gy, gz] = launch.grid;
  const std::uint64_t n = static_cast<std::uint64_t>(gx) * gy * gz;
  for (std::uint64_t k = 0; k < n; ++k) {
    const std::uint64_t b = backward ? n - 1 - k : k;
    machine.run_block(static_cast<std::uint32_t>(b % gx), static_cast<std::uint32_t>(b / gx % gy),
                      static_cast<std::uint32_t>(b / gx / gy));
  }
}

}  // namespace ptx
