// A Program's life: compiled from the Graph and the packed weights, rewritten by the backend's fusions, bound; then its workspace
// is planned and it runs. From bind() on the steps are fixed.
#include <algorithm>
#include <numeric>

#include "eaq/engine/memory.h"
#include "eaq/engine/packed.h"
#include "eaq/engine/repeats.h"
#include "eaq/engine/workspace.h"
#include "eaq/stats/stats.h"

namespace eaq {
namespace {

class Compiler {
 public:
  explicit Compiler(const PackedModel::State& packed, const Graph& graph) : packed_(packed), graph_(graph) {
    const DType activations = format_named(packed.recipe.base).traits().activations;
    program_.values = graph.values;
    for (ValueInfo& value : program_.values) value.dtype = activations;
    program_.output = graph.output;
    program_.values[static_cast<std::size_t>(graph.output)].dtype = DType::f32;  // logits are judged in f32
    activation_format_ = activations == DType::bf16 ? "bf16" : activations == DType::f16 ? "fp16" : "fp32";
  }

  Program compile() {
    for (const Node& node : graph_.nodes) {
      const bool has_site = std::holds_alternative<LinearNode>(node.op) || std::holds_alternative<EmbeddingNode>(node.op);
      Step step{node.site, node.kind, has_site ? packed_.recipe.format_of(node.site) : activation_format_, {}, {}};
      step.op = std::visit([&](const auto& op) { return lower(node.site, op); }, node.op);
      program_.steps.push_back(std::move(step));
    }
    return std::move(program_);
  }

 private:
  Op lower(const std::string& site, const EmbeddingNode& node) {
    EmbeddingOp op;
    op.tokens = packed_.tables.at(site), op.positions = packed_.tables.at(node.position_site), op.out = node.out;
    return op;
  }
  Op lower(const std::string& site, const LinearNode& node) {
    LinearOp op;
    op.product = packed_.products.at(site), op.in = node.in, op.out = node.out;
    if (!node.bias.empty()) op.bias = packed_.vectors.at(site);
    return op;
  }
  Op lower(const std::string&, const NormNode& node) {
    NormOp op;
    op.norm = {packed_.vectors.at(node.gamma), packed_.vectors.at(node.beta), node.epsilon};
    op.in = node.in, op.out = node.out;
    return op;
  }
  template <class T>
  Op lower(const std::string&, const T& op) {
    return op;
  }

