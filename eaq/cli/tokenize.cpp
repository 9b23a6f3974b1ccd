#include "eaq/base/json.h"

#include <algorithm>
#include <charconv>
#include <sstream>

#include "eaq/cli/cli.h"

namespace eaq {
namespace {

struct TokenizeOptions {
  std::string model, text;
  std::filesystem::path file;
  bool special_tokens = false, decode = false;
  OutputOptions output;
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.ends_with('\r')) line.pop_back();  // a file from Windows has the same texts
    lines.push_back(std::move(line));
  }
  return lines;
}

// "1 2 3", "1, 2, 3" and "[1, 2, 3]" are all lists of ids.
std::vector<std::int32_t> ids_of(const std::string& line, const Tokenizer& tokenizer) {
  std::vector<std::int32_t> ids;
  const char* at = line.data();
  const char* const end = at + line.size();
  while (at < end) {
    if (std::string_view(" \t\r,[]").find(*at) != std::string_view::npos) {
      ++at;
      continue;
    }
    std::int32_t id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error != std::errc() || id < 0 || id >= tokenizer.vocab_size())
      throw Error(ErrorKind::input, "'" + printable(std::string(at, std::find(at, end, ' '))) +
                                        "' is no token id: whole numbers from 0 to " +
                                        std::to_string(tokenizer.vocab_size() - 1));
    ids.push_back(id);
    at = next;
  }
  return ids;
}

std::string line_of(const std::vector<std::int32_t>& ids) {
  std::string line;
  for (const std::int32_t id : ids) line += (line.empty() ? "" : " ") + std::to_string(id);
  return line + "\n";
}

int run(const TokenizeOptions& options) {
  fetch_model(options.model);
  const auto tokenizer = load_tokenizer(model_folder(options.model));
  const std::vector<std::string> texts = options.file.empty() ? std::vector{options.text} : lines_of(read_text(options.file));
  Json ids = Json::array(), decoded = Json::array();
  for (const std::string& text : texts) {
    if (options.decode) {
      const std::string back = tokenizer->decode(ids_of(text, *tokenizer), !options.special_tokens);
      if (!options.output.json && !print(back + "\n")) return 0;
      if (options.output.json) decoded.push_back(back);
    } else {
      const auto row = tokenizer->encode(text, {.add_special_tokens = options.special_tokens});
      if (!options.output.json && !print(line_of(row))) return 0;
      if (options.output.json) ids.push_back(row);
    }
  }
  if (options.output.json) print((options.decode ? Json{{"text", decoded}} : Json{{"ids", ids}}).dump() + "\n");
  return 0;
}

}  // namespace

void define_tokenize(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<TokenizeOptions>();
  add_model_argument(app, options->model);
  auto* text = app.add_option("TEXT", options->text, "a text; with --decode: ids, as 1 2 3 or [1, 2, 3]")->type_name("");
  auto* file = app.add_option("--file", options->file, "each line a text, or with --decode a list of ids")->type_name("FILE");
  file->excludes(text);
  app.add_flag("--special-tokens", options->special_tokens,
               "with what the tokenizer adds round a text ([CLS] ... [SEP]); with --decode: keep them in the text");
  app.add_flag("--decode", options->decode, "from ids to text");
  add_output_options(app, options->output);
  app.callback([&chosen, options, text, file] {
    if (text->count() + file->count() == 0) throw Error(ErrorKind::usage, "tokenize: a TEXT or --file FILE is needed");
    chosen = [options] { return run(*options); };
  });
}

}  // namespace eaq
