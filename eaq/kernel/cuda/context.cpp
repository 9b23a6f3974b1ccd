#include "eaq/kernel/cuda/context.h"

#include <algorithm>
#include <bit>

#include "eaq/base/base.h"

namespace eaq::kernel_cuda {
namespace {

cudaDeviceProp chosen(int number) {
  const std::string named = "--device cuda" + (number > 0 ? ":" + std::to_string(number) : "") + " is not available: ";
  int count = 0;
  try {
    count = static_cast<int>(list_devices().size());
  } catch (const Error& e) {
    throw Error(e.kind(), named + e.what());
  }
  if (number >= count)
    throw Error(ErrorKind::unavailable, named + (count == 1 ? "there is one card, cuda:0"
                                                            : "there are " + std::to_string(count) + " cards, from cuda:0"));
  check(cudaSetDevice(number), "cudaSetDevice: taking the card");
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, number), "cudaGetDeviceProperties: asking the card for its properties");
  return properties;
}

std::string mebibytes(std::size_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB"; }

void* from_card(std::size_t bytes, std::string_view what) {
  void* data = nullptr;
  const cudaError_t code = cudaMalloc(&data, bytes);
  if (code == cudaSuccess) return data;
  cudaGetLastError();
  std::size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  throw Error(ErrorKind::unavailable, std::string(what) + " needs " + mebibytes(bytes) + " of the card's memory; " +
                                          mebibytes(free) + " of " + mebibytes(total) +
                                          " are free (cudaMalloc: " + cudaGetErrorString(code) + ")");
}

}  // namespace

CudaContext::State::State(int card) : number(card), properties(chosen(card)), architecture(usable_architecture(properties)) {
  check(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming), "cudaEventCreateWithFlags: making an event");
  for (cudaEvent_t& end : ends)
    check(cudaEventCreateWithFlags(&end, cudaEventDisableTiming), "cudaEventCreateWithFlags: making an event");
}

CudaContext::State::~State() {
  cudaSetDevice(number);
  cudaStreamSynchronize(stream);
  for (cudaEvent_t end : ends) cudaEventDestroy(end);
  for (cudaEvent_t mark : passed) cudaEventDestroy(mark);
  cudaEventDestroy(fork);
  usage->keeps = false;
  usage->give_back_all();
}

CudaContext::CudaContext(int number) : state_(std::make_unique<State>(number)) { state_->gemm = std::make_unique<Gemm>(*this); }
CudaContext::~CudaContext() = default;

void CudaContext::synchronise() { state_->stream.synchronise(); }
int CudaContext::architecture() const { return state_->architecture; }
int CudaContext::multiprocessors() const { return state_->properties.multiProcessorCount; }
std::size_t CudaContext::cache_bytes() const { return static_cast<std::size_t>(state_->properties.l2CacheSize); }

// CUDA submits and allocates on the card that is the calling thread's current one, which another context may have changed.
void CudaContext::make_current() const { check(cudaSetDevice(state_->number), "cudaSetDevice: turning to the card"); }
CUstream_st* CudaContext::stream() const {
  make_current();
  return state_->stream;
}

DeviceDescription CudaContext::description() const {
  int driver = 0;
  check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion: asking for the driver's version");
  return {.kind = "cuda",
          .name = printable(state_->properties.name),
          .isa = "sm_" + std::to_string(architecture()),
          .uuid = uuid_of(state_->properties),
          .driver = std::to_string(driver / 1000) + "." + std::to_string(driver % 1000 / 10),
          .threads = 0,
          .cache_bytes = static_cast<std::int64_t>(cache_bytes())};
}

void CudaContext::end_run() {
  check(cudaEventRecord(state_->ends[state_->ended % State::marks], stream()), "cudaEventRecord: marking the end of a run");
  ++state_->ended;
}

// Waiting for an event that has been recorded again since would wait for a later run: `ahead` stays below the number of marks.
void CudaContext::finish_runs(int ahead) {
  const auto left = static_cast<std::uint64_t>(std::min<std::size_t>(static_cast<std::size_t>(ahead), State::marks - 1));
  if (state_->ended <= left) return;
  check(cudaEventSynchronize(state_->ends[(state_->ended - 1 - left) % State::marks]),
        "cudaEventSynchronize: waiting for the end of a run");
}

void CudaContext::mark(std::size_t i) {
  auto& passed = state_->passed;
  while (passed.size() <= i) check(cudaEventCreate(&passed.emplace_back(nullptr)), "cudaEventCreate: making an event");
  check(cudaEventRecordWithFlags(passed[i], stream(), state_->recording ? cudaEventRecordExternal : cudaEventRecordDefault),
        "cudaEventRecordWithFlags: marking a moment");
}

std::vector<Seconds> CudaContext::marks(std::size_t count) {
  synchronise();
  std::vector<Seconds> since;
  for (std::size_t i = 0; i < count; ++i) {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, state_->passed.at(0), state_->passed.at(i)),
          "cudaEventElapsedTime: between two marks");
    since.emplace_back(milliseconds * 1e-3);
  }
  return since;
}

void CudaContext::State::Usage::give_back_all() {
  for (auto& [bytes, pieces] : given_back) {
    for (std::byte* piece : pieces) cudaFree(piece);
    now -= static_cast<std::int64_t>(bytes * pieces.size());
  }
  given_back.clear();
}