  const PackedModel::State& packed_;
  const Graph& graph_;
  Program program_;
  std::string activation_format_;
};

DType cache_dtype(const Recipe& recipe) {
  if (recipe.kv_cache == "bf16") return DType::bf16;
  if (recipe.kv_cache == "fp16") return DType::f16;
  if (recipe.kv_cache == "fp32") return DType::f32;
  return format_named(recipe.base).traits().activations;
}

// A language model that answers for the last position only drops the other rows before its final norm and head.
Graph with_last_only(Graph graph) {
  if (graph.task != Task::language_model) return graph;
  Node& head = graph.nodes.back();
  auto& linear = std::get<LinearNode>(head.op);
  ValueInfo info = graph.values[static_cast<std::size_t>(linear.in)];
  info.rows = RowsPer::sequence;
  graph.values.push_back(info);
  const auto kept = static_cast<Value>(graph.values.size()) - 1;
  const Node select{"last_position", StepKind::other, SelectOp{true, linear.in, kept}};
  linear.in = kept;
  graph.values[static_cast<std::size_t>(linear.out)].rows = RowsPer::sequence;
  graph.nodes.insert(graph.nodes.end() - 1, select);
  return graph;
}

void check(const Batch& batch, const Graph& graph, const KvCache* cache) {
  const auto fail = [](const std::string& what) { throw Error(ErrorKind::input, what); };
  const std::int64_t rows = batch.rows();
  if (batch.sequences() < 1 || batch.row_begin[0] != 0 || batch.row_begin.back() != rows)
    throw Error(ErrorKind::bug, "a batch whose row_begin does not span its rows");
  if (batch.positions.size() != batch.ids.size()) throw Error(ErrorKind::bug, "a batch needs a position for each id");
  if (!batch.key_mask.empty() && batch.key_mask.size() != batch.ids.size())
    throw Error(ErrorKind::bug, "a batch needs a mask entry for each id");
  if (cache != nullptr && static_cast<std::int64_t>(batch.past.size()) != batch.sequences())
    throw Error(ErrorKind::bug, "a session with a cache needs `past`");
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto i = static_cast<std::size_t>(r);
    if (batch.ids[i] < 0 || batch.ids[i] >= graph.vocabulary)
      fail("token id " + std::to_string(batch.ids[i]) + " is outside the vocabulary of " + std::to_string(graph.vocabulary));
    if (batch.positions[i] < 0 || batch.positions[i] >= graph.context)
      fail("position " + std::to_string(batch.positions[i]) + " is outside the context of " + std::to_string(graph.context));
  }
  for (std::int64_t s = 0; s < batch.sequences(); ++s) {
    const auto i = static_cast<std::size_t>(s);
    if (batch.row_begin[i] >= batch.row_begin[i + 1]) fail("sequence " + std::to_string(s) + " is empty");
    if (cache != nullptr && batch.past[i] + batch.row_begin[i + 1] - batch.row_begin[i] > cache->capacity)
      fail("sequence " + std::to_string(s) + " needs more than the cache's " + std::to_string(cache->capacity) + " positions");
  }
}

}  // namespace

std::string_view name_of(Phase phase) {
  constexpr std::string_view names[] = {"forward", "prefill", "decode"};
  return names[static_cast<std::size_t>(phase)];
}

struct PreparedBatch::State {
  OwnedBatch owned;
  Batch batch;
  std::unique_ptr<PlacedBatch> placed;
  std::optional<Program> repeated;  // runs in place of the session's
  std::unique_ptr<Recording> recording;
  int moves = -1;             // of the workspace that the recording knows
  std::int64_t moved_on = 0;  // positions that the device has gone on by itself since it was prepared or rewound

  std::int64_t last_position() const { return *std::max_element(batch.past.begin(), batch.past.end()); }
};

PreparedBatch::PreparedBatch(std::unique_ptr<State> state) : state_(std::move(state)) {}
PreparedBatch::PreparedBatch(PreparedBatch&&) noexcept = default;
PreparedBatch::~PreparedBatch() = default;

// A Program with the memory that its values live in.
struct CompiledProgram {
  Program program;
  Workspace workspace;

  void reserve(std::int64_t rows, std::int64_t sequences) {
    workspace.reserve(rows, sequences);
    const ValueInfo& output = program.values[static_cast<std::size_t>(program.output)];
    workspace.reserve_output(output.rows == RowsPer::token ? rows : sequences);
  }
};

struct Session::State {
  std::shared_ptr<const PackedModel> packed;
  CompiledProgram general;
  std::optional<CompiledProgram> decoding;  // where the backend has fusions for one row of every sequence
  std::unique_ptr<KvCache> cache;
  bool feeds_back = false;
  Sampling sampling;
  Batch batch;                          // of the last run_body()
  std::unique_ptr<PlacedBatch> placed;  // likewise
  RunHooks hooks;                       // likewise

  const Backend& backend() const { return *packed->device().backend; }
  ExecutionContext& context() { return *packed->device().context; }

  CompiledProgram& compiled_for(const Batch& of) {
    return decoding && of.rows() == of.sequences() && !of.past.empty() ? *decoding : general;
  }
  Frame frame(CompiledProgram& compiled, const Batch& of, const PlacedBatch* on_device) {
    return {context(),   of,        compiled.workspace.matrices(of.rows(), of.sequences()),
            cache.get(), on_device, &packed->state().attention};
  }
  void run_all(const Program& program, const Frame& frame, PlacedBatch* on_device, const RunHooks& watch) {
    for (const Step& step : program.steps) run_step(step, frame, watch);
    if (feeds_back && on_device != nullptr)
      on_device->feed_back(frame.values[static_cast<std::size_t>(program.output)], sampling);
  }

