#include "eaq/base/json.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

#include "eaq/cli/cli.h"

namespace eaq {
namespace {

struct LogitsCommand {
  std::string model;
  std::filesystem::path ids, out;
  StudyOptions options;
  OutputOptions output;
};

struct Input {
  std::int64_t n = 0, seq = 0;
  std::vector<std::int32_t> ids;
  std::vector<std::uint8_t> mask;  ///< empty: all are seen
};

std::vector<std::int64_t> integers(const TensorView& view, const std::string& where) {
  if (view.dtype == DType::i64) {
    const auto values = view.as<std::int64_t>();
    return {values.begin(), values.end()};
  }
  if (view.dtype == DType::i32) {
    const auto values = view.as<std::int32_t>();
    return {values.begin(), values.end()};
  }
  throw Error(ErrorKind::input, where + " is " + std::string(name_of(view.dtype)) + ", not I64 or I32");
}

Input read_input(const std::filesystem::path& path, const Graph& graph) {
  const auto file = open_checkpoint(path);
  const std::string name = printable(path.string());
  if (!file->contains("input_ids")) throw Error(ErrorKind::input, name + ": has no tensor 'input_ids'");
  const TensorView ids = file->tensor("input_ids");
  if (ids.shape.size() != 2 || ids.shape[0] < 1 || ids.shape[1] < 1)
    throw Error(ErrorKind::input,
                name + ": 'input_ids' has shape " + to_string(ids.shape) + ", not [n, seq] with both at least 1");
  Input input{ids.shape[0], ids.shape[1], {}, {}};
  if (input.seq > graph.context)
    throw Error(ErrorKind::input, name + ": 'input_ids' has sequences of " + std::to_string(input.seq) +
                                      " tokens, the model's context is " + std::to_string(graph.context));
  const std::vector<std::int64_t> values = integers(ids, name + ": 'input_ids'");
  for (std::size_t i = 0; i < values.size(); ++i)
    if (values[i] < 0 || values[i] >= graph.vocabulary)
      throw Error(ErrorKind::input, name + ": input_ids[" + std::to_string(i / static_cast<std::size_t>(input.seq)) + ", " +
                                        std::to_string(i % static_cast<std::size_t>(input.seq)) + "] is " +
                                        std::to_string(values[i]) + ", outside the vocabulary of " +
                                        std::to_string(graph.vocabulary));
  input.ids.assign(values.begin(), values.end());
  if (!file->contains("attention_mask")) return input;
  const TensorView mask = file->tensor("attention_mask");
  if (mask.shape != ids.shape)
    throw Error(ErrorKind::input,
                name + ": 'attention_mask' has shape " + to_string(mask.shape) + ", 'input_ids' " + to_string(ids.shape));
  for (const std::int64_t value : integers(mask, name + ": 'attention_mask'")) {
    if (value != 0 && value != 1)
      throw Error(ErrorKind::input, name + ": 'attention_mask' holds " + std::to_string(value) + ", not 0 or 1");
    input.mask.push_back(static_cast<std::uint8_t>(value));
  }
  return input;
}

OwnedBatch one_sequence(const Input& input, std::int64_t index) {
  OwnedBatch batch;
  const auto first = static_cast<std::size_t>(index * input.seq), count = static_cast<std::size_t>(input.seq);
  const auto part = [&](const auto& all) { return std::span(all).subspan(first, count); };
  batch.ids.assign(part(input.ids).begin(), part(input.ids).end());
  if (!input.mask.empty()) batch.key_mask.assign(part(input.mask).begin(), part(input.mask).end());
  batch.positions.resize(count);
  std::iota(batch.positions.begin(), batch.positions.end(), 0);
  batch.row_begin = {0, static_cast<std::int32_t>(input.seq)};
  return batch;
}

// A safetensors file of one tensor, written as its rows come: all logits of a long text never exist at once.
class LogitsFile {
 public:
  LogitsFile(const std::filesystem::path& path, const Shape& shape) : file_(path) {
    static_assert(std::endian::native == std::endian::little);
    std::string sizes;
    for (const std::int64_t size : shape) sizes += (sizes.empty() ? "" : ",") + std::to_string(size);
    std::string header =
        R"({"logits":{"dtype":"F32","shape":[)" + sizes + R"(],"data_offsets":[0,)" + std::to_string(elements(shape) * 4) + "]}}";
    header.resize((header.size() + 7) / 8 * 8, ' ');
    const std::uint64_t length = header.size();
    file_.write(std::as_bytes(std::span(&length, 1)));
    file_.write(header);
  }
  void write(const std::vector<float>& rows) { file_.write(std::as_bytes(std::span(rows))); }
  void commit() { file_.commit(); }

 private:
  AtomicFile file_;
};

int run(const LogitsCommand& command) {
  fetch_model(command.model);
  const Model model = open_model(command.model);
  const Input input = read_input(command.ids, model.graph);
  const bool classifies = model.graph.task == Task::classification;
  const std::int64_t width = classifies ? model.graph.labels : model.graph.vocabulary;
  const Shape shape = classifies ? Shape{input.n, width} : Shape{input.n, input.seq, width};
  LogitsFile file(command.out, shape);
  Session session(pack_chosen(model, command.options));
  ExecutionContext& context = *session.packed().device().context;
  catch_interrupts();
  Progress progress("logits", static_cast<double>(input.n));
  for (std::int64_t i = 0; i < input.n; ++i) {
    if (interrupted()) throw Error(ErrorKind::interrupted, "interrupted; nothing was written");
    const OwnedBatch batch = one_sequence(input, i);
    if (classifies) {
      file.write(on_host(context, session.run(batch.view())));
    } else {
      session.run_body(batch.view());
      constexpr std::int64_t at_once = 64;
      for (std::int64_t row = 0; row < input.seq; row += at_once)
        file.write(on_host(context, session.head(row, std::min(at_once, input.seq - row))));
    }
    progress.advance(1);
  }
  file.commit();
  if (command.output.json) print(Json{{"logits", printable(command.out.string())}, {"shape", shape}}.dump() + "\n");
  return 0;
}

}  // namespace

void define_logits(CLI::App& app, Action& chosen) {
  auto command = std::make_shared<LogitsCommand>();
  add_model_argument(app, command->model);
  app.add_option("--ids", command->ids, "safetensors with input_ids [n, seq] and optionally attention_mask, I64 or I32")
      ->type_name("IN.safetensors")
      ->required();
  app.add_option("-o,--out", command->out, "safetensors with logits in F32: [n, seq, vocabulary] or [n, labels]")
      ->type_name("OUT.safetensors")
      ->required();
  add_format_option(app, command->options);
  add_device_options(app, command->options);
  add_output_options(app, command->output);
  app.callback([&chosen, command] { chosen = [command] { return run(*command); }; });
}

}  // namespace eaq
