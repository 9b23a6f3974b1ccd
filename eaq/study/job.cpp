#include "eaq/study/job.h"

#include <algorithm>

namespace eaq {
namespace {

// What is asked of the data, where there is none: a model of random weights has no tokenizer.
void refuse_data_for_random(const Model& model, const StudyOptions& options) {
  if (!options.timing)
    throw Error(ErrorKind::input, printable(model.name) +
                                      ": its weights are random and its answers mean nothing; it can be timed " +
                                      "(eaq study), not judged");
  if (model.graph.task == Task::classification && options.unpadded)
    throw Error(ErrorKind::usage, "--unpadded: " + printable(model.name) +
                                      " has no tokenizer, so no sentences whose lengths it could have; --seq N pads to a length");
  // With several models the data may be meant for one of the others.
  if (options.models.size() == 1 && !(options.data.file.empty() && options.data.task.empty()))
    throw Error(ErrorKind::usage, std::string(options.data.file.empty() ? "--task" : "--data") + ": " + printable(model.name) +
                                      " has no tokenizer: it is timed on random tokens, and not judged");
}

// Random tokens for as many different runs as real data gives, within reason: sentences of the longest shape, or one stream.
void prepare_random_tokens(Job& job, std::uint64_t seed) {
  constexpr std::int64_t different = 32, most = std::int64_t{1} << 22;
  std::int64_t longest = 1, wanted = 1;
  for (const TimedShape& shape : job.shapes) {
    const std::int64_t length = shape.seq + shape.new_tokens;
    longest = std::max(longest, length);
    wanted = std::max(wanted, different * shape.batch * length);
  }
  const std::int64_t count = std::max<std::int64_t>(std::min(wanted, most) / longest, 1);
  Rng rng(seed);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(count * longest));
  for (std::int32_t& id : ids) id = static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(job.model.graph.vocabulary)));
  DataSource source;
  source.name = "random tokens";
  source.hash = "sha256:" + sha256(std::as_bytes(std::span(ids)));
  job.judged = "not judged, its weights are random";
  if (job.classifies()) {
    job.sentences.source = source;
    job.sentences.ids = std::move(ids);
    job.sentences.labels.assign(static_cast<std::size_t>(count), 0);
    for (std::int64_t i = 0; i <= count; ++i) job.sentences.begin.push_back(i * longest);
    return;
  }
  job.stream.source = source;
  job.stream.ids = std::move(ids);
  for (std::int64_t i = 0; i < count; ++i) job.windows.push_back({i * longest, (i + 1) * longest, 0});
}

std::string task_of(const Graph& graph, const DataOptions& data, const std::string& name) {
  const bool classifies = graph.task == Task::classification;
  if (data.task.empty()) return classifies ? "sst2" : data.file.empty() ? "wikitext2" : "text";
  if ((data.task == "sst2") != classifies)
    throw Error(ErrorKind::usage, "--task " + data.task + " does not suit " + name + ", which is a " +
                                      (classifies ? "classifier (sst2)" : "language model (wikitext2, text)"));
  return data.task;
}

void prepare_sentences_of(Job& job, const DataOptions& data, const std::filesystem::path& file, const DataCache& cache) {
  SentenceOptions options;
  if (data.file.empty()) options.name = job.task;
  options.label_count = static_cast<int>(job.model.graph.labels);
  options.max_length = static_cast<int>(std::min<std::int64_t>(job.model.graph.context, 512));
  options.limit = data.limit;
  job.sentences = prepare_sentences(file, *job.tokenizer, options, cache);
  if (job.sentences.size() == 0) throw Error(ErrorKind::input, printable(file.string()) + ": no sentences");
  job.judged = (data.limit > 0 ? "the first " : "all ") + std::to_string(job.sentences.size()) + " sentences, unpadded";
}

void prepare_text_of(Job& job, const DataOptions& data, const std::filesystem::path& file, const DataCache& cache) {
  TextOptions options;
  if (data.file.empty()) options.name = job.task;
  options.join = data.join;
  job.stream = prepare_tokens(file, *job.tokenizer, options, cache);
  const std::int64_t context = job.model.graph.context;
  const std::int64_t window = data.window > 0 ? data.window : std::min<std::int64_t>(1024, context);
  if (window > context)
    throw Error(ErrorKind::usage,
                "--window " + std::to_string(window) + ": " + job.model.name + " has a context of " + std::to_string(context));
  const std::int64_t stride = data.stride > 0 ? data.stride : window;
  job.windows =
      windows(static_cast<std::int64_t>(job.stream.ids.size()), {.window = window, .stride = stride, .limit = data.limit});
  if (job.windows.empty())
    throw Error(ErrorKind::input,
                printable(file.string()) + ": its " + std::to_string(job.stream.ids.size()) + " tokens leave nothing to predict");
  job.judged = (data.limit > 0 ? "the first " : "all ") + std::to_string(job.windows.size()) + " windows of " +
               std::to_string(window) + " tokens, stride " + std::to_string(stride) + ", joined " +
               (data.join == Join::raw ? "raw" : "hf");
}

}  // namespace

Job prepare_job(const std::string& where, const StudyOptions& options, const Device& device) {
  Job job;
  job.model = open_model(where);
  if (job.model.random) refuse_data_for_random(job.model, options);
  job.task = job.model.random ? "random" : task_of(job.model.graph, options.data, job.model.name);
  const bool silent = options.formats.empty() && options.recipes.empty();
  const std::string base = options.base.empty() ? default_base(device) : options.base;
  for (const std::string& format : silent ? default_formats(device) : options.formats)
    job.recipes.push_back(uniform_recipe(job.model.graph, format, base));
  for (const auto& file : options.recipes) job.recipes.push_back(read_recipe(job.model.graph, file));
  // Ratios and differences are against fp32 wherever it was asked for.
  std::stable_partition(job.recipes.begin(), job.recipes.end(), [](const Recipe& recipe) { return recipe.name == "fp32"; });
  for (std::size_t i = 0; i < job.recipes.size(); ++i)
    for (std::size_t k = 0; k < i; ++k)
      if (job.recipes[k].name == job.recipes[i].name)
        throw Error(ErrorKind::usage, "'" + printable(job.recipes[i].name) + "' was asked for twice");
  if (options.timing) job.shapes = timed_shapes(job.model.graph, options);

  if (job.model.random) {
    prepare_random_tokens(job, options.seed);
    return job;
  }
  job.tokenizer = tokenizer_of(job.model);
  const std::filesystem::path file = options.data.file.empty() ? default_data_path(job.task) : options.data.file;
  DataCache cache;
  if (options.data.cache) cache = {cache_folder(), tokenizer_hash(job.model.path)};
  if (job.classifies())
    prepare_sentences_of(job, options.data, file, cache);
  else
    prepare_text_of(job, options.data, file, cache);
  return job;
}

ModelRecord Job::model_record() const {
  return {model.name, task, model.checkpoint->hash(), model.graph.parameters, model.source};
}

DataRecord Job::data_record() const {
  const DataSource& source = classifies() ? sentences.source : stream.source;
  return {task, source.name, source.hash, static_cast<std::int64_t>(classifies() ? sentences.size() : windows.size()),
          static_cast<std::int64_t>(classifies() ? sentences.ids.size() : stream.ids.size())};
}

}  // namespace eaq