  void run_step(const Step& step, const Frame& frame, const RunHooks& watch) {
    if (watch.listener == nullptr) {
      step.run(frame);
    } else {
      const Seconds start = monotonic_clock().now();
      watch.listener->on_begin(name_of(step.kind), step.format, start);
      step.run(frame);
      context().synchronise();
      watch.listener->on_step(name_of(step.kind), step.format, start, monotonic_clock().now());
    }
    if (watch.probe == nullptr) return;
    // What a fused step may leave unwritten is no result of it.
    const auto* linear = std::get_if<LinearOp>(&step.op);
    const auto on_the_way = [&](Value v) {
      return linear != nullptr && (v == linear->normed || v == linear->moments || (linear->attention && v == linear->out));
    };
    for (const Value v : writes_of(step.op))
      if (!on_the_way(v)) (*watch.probe)(step, frame.values[static_cast<std::size_t>(v)]);
  }

  // The head alone can be cut into rows: it must be the last step, row-wise, and read a value of a row per token.
  bool can_chunk() const {
    const Program& program = general.program;
    const auto* head = std::get_if<LinearOp>(&program.steps.back().op);
    return head != nullptr && head->out == program.output && head->residual == no_value &&
           program.values[static_cast<std::size_t>(head->in)].rows == RowsPer::token;
  }
};

Session::Session(std::shared_ptr<const PackedModel> packed, const SessionOptions& options) : state_(std::make_unique<State>()) {
  const PackedModel::State& weights = packed->state();
  const Backend& backend = *weights.device.backend;
  const Graph graph = options.logits == Logits::last ? with_last_only(weights.graph) : weights.graph;
  const auto compile = [&](CompiledProgram& compiled, bool decoding) {
    compiled.program = Compiler(weights, graph).compile();
    for (const Fusion& fusion : backend.fusions())
      if (options.fusions && (decoding || !fusion.decoding)) fusion.apply(compiled.program);
    backend.bind(compiled.program, *weights.device.context);
    compiled.workspace.plan(compiled.program, weights.device.context, backend.row_alignment());
  };
  compile(state_->general, false);
  if (options.cache_capacity > 0) {
    if (weights.device.context->is_host())
      require_memory(2.0 * static_cast<double>(graph.layers * graph.width * options.cache_capacity) *
                         static_cast<double>(options.cache_sequences) * static_cast<double>(size_of(cache_dtype(weights.recipe))),
                     "a cache of " + std::to_string(options.cache_sequences) + " sequences of " +
                         std::to_string(options.cache_capacity) + " tokens",
                     "a smaller batch or shorter sequences (--batch, --seq) need less");
    state_->cache = std::make_unique<KvCache>(*weights.device.context, cache_dtype(weights.recipe), graph.layers,
                                              options.cache_sequences, options.cache_capacity, graph.width);
    const auto fusions = backend.fusions();
    if (options.fusions && std::any_of(fusions.begin(), fusions.end(), [](const Fusion& f) { return f.decoding; }))
      compile(state_->decoding.emplace(), true);
  }
  state_->feeds_back = options.feeds_back, state_->sampling = options.sampling;
  state_->packed = std::move(packed);
}

Session::~Session() = default;
Session::Session(Session&&) noexcept = default;

const Program& Session::program() const { return state_->general.program; }
const Program& Session::program_for(const Batch& batch) const { return state_->compiled_for(batch).program; }
const PackedModel& Session::packed() const { return *state_->packed; }
KvCache* Session::cache() { return state_->cache.get(); }
std::size_t Session::workspace_bytes() const {
  return state_->general.workspace.bytes() + (state_->decoding ? state_->decoding->workspace.bytes() : 0);
}