DeviceMemory CudaContext::allocate(std::size_t bytes, std::string_view what) {
  State::Usage& usage = *state_->usage;
  const bool small = bytes <= State::Usage::small;
  const std::size_t taken = small ? std::bit_ceil(std::max<std::size_t>(bytes, 256)) : bytes;
  void* data = nullptr;
  if (auto known = usage.given_back.find(taken); known != usage.given_back.end() && !known->second.empty()) {
    data = known->second.back();
    known->second.pop_back();
  } else {
    make_current();
    data = from_card(taken, what);
    usage.now += static_cast<std::int64_t>(taken);
    usage.peak = std::max(usage.peak, usage.now);
  }
  return {static_cast<std::byte*>(data), bytes, [kept = state_->usage, taken, small](std::byte* memory) {
            if (small && kept->keeps) {
              kept->given_back[taken].push_back(memory);
              return;
            }
            cudaFree(memory);
            kept->now -= static_cast<std::int64_t>(taken);
          }};
}

void CudaContext::upload(std::byte* to, std::span<const std::byte> from) {
  if (from.empty()) return;
  // Of the host's pageable memory CUDA makes a copy first, and `from` is free when the call returns.
  check(cudaMemcpyAsync(to, from.data(), from.size(), cudaMemcpyHostToDevice, stream()), "cudaMemcpyAsync: to the card");
  // Except that a card which reads pageable memory by itself may do so, and later, where there is more than a command holds.
  constexpr std::size_t held_by_a_command = 64 * 1024;
  if (state_->properties.pageableMemoryAccess != 0 && from.size() > held_by_a_command) synchronise();
}

void CudaContext::download(std::span<std::byte> to, const std::byte* from) {
  if (!to.empty())
    check(cudaMemcpyAsync(to.data(), from, to.size(), cudaMemcpyDeviceToHost, stream()), "cudaMemcpyAsync: from the card");
  synchronise();
}

void CudaContext::clear(std::byte* to, std::size_t bytes) {
  if (bytes > 0) check(cudaMemsetAsync(to, 0, bytes, stream()), "cudaMemsetAsync: clearing the card's memory");
}

void CudaContext::copy(std::byte* to, const std::byte* from, std::size_t bytes) {
  if (bytes > 0) check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream()), "cudaMemcpyAsync: within the card");
}

std::optional<std::int64_t> CudaContext::peak_memory(bool begin_anew) {
  const std::int64_t peak = state_->usage->peak;
  if (begin_anew) state_->usage->peak = state_->usage->now;
  return peak;
}

std::byte* CudaContext::scratch(std::size_t bytes) {
  auto& all = state_->scratch;
  if (all.empty() || all.back().size() < bytes) {
    const std::size_t doubled = all.empty() ? 0 : 2 * all.back().size();
    all.push_back(allocate(std::max({bytes, doubled, std::size_t{1} << 20}), "scratch memory"));
  }
  return all.back().data();
}

std::byte* CudaContext::keep(const std::shared_ptr<const void>& owner, DType dtype, const Tensor& values) {
  std::erase_if(state_->residents, [](const auto& entry) { return entry.second.owner.expired(); });
  DeviceMemory memory = allocate(values.buffer.size(), "a vector or table of the model");
  upload(memory.data(), {values.buffer.data(), values.buffer.size()});
  return state_->residents.insert_or_assign({owner.get(), dtype}, State::Resident{owner, std::move(memory)})
      .first->second.memory.data();
}

const std::byte* CudaContext::resident(const std::shared_ptr<const std::vector<float>>& values, DType dtype) {
  if (!values) return nullptr;
  const auto known = state_->residents.find({values.get(), dtype});
  if (known != state_->residents.end() && !known->second.owner.expired()) return known->second.memory.data();
  // Zeros at the end: products may compute a few columns more than there are.
  constexpr std::size_t step = 64;
  Tensor stored(dtype, {static_cast<std::int64_t>((values->size() + step - 1) / step * step)});
  std::fill_n(stored.buffer.data(), stored.buffer.size(), std::byte{0});
  for (std::size_t i = 0; i < values->size(); ++i) {
    if (dtype == DType::f32) stored.buffer.as<float>()[i] = (*values)[i];
    if (dtype == DType::bf16) stored.buffer.as<bf16>()[i] = bf16((*values)[i]);
    if (dtype == DType::f16) stored.buffer.as<f16>()[i] = f16((*values)[i]);
  }
  return keep(values, dtype, stored);
}

Matrix CudaContext::resident(const std::shared_ptr<const Tensor>& table) {
  const std::int64_t rows = table->shape.at(0), width = table->shape.at(1);
  const auto known = state_->residents.find({table.get(), table->dtype});
  std::byte* data = known != state_->residents.end() && !known->second.owner.expired() ? known->second.memory.data()
                                                                                       : keep(table, table->dtype, *table);
  return {table->dtype, data, rows, width, width};
}

const std::string& multiply(CudaContext& context, const GemmCall& call) { return context.state().gemm->run(call); }

CudaContext& cuda_context(ExecutionContext& context) {
  auto* cuda = dynamic_cast<CudaContext*>(&context);
  if (cuda == nullptr)
    throw Error(ErrorKind::bug, "a CUDA product was given a context of '" + std::string(context.device()) + "'");
  return *cuda;
}

}  // namespace eaq::kernel_cuda