void Session::reserve(std::int64_t rows, std::int64_t sequences) { state_->general.reserve(rows, sequences); }

Matrix Session::run(const Batch& batch, const RunHooks& hooks) {
  check(batch, state_->packed->graph(), state_->cache.get());
  CompiledProgram& compiled = state_->compiled_for(batch);
  compiled.reserve(batch.rows(), batch.sequences());
  const auto placed = state_->backend().place(state_->context(), batch);
  const Frame frame = state_->frame(compiled, batch, placed.get());
  state_->run_all(compiled.program, frame, nullptr, hooks);
  state_->context().synchronise();
  return frame.values[static_cast<std::size_t>(compiled.program.output)];
}

PreparedBatch Session::prepare(const Batch& batch, const Repeats& repeats) {
  check(batch, state_->packed->graph(), state_->cache.get());
  auto prepared = std::make_unique<PreparedBatch::State>();
  OwnedBatch& own = prepared->owned;
  own.ids.assign(batch.ids.begin(), batch.ids.end());
  own.positions.assign(batch.positions.begin(), batch.positions.end());
  own.row_begin.assign(batch.row_begin.begin(), batch.row_begin.end());
  own.past.assign(batch.past.begin(), batch.past.end());
  own.key_mask.assign(batch.key_mask.begin(), batch.key_mask.end());
  prepared->batch = own.view();
  prepared->placed = state_->backend().place(state_->context(), prepared->batch);
  if (!repeats.passes.empty()) {
    prepared->repeated = repeated(program_for(prepared->batch), repeats);
    state_->backend().bind(*prepared->repeated, state_->context());
  }
  return PreparedBatch(std::move(prepared));
}

bool Session::record(PreparedBatch& prepared) {
  PreparedBatch::State& p = *prepared.state_;
  CompiledProgram& compiled = state_->compiled_for(p.batch);
  compiled.reserve(p.batch.rows(), p.batch.sequences());
  if (p.moves == compiled.workspace.moves()) return false;
  const Frame frame = state_->frame(compiled, p.batch, p.placed.get());
  const Program& program = p.repeated ? *p.repeated : compiled.program;
  p.recording = state_->backend().record(state_->context(), [&] { state_->run_all(program, frame, p.placed.get(), {}); });
  if (p.recording && state_->feeds_back) p.placed->rewind();  // recording ran it once
  p.moves = compiled.workspace.moves();
  return p.recording != nullptr;
}

Matrix Session::submit(PreparedBatch& prepared, const RunHooks& hooks) {
  PreparedBatch::State& p = *prepared.state_;
  // The device would store beyond the cache, where nothing tells.
  if (state_->feeds_back && p.last_position() + p.moved_on >= state_->cache->capacity)
    throw Error(ErrorKind::input, "decoding has filled the cache's " + std::to_string(state_->cache->capacity) + " positions");
  CompiledProgram& compiled = state_->compiled_for(p.batch);
  compiled.reserve(p.batch.rows(), p.batch.sequences());
  const bool watched = hooks.listener != nullptr || hooks.probe != nullptr;
  if (!watched) record(prepared);
  const Frame frame = state_->frame(compiled, p.batch, p.placed.get());
  if (p.recording && !watched)
    p.recording->submit();
  else
    state_->run_all(p.repeated ? *p.repeated : compiled.program, frame, p.placed.get(), hooks);
  if (state_->feeds_back) ++p.moved_on;
  state_->context().end_run();
  return frame.values[static_cast<std::size_t>(compiled.program.output)];
}

std::vector<Seconds> Session::step_times(PreparedBatch& prepared, int runs) {
  if (runs < 1) throw Error(ErrorKind::bug, "times of no run were asked for");
  PreparedBatch::State& p = *prepared.state_;
  ExecutionContext& context = state_->context();
  CompiledProgram& compiled = state_->compiled_for(p.batch);
  compiled.reserve(p.batch.rows(), p.batch.sequences());
  const Frame frame = state_->frame(compiled, p.batch, p.placed.get());
  const auto& steps = compiled.program.steps;
  const auto marked = [&] {
    context.mark(0);
    for (std::size_t i = 0; i < steps.size(); ++i) steps[i].run(frame), context.mark(i + 1);
  };
  const auto recording = state_->backend().record(context, marked);
  std::vector<std::vector<double>> seen(steps.size());  // seconds
  for (int run = 0; run < runs; ++run) {
    if (recording)
      recording->submit();
    else
      marked();
    const std::vector<Seconds> passed = context.marks(steps.size() + 1);
    for (std::size_t i = 0; i < steps.size(); ++i) seen[i].push_back((passed[i + 1] - passed[i]).value());
  }
  std::vector<Seconds> medians;
  medians.reserve(steps.size());
  for (const auto& times : seen) medians.emplace_back(median(times));
  return medians;
}

std::vector<std::int32_t> Session::fed_back(PreparedBatch& prepared) {
  return prepared.state_->placed ? prepared.state_->placed->fed_back() : std::vector<std::int32_t>{};
}

void Session::rewind(PreparedBatch& prepared) {
  if (prepared.state_->placed) prepared.state_->placed->rewind();
  prepared.state_->moved_on = 0;
}

void Session::run_body(const Batch& batch, const RunHooks& hooks) {
  if (!state_->can_chunk()) {
    run(batch, hooks);
    return;
  }
  check(batch, state_->packed->graph(), state_->cache.get());
  state_->batch = batch;
  state_->hooks = hooks;
  state_->general.workspace.reserve(batch.rows(), batch.sequences());
  state_->placed = state_->backend().place(state_->context(), batch);
  const Frame frame = state_->frame(state_->general, batch, state_->placed.get());
  const auto& steps = state_->general.program.steps;
  for (std::size_t i = 0; i + 1 < steps.size(); ++i) state_->run_step(steps[i], frame, hooks);
  state_->context().synchronise();
}

Matrix Session::head(std::int64_t first_row, std::int64_t count) {
  const auto output = static_cast<std::size_t>(state_->general.program.output);
  if (!state_->can_chunk()) return state_->general.workspace.current()[output].slice(first_row, count);
  const Step& step = state_->general.program.steps.back();
  const auto in = static_cast<std::size_t>(std::get<LinearOp>(step.op).in);
  state_->general.workspace.reserve_output(count);
  std::span<Matrix> values = state_->general.workspace.matrices(state_->batch.rows(), state_->batch.sequences());
  values[in] = values[in].slice(first_row, count);
  values[output] = values[output].slice(0, count);
  state_->run_step(
      step,
      {state_->context(), state_->batch, values, state_->cache.get(), state_->placed.get(), &state_->packed->state().attention},
      state_->hooks);
  state_->context().synchronise();
  return values[output];
}

bool can_feed_back(const Device& device) { return device.backend->feeds_back(); }

std::vector<float> on_host(ExecutionContext& context, const Matrix& rows) {
  if (rows.dtype != DType::f32) throw Error(ErrorKind::bug, "on_host() of values that are not f32");
  std::vector<float> values(static_cast<std::size_t>(rows.rows * rows.cols));
  const std::span<std::byte> bytes = std::as_writable_bytes(std::span(values));
  if (rows.stride == rows.cols) {
    context.download(bytes, rows.data);
    return values;
  }
  const auto width = static_cast<std::size_t>(rows.cols) * sizeof(float);
  for (std::int64_t r = 0; r < rows.rows; ++r)
    context.download(bytes.subspan(static_cast<std::size_t>(r) * width, width), rows.row(r));
  return values;
}

}  // namespace eaq
